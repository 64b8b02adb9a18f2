"""What the model explains: its loss beside that of the best constant prediction."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_importance import (
    compute_importance,
)


def explained(model, x, y, weights=None, metric="loss"):
    data = (x, y) if weights is None else (x, y, weights)
    return compute_importance(model, data, methods="permutation", metric=metric)["permutation"].explained


@pytest.fixture
def fixed():
    """A model that returns its input's first column, with a loss and a last activation."""

    def make(loss, activation=None, units=1):
        layer = keras.layers.Dense(units, activation=activation, use_bias=False)
        model = keras.Sequential([keras.Input((2,)), layer])
        model.set_weights([np.concatenate([np.ones((1, units)), np.zeros((1, units))])])
        model.compile("sgd", loss)
        return model

    return make


def test_the_constant_of_squared_error_is_the_mean(fixed, rng):
    x = rng.standard_normal((500, 2)).astype("float32")
    y = (x[:, 0] + rng.standard_normal(500)).astype("float32")
    expected = np.var(y) - np.mean((y - x[:, 0]) ** 2)
    assert explained(fixed("mse"), x, y).loss == pytest.approx(expected, rel=1e-4)


def test_the_constant_of_absolute_error_is_the_median(fixed, rng):
    x = rng.standard_normal((501, 2)).astype("float32")
    y = (x[:, 0] + rng.exponential(size=501)).astype("float32")
    expected = np.mean(np.abs(y - np.median(y))) - np.mean(np.abs(y - x[:, 0]))
    assert explained(fixed("mae"), x, y).loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("from_logits", [False, True])
def test_the_constant_of_log_loss_is_the_frequency(fixed, rng, from_logits):
    """Entropy of the labels minus the model's loss, for probabilities and for logits."""
    x = rng.standard_normal((500, 2)).astype("float32")
    y = (x[:, 0] + rng.standard_normal(500) > 0.5).astype("float32")
    share = y.mean()
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    loss = np.mean(np.logaddexp(0, np.where(y > 0, -x[:, 0], x[:, 0])))
    model = fixed(
        keras.losses.BinaryCrossentropy(from_logits=from_logits), None if from_logits else "sigmoid"
    )
    assert explained(model, x, y).loss == pytest.approx(entropy - loss, rel=1e-3)


@pytest.mark.parametrize("sparse", [False, True])
def test_the_constant_of_cross_entropy_is_the_class_frequencies(fixed, rng, sparse):
    """A model that gives each of three classes the same: the entropy minus log 3."""
    x = rng.standard_normal((500, 2)).astype("float32")
    y = rng.choice(3, 500, p=[0.6, 0.3, 0.1])
    shares = np.bincount(y) / 500
    expected = -np.sum(shares * np.log(shares)) - np.log(3)
    model = fixed(
        "sparse_categorical_crossentropy" if sparse else "categorical_crossentropy", "softmax", 3
    )
    found = explained(model, x, y if sparse else np.eye(3)[y])
    assert found.loss == pytest.approx(expected, abs=1e-3)
    assert found.reference == "constant"


def test_a_loss_with_another_constant_finds_it(fixed, rng):
    """The 90% pinball loss is least for the 90% quantile, neither mean nor median."""

    def pinball(y_true, y_pred):
        error = y_true - y_pred
        return keras.ops.mean(keras.ops.maximum(0.9 * error, -0.1 * error), axis=-1)

    x = rng.standard_normal((500, 2)).astype("float32")
    y = (x[:, 0] + rng.exponential(size=500)).astype("float32")
    quantile = np.quantile(y, 0.9)
    losses = [
        np.mean(np.maximum(0.9 * (y - constant), -0.1 * (y - constant)))
        for constant in (quantile, x[:, 0])
    ]
    found = explained(fixed(pinball), x, y[:, None])
    assert found.loss == pytest.approx(losses[0] - losses[1], rel=2e-3)


def test_weights_count_in_what_is_explained(fixed, rng):
    """Weights 1 and 2 are rows that are there once and twice."""
    x = rng.standard_normal((400, 2)).astype("float32")
    y = (x[:, 0] + rng.standard_normal(400)).astype("float32")
    weights = rng.integers(1, 3, 400).astype("float32")
    rows = np.repeat(np.arange(400), weights.astype(int))
    weighted = explained(fixed("mse"), x, y, weights)
    assert weighted.loss == pytest.approx(explained(fixed("mse"), x[rows], y[rows]).loss, rel=1e-3)


@pytest.mark.usefixtures("random_donors")
def test_without_a_constant_all_features_shuffled_stand_in(fixed, rng):
    """A loss that is not finite for a constant prediction."""

    def spread(y_true, y_pred):
        constant = keras.ops.max(y_pred) == keras.ops.min(y_pred)
        rows = keras.ops.mean((y_true - y_pred) ** 2, axis=-1)
        return rows + keras.ops.where(constant, np.float32("nan"), 0.0)

    x = rng.standard_normal((400, 2)).astype("float32")
    y = x[:, :1] + rng.standard_normal((400, 1)).astype("float32")
    result = compute_importance(fixed(spread), (x, y), methods="permutation")["permutation"]
    assert result.explained.reference == "all features shuffled"
    assert result.explained.loss == pytest.approx(result.importances_mean.sum(), rel=1e-4)
