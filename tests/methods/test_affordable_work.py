"""Work that a time budget affords: what is given up first, whose turn it is, and results that say so."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_importance import (
    ImportanceResult,
    PermutationImportance,
)
from keras_importance.engine.effort import Effort
from keras_importance.methods.affordable_work import (
    LEAST_ROWS,
    MIN_FEATURES,
    Work,
    affordable,
    most_urgent,
)
from keras_importance.methods.preparation import prepared_evaluator

counts = st.integers(1, 5000)


# --- what is given up ---------------------------------------------------------------------------


@given(st.floats(-1, 1e9), counts, st.integers(1, 20), counts)
def test_work_is_no_more_than_all_and_no_less_than_some(n_scores, n_rows, n_repeats, n_features):
    full = Work(n_rows, n_repeats, n_features)
    work = affordable(n_scores, full)
    assert min(n_rows, LEAST_ROWS) <= work.n_rows <= n_rows
    assert min(n_repeats, 2) <= work.n_repeats <= n_repeats
    assert 1 <= work.n_features <= n_features


@given(st.floats(0, 1e9), counts, st.integers(1, 20), st.integers(33, 5000))
def test_work_costs_no_more_than_was_paid_for_above_the_least(n_scores, n_rows, n_repeats, n_features):
    full = Work(n_rows, n_repeats, n_features)
    work = affordable(n_scores, full)
    least = min(n_rows, LEAST_ROWS) * min(n_repeats, 2) * MIN_FEATURES
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
    assert affordable(500 * 2 * 50, full) == Work(500, 2, 50)
    assert affordable(300 * 2 * 40, full) == Work(300, 2, 40)
    assert affordable(0, full) == Work(100, 2, 40)


def test_where_a_part_of_the_rows_cannot_be_scored_features_go_at_once():
    full = Work(5000, 5, 100)
    assert affordable(5000 * 2 * 50, full, takes_part=False) == Work(5000, 2, 50)
    assert affordable(0, full, takes_part=False) == Work(5000, 2, 40)


def test_the_most_important_features_are_scored_in_each_evaluation():
    """Settled and scored a moment ago, while others wait: their numbers are what people read."""
    mean = np.arange(100.0)
    previous = result(mean, np.full(100, 1e-3), np.where(mean >= 80, 5, 0))
    assert set(range(80, 100)) <= set(most_urgent(mean, previous, 40))


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
    """Whatever the screen says: a quarter of the places, at least one, go to who has waited longest."""
    rng = np.random.default_rng(seed)
    waited = np.full(n_features, np.nan)
    n_places = max(n_places, 4)
    n_evaluations = 2 * math.ceil(n_features / max(1, n_places // 4)) + 2
    for epoch in range(n_evaluations):
        previous = result(rng.standard_normal(n_features), np.ones(n_features), waited)
        chosen = most_urgent(rng.standard_normal(n_features), previous, n_places)
        assert len(set(chosen)) == len(chosen) == min(n_features, n_places)
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


def evaluator_of(model, data):
    method = PermutationImportance(5)
    evaluator = prepared_evaluator(
        model, data, [method], features=None, metric="loss", max_samples=None, seed=0
    )
    return method, evaluator


def test_without_a_limit_all_is_exact(wide):
    method, evaluator = evaluator_of(*wide)
    found = method(evaluator, 3)
    assert set(found.obtained) == {"exact"}
    assert np.all(found.exact_epoch == 3)
    assert np.all(found.n_rows == 600)


def test_without_time_some_are_exact_and_the_others_say_that_they_are_screened(wide):
    method, evaluator = evaluator_of(*wide)
    found = method(evaluator, 3, effort=Effort(seconds=1e-9))
    is_exact = np.array(found.obtained) == "exact"
    assert is_exact.sum() == MIN_FEATURES
    assert set(found.obtained) == {"exact", "screened"}
    assert np.all(np.isfinite(found.importances_mean))
    assert np.all(np.isfinite(found.std_error) == is_exact)
    assert np.all(found.exact_epoch[is_exact] == 3)
    assert np.all(np.isnan(found.exact_epoch[~is_exact]))
    assert np.all(found.n_rows == found.n_samples)
    assert found.n_samples == LEAST_ROWS
    assert is_exact[[0, 1, 2, 59]].all()  # the screen has found those that matter


def test_the_epoch_of_the_last_exact_score_is_remembered(wide):
    method, evaluator = evaluator_of(*wide)
    first = method(evaluator, 3, effort=Effort(seconds=1e-9))
    second = method(evaluator, 4, effort=Effort(seconds=1e-9, previous=first))
    was_exact, is_exact = (np.array(one.obtained) == "exact" for one in (first, second))
    assert np.all(second.exact_epoch[is_exact] == 4)
    assert np.all(second.exact_epoch[was_exact & ~is_exact] == 3)
    assert (is_exact & ~was_exact).any()  # others had their turn


def test_screened_features_are_on_the_scale_of_exact_ones(wide, monkeypatch):
    """Those never scored exactly come close to what scoring them exactly gives."""
    method, evaluator = evaluator_of(*wide)
    exact = method(evaluator)
    monkeypatch.setattr(type(method), "affordable_work", lambda *_: Work(500, 2, 50))
    found = method(evaluator, effort=Effort(seconds=1.0))
    assert found.obtained.count("screened") == 10
    error = np.abs(found.importances_mean - exact.importances_mean)
    assert np.all(error < 0.1 * exact.importances_mean.max())


def test_a_feature_without_a_gradient_is_carried_over_and_says_so(rng):
    """Whole numbers have no screen: beyond the budget their last exact score stays, with its epoch."""
    x = {f"c{i:02}": rng.integers(4, size=(600, 1)).astype("int32") for i in range(48)}
    inputs = {name: keras.Input((1,), name=name, dtype="int32") for name in x}
    parts = [keras.layers.Flatten()(keras.layers.Embedding(4, 2)(one)) for one in inputs.values()]
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Concatenate()(parts)))
    model.compile(loss="mse")
    method, evaluator = evaluator_of(model, (x, x["c00"][:, 0]))
    first = method(evaluator, 0, effort=Effort(seconds=1e-9))
    unknown = [
        name for name, how in zip(first.feature_names, first.obtained, strict=True) if how != "exact"
    ]
    assert len(unknown) == 8
    assert all("beyond the time budget" in first.notes[name] for name in unknown)
    second = method(evaluator, 1, effort=Effort(seconds=1e-9, previous=first))
    carried = np.array(second.obtained) == "carried"
    was_exact = np.array(first.obtained) == "exact"
    both = carried & was_exact
    assert both.any()
    np.testing.assert_allclose(second.importances_mean[both], first.importances_mean[both])
    assert np.all(second.exact_epoch[both] == 0)
    assert np.all(np.isnan(second.std_error[carried]))


def test_very_many_outputs_are_not_screened(rng):
    """Each output costs a backward pass: beyond 64 features wait for their turn instead."""
    x = rng.standard_normal((600, 48)).astype("float32")
    model = keras.Sequential([keras.Input((48,)), keras.layers.Dense(65)])
    model.compile(loss="mse")
    method, evaluator = evaluator_of(model, (x, np.zeros((600, 65))))
    found = method(evaluator, 0, effort=Effort(seconds=1e-9))
    assert np.isfinite(found.importances_mean).sum() == MIN_FEATURES
    assert len(found.notes) == 8


def test_the_table_and_the_frame_say_how(wide):
    method, evaluator = evaluator_of(*wide)
    found = method(evaluator, 3, effort=Effort(seconds=1e-9))
    frame = found.to_dataframe()
    assert {"exact", "screened"} == set(frame.obtained)
    assert frame[frame.obtained == "exact"].exact_epoch.eq(3).all()
    from keras_importance.reporting.writers.report_table import table

    assert "(screened)" in table([found])
