"""The detector of useless features, with a stated error rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_importance.arguments import instances, share, whole_number
from keras_importance.errors import InvalidArgumentError, speaking_as
from keras_importance.results.history import ImportanceHistory
from keras_importance.results.verdict import IN_SET, Verdicts
from keras_importance.statistics.arrays import Array, Floats, Integers
from keras_importance.statistics.quantiles import MANY_DEGREES, rows_for_tail, tail_quantile
from keras_importance.verdicts.base import Detector, Probe, ReplacesSets
from keras_importance.verdicts.threshold_test import ThresholdTest, quantile_for
from keras_importance.verdicts.useless_set import JointTests, in_order, largest_set

# Where the number of evaluations isn't known.
_MANY_EVALUATIONS = 100
# Below this p-value the data hold signal that the network does not use.
_LATENT_LEVEL = 0.01
_BOTH_SIDES = "its bounds lie on both sides of the threshold"
_NOT_TESTED = "not tested yet for signal that the network does not use"
_HELD_BACK = "with the others, the set is not surely below the threshold"


class UselessFeatureDetector(Detector):
    """Tells useless features with a stated error rate, from permutation importance.

    A feature counts as useless when its importance is less than a share of what the model explains at
    all, `R` = loss of the best constant prediction minus loss of the model:

        H0: importance_j >= min_share · R        is rejected where        bound_j < min_share · R

    The bound is one-sided, for the difference of both sides, corrected for skewness, at the confidence
    `1 - alpha / (2 · features · evaluations)`; the other half of `alpha` is for the set. So the
    probability that any feature is ever called useless while its importance reaches the threshold is at
    most `alpha`, however features and epochs depend on one another. It holds for rows that were not
    used to choose the model, and for enough of them; warnings say where that isn't so.

    - `useful`: the lower bound lies above the threshold.
    - `useless`: below the threshold in `patience` evaluations running, no signal in the data that the
      network leaves unused, and a member of the set that stays below when replaced together.
    - `redundant`: useless alone, but not together with a member of the set, which is named.
    - `latent`: below the threshold, but the data hold signal: train longer or change the model.
    - `harmful`: in the set, and the importance surely lies below 0: the model is better without it.
    - `undecided`: all others.

    Verdicts can change: a feature that the network learns later becomes useful.

    Args:
        min_share: share of the explained loss below which a feature is useless.
        alpha: probability that any feature, or the set, is wrongly called useless in a training.
        patience: evaluations running that must agree.
        method: name of the method whose results are judged, a permutation importance.

    Source: the union bound over features and epochs; `unused_signal.py` has the test for signal.
    """

    def __init__(
        self,
        min_share: float = 0.01,
        alpha: float = 0.05,
        patience: int = 2,
        *,
        method: str = "permutation",
    ) -> None:
        with speaking_as("UselessFeatureDetector"):
            self.min_share = share("min_share", min_share, example="a number between 0 and 1", below=1)
            self.alpha = share("alpha", alpha, example="a number between 0 and 1", below=1)
            self.patience = whole_number("patience", patience, at_least=1)
        self.method = str(method)

    def __call__(self, history: ImportanceHistory, probe: Probe) -> Verdicts:
        """The verdicts on the newest result of the method, given the verdicts before."""
        result = history.newest[self.method]
        before = history.verdicts_before(result)
        level = self._level(history, probe)
        quantile = quantile_for(level / 2 / len(result.feature_names), result)
        test = ThresholdTest(result, self.min_share, quantile)
        streak = test.streak(before)
        candidates = np.flatnonzero(test.is_low & (streak >= self.patience))
        p_value = _p_values(candidates, len(streak), probe)
        kept = test.kept_states(before)
        eligible = np.flatnonzero((p_value >= _LATENT_LEVEL) | np.isin(kept, IN_SET))
        order = in_order(eligible, history.of(self.method))
        joint_tests = JointTests(level, self.min_share, result, probe.jointly)
        members, partners = largest_set(order, joint_tests)
        states = _states(kept, test, p_value, eligible, members, partners)
        reasons = self._reasons(test, streak, candidates, p_value)
        return Verdicts(
            epoch=result.epoch,
            method=self.method,
            feature_names=result.feature_names,
            states=tuple(states),
            since=_since(states, before, result.epoch),
            estimate=result.importances_mean,
            bound=np.where(states == "useful", test.lower, test.upper) + test.threshold,
            threshold=test.threshold,
            error_rate=self.alpha,
            streak=streak,
            p_value=p_value,
            partners=_partners(states, before, partners, result.feature_names),
            reasons={result.feature_names[i]: reasons[i] for i in np.flatnonzero(states == "undecided")},
        )

    def _reasons(
        self, test: ThresholdTest, streak: Integers, candidates: Integers, p_value: Floats
    ) -> list[str]:
        """Of each feature the reason why it is undecided, in case that it is."""
        reasons = np.full(len(streak), _BOTH_SIDES, object)
        so_far = "below the threshold in {} of {} evaluations running"
        reasons[test.is_low] = [so_far.format(n, self.patience) for n in streak[test.is_low]]
        reasons[candidates] = np.where(np.isnan(p_value[candidates]), _NOT_TESTED, _HELD_BACK)
        reasons[~test.is_known] = test.why_unknown
        return list(reasons)

    def n_rows_needed(self, n_features: int, n_evaluations: int | None) -> int:
        """How many independent rows, or blocks of rows, the error rate `alpha` needs."""
        level = self.alpha / 2 / n_features / (n_evaluations or _MANY_EVALUATIONS)
        return rows_for_tail(tail_quantile(level, MANY_DEGREES + 1))

    def _level(self, history: ImportanceHistory, probe: Probe) -> float:
        """The error probability of this evaluation; half of it is for features, half for sets.

        Of `n` planned evaluations each has `alpha / n`. Where `n` isn't known, the k-th evaluation has
        `alpha · 6 / (pi k)²`, which sums to `alpha`.
        """
        k = len(history.of(self.method))
        fraction = 6 / (math.pi * k) ** 2
        if probe.n_evaluations is not None:
            fraction = 1 / max(probe.n_evaluations, k)
        return self.alpha * fraction

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"


def detectors_from_argument(argument: Any, methods: Sequence[Any]) -> tuple[Detector, ...]:
    """The detectors that the user's `detectors` argument means.

    Args:
        argument: a detector or several; None for `UselessFeatureDetector()`, if permutation importance
            is among the methods.
        methods: the methods that are computed.

    Raises:
        InvalidArgumentError: for what is no detector, for one whose method isn't computed or can't
            replace features together, and for two that judge the same method.
    """
    judgeable = {
        method.name for method in methods if isinstance(method, ReplacesSets) and method.replaces_sets
    }
    if argument is None:
        usual = UselessFeatureDetector()
        return (usual,) if usual.method in judgeable else ()
    detectors = instances("detectors", argument, Detector, "instances such as UselessFeatureDetector()")
    for detector in detectors:
        if detector.method not in judgeable:
            names = ", ".join(repr(method.name) for method in methods)
            raise InvalidArgumentError(
                f"got {detector!r}, which judges the method {detector.method!r}, and the methods "
                f"{names}. Add {detector.method!r} to methods, or judge another one that shuffles "
                "features as they are."
            )
    judged = [detector.method for detector in detectors]
    if len(set(judged)) < len(judged):
        twice = next(name for name in judged if judged.count(name) > 1)
        raise InvalidArgumentError(
            f"got two detectors of the method {twice!r}, which has one verdict on a feature in an "
            "epoch. Pass one, or add a method of another name for the other, such as "
            "PermutationImportance(name='permutation_2')."
        )
    return tuple(detectors)


def _p_values(candidates: Integers, n_features: int, probe: Probe) -> Floats:
    """`(n_features,)` p-values of the test for unused signal; NaN for all but the candidates."""
    p_value = np.full(n_features, math.nan)
    if len(candidates):
        p_value[candidates] = probe.unused_signal(candidates.tolist())
    return p_value


def _states(
    kept: Array,
    test: ThresholdTest,
    p_value: Floats,
    eligible: Integers,
    members: Sequence[int],
    partners: Mapping[int, int],
) -> Array:
    """`(n_features,)` the state of each feature.

    Args:
        kept: the states where nothing new is known.
        test: how the importances lie relative to the threshold.
        p_value: of the test for unused signal.
        eligible: indices of the features that could be in the set.
        members: indices of those that are in it.
        partners: index of the member with which a feature outside the set is redundant.
    """
    states = kept.copy()
    states[test.is_high] = "useful"
    states[p_value < _LATENT_LEVEL] = "latent"
    states[eligible] = "undecided"
    states[members] = np.where(test.is_harmful[members], "harmful", "useless")
    states[list(partners)] = "redundant"
    return states


def _partners(
    states: Array, before: Verdicts | None, partners: Mapping[int, int], names: tuple[str, ...]
) -> dict[str, str]:
    """The partner of each redundant feature by name: that of now, else that of the verdicts before."""
    past = {} if before is None else before.partners
    kept = {names[i]: past.get(names[i]) for i in np.flatnonzero(states == "redundant")}
    now = {names[i]: names[j] for i, j in partners.items()}
    return {name: partner for name, partner in {**kept, **now}.items() if partner is not None}


def _since(states: Array, before: Verdicts | None, epoch: int | None) -> Integers:
    """`(n_features,)` the epoch since which each feature is in its state."""
    now = -1 if epoch is None else epoch
    if before is None:
        return np.full(len(states), now)
    return np.where(states == np.array(before.states, object), before.since, now)
