"""The score test: p-values of functions and gradients."""

from __future__ import annotations

import numpy as np
import pytest

from keras_importance.statistics.score_test import score_test, upper_tail


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


@pytest.mark.parametrize("n_values", [1, 40, 400])
def test_blocks_have_the_moments_of_their_sums(n_values, rng):
    """The moments of blocks by their definition: `sum_{B != C} (sum_B' sum_C)² / n²`, without a mean."""
    basis, gradients = rng.standard_normal((150, 3)), rng.standard_normal((150, n_values))
    blocks = rng.integers(0, 60, 150)
    b, g = basis - basis.mean(axis=0), gradients - gradients.mean(axis=0)
    products = (b[:, :, None] * g[:, None]).reshape(150, -1)
    sums = np.stack([products[blocks == block].sum(axis=0) for block in np.unique(blocks)])
    between = sums @ sums.T / 150
    mean, variance = np.trace(between), 2 * (np.sum(between**2) - np.sum(np.diag(between) ** 2))
    p = upper_tail(float(np.sum((b.T @ g) ** 2)) / 150, float(mean), float(variance))
    assert score_test(basis, gradients, blocks) == pytest.approx(p, abs=1e-9)
    assert score_test(basis.astype("float32"), gradients, blocks) == pytest.approx(p, abs=1e-6)
