"""Sparse matrices and tensors are read as the arrays that they stand for."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_importance.data.arrays as arrays
from keras_importance import FeatureImportance
from keras_importance.data.validation_data import ValidationData
from keras_importance.errors import NotEvaluableError

sparse = pytest.importorskip("scipy.sparse")

RNG = np.random.default_rng(0)
X = (RNG.standard_normal((60, 4)) * (RNG.random((60, 4)) < 0.4)).astype("float32")
Y = X[:, 0].copy()
KINDS = {
    "csr_matrix": sparse.csr_matrix,
    "csc_matrix": sparse.csc_matrix,
    "coo_matrix": sparse.coo_matrix,
    "csr_array": sparse.csr_array,
    "SparseTensor": tf.sparse.from_dense,
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("size", [None, 20])
def test_a_sparse_matrix_is_sampled_like_its_array(kind, size):
    found = ValidationData.read((kind(X), Y), max_samples=size)
    expected = ValidationData.read((X, Y), max_samples=size)
    np.testing.assert_array_equal(found.inputs[0], expected.inputs[0])
    np.testing.assert_array_equal(found.targets, expected.targets)


@pytest.mark.parametrize("kind", ["csr_matrix", "coo_matrix"])
def test_a_sparse_matrix_of_more_rows_than_are_kept_is_never_dense_as_a_whole(kind, monkeypatch):
    """At most 100 values at once: 25 of its 60 rows fit."""
    monkeypatch.setattr(arrays, "_MAX_DENSE", 100)
    found = ValidationData.read((KINDS[kind](X), Y), max_samples=25)
    np.testing.assert_array_equal(found.inputs[0][:, 0], found.targets)
    with pytest.raises(
        NotEvaluableError, match=r"of shape \(60, 4\).*240 values.*max_samples=25 or less"
    ):
        ValidationData.read((KINDS[kind](X), Y))


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="fit itself takes none on torch")
def test_a_training_on_a_sparse_matrix_is_evaluated():
    def importances(x):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        importance = FeatureImportance(detectors=(), time_budget=None)
        model.fit(x, Y, validation_data=(x, Y), shuffle=False, verbose=0, callbacks=[importance])
        return np.stack([one.importances_mean for one in importance.results.values()])

    np.testing.assert_allclose(importances(sparse.csr_matrix(X)), importances(X), rtol=1e-4, atol=1e-6)
