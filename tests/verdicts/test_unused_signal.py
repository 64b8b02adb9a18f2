"""Signal that the model does not use: the score test on a network's gradients."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_importance import (
    PermutationImportance,
)
from keras_importance.data.features import FeatureSet
from keras_importance.data.subsamples import Subsamples
from keras_importance.data.validation_data import ValidationData
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


def test_what_goes_beyond_the_work_keeps_its_p_value_and_comes_first(rng):
    """However little work is allowed, 8 features are tested, longest ago first."""
    x = rng.standard_normal((300, 40)).astype("float32")
    model = keras.Sequential([keras.Input((40,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    test = UnusedSignalTest(evaluator_of(model, x, x[:, 0]))
    asked = list(range(20))
    first = test.p_values(asked, 0.0)
    assert np.isfinite(first).tolist() == [True] * 8 + [False] * 12
    model.set_weights([value + 1 for value in model.get_weights()])
    second = test.p_values(asked, 0.0)
    assert np.isfinite(second).tolist() == [True] * 16 + [False] * 4
    assert np.array_equal(second[:8], first[:8])
    third = test.p_values(asked, 0.0)
    assert np.isfinite(third).all()
    assert not np.array_equal(third[:4], first[:4])
    assert np.array_equal(third[4:16], second[4:16])


def test_a_tested_feature_is_tested_again_after_steps_that_double(rng, monkeypatch):
    """What its p-value says of the data holds for any model: a new one rarely changes it."""
    x = rng.standard_normal((300, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    test = UnusedSignalTest(evaluator_of(model, x, x[:, 0]))
    tested_in: list[int] = []
    monkeypatch.setattr(test, "_computed", lambda tested: tested_in.append(call) or {tested[0]: 0.5})
    for call in range(1, 40):  # noqa: B007 (read by the lambda)
        assert test.p_values([2]).tolist() == [0.5]
    assert tested_in == [1, 2, 4, 8, 16, 32]


def test_which_features_are_tested_depends_on_counted_work(rng):
    """Twice the work, twice the features; two tests of the same rows test the same."""
    x = rng.standard_normal((300, 80)).astype("float32")
    model = keras.Sequential([keras.Input((80,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    evaluator = evaluator_of(model, x, x[:, 0])
    asked = list(range(80))
    a_feature = UnusedSignalTest(evaluator)._seconds_a_feature
    for n_features in (20, 40, 80):
        p_values = [
            UnusedSignalTest(evaluator).p_values(asked, n_features * a_feature * 1.01) for _ in range(2)
        ]
        assert np.isfinite(p_values[0]).sum() == n_features
        assert np.array_equal(*p_values, equal_nan=True)


def test_signal_of_missing_values_is_seen(rng):
    """The target counts which of two numbers are missing; the numbers themselves say nothing."""
    x = rng.standard_normal((2000, 4)).astype("float32")
    is_missing = rng.random((3, 2000)) < 0.3
    y = is_missing[:2].sum(axis=0).astype("float32")
    data = ValidationData.read((x, y))
    x[is_missing[0], 0], x[is_missing[1], 2], x[is_missing[2], 1] = np.nan, np.nan, np.nan
    found = _p_values(replace(data, inputs=(x,)), {"pair": [2, 3]})
    assert [p > 1e-3 for p in found] == [False, True, False], found


def _p_values(data, features):
    """p-values where the slopes of the loss are the centred targets, as of a constant model."""
    slopes = (data.targets - data.targets.mean()).reshape(1, 1, -1, 1).astype("float32")
    rows = Subsamples(data, 0).rows(1000)

    def scores(request, _):
        n_features = len(request.features)
        yield SimpleNamespace(
            indices=request.features, scores=np.repeat(slopes[:, :, rows], n_features, axis=0)
        )

    evaluator = SimpleNamespace(
        data=data,
        features=FeatureSet.from_argument(features, data.columns),
        seed=0,
        subsamples=Subsamples(data, 0),
        has_row_loss=True,
        scores=scores,
    )
    test = UnusedSignalTest(evaluator)
    return [test.p_value(index) for index in range(len(evaluator.features))]


@pytest.mark.parametrize(
    ("features", "is_silent"),
    [(None, [False, True, True]), ({"both": ["first", "number"]}, [False, True])],
    ids=["alone", "in a group with a number"],
)
def test_signal_of_texts_is_seen(features, is_silent):
    """The target depends on the first of two words alone; a group holds the signal of its members."""
    rng = np.random.default_rng(1)
    words = rng.choice(["red", "green", "blue"], (2000, 2)).astype(object)
    numbers = rng.standard_normal((2000, 1)).astype("float32")
    y = ((words[:, 0] == "red") + 0.3 * rng.standard_normal(2000)).astype("float32")
    x = {"first": words[:, :1], "number": numbers, "second": words[:, 1:]}
    found = _p_values(ValidationData.read((x, y)), features)
    assert [p > 1e-3 for p in found] == is_silent, found
