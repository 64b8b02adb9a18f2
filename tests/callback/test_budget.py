"""The plan of evaluations: laws of what each may take, how it is mended, and when pictures are drawn."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_importance.callback.budget import SHORTEST_EPOCH, Budget, Measured, PicturePlan
from keras_importance.engine.meter import Meter, seconds_of_training

seconds = st.floats(0.001, 1000)
fractions = st.floats(0.01, 1)


# --- what an evaluation may take ------------------------------------------------------------------


@given(fractions, seconds, st.integers(1, 10))
def test_an_evaluation_may_take_its_fraction_of_the_epochs_since_the_one_before(fraction, epoch, every):
    """Scores take two thirds of it: statistics, verdicts and files come on top."""
    budget = Budget(fraction, epoch, every)
    assert budget.paid == pytest.approx(fraction * every * max(epoch, 0.5))
    assert budget.seconds == pytest.approx(2 / 3 * budget.paid)


def test_an_epoch_of_milliseconds_counts_as_half_a_second():
    assert Budget(0.1, 0.001).paid == pytest.approx(0.05)


def test_without_a_fraction_there_is_no_limit():
    budget = Budget(None, 1.0)
    assert budget.seconds == math.inf
    assert budget.is_mended  # there is no plan that could be off


@given(st.integers(1, 1000), st.integers(1, 1000), st.floats(1, 1e9), st.integers(0, 100))
def test_an_epoch_takes_its_steps(n_steps, batch_size, products, n_turns):
    of_step = seconds_of_training(1, batch_size, products, n_turns)
    assert seconds_of_training(n_steps, batch_size, products, n_turns) == pytest.approx(
        n_steps * of_step
    )


# --- how a plan is mended -------------------------------------------------------------------------


def measured(epoch=1.0, evaluation=0.1, planned=0.1 * 2 / 3, is_cut=True):
    return Measured(epoch, evaluation, planned, is_cut)


@given(st.floats(0.4, 2.4), st.floats(0.4, 2.4))
def test_a_plan_within_a_factor_of_three_stays(epoch, evaluation):
    """So the processor's noise changes nothing."""
    budget, meter = Budget(0.1, 1.0), Meter()
    budget.mend(meter, measured(epoch, 0.1 * evaluation))
    assert (budget.epoch_seconds, meter.factor) == (1.0, 1.0)
    assert budget.is_mended


@given(st.floats(3.5, 1e4))
def test_work_that_takes_longer_than_planned_counts_for_more(off):
    budget, meter = Budget(0.1, 1.0), Meter()
    budget.mend(meter, measured(evaluation=0.1 * off))
    assert off / 1.5 <= meter.factor <= 1.5 * off
    assert math.log2(meter.factor) == round(math.log2(meter.factor))


@given(st.floats(3.5, 1e4))
def test_what_was_cut_without_need_is_scored_after_all(off):
    budget, meter = Budget(0.1, 1.0), Meter()
    budget.mend(meter, measured(evaluation=0.1 / off, is_cut=True))
    assert meter.factor < 1


@given(st.floats(1e-3, 0.29))
def test_a_complete_evaluation_that_is_paid_for_stays_as_it_is(evaluation):
    """0.1 s are paid; up to three times of it is within the plan, however little was planned."""
    budget, meter = Budget(0.1, 1.0), Meter()
    budget.mend(meter, measured(evaluation=evaluation, planned=1e-6, is_cut=False))
    assert meter.factor == 1


@given(st.floats(4, 1e4))
def test_epochs_that_take_longer_than_planned_pay_for_more(epoch):
    budget, meter = Budget(0.1, 1.0), Meter()
    budget.mend(meter, measured(epoch=epoch, is_cut=False, evaluation=0.01))
    assert epoch / 1.5 <= budget.epoch_seconds <= 1.5 * epoch


@given(st.floats(0, SHORTEST_EPOCH), st.floats(0, SHORTEST_EPOCH))
def test_epochs_below_the_shortest_are_all_alike(planned, epoch):
    budget = Budget(0.1, planned)
    budget.mend(Meter(), measured(epoch=epoch))
    assert budget.epoch_seconds == planned


@given(st.lists(st.floats(0, 10), max_size=20), st.floats(0.01, 100))
def test_the_meter_adds_up_what_it_counts(counts, factor):
    meter = Meter()
    meter.factor = factor
    for count in counts:
        meter.count(count)
    assert meter.seconds == pytest.approx(factor * sum(counts))


# --- pictures -------------------------------------------------------------------------------------


def drawn(budget, n_evaluations, picture_seconds, n_planned=...):
    plan = PicturePlan(budget, n_evaluations if n_planned is ... else n_planned, picture_seconds)
    return [at for at in range(n_evaluations) if plan.draws(is_last=at == n_evaluations - 1)]


@given(fractions, seconds, st.integers(1, 300), st.floats(0, 10), st.booleans())
def test_the_last_is_drawn_and_at_most_nine_before(fraction, epoch, n_evaluations, picture, is_known):
    """TensorBoard keeps ten pictures of a tag."""
    planned = n_evaluations if is_known else None
    epochs = drawn(Budget(fraction, epoch), n_evaluations, picture, planned)
    assert epochs[-1] == n_evaluations - 1
    assert len(epochs) <= 10


@given(fractions, seconds, st.integers(1, 300), st.floats(0, 10))
def test_pictures_before_the_last_take_a_quarter_of_what_is_paid(
    fraction, epoch, n_evaluations, picture
):
    budget = Budget(fraction, epoch)
    epochs = drawn(budget, n_evaluations, picture)
    assert picture * (len(epochs) - 1) <= 0.25 * budget.paid * n_evaluations + 1e-9


def test_without_a_limit_they_are_drawn_at_equal_steps():
    assert drawn(Budget(None), 100, 0.3) == [9, 19, 29, 39, 49, 59, 69, 79, 89, 99]


def test_in_a_training_of_unknown_length_the_steps_double():
    assert drawn(Budget(None), 40, 0.3, None) == [0, 2, 6, 14, 30, 39]
