"""Residuals of regressions without the row."""

from __future__ import annotations

import math

import numpy as np
import pytest

from keras_importance.statistics.residuals import residuals


def correlated(rng, n_rows, n_columns=3, rho=0.8):
    shared = rng.standard_normal((n_rows, 1))
    return math.sqrt(rho) * shared + math.sqrt(1 - rho) * rng.standard_normal((n_rows, n_columns))


def refitted(z, group, out, ridge, weights):
    """Residuals of some rows by a ridge regression with a constant on the others."""
    n_rows, others = len(z), np.setdiff1d(np.arange(z.shape[1]), group)
    with_constant = np.column_stack([np.ones(n_rows), z[:, others]])
    rows = np.setdiff1d(np.arange(n_rows), out)
    a, w = with_constant[rows], weights[rows, None]
    penalty = n_rows * ridge * np.eye(a.shape[1])
    penalty[0, 0] = 0
    slopes = np.linalg.solve(a.T @ (w * a) + penalty, a.T @ (w * z[np.ix_(rows, group)]))
    return z[np.ix_(out, group)] - with_constant[out] @ slopes


@pytest.mark.parametrize("blocks", [None, np.arange(30) // 4], ids=["rows", "blocks"])
@pytest.mark.parametrize("is_weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize("n_columns", [6, 50], ids=["more rows", "more columns"])
def test_residuals_are_those_of_fits_without_the_row(rng, n_columns, is_weighted, blocks):
    x = 10 + correlated(rng, 30, n_columns, 0.5) * np.linspace(1, 9, n_columns)
    weights = 0.2 + rng.random(30) if is_weighted else np.ones(30)
    weights /= weights.mean()
    groups = [np.array([0, 2, 3]), *(np.array([i]) for i in range(n_columns) if i not in (0, 2, 3))]
    found = residuals(x, groups, weights if is_weighted else None, blocks)
    mean = np.average(x, axis=0, weights=weights)
    unit = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weights))
    left_out = np.arange(30) if blocks is None else blocks
    for group in groups[:3]:
        for one in np.unique(left_out):
            out = np.flatnonzero(left_out == one)
            expected = refitted((x - mean) / unit, group, out, found.ridge, weights) * unit[group]
            np.testing.assert_allclose(found.values[np.ix_(out, group)], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("n_rows", "n_columns"), [(400, 80), (200, 150), (150, 400)], ids=["few", "many", "more than rows"]
)
def test_what_is_redrawn_spreads_as_much_whatever_the_number_of_columns(rng, n_rows, n_columns):
    """Independent columns of variance 1: half the mean square of x - x' is 1, and so is Var x'.

    Residuals of the rows that were fitted would give 1 - p/n for the first; those of left-out rows
    with their full length 1 + p/n for the second.
    """
    x = rng.standard_normal((n_rows, n_columns))
    found = residuals(x, [np.array([i]) for i in range(n_columns)])
    donor = np.roll(found.values * found.scale, 1, axis=0)
    drawn = x - found.values + donor
    assert np.mean((drawn - x) ** 2) / 2 == pytest.approx(1, abs=0.04)
    assert drawn.var(axis=0).mean() == pytest.approx(1, abs=0.04)


def test_rows_in_another_order_have_the_same_residuals(rng):
    x, order = correlated(rng, 60, 5), rng.permutation(60)
    groups = [np.array([i]) for i in range(5)]
    plain, moved = residuals(x, groups), residuals(x[order], groups)
    np.testing.assert_allclose(moved.values, plain.values[order], rtol=1e-8, atol=1e-10)


def test_rows_of_next_to_no_weight_shape_no_regression(rng):
    """In the rows that count x1 follows x0, in the others it doesn't."""
    x = rng.standard_normal((1000, 2))
    x[:500, 1] = x[:500, 0]
    groups, weights = [np.array([0]), np.array([1])], np.repeat([1.0, 1e-9], 500)
    assert np.abs(residuals(x, groups, weights).values[:500]).max() < 1e-3
    assert np.abs(residuals(x, groups).values[:500]).max() > 0.1


@pytest.mark.long
def test_ten_thousand_columns_and_two_thousand_rows_take_seconds(rng):
    x = rng.standard_normal((2000, 10_000))
    found = residuals(x, [np.array([i]) for i in range(10_000)])
    assert np.mean(found.values**2) == pytest.approx(1, abs=0.1)
