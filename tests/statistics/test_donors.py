"""Laws of the donors: who donates to whom."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_importance.statistics.donors import Donors

sizes = st.tuples(st.integers(2, 40), st.integers(1, 8)).filter(lambda pair: pair[1] < pair[0])


@given(sizes, st.integers(0, 2**32))
def test_every_row_donates_once_a_repeat_and_never_to_itself(size, seed):
    n_rows, n_repeats = size
    donors = Donors.draw(n_rows, n_repeats, np.random.default_rng(seed))
    for rows in donors.rows:
        assert sorted(rows) == list(range(n_rows))
        assert not np.any(rows == np.arange(n_rows))


@given(sizes, st.integers(0, 2**32))
def test_the_donors_of_a_row_are_distinct(size, seed):
    n_rows, n_repeats = size
    donors = Donors.draw(n_rows, n_repeats, np.random.default_rng(seed))
    assert all(len(set(column)) == n_repeats for column in donors.rows.T)


@given(sizes, st.integers(0, 2**32))
def test_recipients_invert_donors(size, seed):
    n_rows, n_repeats = size
    donors = Donors.draw(n_rows, n_repeats, np.random.default_rng(seed))
    for rows, recipients in zip(donors.rows, donors.recipients, strict=True):
        assert np.array_equal(rows[recipients], np.arange(n_rows))


@pytest.mark.parametrize("n_repeats", [0, 5, 6])
def test_as_many_repeats_as_rows_are_refused(n_repeats):
    with pytest.raises(ValueError, match="repeats need at least"):
        Donors.draw(5, n_repeats, np.random.default_rng(0))


# --- systematic donors --------------------------------------------------------------------------

systematic_sizes = st.tuples(st.integers(1, 5), st.integers(50, 120), st.integers(1, 5))


def orders_of(values):
    return np.argsort(values, axis=1, kind="stable").astype(np.int32)


@given(systematic_sizes, st.integers(0, 2**32))
def test_every_row_donates_once_a_repeat_for_each_feature_and_never_to_itself(size, seed):
    n_features, n_rows, n_repeats = size
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((n_features, n_rows)).round(1)  # with ties
    donors = Donors.systematic(orders_of(values), n_repeats, rng)
    for feature in range(n_features):
        for rows in donors.rows_for(feature):
            assert sorted(rows) == list(range(n_rows))
            assert not np.any(rows == np.arange(n_rows))


@given(systematic_sizes, st.integers(0, 2**32))
def test_the_row_at_a_position_donates_to_its_recipients(size, seed):
    n_features, n_rows, n_repeats = size
    rng = np.random.default_rng(seed)
    donors = Donors.systematic(orders_of(rng.random((n_features, n_rows))), n_repeats, rng)
    for feature in range(n_features):
        for rows, recipients in zip(donors.rows_for(feature), donors.recipients, strict=True):
            assert np.array_equal(rows[recipients], donors.order_of(feature))


@given(systematic_sizes, st.integers(0, 2**32))
def test_the_donors_of_a_row_lie_evenly_in_the_order(size, seed):
    n_features, n_rows, n_repeats = size
    rng = np.random.default_rng(seed)
    positions = Donors.systematic(orders_of(rng.random((n_features, n_rows))), n_repeats, rng).rows
    gaps = np.diff(np.sort(positions, axis=0), axis=0)
    assert np.all((gaps == n_rows // n_repeats) | (gaps == -(-n_rows // n_repeats)))


def test_the_order_is_that_of_the_values_but_for_the_few_rows_that_would_be_their_own_donors():
    rng = np.random.default_rng(0)
    orders = orders_of(rng.random((50, 1000)))
    donors = Donors.systematic(orders, 3, rng)
    assert np.mean(donors.orders != orders) == pytest.approx(2 * 3 / 1000, rel=0.3)


@pytest.mark.parametrize("n_repeats", [2, 3, 5])
def test_the_values_of_donors_say_nothing_about_the_rows_own(n_repeats):
    """Their correlation over 40 features of 20,000 rows: 0, with an error of 1 / sqrt(n) in each."""
    rng = np.random.default_rng(n_repeats)
    values = rng.standard_normal((40, 20_000))
    donors = Donors.systematic(orders_of(values), n_repeats, rng)
    for repeat in range(n_repeats):
        moved = np.stack([own[donors.rows_for(j)[repeat]] for j, own in enumerate(values)])
        correlations = [np.corrcoef(pair)[0, 1] for pair in zip(values, moved, strict=True)]
        assert np.std(correlations) == pytest.approx(1 / np.sqrt(20_000), rel=0.5)
        assert abs(np.mean(correlations)) < 4 / np.sqrt(40 * 20_000)


@pytest.mark.parametrize("n_repeats", [2, 3])
def test_the_mean_over_seeds_is_the_mean_over_all_pairs_of_different_rows(n_repeats):
    """40 skewed values: mean of (x_i - x_j)² and of x_i² x_j over 4,000 seeds, within 4 of its errors."""
    rng = np.random.default_rng(n_repeats)
    values = rng.exponential(size=40)
    orders, pairs = orders_of(values[None]), ~np.eye(40, dtype=bool)
    for score in (lambda own, other: (own - other) ** 2, lambda own, other: own**2 * other):
        means = []
        for _ in range(4000):
            rows = Donors.systematic(orders, n_repeats, rng).rows_for(0)
            means.append(score(values, values[rows]).mean())
        truth = score(values[:, None], values[None])[pairs].mean()
        assert abs(np.mean(means) - truth) < 4 * np.std(means) / np.sqrt(4000)


def test_systematic_donors_need_ten_rows_a_repeat():
    orders = orders_of(np.arange(29.0)[None])
    with pytest.raises(ValueError, match="3 systematic donors need 30 rows, got 29"):
        Donors.systematic(orders, 3, np.random.default_rng(0))
