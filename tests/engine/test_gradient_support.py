"""Why a feature has no gradient: what is known, never a guess."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_importance import compute_importance

METHODS = ["gradient", "integrated_gradients"]


class Behind(keras.layers.Layer):
    """One column behind an operation, the others as they are."""

    def __init__(self, operation):
        super().__init__()
        self.operation = operation

    def call(self, x):
        return ops.concatenate([self.operation(x[:, :1]), x[:, 1:]], axis=-1)

    def compute_output_shape(self, shape):
        return shape


def rounded(z):
    return ops.round(z)


def stopped(z):
    return ops.stop_gradient(ops.tanh(z))


def largest(z):
    padded = ops.concatenate([z, ops.zeros_like(z)], axis=-1)
    return ops.cast(ops.argmax(padded, axis=-1)[:, None], "float32")


def notes_of(operation, x, method):
    given = keras.Input((x.shape[1],))
    model = keras.Model(given, layers.Dense(1)(Behind(operation)(given)))
    model.compile("sgd", "mse")
    model.layers[-1].set_weights([np.ones((x.shape[1], 1)), np.zeros(1)])
    return compute_importance(model, (x, x[:, :1]), methods=[method])[method]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("operation", [rounded, stopped, largest])
def test_an_operation_that_passes_no_gradient_is_named_as_such(operation, method, rng):
    """The model depends on the feature, its values have fractions, and the backend returns 0."""
    x = 2 * rng.standard_normal((100, 3)).astype("float32")
    result = notes_of(operation, x, method)
    assert np.isnan(result.importances_mean[0])
    assert "respect to 'x0': an operation in it" in result.notes["x0"]
    assert "whole numbers" not in result.notes["x0"]
    assert np.all(result.importances_mean[1:] > 0)


@pytest.mark.parametrize("method", METHODS)
def test_whole_numbers_are_named_where_the_model_makes_them(method, rng):
    """A quarter more changes nothing, another whole number does: that is known."""
    x = rng.integers(4, size=(100, 3)).astype("float32")
    result = notes_of(lambda z: ops.cast(ops.cast(z, "int32"), "float32"), x, method)
    assert "turns 'x0' into whole numbers: no gradient" in result.notes["x0"]
    stop = notes_of(stopped, x, method)
    assert "respect to 'x0': an operation in it" in stop.notes["x0"]


@pytest.mark.parametrize("method", METHODS)
def test_an_ignored_feature_has_a_gradient_of_zero(method, rng):
    x = rng.standard_normal((100, 3)).astype("float32")
    result = notes_of(ops.zeros_like, x, method)
    assert result.importances_mean[0] == 0
    assert not result.notes


def test_a_feature_that_is_flat_at_the_rows_alone_has_a_gradient_of_zero(rng):
    """`relu(a + b - 1)` with `b = -a`: 0 at every row, not for `a` beside the `b` of another row."""
    a = rng.uniform(-3, 3, (100, 1)).astype("float32")
    x = np.concatenate([a, -a, rng.standard_normal((100, 1))], axis=1).astype("float32")
    given = keras.Input((3,))
    hinge = ops.relu(given[:, :1] + given[:, 1:2] - 1.0)
    model = keras.Model(given, layers.Dense(1)(layers.Concatenate()([hinge, given[:, 2:]])))
    model.compile("sgd", "mse")
    result = compute_importance(model, (x, x[:, 2:]), methods=["gradient"])["gradient"]
    assert result.importances_mean[:2].tolist() == [0, 0]
    assert not result.notes


def test_texts_are_called_texts(rng):
    pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("texts go through a model of TensorFlow")
    colour = np.array(["red", "green"], object)[rng.integers(2, size=(100, 1))]
    given = keras.Input((1,), dtype="string", name="colour")
    one_hot = layers.StringLookup(vocabulary=["red", "green"], output_mode="one_hot")(given)
    model = keras.Model(given, layers.Dense(1)(one_hot))
    model.compile("sgd", "mse")
    y = (colour == "red").astype("float32")
    result = compute_importance(model, ({"colour": colour}, y), methods=["gradient"])["gradient"]
    assert result.notes["colour"] == "input 'colour' holds texts, which have no gradient"
