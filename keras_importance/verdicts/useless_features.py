"""UselessFeatureDetector: finds useless features with a stated error rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_importance.arguments import fraction, instances, whole_number
from keras_importance.errors import InvalidArgumentError, did_you_mean, speaking_as
from keras_importance.results.history import ImportanceHistory
from keras_importance.results.verdict import IN_SET, Verdicts
from keras_importance.statistics.arrays import Array, Floats, Integers
from keras_importance.statistics.quantiles import MANY_DEGREES, rows_for_tail, tail_quantile
from keras_importance.verdicts.base import Detector, Probe, ReplacesSets
from keras_importance.verdicts.spending import Spending
from keras_importance.verdicts.threshold_test import ThresholdTest, quantile_for
from keras_importance.verdicts.useless_set import JointTests, in_order, largest_set

# Assumed number of evaluations where it isn't known.
_MANY_EVALUATIONS = 100
# Below this p-value the data hold signal that the network does not use.
_LATENT_LEVEL = 0.01
_BOTH_SIDES = "its bounds lie on both sides of the threshold"
_NOT_TESTED = "not tested yet for signal that the network does not use"
_HELD_BACK = "with the others, the set is not surely below the threshold"


class UselessFeatureDetector(Detector):
    """Finds useless features with a stated error rate, from permutation importance.

    A feature is useless if its importance is less than a share of the explained loss `R`, which is the
    loss of the best constant prediction minus the loss of the model:

        H0: importance_j >= min_share · R        is rejected if        bound_j < min_share · R

    The bound is one-sided, belongs to the difference of both sides, and is corrected for skewness; see
    `ThresholdTest`. Its confidence is `1 - 3/4 · alpha / (2 · features · evaluations)`. The other half
    is for the test of the set, the last quarter for a `fit` that continues the training. So the
    probability that any feature is ever called useless while its importance reaches the threshold is at
    most `alpha`, however features and epochs depend on one another. This holds if the rows were not used
    to choose the model, and if there are enough of them; warnings say if that isn't so.

    - `useful`: the lower bound lies above the threshold.
    - `useless`: the upper bound lies below the threshold in `patience` evaluations in a row, the data
      hold no signal of the feature that the network leaves unused, and the feature is in the set. The
      set is the features that stay below the threshold when they are all replaced together.
    - `redundant`: useless alone, but not together with a certain member of the set, which is named.
    - `latent`: below the threshold, but the data hold signal: train longer or change the model.
    - `harmful`: in the set, with an importance surely below 0: the model is better without the feature.
    - `undecided`: all others.

    Verdicts can change: a feature that the network learns later becomes useful.

    Args:
        min_share: share of the explained loss below which a feature is useless.
        alpha: probability that any feature, or the set, is wrongly called useless in a training.
        patience: in how many evaluations in a row a feature must be below the threshold.
        method: name of the method whose results are judged, a permutation importance.

    Raises:
        ValueError: for arguments out of range.

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
            self.min_share = fraction(
                "min_share", min_share, example="a number between 0 and 1", below=1
            )
            self.alpha = fraction("alpha", alpha, example="a number between 0 and 1", below=1)
            self.patience = whole_number("patience", patience, at_least=1)
        self.method = str(method)

    def __call__(self, history: ImportanceHistory, probe: Probe) -> Verdicts:
        """The verdicts on the newest result of the method, given the verdicts before.

        Args:
            history: all results and verdicts so far, the newest result included.
            probe: replaces sets of features, and tests for unused signal.
        """
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
            since=np.full(len(states), -1 if result.epoch is None else result.epoch),
            estimate=result.importances_mean,
            bound=np.where(states == "useful", test.lower, test.upper) + test.threshold,
            threshold=test.threshold,
            error_rate=self.alpha,
            streak=streak,
            p_value=p_value,
            partners=_partners(states, before, partners, result.feature_names),
            reasons={result.feature_names[i]: reasons[i] for i in np.flatnonzero(states == "undecided")},
        ).after(before)

    def _reasons(
        self, test: ThresholdTest, streak: Integers, candidates: Integers, p_value: Floats
    ) -> list[str]:
        """For each feature the reason why it would be undecided."""
        reasons = np.full(len(streak), _BOTH_SIDES, object)
        so_far = "below the threshold in {} of {} evaluations running"
        reasons[test.is_low] = [so_far.format(n, self.patience) for n in streak[test.is_low]]
        reasons[candidates] = np.where(np.isnan(p_value[candidates]), _NOT_TESTED, _HELD_BACK)
        reasons[~test.is_known] = test.why_unknown
        return list(reasons)

    def n_rows_needed(self, n_features: int, n_evaluations: int | None) -> int:
        """How many independent rows, or blocks of rows, the error rate `alpha` needs."""
        spending = Spending(n_evaluations or _MANY_EVALUATIONS)
        level = self.alpha * spending.fraction(1) / 2 / n_features
        return rows_for_tail(tail_quantile(level, MANY_DEGREES + 1))

    def _level(self, history: ImportanceHistory, probe: Probe) -> float:
        """The error probability that this evaluation may spend, half on features and half on sets.

        All evaluations of a training together spend at most `alpha`; see `Spending`.
        """
        return self.alpha * probe.spending.fraction(len(history.of(self.method)))

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"


def detectors_from_argument(argument: Any, methods: Sequence[Any]) -> tuple[Detector, ...]:
    """The detectors that the user's `detectors` argument stands for.

    Args:
        argument: a detector or several; None for `UselessFeatureDetector()`, if permutation importance
            is among the methods.
        methods: the methods that are computed.

    Raises:
        InvalidArgumentError: for an object that is no detector, for a detector whose method isn't
            computed or can't replace features together, and for two detectors of the same method.
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
                f"{names}.{did_you_mean(detector.method, judgeable)} Add {detector.method!r} to "
                "methods, or judge another one that shuffles features as they are."
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
        kept: `(n_features,)` states of the features about which nothing new is known.
        test: the test of the importances against the threshold.
        p_value: `(n_features,)` p-values of the test for unused signal; NaN for untested features.
        eligible: indices of the features that could be in the set.
        members: indices of the features in the set.
        partners: for each redundant feature the index of the set member that makes it redundant.
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
    """For each redundant feature the name of its partner: the new one, else the one it had before."""
    past = {} if before is None else before.partners
    kept = {names[i]: past.get(names[i]) for i in np.flatnonzero(states == "redundant")}
    now = {names[i]: names[j] for i, j in partners.items()}
    return {name: partner for name, partner in {**kept, **now}.items() if partner is not None}
