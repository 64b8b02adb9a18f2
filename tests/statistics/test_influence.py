"""Laws of the standard errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_importance.statistics.arrays import weighted_mean
from keras_importance.statistics.donors import Donors
from keras_importance.statistics.influence import (
    Influence,
    influence_standard_error,
    repeats_standard_error,
)
from keras_importance.statistics.quantiles import normal_quantile


def _drawn(n_rows, n_repeats, seed=0):
    rng = np.random.default_rng(seed)
    donors = Donors.draw(n_rows, n_repeats, rng)
    return rng.standard_normal((n_repeats, n_rows)) + rng.standard_normal(n_rows), donors


@pytest.mark.parametrize("n_repeats", [1, 2, 5])
def test_variance_is_unbiased_over_all_effects(n_repeats):
    """d[k, i] = a_i + b_donor + c_i,donor with a, b, c of known variance and cov(a_i, b_i).

    The mean has variance (var(a) + var(b) + 2 cov(a, b)) / n + var(c) / (n K), here
    (1 + 0.64 + 2 * 0.48) / n + 0.25 / (n K); the estimate must average to it.
    """
    n_rows, rng = 100, np.random.default_rng(1)
    truth = (1 + 0.64 + 2 * 0.48) / n_rows + 0.25 / (n_rows * n_repeats)
    estimates = []
    for _ in range(5000):
        donors = Donors.draw(n_rows, n_repeats, rng)
        a = rng.standard_normal(n_rows)
        b = 0.48 * a + 0.64 * rng.standard_normal(n_rows)
        c = 0.5 * rng.standard_normal((n_repeats, n_rows))
        differences = a + b[donors.rows] + c
        estimates.append(Influence.of(differences, donors).standard_error() ** 2)
    assert np.mean(estimates) == pytest.approx(truth, rel=0.02)


def test_intervals_cover_at_their_level():
    """Linear model, squared error: theta = 2 b² Var(x) = 2; 500 replicates of 500 rows, K = 5."""
    rng, hits = np.random.default_rng(2), 0
    for _ in range(500):
        x, noise = rng.standard_normal(500), 0.5 * rng.standard_normal(500)
        donors = Donors.draw(500, 5, rng)
        differences = (x + noise - x[donors.rows]) ** 2 - noise**2
        error = Influence.of(differences, donors).standard_error()
        hits += abs(differences.mean() - 2) < normal_quantile(0.975) * error
    assert 0.93 <= hits / 500 <= 0.97


def test_intervals_cover_for_weighted_rows():
    """Weights that favour rows with large x.

    With w = x² the target is E[w (x - x')²] / E[w] = (E x⁴ + E x² E x²) / E x² = 3 + 1 = 4.
    """
    rng, hits = np.random.default_rng(3), 0
    for _ in range(500):
        x = rng.standard_normal(2000)
        donors = Donors.draw(2000, 3, rng)
        differences = (x - x[donors.rows]) ** 2
        error = Influence.of(differences, donors, weights=x**2).standard_error()
        mean = weighted_mean(differences, x**2).mean()
        hits += abs(mean - 4) < normal_quantile(0.975) * error
    assert 0.92 <= hits / 500 <= 0.97


def test_intervals_cover_for_blocks_of_dependent_rows():
    """Blocks of ten copies of a row.

    Without blocks the error is far too small; with them it covers as for independent rows.
    """
    rng, hits = np.random.default_rng(4), {"blocks": 0, "rows": 0}
    blocks = np.repeat(np.arange(60), 10)
    for _ in range(400):
        x = np.repeat(rng.standard_normal(60), 10)
        donors = Donors.draw(600, 5, rng)
        differences = (x - x[donors.rows]) ** 2
        for name, ids in (("blocks", blocks), ("rows", None)):
            error = Influence.of(differences, donors, blocks=ids).standard_error()
            hits[name] += abs(differences.mean() - 2) < normal_quantile(0.975) * error
    assert 0.9 <= hits["blocks"] / 400 <= 0.98
    assert hits["rows"] / 400 < 0.7


sizes = st.tuples(st.integers(2, 40), st.integers(1, 8)).filter(lambda pair: pair[1] < pair[0])


@given(sizes, st.floats(0.1, 10))
def test_equal_weights_and_single_blocks_change_nothing(size, weight):
    n_rows, n_repeats = size
    differences, donors = _drawn(n_rows, n_repeats)
    plain = Influence.of(differences, donors).standard_error()
    assert Influence.of(differences, donors, np.full(n_rows, weight)).standard_error() == pytest.approx(
        plain, nan_ok=True
    )
    own_block = np.arange(n_rows) * 7
    assert Influence.of(differences, donors, blocks=own_block).standard_error() == pytest.approx(
        plain, nan_ok=True
    )


@given(sizes, st.floats(-5, 5), st.floats(0.1, 10))
def test_standard_error_follows_shift_and_scale(size, shift, scale):
    differences, donors = _drawn(*size)
    plain = Influence.of(differences, donors).standard_error()
    moved = Influence.of(scale * differences + shift, donors).standard_error()
    assert moved == pytest.approx(scale * plain, rel=1e-6, abs=1e-7, nan_ok=True)


def test_different_differences_have_an_error_above_zero():
    """With six rows the variance often comes out negative; zero width would claim certainty."""
    for seed in range(300):
        differences, donors = _drawn(6, 2, seed)
        assert Influence.of(differences, donors).standard_error() > 0


def test_no_difference_has_no_error():
    _, donors = _drawn(20, 3)
    assert Influence.of(np.zeros((3, 20)), donors).standard_error() == 0


def test_one_block_has_no_known_error():
    differences, donors = _drawn(20, 3)
    assert math.isnan(Influence.of(differences, donors, blocks=np.zeros(20, int)).standard_error())
    assert np.isnan(influence_standard_error(differences[0], np.zeros(20, int)))


def test_error_of_a_mean_is_that_of_the_textbook(rng):
    sample = rng.standard_normal((50, 3))
    expected = sample.std(axis=0, ddof=1) / math.sqrt(50)
    assert influence_standard_error(sample) == pytest.approx(expected)
    assert influence_standard_error(sample, np.arange(50)) == pytest.approx(expected)


def test_error_over_repeats_needs_two():
    assert np.isnan(repeats_standard_error(np.ones((4, 1)))).all()
    assert repeats_standard_error(np.array([[1.0, 3.0]])) == pytest.approx([1.0])


def test_standard_errors_are_right_for_independent_draws():
    """The mean of `(x - u_k)² - x²` over rows with K draws u each: its spread over 2000 samples."""
    rng, found = np.random.default_rng(3), []
    for _ in range(2000):
        x, u = rng.standard_normal(100), rng.standard_normal((5, 100))
        donors = Donors.draw(100, 5, rng)
        d = (x - u) ** 2 - x**2
        found.append((d.mean(), Influence.of(d, donors).standard_error()))
    means, errors = np.array(found).T
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(means.std(), rel=0.05)


# --- systematic donors --------------------------------------------------------------------------


def _drawn_by_feature(n_features, n_rows, n_repeats, seed=0):
    rng = np.random.default_rng(seed)
    orders = rng.permuted(np.tile(np.arange(n_rows, dtype=np.int32), (n_features, 1)), axis=1)
    donors = Donors.systematic(orders, n_repeats, rng)
    differences = rng.standard_normal((n_features, n_repeats, n_rows)) + rng.standard_normal(n_rows)
    return differences, donors


@pytest.mark.parametrize("n_rows_a_block", [None, 3])
def test_systematic_donors_have_the_influences_of_the_same_donors_listed_for_each_feature(
    n_rows_a_block,
):
    """Each feature by itself, with its rows as plain donors."""
    differences, donors = _drawn_by_feature(4, 90, 3)
    blocks = None if n_rows_a_block is None else np.arange(90) // n_rows_a_block
    together = Influence.of(differences, donors, blocks=blocks)
    for feature in range(4):
        rows = donors.rows_for(feature)
        plain = Donors(rows, np.argsort(rows, axis=1))
        alone = Influence.of(differences[feature], plain, blocks=blocks)
        np.testing.assert_allclose(together.psi[feature], alone.psi, rtol=1e-12)
        assert together.standard_error()[feature] == pytest.approx(float(alone.standard_error()))
        some = Influence.of(differences[[feature]], donors.of(np.array([feature])), blocks=blocks)
        np.testing.assert_allclose(some.psi[0], alone.psi, rtol=1e-12)
