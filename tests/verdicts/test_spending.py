"""Spending: however often a training is continued, its evaluations spend no more than alpha."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_importance.verdicts.spending import Spending


def spent(plans):
    """What the evaluations of plans spend that follow one another; a plan is (planned, held)."""
    total, n_earlier = 0.0, 0
    for index, (planned, n_held) in enumerate(plans):
        spending = Spending(planned, index, n_earlier)
        total += sum(spending.fraction(n_earlier + k) for k in range(1, n_held + 1))
        n_earlier += n_held
    return total


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60))
def test_a_training_that_is_continued_spends_at_most_all(lengths):
    assert spent([(length, length) for length in lengths]) <= 1 + 1e-9


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60))
def test_plans_of_unknown_length_spend_at_most_all(lengths):
    assert spent([(None, length) for length in lengths]) <= 1 + 1e-9


def test_a_loop_of_a_thousand_fits_spends_at_most_all():
    """3/4 in the first, `1/4 · 6 / (pi j)^2` in the j-th that follows."""
    assert 0.999 < spent([(1, 1)] * 1000) <= 1


def test_a_single_fit_spends_three_quarters_evenly():
    plan = Spending(20)
    assert [plan.fraction(k) for k in range(1, 21)] == pytest.approx([3 / 80] * 20)
