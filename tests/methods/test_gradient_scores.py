"""Gradient importance from sums over rows, and from the gradients of each row."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_importance.methods.feature_parts import FeatureValues, parts_of
from keras_importance.methods.gradient import GradientImportance
from keras_importance.methods.gradient_from_rows import ScorerFromRows
from keras_importance.methods.gradient_from_sums import ScorerFromSums
from keras_importance.methods.preparation import prepared_evaluator


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_sums_over_rows_say_the_same_as_each_row(rng, n_outputs, is_weighted):
    """Scores, standard errors, directions and steps; up to the rounding of float32."""
    x = rng.standard_normal((80, 4, 3)).astype("float32")
    y = rng.standard_normal((80, n_outputs))
    weights = [0.5 + rng.random(80)] if is_weighted else []
    model = keras.Sequential(
        [
            keras.Input((4, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(5, activation="tanh"),
            keras.layers.Dense(n_outputs),
        ]
    )
    model.compile(loss="mse")
    method = GradientImportance()
    evaluator = prepared_evaluator(
        model, (x, y, *weights), [method], features=None, metric="loss", max_samples=None, seed=0
    )
    data, parts = evaluator.data, parts_of(evaluator)
    scalars = method.scalars(evaluator, data)
    passes = [evaluator.gradients(scalar, data) for scalar in scalars]
    from_rows = ScorerFromRows(data, passes, "mean")
    from_sums = ScorerFromSums(data, evaluator.gradient_moments(scalars, data), set(parts), from_rows)
    for part in parts.items():
        by_sums, by_rows = from_sums.scored(*part), from_rows.scored(*part)
        np.testing.assert_allclose(by_sums.by_step, by_rows.by_step, rtol=1e-4)
        values = [FeatureValues.of([scored], 3, None) for scored in (by_sums, by_rows)]
        for name in ("score", "std_error", "direction"):
            np.testing.assert_allclose(*(getattr(one, name) for one in values), rtol=1e-3, atol=1e-6)
