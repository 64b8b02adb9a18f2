"""Inputs whose columns lie along axis 1."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_importance import compute_importance
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.channels import channels_first

N, COLUMNS, STEPS = 60, 3, 8
METHODS = ["permutation", "ablation", "gradient", "integrated_gradients", "conditional_permutation"]


def rows(rng):
    x = rng.standard_normal((N, STEPS, COLUMNS)).astype("float32")
    return x, x[:, :, 1].mean(axis=1)


def both_models():
    """Two models of the same weights: one takes columns last, the other moves them there itself."""
    last = keras.Sequential(
        [
            keras.Input((STEPS, COLUMNS)),
            layers.Conv1D(4, 3, activation="tanh", data_format="channels_last"),
            layers.GlobalAveragePooling1D(data_format="channels_last"),
            layers.Dense(1),
        ]
    )
    first = keras.Sequential([keras.Input((COLUMNS, STEPS)), layers.Permute((2, 1)), *last.layers])
    for model in (last, first):
        model.compile("sgd", "mse")
    return last, first


def test_columns_along_axis_1_are_named_by_a_list_and_mean_the_same_as_columns_last(rng):
    """The same rows with another order of axes, and a model that undoes it, have the same importances."""
    (x, y), (last, first), names = rows(rng), both_models(), ["wind", "sun", "rain"]
    expected = compute_importance(last, (x, y), features=names, methods=METHODS)
    moved = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    found = compute_importance(first, (moved, y), features=names, methods=METHODS)
    for method in METHODS:
        assert found[method].feature_names == tuple(names)
        np.testing.assert_allclose(
            found[method].importances, expected[method].importances, rtol=1e-3, atol=1e-6
        )
    assert found["gradient"].by_step.shape == (STEPS, COLUMNS)


def test_without_names_the_last_axis_holds_the_columns(rng):
    (x, y), (_, first) = rows(rng), both_models()
    moved = np.moveaxis(x, -1, 1)
    found = compute_importance(first, (moved, y), methods=["permutation"])["permutation"]
    assert found.feature_names == tuple(f"x{step}" for step in range(STEPS))


@pytest.mark.parametrize(
    ("first_layers", "indices"),
    [
        ([layers.Conv1D], [0]),
        ([lambda *_, **__: layers.Dropout(0.1), layers.Conv1D], [0]),
        ([lambda *_, **__: layers.Permute((2, 1))], []),
    ],
    ids=["convolution", "behind a dropout", "permute"],
)
def test_the_layers_that_an_input_reaches_say_where_its_channels_lie(first_layers, indices, rng):
    given = keras.Input((COLUMNS, STEPS))
    value = given
    for layer in first_layers:
        value = layer(4, 3, data_format="channels_first")(value)
    model = keras.Model(given, value)
    data = ValidationData.read((np.zeros((N, COLUMNS, STEPS), "float32"), np.zeros(N)))
    assert channels_first(data, model) == indices


def test_a_convolution_with_channels_first_has_one_feature_a_channel(rng):
    """Only channel 1 has weights: the others count for nothing."""
    x, y = rows(rng)
    moved = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    given = keras.Input((COLUMNS, STEPS))
    value = layers.Conv1D(1, 1, data_format="channels_first", use_bias=False)(given)
    model = keras.Model(given, layers.Dense(1)(layers.Flatten()(value)))
    model.compile("sgd", "mse")
    model.layers[1].set_weights([np.array([[[0.0], [1.0], [0.0]]])])
    found = compute_importance(model, (moved, y), methods=["permutation", "gradient"])
    for result in found.values():
        assert result.feature_names == ("x0", "x1", "x2")
        assert result.importances_mean[[0, 2]].tolist() == [0, 0]
        assert result.importances_mean[1] != 0
