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
