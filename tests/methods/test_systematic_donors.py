"""Systematic donors: how exact they are, and whether intervals cover, as the benchmark measures it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from benchmarks import systematic


@pytest.mark.parametrize("kind", ["normal", "binary, 5%", "category of 5", "sequence"])
def test_three_systematic_donors_leave_no_more_error_than_five_random_ones(kind):
    """Relative to 50 random donors; 600 replicates of 200 rows, so a ratio is known to about .015."""
    error = systematic.relative_errors(systematic.KINDS[kind], systematic.nonlinear, 200, 600)
    assert error["systematic 3"] < error["random 5"] + 0.03
    assert error["systematic 3"] < error["random 3"]


@pytest.mark.parametrize(
    ("n_rows", "n_replicates"), [(400, 600), (2000, 400), (20_000, 200)], ids=["400", "2,000", "20,000"]
)
@pytest.mark.parametrize("n_repeats", [2, 3])
def test_intervals_cover_with_systematic_donors(n_rows, n_replicates, n_repeats):
    """Linear model, squared error: theta = 2 Var(x) = 2; within three errors of .95."""
    kind, rng, hits = systematic.KINDS["normal"], np.random.default_rng(n_rows), 0
    for _ in range(n_replicates):
        rows = systematic.Rows.drawn(kind, n_rows, rng)
        donors = systematic.systematic(kind, rows.values, n_repeats, rng)
        hits += systematic.holds(2.0, rows.differences(systematic.linear, donors), donors)
    assert abs(hits / n_replicates - 0.95) < 3 * math.sqrt(0.95 * 0.05 / n_replicates)
