"""Signal that the model does not use: the score test on a network's gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_importance import (
    PermutationImportance,
)
from keras_importance.methods.preparation import prepared_evaluator
from keras_importance.verdicts.unused_signal import UnusedSignalTest


def evaluator_of(model, x, y, **keywords):
    settings = {"features": None, "metric": "loss", "max_samples": None, "seed": 0, **keywords}
    return prepared_evaluator(model, (x, y), [PermutationImportance()], **settings)


@pytest.mark.parametrize(
    "signal",
    [lambda x: x[:, 1] * x[:, 2], lambda x: np.sin(3 * x[:, 1]), lambda x: np.abs(x[:, 1])],
    ids=["interaction", "wave", "absolute value"],
)
def test_signal_that_the_network_does_not_use_yet_is_seen(signal, rng):
    """After one epoch the network has learnt the strong line; a feature without signal stays unseen."""
    x = rng.standard_normal((3000, 6)).astype("float32")
    y = (2 * x[:, 0] + signal(x) + 0.3 * rng.standard_normal(3000)).astype("float32")
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    model.fit(x[:2000], y[:2000], epochs=1, verbose=0)
    test = UnusedSignalTest(evaluator_of(model, x[2000:], y[2000:]))
    assert test.p_value(1) < 1e-3
    assert min(test.p_value(number) for number in (3, 4, 5)) > 1e-3


@pytest.mark.parametrize(
    ("loss", "activation", "units"),
    [
        ("sparse_categorical_crossentropy", "softmax", 3),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), None, 3),
        ("binary_crossentropy", "sigmoid", 1),
        (keras.losses.BinaryCrossentropy(from_logits=True), None, 1),
    ],
    ids=["softmax", "logits of classes", "sigmoid", "logit"],
)
def test_signal_of_classes_is_seen_before_training(loss, activation, units, rng):
    """A feature that makes the class, one that acts through another, and one that says nothing."""
    x = rng.standard_normal((2000, 4)).astype("float32")
    score = x[:, 0] + x[:, 1] * x[:, 2]
    y = np.digitize(score, [-0.5, 0.5]) if units == 3 else (score > 0).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation=activation)])
    model.compile("sgd", loss)
    test = UnusedSignalTest(evaluator_of(model, x, y))
    assert max(test.p_value(0), test.p_value(1), test.p_value(2)) < 1e-4
    assert test.p_value(3) > 1e-3


def test_signal_of_categories_is_seen(rng):
    """Whole numbers into an embedding have no gradient, and are tested all the same."""
    codes = rng.integers(0, 5, (2000, 2))
    effect = np.array([-1.0, 0.5, 1.0, -0.5, 0.0])
    y = (effect[codes[:, 0]] + 0.5 * rng.standard_normal(2000)).astype("float32")
    inputs = [keras.Input((1,), dtype="int32", name=name) for name in "ab"]
    parts = [keras.layers.Flatten()(keras.layers.Embedding(5, 2)(one)) for one in inputs]
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Concatenate()(parts)))
    model.compile("sgd", "mse")
    test = UnusedSignalTest(evaluator_of(model, [codes[:, :1], codes[:, 1:]], y))
    assert test.p_value(0) < 1e-6
    assert test.p_value(1) > 1e-3


def test_a_copy_of_a_used_feature_holds_no_signal_of_its_own(rng):
    x = rng.standard_normal((2000, 3)).astype("float32")
    x[:, 1] = 0.9 * x[:, 0] + 0.1 * x[:, 1]
    y = (2 * x[:, 0] + 0.3 * rng.standard_normal(2000)).astype("float32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.set_weights([np.array([[1.0], [0.0], [0.0]]), np.zeros(1)])
    model.compile("sgd", "mse")
    test = UnusedSignalTest(evaluator_of(model, x, y))
    assert test.p_value(1) > 1e-3


def test_what_there_is_no_time_for_keeps_its_p_value_and_comes_first(rng):
    x = rng.standard_normal((300, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    test = UnusedSignalTest(evaluator_of(model, x, x[:, 0]))
    first = test.p_values([0, 1, 2], lambda: False)
    assert np.isnan(first).tolist() == [False, True, True]
    second = test.p_values([0, 1, 2], lambda: False)
    assert np.isnan(second).tolist() == [False, False, True]
    assert second[0] == first[0]
    assert not np.isnan(test.p_values([0, 1, 2], lambda: True)).any()
