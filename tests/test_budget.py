"""The time budget: laws of the ledger and of what is given up first; results that say how they came about."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_importance import (
    FeatureImportance,
    ImportanceMethod,
    ImportanceResult,
    PermutationImportance,
    Writer,
)
from keras_importance.callback.budget import Budget
from keras_importance.engine.effort import Effort
from keras_importance.methods import Scores
from keras_importance.methods.affordable_work import MIN_ROWS, Work, affordable, most_urgent
from keras_importance.methods.preparation import prepared_evaluator

counts = st.integers(1, 5000)
seconds = st.floats(0.001, 100)


# --- the ledger ---------------------------------------------------------------------------------


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


# --- what is given up ---------------------------------------------------------------------------


@given(st.floats(-1, 1e9), counts, st.integers(1, 20), counts)
def test_work_is_no_more_than_all_and_no_less_than_some(n_scores, n_rows, n_repeats, n_features):
    full = Work(n_rows, n_repeats, n_features)
    work = affordable(n_scores, full)
    assert min(n_rows, MIN_ROWS) <= work.n_rows <= n_rows
    assert min(n_repeats, 2) <= work.n_repeats <= n_repeats
    assert 1 <= work.n_features <= n_features


@given(st.floats(0, 1e9), counts, st.integers(1, 20), st.integers(33, 5000))
def test_work_costs_no_more_than_was_paid_for_above_the_least(n_scores, n_rows, n_repeats, n_features):
    full = Work(n_rows, n_repeats, n_features)
    work = affordable(n_scores, full)
    least = min(n_rows, MIN_ROWS) * min(n_repeats, 2) * 32
    assert work.n_rows * work.n_repeats * work.n_features <= max(n_scores, least)


@given(st.floats(0, 1e8), st.floats(1, 10), counts, st.integers(1, 20), counts)
def test_more_time_never_means_less_of_anything(n_scores, factor, n_rows, n_repeats, n_features):
    full = Work(n_rows, n_repeats, n_features)
    less, more = affordable(n_scores, full), affordable(factor * n_scores, full)
    assert more.n_features >= less.n_features
    assert more.n_features > less.n_features or more.n_rows >= less.n_rows
    assert (
        more.n_rows > less.n_rows
        or more.n_repeats >= less.n_repeats
        or (more.n_features > less.n_features)
    )


def test_repeats_go_before_rows_and_rows_before_features():
    full = Work(5000, 5, 100)
    assert affordable(5000 * 100 * 3, full) == Work(5000, 3, 100)
    assert affordable(2000 * 100 * 2, full) == Work(2000, 2, 100)
    assert affordable(500 * 2 * 40, full) == Work(500, 2, 40)
    assert affordable(0, full) == Work(500, 2, 32)


# --- whose turn it is ---------------------------------------------------------------------------


def result(mean, error, exact_epoch):
    n_features = len(mean)
    return ImportanceResult(
        method="permutation", epoch=5, feature_names=tuple(f"x{i}" for i in range(n_features)),
        importances=np.array(mean, float)[:, None], std_error=np.array(error, float), baseline_score=1.0,
        metric="loss", n_samples=100, exact_epoch=np.array(exact_epoch, float),
    )  # fmt: skip


def test_at_first_the_largest_by_the_screen_are_scored():
    screened = np.array([0.1, 3.0, -2.0, 0.0, 1.0])
    np.testing.assert_array_equal(most_urgent(screened, None, 3), [1, 2, 4])


def test_a_feature_without_a_screen_goes_first():
    screened = np.array([5.0, np.nan, 4.0])
    assert 1 in most_urgent(screened, None, 1)


def test_moved_and_undecided_features_go_before_settled_ones():
    """x1 has moved by 1, x2 is undecided, x0 and x3 are as they were."""
    previous = result([2.0, 1.0, 0.05, 3.0], [0.01, 0.01, 0.1, 0.01], [5, 5, 5, 5])
    screened = np.array([2.0, 2.0, 0.05, 3.0])
    assert 1 in most_urgent(screened, previous, 1)
    assert {1, 2} <= set(most_urgent(screened, previous, 3))


@given(st.integers(1, 40), st.integers(1, 10), st.integers(0, 2**31))
def test_every_feature_gets_its_turn(n_features, n_places, seed):
    """Whatever the screen says: half of the places, at least one, go to who has waited longest."""
    rng = np.random.default_rng(seed)
    waited = np.full(n_features, np.nan)
    n_evaluations = 2 * math.ceil(n_features / max(1, n_places // 2)) + 2
    for epoch in range(n_evaluations):
        previous = result(rng.standard_normal(n_features), np.ones(n_features), waited)
        chosen = most_urgent(rng.standard_normal(n_features), previous, max(n_places, 2))
        assert len(set(chosen)) == len(chosen) == min(n_features, max(n_places, 2))
        waited[chosen] = epoch
    assert np.all(np.isfinite(waited))


# --- results that say how they came about -------------------------------------------------------


@pytest.fixture
def wide(rng):
    """600 rows of 60 features, of which four matter."""
    x = rng.standard_normal((600, 60)).astype("float32")
    y = 3 * x[:, 0] + 2 * x[:, 1] - x[:, 2] + x[:, 59] + 0.1 * rng.standard_normal(600)
    model = keras.Sequential(
        [keras.Input((60,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.02), "mse")
    model.fit(x, y, epochs=10, verbose=0)
    return model, (x, y)


def evaluator_of(model, data, effort=None):
    method = PermutationImportance(5)
    evaluator = prepared_evaluator(
        model, data, [method], features=None, metric="loss", max_samples=None, seed=0
    )
    evaluator.effort = effort or Effort()
    return method, evaluator


def test_without_a_limit_all_is_exact(wide):
    method, evaluator = evaluator_of(*wide)
    found = method(evaluator, 3)
    assert set(found.obtained) == {"exact"}
    assert np.all(found.exact_epoch == 3)
    assert np.all(found.n_rows == 600)


def test_without_time_some_are_exact_and_the_others_say_that_they_are_screened(wide):
    method, evaluator = evaluator_of(*wide, Effort(seconds=1e-9))
    found = method(evaluator, 3)
    is_exact = np.array(found.obtained) == "exact"
    assert is_exact.sum() == 32
    assert set(found.obtained) == {"exact", "screened"}
    assert np.all(np.isfinite(found.importances_mean))
    assert np.all(np.isfinite(found.std_error) == is_exact)
    assert np.all(found.exact_epoch[is_exact] == 3)
    assert np.all(np.isnan(found.exact_epoch[~is_exact]))
    assert np.all(found.n_rows == found.n_samples)
    assert found.n_samples >= MIN_ROWS
    assert is_exact[[0, 1, 2, 59]].all()  # the screen has found those that matter


def test_the_epoch_of_the_last_exact_score_is_remembered(wide):
    method, evaluator = evaluator_of(*wide, Effort(seconds=1e-9))
    first = method(evaluator, 3)
    evaluator.effort = Effort(seconds=1e-9, previous=first)
    second = method(evaluator, 4)
    was_exact, is_exact = (np.array(one.obtained) == "exact" for one in (first, second))
    assert np.all(second.exact_epoch[is_exact] == 4)
    assert np.all(second.exact_epoch[was_exact & ~is_exact] == 3)
    assert (is_exact & ~was_exact).any()  # others had their turn


def test_screened_features_are_on_the_scale_of_exact_ones(wide):
    """Those never scored exactly come close to what scoring them exactly gives."""
    method, evaluator = evaluator_of(*wide)
    exact = method(evaluator)
    evaluator.effort = Effort(seconds=1e-9)
    found = method(evaluator)
    error = np.abs(found.importances_mean - exact.importances_mean)
    assert np.all(error < 0.1 * exact.importances_mean.max())


def test_a_feature_without_a_gradient_is_carried_over_and_says_so(rng):
    """Whole numbers have no screen: beyond the budget their last exact score stays, with its epoch."""
    x = {f"c{i:02}": rng.integers(4, size=(600, 1)).astype("int32") for i in range(40)}
    inputs = {name: keras.Input((1,), name=name, dtype="int32") for name in x}
    parts = [keras.layers.Flatten()(keras.layers.Embedding(4, 2)(one)) for one in inputs.values()]
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Concatenate()(parts)))
    model.compile(loss="mse")
    method, evaluator = evaluator_of(model, (x, x["c00"][:, 0]), Effort(seconds=1e-9))
    first = method(evaluator, 0)
    unknown = [
        name for name, how in zip(first.feature_names, first.obtained, strict=True) if how != "exact"
    ]
    assert len(unknown) == 8
    assert all("beyond the time budget" in first.notes[name] for name in unknown)
    evaluator.effort = Effort(seconds=1e-9, previous=first)
    second = method(evaluator, 1)
    carried = np.array(second.obtained) == "carried"
    was_exact = np.array(first.obtained) == "exact"
    both = carried & was_exact
    assert both.any()
    np.testing.assert_allclose(second.importances_mean[both], first.importances_mean[both])
    assert np.all(second.exact_epoch[both] == 0)
    assert np.all(np.isnan(second.std_error[carried]))


def test_very_many_outputs_are_not_screened(rng):
    """Each output costs a backward pass: beyond 64 features wait for their turn instead."""
    x = rng.standard_normal((600, 40)).astype("float32")
    model = keras.Sequential([keras.Input((40,)), keras.layers.Dense(65)])
    model.compile(loss="mse")
    method, evaluator = evaluator_of(model, (x, np.zeros((600, 65))), Effort(seconds=1e-9))
    found = method(evaluator, 0)
    assert np.isfinite(found.importances_mean).sum() == 32
    assert len(found.notes) == 8


def test_the_table_and_the_frame_say_how(wide):
    method, evaluator = evaluator_of(*wide, Effort(seconds=1e-9))
    frame = method(evaluator, 3).to_dataframe()
    assert {"exact", "screened"} == set(frame.obtained)
    assert frame[frame.obtained == "exact"].exact_epoch.eq(3).all()
    from keras_importance.reporting.writers.report_table import table

    assert "(screened)" in table([method(evaluator, 3)])


# --- in a fit -----------------------------------------------------------------------------------


class Recorder(Writer):
    def __init__(self):
        self.reports = []

    def write(self, report):
        self.reports.append(report)


def fit(model, data, importance, epochs=6, **arguments):
    x, y = data
    return model.fit(
        x, y, validation_split=0.5, epochs=epochs, verbose=0, callbacks=[importance], **arguments
    )


def test_with_hardly_any_budget_the_last_epoch_counts_and_is_drawn(small_model, small_data):
    recorder = Recorder()
    importance = FeatureImportance(time_budget=1e-7, writers=[recorder])
    fit(small_model(), small_data, importance)
    assert importance.history.epochs in ((5,), (0, 5))
    assert recorder.reports[-1].epoch == 5
    assert recorder.reports[-1].with_pictures


def test_without_a_limit_every_epoch_is_evaluated_and_drawn(small_model, small_data):
    recorder = Recorder()
    importance = FeatureImportance(time_budget=None, writers=[recorder])
    fit(small_model(), small_data, importance)
    assert importance.history.epochs == (0, 1, 2, 3, 4, 5)
    assert all(report.with_pictures for report in recorder.reports)


class Clocked(ImportanceMethod):
    """Takes a second by the evaluator's clock for each evaluation, and no real time."""

    name = "clocked"

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def compute(self, evaluator):
        self.clock[0] += 1.0
        n_features = len(evaluator.features)
        return Scores(importances=np.ones((n_features, 1)), metric="none")


def test_evaluations_wait_until_they_are_paid_for(small_model, small_data, monkeypatch):
    """Epochs of 2 s earn 0.18 s, of which 0.135 s are for evaluations before the last; each costs 1 s."""
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    monkeypatch.setattr("keras_importance.engine.evaluator.Evaluator.clock", lambda self: clock[0])

    class Epoch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            clock[0] += 2.0

    importance = FeatureImportance(methods=[Clocked(clock)], time_budget=0.1)
    x, y = small_data
    small_model().fit(x, y, validation_split=0.5, epochs=21, verbose=0, callbacks=[importance, Epoch()])
    # Paid for after 8 epochs, and the next, which is no bargain, with another second left after 23.
    assert importance.history.epochs == (0, 7, 20)


def test_training_within_a_budget_is_bit_identical(small_model, small_data, tmp_path):
    """The budget's decisions depend on the clock; what training does must not."""

    def train(callbacks):
        model = small_model()
        history = model.fit(
            *small_data, validation_split=0.3, epochs=4, verbose=0, callbacks=callbacks
        ).history
        return history, model.get_weights()

    without = train([])
    with_it = train([FeatureImportance(time_budget=0.01, log_dir=tmp_path)])
    assert without[0] == with_it[0]
    for old, new in zip(without[1], with_it[1], strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("value", [0, -0.1, True, "10%", math.inf, math.nan], ids=str)
def test_a_share_is_a_number_above_0(value):
    with pytest.raises(ValueError, match=r"FeatureImportance got time_budget=.*None for no limit"):
        FeatureImportance(time_budget=value)
