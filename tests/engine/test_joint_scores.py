"""Scores of sets of features, replaced together."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from models.architectures import ZOO

from keras_importance import (
    PermutationImportance,
    compute_importance,
)
from keras_importance.methods.preparation import prepared_evaluator


def evaluator_of(model, x, y, **keywords):
    settings = {"features": None, "metric": "loss", "max_samples": None, "seed": 0, **keywords}
    return prepared_evaluator(model, (x, y), [PermutationImportance()], **settings)


@pytest.mark.parametrize(
    "name", ["sequential", "two outputs", "embedded", "recurrent", "nested", "towers"]
)
def test_a_set_of_one_scores_like_the_feature_itself(name, rng):
    example = ZOO[name]
    model, x = example.make(), example.rows(rng)
    model.compile("sgd", "mse")
    y = [rng.standard_normal(np.shape(one)) for one in keras.tree.flatten(model.predict(x, verbose=0))]
    method = PermutationImportance()
    evaluator = evaluator_of(model, x, y if len(y) > 1 else y[0])
    alone = method(evaluator)
    joint = method.jointly(evaluator, [[i] for i in range(len(alone.feature_names))], alone)
    np.testing.assert_allclose(joint.importances, alone.importances, atol=2e-5)
    np.testing.assert_allclose(joint.std_error, alone.std_error, atol=2e-5)


def test_flat_columns_in_a_set_score_like_the_features_themselves(rng):
    """Columns of shape `(n,)`, as a dict of a DataFrame's columns holds them."""
    x = {name: rng.standard_normal(60).astype("float32") for name in "ab"}
    inputs = {name: keras.Input((), name=name) for name in "ab"}
    columns = [keras.layers.Reshape((1,))(column) for column in inputs.values()]
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Concatenate()(columns)))
    model.compile("sgd", "mse")
    method = PermutationImportance()
    evaluator = evaluator_of(model, x, x["a"])
    alone = method(evaluator)
    joint = method.jointly(evaluator, [[0], [1]], alone)
    np.testing.assert_allclose(joint.importances, alone.importances, atol=2e-5)


def test_a_linear_set_of_two_adds_up(linear_model, rng):
    """Independent columns and squared error: `2 (b_0² + b_1²)`, as for a group of both."""
    x = rng.standard_normal((4000, 3)).astype("float32")
    model = linear_model([1.0, 2.0, 0.5])
    y = model.predict(x, verbose=0)
    evaluator = evaluator_of(model, x, y)
    alone = PermutationImportance()(evaluator)
    joint = PermutationImportance().jointly(evaluator, [[0, 1]], alone)
    assert joint.sets == (("x0", "x1"),)
    grouped = compute_importance(model, (x, y), methods="permutation", features={"both": [0, 1]})
    group = grouped["permutation"]
    assert joint.importances_mean[0] == pytest.approx(group.importances_mean[0], rel=1e-5)
    assert joint.std_error[0] == pytest.approx(group.std_error[0], rel=1e-5)


def test_rows_that_are_there_five_times_are_as_sure_as_once(linear_model, rng):
    """Copies are one block: the standard error stays that of the distinct rows, to a few per cent."""
    x = rng.standard_normal((300, 3)).astype("float32")
    y = (x @ np.array([1.0, 0.5, 0.0]) + rng.standard_normal(300)).astype("float32")
    model = linear_model([1.0, 0.5, 0.2])
    method = PermutationImportance(n_repeats=20)
    once = compute_importance(model, (x, y), methods=method)["permutation"]
    copies = np.repeat(np.arange(300), 5)
    often = compute_importance(model, (x[copies], y[copies]), methods=method)["permutation"]
    assert often.n_blocks == 300
    np.testing.assert_allclose(often.std_error, once.std_error, rtol=0.15)
