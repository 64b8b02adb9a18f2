"""The model and rows that processes of the tests of distribution share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_importance import ImportanceResult
from keras_importance.methods import METHODS

METHODS_OF_A_WORD = {"all": list(METHODS)}


def network() -> keras.Model:
    """A small compiled network with layers that differ between modes."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    h = keras.layers.Dense(16, activation="tanh")(inputs)
    h = keras.layers.BatchNormalization(momentum=0.5)(h)
    h = keras.layers.Dropout(0.3)(h)
    model = keras.Model(inputs, keras.layers.Dense(1)(h))
    model.compile("adam", "mse", metrics=["mae"])
    return model


def rows() -> tuple[Any, Any, Any, Any]:
    """256 rows to train on and 301 to validate on, of four features, of which two matter."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((557, 4)).astype(np.float32)
    y = (2 * x[:, 0] - x[:, 1] ** 2 + 0.1 * rng.standard_normal(557)).astype(np.float32)[:, None]
    return x[:256], y[:256], x[256:], y[256:]


def found(name: str, results: Mapping[str, ImportanceResult]) -> dict[str, Any]:
    """Scores and standard errors of each method, under names that begin with `name`."""
    arrays = {}
    for method, result in results.items():
        arrays[f"{name}/{method}/importances"] = result.importances
        arrays[f"{name}/{method}/std_error"] = result.std_error
    return arrays
