"""Small models and data that many tests share. Keras is imported only for tests that use it."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("steady")

BACKENDS = {"keras", "tensorflow", "jax", "torch"}


def pytest_addoption(parser):
    parser.addoption(
        "--without-keras", action="store_true", help="importing Keras or a backend is an error"
    )


def pytest_configure(config):
    if config.getoption("without_keras"):
        sys.meta_path.insert(0, WithoutKeras())


class WithoutKeras:
    """A finder that finds neither Keras nor a backend, and says why."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BACKENDS:
            raise ImportError(f"{name} is imported in tests that run without Keras")


@pytest.fixture(autouse=True)
def _same_start():
    """Every test draws the same initial weights and batches, whatever ran before it."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def random_donors(monkeypatch):
    """Random donors, the same for all features: systematic ones depend on how values are stored."""
    import keras_importance.methods.donor_tables as donor_tables

    monkeypatch.setattr(donor_tables, "can_be_systematic", lambda *_: False)


@pytest.fixture
def linear_model():
    """Makes a compiled linear model with the given weights."""
    import keras

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
    import keras

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
