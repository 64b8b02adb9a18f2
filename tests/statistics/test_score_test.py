"""The score test: p-values of functions and gradients."""

from __future__ import annotations

import numpy as np

from keras_importance.statistics.score_test import score_test


def test_independent_functions_and_gradients_have_uniform_p_values(rng):
    """400 draws: the share below .05 within three standard errors, with skewed gradients."""
    p = [
        score_test(
            rng.standard_normal((300, 6)),
            rng.exponential(size=(300, 10)) * rng.standard_normal((300, 1)),
        )
        for _ in range(400)
    ]
    assert np.mean(np.array(p) < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert 0.35 < np.mean(np.array(p) < 0.5) < 0.65


def test_blocks_of_equal_rows_are_no_evidence(rng):
    """Each of 40 rows ten times: as rows they would be significant far too often."""
    blocks = np.repeat(np.arange(40), 10)
    p = [
        score_test(rng.standard_normal((40, 4))[blocks], rng.standard_normal((40, 3))[blocks], blocks)
        for _ in range(200)
    ]
    assert np.mean(np.array(p) < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
