"""Small models and data that many tests share."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def _same_start():
    """Every test draws the same initial weights and batches, whatever ran before it."""
    keras.utils.set_random_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def linear_model():
    """Makes a compiled linear model with the given weights."""

    def make(weights, loss="mse", metrics=None, bias=0.0):
        weights = np.asarray(weights, np.float32).reshape(len(weights), -1)
        model = keras.Sequential([keras.Input((len(weights),)), keras.layers.Dense(weights.shape[1])])
        model.set_weights([weights, np.full(weights.shape[1], bias, np.float32)])
        model.compile("sgd", loss, metrics=metrics)
        return model

    return make


@pytest.fixture
def small_data(rng):
    """300 rows of four features, of which two matter."""
    x = rng.standard_normal((300, 4)).astype(np.float32)
    y = (2 * x[:, 0] - x[:, 1] + 0.1 * rng.standard_normal(300)).astype(np.float32)
    return x, y


@pytest.fixture
def small_model():
    """A small compiled network on four features, with layers that differ between modes."""

    def make(n_features=4):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((n_features,)),
                keras.layers.Dense(8, activation="relu"),
                keras.layers.BatchNormalization(),
                keras.layers.Dropout(0.3),
                keras.layers.Dense(1),
            ]
        )
        model.compile("adam", "mse", metrics=["mae"])
        return model

    return make
