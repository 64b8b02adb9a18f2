"""Laws of drift, movers and stability, of what they leave unsaid, and of disagreements between methods."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from benchmarks.drift import AFFORDABLE, Design, stationary, switched_on
from hypothesis import given
from hypothesis import strategies as st

from keras_importance import ImportanceHistory, ImportanceResult
from keras_importance.results import Verdicts
from keras_importance.results.drift import Drift, Stability
from keras_importance.results.scores import Explained

N_DRAWS = 100
SIGNS = np.where(np.random.default_rng(0).random((50, N_DRAWS)) < 0.5, -1.0, 1.0)


def result(epoch, importances, draws=0.1, method="permutation", **fields):
    """Errors of size `draws`, drawn independently for each feature, and the same in every epoch."""
    importances = np.asarray(importances, float)
    if np.ndim(draws) == 0 and draws is not None:
        draws = draws * SIGNS[: len(importances)]
    fields = {
        "feature_names": tuple(f"x{i}" for i in range(len(importances))),
        "std_error": np.full(len(importances), 0.1),
        "baseline_score": 1.0,
        "metric": "loss",
        "n_samples": 1000,
        **fields,
    }
    return ImportanceResult(
        method=method, epoch=epoch, importances=importances[:, None], draws=draws, **fields
    )


@st.composite
def histories(draw, n_evaluations=None):
    """Importances that stay or change, with errors of their own; all different, so no ties."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_features = draw(st.integers(1, 12))
    size = draw(st.sampled_from([0.0, 0.01, 0.1, 1.0]))
    base = rng.standard_normal(n_features) + draw(st.floats(-1, 3))
    results = [
        result(
            epoch,
            base + size * rng.standard_normal(n_features),
            0.2 * rng.standard_normal((n_features, 20)),
            std_error=np.full(n_features, 0.2),
        )
        for epoch in range(n_evaluations or draw(st.integers(1, 7)))
    ]
    return ImportanceHistory(tuple(results))


def close(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one[:3] == other[:3]
        assert one.value == pytest.approx(other.value, abs=1e-6, nan_ok=True)
        assert one.floor == pytest.approx(other.floor, abs=1e-6, nan_ok=True)
    return True


def changed(history, change):
    return ImportanceHistory(tuple(change(one) for one in history))


# --- drift --------------------------------------------------------------------------------------


@given(histories(n_evaluations=1), st.integers(2, 6))
def test_a_constant_history_has_no_drift_and_no_movers(history, n_evaluations):
    one = history.results[0]
    constant = ImportanceHistory(
        tuple(dataclasses.replace(one, epoch=epoch) for epoch in range(n_evaluations))
    )
    assert not any(drift.is_drift for drift in constant.drift())
    assert constant.movers(alpha=0.9, min_share=0) == ()
    is_defined = np.any(one.importances_mean > 0)
    assert constant.stable_since() == (0 if n_evaluations > 3 and is_defined else None)


@given(histories(), st.randoms())
def test_the_order_of_the_features_is_of_no_account(history, random):
    order = list(range(len(history.results[0].feature_names)))
    random.shuffle(order)

    def shuffled(one):
        return dataclasses.replace(
            one,
            feature_names=[one.feature_names[i] for i in order],
            importances=one.importances[order],
            std_error=one.std_error[order],
            draws=one.draws[order],
        )

    other = changed(history, shuffled)
    assert close(history.drift(), other.drift())
    assert set(history.movers()) == set(other.movers())
    assert history.stable_since() == other.stable_since()


@given(histories(), st.floats(0.1, 100))
def test_the_unit_of_the_importances_is_of_no_account(history, scale):
    def scaled(one):
        return dataclasses.replace(
            one,
            importances=scale * one.importances,
            std_error=scale * one.std_error,
            draws=scale * one.draws,
        )

    other = changed(history, scaled)
    assert close(history.drift(), other.drift())
    assert [one.feature for one in history.movers()] == [one.feature for one in other.movers()]


@given(histories(), st.floats(-100, 100))
def test_features_that_were_not_scored_exactly_take_no_part(history, absurd):
    def with_screened(one):
        names = (*one.feature_names, "screened")
        return dataclasses.replace(
            one,
            feature_names=names,
            importances=np.append(one.importances, [[absurd * (1 + one.epoch)]], axis=0),
            std_error=np.append(one.std_error, math.nan),
            draws=np.append(one.draws, np.full((1, 20), math.nan), axis=0),
            obtained=("exact",) * len(one.feature_names) + ("screened",),
            exact_epoch=np.empty(0),
            n_rows=np.empty(0),
            degrees=np.empty(0),
        )

    other = changed(history, with_screened)
    assert close(history.drift(), other.drift())
    assert history.movers() == other.movers()


@given(histories())
def test_measures_and_floors_stay_in_their_ranges(history):
    low = {"spearman": -1, "jensen_shannon": 0, "top_k_overlap": 0}
    for drift in history.drift():
        for number in (drift.value, drift.floor):
            assert math.isnan(number) or low[drift.measure] - 1e-9 <= number <= 1 + 1e-9


def test_without_draws_there_are_no_floors_and_nothing_is_said():
    history = ImportanceHistory(tuple(result(epoch, [1 + epoch, 2, 3], None) for epoch in range(6)))
    assert all(math.isnan(one.floor) and not one.is_drift for one in history.drift())
    assert all(math.isfinite(one.value) for one in history.drift())
    assert history.movers() == ()
    assert history.stable_since() is None
    assert history.stable_since("permutation") is None


def test_as_many_draws_are_needed_on_both_sides():
    history = ImportanceHistory((result(0, [1, 2, 3]), result(1, [3, 2, 1], SIGNS[:3, :50])))
    assert all(math.isnan(one.floor) for one in history.drift())


@pytest.mark.parametrize("measure", ["spearman", "jensen_shannon", "top_k_overlap"])
def test_a_ranking_turned_round_is_drift(measure):
    importances = np.linspace(5, 1, 9)
    history = ImportanceHistory((result(0, importances), result(1, importances[::-1])))
    assert {one.measure: one.is_drift for one in history.drift()}[measure]


@pytest.mark.parametrize(
    ("measure", "value", "is_drift"),
    [
        ("spearman", 0.8, True),
        ("spearman", 0.95, False),
        ("top_k_overlap", 0.9, False),
        ("jensen_shannon", 0.91, True),
        ("jensen_shannon", 0.9, False),
    ],
)
def test_agreement_drifts_below_its_floor_and_divergence_above(measure, value, is_drift):
    assert Drift(1, "permutation", measure, value, 0.9).is_drift is is_drift
    assert not Drift(1, "permutation", measure, value, math.nan).is_drift


def test_a_change_below_the_error_of_the_importances_is_no_drift_even_if_it_is_sure():
    """The same rows: the error of the change is a hundredth of that of the importances."""
    before, now = [3.0, 2.0, 1.0], [3.02, 1.99, 1.01]
    history = ImportanceHistory((result(0, before), result(1, now, 0.101)))
    assert not any(one.is_drift for one in history.drift())
    assert {one.feature for one in history.movers()} == {"x0", "x1", "x2"}


# --- movers -------------------------------------------------------------------------------------


def test_the_error_of_a_change_is_that_of_the_paired_draws():
    """Draws ±0.5 and ±0.3 with the same signs differ by ±0.2; those of opposite signs by ±0.8."""
    draws = SIGNS[:2] * [[0.3], [-0.3]]
    history = ImportanceHistory((result(0, [1.0, 1.0], SIGNS[:2] * 0.5), result(1, [3.0, -3.0], draws)))
    first, second = history.movers()
    assert first[:3] == (1, "permutation", "x0")
    assert first[3:6] == pytest.approx((2.0, 0.2, 10.0))
    assert second[3:6] == pytest.approx((-4.0, 0.8, -5.0))
    assert (first.direction, second.direction) == ("riser", "faller")


def test_the_more_features_the_larger_the_change_must_be():
    """A change of 3 errors: of one feature significant (1.98), of fifty not (3.39 at 5% / 50, with 100 draws)."""
    for n_features, n_named in ((1, 1), (50, 0)):
        now = np.ones(n_features)
        now[0] += 0.3
        draws = 0.2 * SIGNS[:n_features]
        history = ImportanceHistory((result(0, np.ones(n_features)), result(1, now, draws)))
        assert len(history.movers()) == n_named


def test_no_change_without_an_error_is_no_movement():
    history = ImportanceHistory((result(0, [1.0, 2.0], 0.0), result(1, [1.0, 2.0], 0.0)))
    assert history.movers(alpha=0.99) == ()
    with np.errstate(all="raise"):
        moved = ImportanceHistory((result(0, [1.0, 0.0], 0.0), result(1, [1.0, 2.0], 0.0))).movers()
    assert [(one.feature, math.isfinite(one.z)) for one in moved] == [("x1", True)]


def test_what_single_precision_rounds_off_is_no_movement():
    history = ImportanceHistory((result(0, [1.0], 0.0), result(1, [1.0 + 1e-7], 0.0)))
    assert history.movers() == ()


@pytest.mark.parametrize(("share", "n_named"), [(0.0, 1), (0.01, 1), (0.05, 0)])
def test_changes_below_the_share_of_what_is_explained_are_left_out(share, n_named):
    """0.2 of 10 explained is a share of 0.02."""
    explained = Explained(10.0, 0.1, "constant", np.zeros(2), np.zeros((2, 4)))
    history = ImportanceHistory(
        (result(0, [1.0, 1.0], explained=explained), result(1, [1.2, 1.0], 0.11, explained=explained))
    )
    assert len(history.movers(min_share=share)) == n_named


def test_methods_are_asked_for_by_name():
    results = [
        result(epoch, [1.0 + epoch, 1.0], method=method) for epoch in (0, 1) for method in ("a", "b")
    ]
    history = ImportanceHistory() + results
    assert [one.method for one in history.movers()] == ["a", "b"]
    assert [one.method for one in history.movers("b")] == ["b"]
    assert history.movers("c") == ()


# --- stable since -------------------------------------------------------------------------------


def _moving(*tops, draws=0.1):
    """The first of three importances at each evaluation, at every second epoch."""
    return ImportanceHistory(
        tuple(result(2 * number, [top, 2.0, 1.0], draws) for number, top in enumerate(tops))
    )


@pytest.mark.parametrize(
    ("tops", "since"),
    [
        ((1, 3, 6, 6, 6, 6), 4),
        ((1, 3, 6, 6, 6), None),
        ((6, 6, 6, 6, 6), 0),
        ((6, 6, 6, 6, 6, 1), None),
        ((6, 6, 6, 6, 1, 6, 6, 6, 6), 10),
        ((6,), None),
    ],
    ids=["settled", "two steps", "always", "moved now", "a spike", "one evaluation"],
)
def test_stable_is_three_steps_without_drift_up_to_now(tops, since):
    assert _moving(*tops).stable_since() == since


def test_small_steps_in_one_direction_are_not_stable():
    """Each step is far below the error of 0.5, ten of them are not."""
    creeping = _moving(*np.linspace(2, 8, 25), draws=0.5)
    assert not any(one.is_drift for one in creeping.drift())
    assert creeping.stable_since() != 0


def test_where_most_of_the_importance_was_not_scored_nothing_is_called_stable():
    results = [
        result(epoch, [9.0, 1.0, 0.5], obtained=("screened", "exact", "exact")) for epoch in range(6)
    ]
    assert ImportanceHistory(tuple(results)).stable_since() is None


def test_all_methods_with_floors_must_be_stable():
    steady = [result(epoch, [2.0, 1.0], method="a") for epoch in range(6)]
    late = [result(epoch, [9.0 if epoch < 2 else 1.0, 2.0], method="b") for epoch in range(6)]
    without = [result(epoch, [epoch, 1.0], None, method="c") for epoch in range(6)]
    history = ImportanceHistory() + [*steady, *late, *without]
    assert (history.stable_since("a"), history.stable_since("b")) == (0, 2)
    assert history.stable_since() == 2
    assert history.before(4).stable_since() is None


@given(histories(n_evaluations=7), st.integers(1, 7))
def test_going_on_from_what_is_known_is_the_same_as_starting_anew(history, n_known):
    anew = Stability.of(history.results)
    known = Stability.of(history.results[:n_known])
    continued = Stability.of(history.results, known)
    assert (continued.since, continued.n_steps) == (anew.since, anew.n_steps)
    assert Stability.of(history.results, Stability.of([result(0, [1.0])])).since == anew.since


# --- files --------------------------------------------------------------------------------------


@given(histories())
def test_a_loaded_history_drifts_as_the_saved_one(tmp_path_factory, history):
    path = tmp_path_factory.mktemp("history") / "history.npz"
    history.save(path)
    loaded = ImportanceHistory.load(path)
    assert close(loaded.drift(), history.drift())
    assert loaded.movers() == history.movers()
    assert loaded.stable_since() == history.stable_since()


def test_draws_of_the_wrong_shape_are_refused():
    for draws in (np.ones((2, 5)), np.ones(3)):
        with pytest.raises(ValueError, match="'permutation' returned draws of shape"):
            result(0, [1.0, 2.0, 3.0], draws)


# --- simulated trainings ------------------------------------------------------------------------


def test_noise_stays_within_the_floors():
    """A fixed model on 300 to 1,000 nested rows, 2 to 5 repeats: 95% of 180 steps, up to 2.5 errors."""
    least = 0.95 - 2.5 * math.sqrt(0.05 * 0.95 / 180)
    *within, quiet, _ = stationary(Design(AFFORDABLE, (2, 3, 5)), n_replicates=30, n_evaluations=7)
    assert min(*within, quiet) >= least


@pytest.mark.parametrize(
    ("n_useful", "n_null", "error"),
    [(10, 10, 0.1), (10, 10, 0.4), (10, 90, 0.1), (0, 0, 0.1)],
    ids=["half useless", "inexact", "most useless", "all alike"],
)
def test_noise_of_independent_rows_stays_within_the_floors(n_useful, n_null, error):
    """The hardest case: no row in common. 95% of 300 pairs, up to three errors."""
    rng, hits = np.random.default_rng(1), []
    truth = np.append(np.linspace(2, 0.2, n_useful), np.zeros(n_null)) if n_useful else np.ones(30)
    for _ in range(300):
        drawn = error * rng.standard_normal((2, len(truth), 200))
        importances = truth + error * rng.standard_normal((2, len(truth)))
        errors = np.full(len(truth), error)
        history = ImportanceHistory(
            tuple(result(i, importances[i], drawn[i], std_error=errors) for i in (0, 1))
        )
        hits.append([*(not one.is_drift for one in history.drift()), not history.movers()])
    assert np.mean(hits, axis=0).min() >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 300)


def test_a_feature_that_the_model_begins_to_use_is_named_within_two_evaluations():
    _, within_two, _, early = switched_on(Design(AFFORDABLE, (2, 3, 5), wobble=0.01), n_replicates=15)
    assert within_two == 1
    assert early < 0.1


# --- where two methods disagree -----------------------------------------------------------------


def _pair(gradients, importances, error=0.1, **fields):
    errors = np.full(len(importances), error)
    return ImportanceHistory(
        (
            result(3, gradients, None, method="gradient"),
            result(3, importances, std_error=errors, **fields),
        )
    )


GRADIENTS, IMPORTANCES = [3.0, 2.0, 1.0, 2.5, 0.1], [5.0, 3.0, 2.0, 0.0, 0.0]


def test_a_high_gradient_without_importance_is_found():
    """x3: 2.5 above the useful features' median of 2; x4 is as useless, and its gradient says so."""
    (found,) = _pair(GRADIENTS, IMPORTANCES).disagreements()
    assert (found.epoch, found.feature, found.gradient, found.usual_gradient) == (3, "x3", 2.5, 2.0)
    assert found.ci_low < found.importance == 0 < found.ci_high
    assert "saturation or overfit" in found.reason


@given(st.permutations(range(5)))
def test_disagreements_do_not_depend_on_the_order_of_features(order):
    names = [f"x{i}" for i in order]
    history = changed(
        _pair([GRADIENTS[i] for i in order], [IMPORTANCES[i] for i in order]),
        lambda one: dataclasses.replace(one, feature_names=names),
    )
    assert history.disagreements() == _pair(GRADIENTS, IMPORTANCES).disagreements()


@pytest.mark.parametrize(
    "history",
    [
        ImportanceHistory(),
        _pair(GRADIENTS, np.zeros(5)),
        _pair(GRADIENTS, IMPORTANCES, error=10.0),
        _pair([3.0, 2.0, 1.0, 1.5, 0.1], IMPORTANCES),
        _pair(GRADIENTS, [5.0, 3.0, 2.0, 1.0, 0.0]),
        ImportanceHistory(_pair(GRADIENTS, IMPORTANCES).results[1:]),
        ImportanceHistory() + [*_pair(GRADIENTS, IMPORTANCES), result(4, IMPORTANCES)],
    ],
    ids=[
        "nothing", "no useful feature", "too few rows", "a low gradient", "all above 0",
        "no gradients", "another epoch",
    ],
)  # fmt: skip
def test_nothing_is_found_without_grounds(history):
    assert history.disagreements() == ()


@pytest.mark.parametrize(
    ("state", "n_found"), [("useless", 1), ("harmful", 1), ("undecided", 1), ("redundant", 0), ("latent", 0)]
)  # fmt: skip
def test_features_whose_verdict_says_why_are_left_out(state, n_found):
    verdicts = Verdicts(
        epoch=3, method="permutation", feature_names=("x0", "x1", "x2", "x3", "x4"),
        states=("useful", "useful", "useful", state, "useless"), since=np.zeros(5, int),
        estimate=np.zeros(5), bound=np.zeros(5), threshold=0.1, error_rate=0.05,
        streak=np.zeros(5, int), p_value=np.full(5, math.nan),
    )  # fmt: skip
    assert len((_pair(GRADIENTS, IMPORTANCES) + verdicts).disagreements()) == n_found
