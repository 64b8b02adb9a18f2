"""Verdicts as pure functions of the history: states, error rates, the set, patience."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_importance import ImportanceHistory, ImportanceResult, UselessFeatureDetector
from keras_importance.results import Explained, JointImportance
from keras_importance.statistics.donors import Donors
from keras_importance.statistics.influence import Influence, influence_standard_error
from keras_importance.statistics.quantiles import tail_quantile
from keras_importance.verdicts import useless_set
from keras_importance.verdicts.spending import Spending

USELESS = {"useless", "harmful", "redundant"}


@dataclass
class Linear:
    """A linear model on its own rows, and a probe that answers for it.

    The target is `x @ truth` and noise; importance of feature j is `2 a_j b_j` for independent features
    of variance 1.
    """

    x: np.ndarray
    y: np.ndarray
    coefficients: np.ndarray
    p_values: dict[int, float]
    names: tuple[str, ...]
    n_evaluations: int | None = 10
    n_asked: int = 0

    @property
    def spending(self):
        return Spending(self.n_evaluations)

    @classmethod
    def make(cls, truth, coefficients=None, n_rows=1000, seed=0, copies=(), noise=1.0, **others):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((n_rows, len(truth)))
        for original, copy in copies:
            x[:, copy] = x[:, original]
        y = x @ np.array(truth) + noise * rng.standard_normal(n_rows)
        chosen = np.array(truth if coefficients is None else coefficients, float)
        names = tuple(f"x{i}" for i in range(len(truth)))
        return cls(x, y, chosen, others.pop("p_values", {}), names, **others)

    def result(self, epoch=0, sets=None):
        members = [[i] for i in range(len(self.names))] if sets is None else sets
        donors = Donors.draw(len(self.x), 5, np.random.default_rng(0))
        error = self.y - self.x @ self.coefficients
        moved = np.stack(
            [
                (self.x[donors.rows] - self.x)[..., list(one)] @ self.coefficients[list(one)]
                for one in members
            ]
        )
        influence = Influence.of((error - moved) ** 2 - error**2, donors)
        lost = (self.y - self.y.mean()) ** 2 - error**2
        covariance, third = influence.moments_with(lost - lost.mean())
        return ImportanceResult(
            method="permutation",
            epoch=epoch,
            feature_names=tuple("+".join(self.names[i] for i in one) for one in members),
            importances=((error - moved) ** 2 - error**2).mean(axis=2),
            std_error=influence.standard_error(),
            baseline_score=float(np.mean(error**2)),
            metric="loss",
            n_samples=len(self.x),
            degrees=influence.degrees_of_freedom(),
            explained=Explained(
                float(lost.mean()), float(influence_standard_error(lost)), "constant", covariance, third
            ),
        )

    def jointly(self, sets):
        self.n_asked += len(sets)
        found = self.result(sets=sets)
        return JointImportance(
            sets=tuple(tuple(self.names[i] for i in one) for one in sets),
            importances=found.importances,
            std_error=found.std_error,
            degrees=found.degrees,
            explained=found.explained,
        )

    def unused_signal(self, numbers):
        return np.array([self.p_values.get(number, 1.0) for number in numbers])


def judged(probe, n_evaluations=2, detector=None, results=None):
    """The history after some evaluations, the same ones or those given."""
    detector = detector or UselessFeatureDetector()
    history = ImportanceHistory()
    for epoch in range(n_evaluations):
        result = probe.result(epoch) if results is None else results[epoch]
        history += result
        history += detector(history, probe)
    return history


def states(history):
    last = history.judged[-1]
    return dict(zip(last.feature_names, last.states, strict=True))


TRUTH = [1.0, 0.7, 0.0, 0.0, 0.0]


def test_a_used_feature_is_useful_and_an_ignored_one_useless():
    found = states(judged(Linear.make(TRUTH)))
    assert found == {"x0": "useful", "x1": "useful", "x2": "useless", "x3": "useless", "x4": "useless"}


def test_nothing_is_useless_before_patience_is_over():
    """Patience 3: two evaluations below the threshold are not enough."""
    detector = UselessFeatureDetector(patience=3)
    probe = Linear.make(TRUTH)
    assert not judged(probe, 2, detector).useless_features
    assert judged(probe, 3, detector).useless_features == ("x2", "x3", "x4")


def test_a_feature_that_the_model_learns_later_is_taken_out_again():
    probe = Linear.make([1.0, 0.7, 0.0], coefficients=[1.0, 0.0, 0.0])
    later = replace(probe, coefficients=np.array([1.0, 0.7, 0.0]))
    results = [probe.result(0), probe.result(1), later.result(2)]
    history = judged(probe, 3, results=results)
    assert "x1" in history.judged[1].useless
    assert states(history)["x1"] == "useful"
    changes = history.judged[2].changes(history.judged[1])
    assert [(one.feature, one.state, one.since) for one in changes] == [("x1", "useful", 2)]


def test_a_feature_in_which_the_data_hold_signal_is_latent_and_not_in_the_set():
    probe = Linear.make([1.0, 0.0, 0.0], p_values={1: 0.001})
    history = judged(probe)
    assert states(history) == {"x0": "useful", "x1": "latent", "x2": "useless"}
    assert history.useless_features == ("x2",)


def test_a_feature_that_was_not_tested_for_signal_stays_undecided():
    history = judged(Linear.make([1.0, 0.0], p_values={1: math.nan}))
    verdict = history.verdicts()[-1]
    assert (verdict.state, history.useless_features) == ("undecided", ())
    assert "not tested" in verdict.reason


def test_a_feature_that_hurts_is_harmful():
    """A model that uses noise with the wrong sign: `2 a b = -0.2`."""
    probe = Linear.make([1.0, 0.2], coefficients=[1.0, -0.5])
    assert states(judged(probe))["x1"] == "harmful"


def test_copies_of_one_another_are_never_in_the_set_together():
    """`y = .1 (x1 + x2)`, copies: each alone has importance `2 · .1²`, both together `2 · .2²`.

    With the threshold at 5% of 1.04 each lies below it, and both together above: one is kept back.
    """
    probe = Linear.make([1.0, 0.1, 0.1, 0.0], copies=[(1, 2)], noise=0.3, n_rows=4000)
    detector = UselessFeatureDetector(min_share=0.05)
    history = judged(probe, detector=detector)
    found = states(history)
    assert sorted((found["x1"], found["x2"])) == ["redundant", "useless"]
    held = next(one for one in history.judged[-1] if one.state == "redundant")
    assert {held.feature, held.partner} == {"x1", "x2"}


def test_the_set_passes_the_bound_when_replaced_together():
    """Thirty features of importance `2 · .06²`, each far below 3% and all together far above."""
    probe = Linear.make([1.0, *[0.06] * 30], noise=0.3, n_rows=4000)
    history = judged(probe, detector=UselessFeatureDetector(min_share=0.03))
    members = [probe.names.index(name) for name in history.useless_features]
    assert 1 <= len(members) < 30
    joint = probe.jointly([members])
    assert joint.importances_mean[0] < 0.03 * joint.explained.loss
    together = probe.jointly([list(range(1, 31))])
    assert together.importances_mean[0] > 0.03 * together.explained.loss


def test_few_joint_tests_do_for_many_features():
    """Halving: 100 features that pass together are one test; none is tested alone."""
    probe = Linear.make([1.0, *[0.0] * 100])
    judged(probe)
    assert probe.n_asked <= 3


def test_few_joint_tests_do_where_features_are_held_back():
    """Each of those that are held back takes a few, not the logarithm of all features twice."""
    probe = Linear.make([1.0, *[0.06] * 100], noise=0.3, n_rows=4000)
    history = judged(probe, n_evaluations=2, detector=UselessFeatureDetector(min_share=0.03))
    assert len(history.useless_features) > 1
    assert probe.n_asked <= 45


@given(n=st.integers(1, 3000), power=st.sampled_from([0.0, 0.5, 1.0, 2.0]), data=st.data())
def test_searches_find_the_last_number_that_passes(n, power, data):
    """Whatever the shape of the bounds; where they lie on a line, in a few tests."""
    last, first = data.draw(st.integers(0, n)), data.draw(st.sampled_from([1, n]))
    is_endless = data.draw(st.booleans())
    tried = []

    def bound(number):
        tried.append(number)
        distance = number - last - 0.5
        return math.copysign(math.inf if is_endless else abs(distance) ** power, distance)

    def passed(number):
        return number <= last

    assert useless_set.last_below(bound, n, first) == last
    assert len(set(tried)) == len(tried)
    assert len(tried) <= 3 * math.log2((last if first == 1 else n) + 1) + 3
    if power == 1 and first == n and not is_endless:
        assert len(tried) <= 5
    if last < n:
        assert useless_set.last_by_halving(passed, n) == last


def test_a_model_that_explains_nothing_flags_nothing():
    probe = Linear.make([0.0, 0.0], coefficients=[0.0, 0.5])
    history = judged(probe, 4)
    assert set(states(history).values()) == {"undecided"}
    assert "does not surely explain" in history.verdicts()[-1].reason


def test_a_metric_without_rows_gives_no_verdicts_and_says_so():
    probe = Linear.make(TRUTH)
    results = [replace(probe.result(epoch), explained=None) for epoch in range(2)]
    history = judged(probe, results=results)
    assert set(states(history).values()) == {"undecided"}
    assert "mean over rows" in history.verdicts()[0].reason


def test_features_that_were_not_scored_exactly_keep_their_verdict():
    probe = Linear.make(TRUTH)
    screened = replace(probe.result(2), obtained=("screened",) * 5)
    history = judged(probe, 3, results=[probe.result(0), probe.result(1), screened])
    assert history.judged[2].states == history.judged[1].states
    assert history.judged[2].since.tolist() == history.judged[1].since.tolist()


@settings(max_examples=20)
@given(st.permutations(range(5)), st.integers(0, 5))
def test_the_order_of_the_features_changes_nothing(order, seed):
    probe = Linear.make(TRUTH, seed=seed)
    moved = replace(
        probe,
        x=probe.x[:, order],
        coefficients=probe.coefficients[list(order)],
        names=tuple(probe.names[i] for i in order),
    )
    assert states(judged(probe)) == states(judged(moved))


@settings(max_examples=25)
@given(st.integers(0, 30), st.floats(0.002, 0.2), st.floats(1.0, 5.0))
def test_raising_the_threshold_never_removes_a_flag(seed, min_share, factor):
    rng = np.random.default_rng(seed)
    probe = Linear.make(rng.exponential(0.3, 8), seed=seed, n_rows=400)
    low, high = (
        {
            name
            for name, state in states(judged(probe, detector=UselessFeatureDetector(one))).items()
            if state in USELESS
        }
        for one in (min_share, min(min_share * factor, 0.99))
    )
    # A higher threshold may exchange members of the set, but drops nobody below it.
    assert low <= high | _held_back(probe, min(min_share * factor, 0.99))


def _held_back(probe, min_share):
    verdicts = judged(probe, detector=UselessFeatureDetector(min_share)).judged[-1]
    return {one.feature for one in verdicts if "with the others" in one.reason}


@settings(max_examples=15)
@given(st.integers(0, 20), st.integers(2, 6))
def test_a_constant_history_of_useful_features_flags_nothing(seed, n_evaluations):
    probe = Linear.make([1.0, 0.8, -0.9], seed=seed)
    assert not judged(probe, n_evaluations).useless_features


def test_all_evaluations_together_spend_alpha():
    """Three quarters in a `fit`; without a plan `6 / (pi² t²)` of them in the t-th evaluation."""
    detector, probe = UselessFeatureDetector(alpha=0.05), Linear.make(TRUTH, n_evaluations=None)
    result = probe.result()
    levels = [
        detector._level(ImportanceHistory(tuple(replace(result, epoch=i) for i in range(n))), probe)
        for n in range(1, 200)
    ]
    assert 0.99 * 0.05 * 3 / 4 < sum(levels) < 0.05 * 3 / 4
    probe.n_evaluations = 40
    planned = detector._level(ImportanceHistory((probe.result(0),)), probe)
    assert planned == pytest.approx(0.05 * 3 / 4 / 40)


def test_a_false_flag_is_as_rare_as_stated():
    """Two features exactly on the threshold, one evaluation, alpha = .2: each may fail in 5% of runs.

    `2 a b = .01 R` with `R = sum(2ab - a²)` of a strong feature, so `a b = .005`; by the other half of
    alpha for the set at most .2 in all. 200 runs, three standard errors above .1.
    """
    truth = [1.0, 0.1, 0.1]
    weak = 0.0505
    false = 0
    for seed in range(200):
        probe = Linear.make(truth, [1.0, weak, weak], n_rows=500, seed=seed, n_evaluations=1)
        detector = UselessFeatureDetector(alpha=0.2, patience=1)
        false += bool(set(judged(probe, 1, detector).useless_features))
    assert false / 200 < 0.1 + 3 * math.sqrt(0.1 * 0.9 / 200)


def test_the_rows_needed_grow_with_features_and_evaluations():
    detector = UselessFeatureDetector()
    few, many = detector.n_rows_needed(10, 10), detector.n_rows_needed(1000, 100)
    assert 200 < few < 600 < many < 2500
    assert tail_quantile(0.05 / 2 / 10 / 10, 10_000) == pytest.approx(3.48, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_share": 0}, "got min_share=0. Pass a number between 0 and 1"),
        ({"alpha": 1.5}, "got alpha=1.5"),
        ({"patience": 0}, "got patience=0. Pass a whole number, 1 or more"),
        ({"patience": True}, "got patience=True"),
    ],
)
def test_wrong_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"UselessFeatureDetector {message}"):
        UselessFeatureDetector(**arguments)


def test_a_feature_that_counts_on_training_rows_alone_is_memorised():
    """Noise used with coefficient .5: on rows whose target holds it, importance `2 · .5²`; elsewhere 0."""
    model = [1.0, 0.5, 0.0]
    training = Linear.make([1.0, 0.5, 0.0], model, n_rows=2000)
    validation = Linear.make([1.0, 0.0, 0.0], model, n_rows=2000, seed=1)
    seen, unseen = (ImportanceHistory((one.result(3),)) for one in (training, validation))
    (gap,) = unseen.memorised_features(seen)
    assert (gap.feature, gap.epoch) == ("x1", 3)
    assert gap.training == pytest.approx(0.5, abs=0.1)
    assert gap.bound > gap.threshold
    assert unseen.memorised_features(unseen) == ()


def test_a_gap_needs_the_same_features_on_both_sides():
    one = ImportanceHistory((Linear.make([1.0, 0.0]).result(),))
    with pytest.raises(ValueError, match="different features"):
        ImportanceHistory((Linear.make([1.0]).result(),)).memorised_features(one)
    with pytest.raises(ValueError, match="no results of 'permutation'"):
        ImportanceHistory().memorised_features(one)
