"""The time budget: laws of the ledger."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_importance.callback.budget import Budget

seconds = st.floats(0.001, 100)


@given(st.lists(seconds, min_size=2, max_size=30), st.floats(0.01, 1))
def test_epochs_earn_their_share_and_the_first_no_more_than_the_second(epochs, share):
    """Its first epoch holds Keras' own compilation."""
    budget = Budget(share, None, 0.0)
    for epoch in epochs:
        budget.earn(epoch)
    expected = 0.85 * share * (min(epochs[0], epochs[1]) + sum(epochs[1:]))  # 15% are kept back
    assert budget.available == pytest.approx(expected)


@given(st.lists(st.tuples(seconds, seconds), min_size=1, max_size=30), st.floats(0, 2))
def test_whoever_spends_only_what_is_for_scoring_stays_within_the_share(steps, picture_seconds):
    """Evaluations that keep to the allowance never spend more than was earned, pictures left out."""
    budget, spent, earned = Budget(0.1, len(steps), picture_seconds), 0.0, []
    for epoch, wanted in steps:
        budget.earn(epoch)
        earned.append(epoch)
        cost = min(wanted, max(budget.for_scoring, 0.0))
        budget.spend(cost)
        spent += cost
    first = earned[0] if len(earned) == 1 else min(earned[:2])
    # What the first epoch earned before the second was known is paid back later, not taken back.
    assert spent <= 0.1 * max(first + sum(earned[1:]), earned[0]) + 1e-9


def test_what_is_overspent_is_saved_by_the_next():
    """Each second earns 0.09 s, of which a quarter is saved for the end: 0.5 s take eight epochs."""
    budget = Budget(0.1, 100, 0.0)
    budget.earn(1.0)
    budget.spend(0.5)
    for _ in range(6):
        budget.earn(1.0)
        assert not budget.allows_evaluation
    budget.earn(1.0)
    assert budget.allows_evaluation


def test_no_evaluation_starts_with_less_than_the_cheapest_took():
    """The first one apart, which also tries out what scoring takes."""
    budget = Budget(0.1, 100, 0.0)
    for cost in (1.0, 0.4, 0.6):
        budget.spend(cost)
    seen = set()
    for _ in range(60):
        budget.earn(1.0)
        assert budget.allows_evaluation == (budget.for_scoring >= 0.4)
        seen.add(budget.allows_evaluation)
    assert seen == {True, False}


def test_without_a_share_there_is_no_limit():
    budget = Budget(None, 10, 1.0)
    budget.spend(1e9)
    assert budget.for_scoring == math.inf
    assert budget.allows_pictures_after(1e9)


def test_the_last_pictures_are_saved_for_from_the_start():
    """Ten epochs of 1 s earn 0.85 s; pictures of 0.5 s at the end leave 0.35 s for scoring."""
    budget, scored = Budget(0.1, 10, 0.5), 0.0
    for epoch in range(10):
        budget.earn(1.0)
        allowed = max(budget.for_last if epoch == 9 else budget.for_scoring, 0.0)
        budget.spend(allowed)
        scored += allowed
    assert scored == pytest.approx(0.35)
    assert not budget.allows_pictures_after(0.0)


def test_pictures_are_drawn_on_the_way_when_they_can_be_drawn_again():
    budget = Budget(0.1, 1000, 0.5)
    drawn = []
    for epoch in range(100):
        budget.earn(1.0)
        if budget.allows_pictures_after(0.0):
            budget.spend(0.5)
            budget.note_pictures(0.5)
            drawn.append(epoch)
    assert drawn[0] == 11  # 12 epochs earn 1.02 s, enough for two times 0.5 s
    assert len(drawn) == 16
