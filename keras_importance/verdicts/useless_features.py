"""Verdicts: which features are useless, useful, latent, redundant or harmful, and how sure that is."""

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
    `1 - alpha / (2 · features · evaluations)`; the other half of `alpha` is for the set. So the chance
    that any feature is ever called useless while its importance reaches the threshold is at most
    `alpha`, however features and epochs depend on one another. It holds for rows that did not choose
    the model, and for enough of them; warnings say where they aren't.

    - `useful`: the lower bound lies above the threshold.
    - `useless`: below the threshold in `patience` evaluations running, the data hold no signal of it
      that the network leaves unused, and it is in the set that stays below when replaced together.
    - `redundant`: like a useless one, but not together with another, which is named.
    - `latent`: below the threshold, but the data hold signal: train longer or change the model.
    - `harmful`: in the set, and the whole interval lies below 0: the model gets better without.
    - `undecided`: all others.

    Verdicts are revocable: a feature that the network learns later is taken out again.

    Args:
        min_share: share of the explained loss below which a feature is useless.
        alpha: chance that any feature, or the set, is wrongly called useless in a training.
        patience: evaluations running that must agree.
        method: name of the method whose results are judged, a permutation importance.

    Source: the union bound over features and epochs; the masked-score test is in `masked_score.py`.
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
        """The verdicts on the newest permutation importance."""
        result = history.newest[self.method]
        before = history.verdicts_before(result)
        level = self._level(history, probe)
        quantile = quantile_for(level / 2 / len(result.feature_names), result)
        evidence = ThresholdTest(result, self.min_share, quantile)
        streak = evidence.streak(before)
        p_value = np.full(len(streak), math.nan)
        candidates = np.flatnonzero(evidence.is_low & (streak >= self.patience))
        if len(candidates):
            p_value[candidates] = probe.masked_score(candidates.tolist())
        kept = evidence.kept_states(before)
        in_question = np.flatnonzero((p_value >= _LATENT_LEVEL) | np.isin(kept, IN_SET))
        order = in_order(in_question, history.of(self.method))
        tests = JointTests(level, self.min_share, result, probe.jointly)
        members, partners = largest_set(order, tests)
        states = kept
        states[evidence.is_high] = "useful"
        states[p_value < _LATENT_LEVEL] = "latent"
        states[in_question] = "undecided"
        states[members] = np.where(evidence.is_harmful[members], "harmful", "useless")
        states[list(partners)] = "redundant"
        names = result.feature_names
        reasons = self._reasons(evidence, streak, candidates, p_value)
        return Verdicts(
            epoch=result.epoch,
            method=self.method,
            feature_names=names,
            states=tuple(states),
            since=_since(states, before, result.epoch),
            estimate=result.importances_mean,
            bound=np.where(states == "useful", evidence.lower, evidence.upper) + evidence.threshold,
            threshold=evidence.threshold,
            error_rate=self.alpha,
            streak=streak,
            p_value=p_value,
            partners=_partners(states, before, partners, names),
            reasons={names[i]: reasons[i] for i in np.flatnonzero(states == "undecided")},
        )

    def _reasons(
        self, evidence: ThresholdTest, streak: Integers, candidates: Integers, p_value: Floats
    ) -> list[str]:
        """Why each feature would be undecided, if it were."""
        reasons = np.full(len(streak), _BOTH_SIDES, object)
        so_far = "below the threshold in {} of {} evaluations running"
        reasons[evidence.is_low] = [so_far.format(n, self.patience) for n in streak[evidence.is_low]]
        reasons[candidates] = np.where(np.isnan(p_value[candidates]), _NOT_TESTED, _HELD_BACK)
        reasons[~evidence.is_known] = evidence.why_unknown
        return list(reasons)

    def n_rows_needed(self, n_features: int, n_evaluations: int | None) -> int:
        """How many independent rows the stated error rate needs."""
        level = self.alpha / 2 / n_features / (n_evaluations or _MANY_EVALUATIONS)
        return rows_for_tail(tail_quantile(level, MANY_DEGREES + 1))

    def _level(self, history: ImportanceHistory, probe: Probe) -> float:
        """What this evaluation may spend of `alpha`: one half on features, one on sets of them."""
        number = len(history.of(self.method))
        part = 6 / (math.pi * number) ** 2
        if probe.n_evaluations is not None:
            part = 1 / max(probe.n_evaluations, number)
        return self.alpha * part

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"


def detectors_from_argument(argument: Any, methods: Sequence[Any]) -> tuple[Detector, ...]:
    """The detectors that the user's `detectors` argument means.

    Args:
        argument: None for the useless features where there is a permutation importance to judge; else
            detectors.
        methods: the methods that are computed.

    Raises:
        InvalidArgumentError: for what is no detector, for one whose method isn't computed or can't
            replace features together, and for two that judge the same method.
    """
    judged = {one.name for one in methods if isinstance(one, ReplacesSets) and one.replaces_sets}
    if argument is None:
        usual = UselessFeatureDetector()
        return (usual,) if usual.method in judged else ()
    detectors = instances("detectors", argument, Detector, "instances such as UselessFeatureDetector()")
    for one in detectors:
        if one.method not in judged:
            names = ", ".join(repr(method.name) for method in methods)
            raise InvalidArgumentError(
                f"got {one!r}, which judges the method {one.method!r}, and the methods {names}. Add "
                f"{one.method!r} to methods, or judge another one that shuffles features as they are."
            )
    methods_judged = [one.method for one in detectors]
    if len(set(methods_judged)) < len(detectors):
        twice = next(one for one in methods_judged if methods_judged.count(one) > 1)
        raise InvalidArgumentError(
            f"got two detectors of the method {twice!r}, which has one verdict on a feature in an "
            "epoch. Pass one, or add a method of another name for the other, such as "
            "PermutationImportance(name='permutation_2')."
        )
    return tuple(detectors)


def _partners(
    states: Array, before: Verdicts | None, found: Mapping[int, int], names: tuple[str, ...]
) -> dict[str, str]:
    """The partners that were found, and those of redundant features that weren't scored now."""
    past = {} if before is None else before.partners
    kept = {names[i]: past.get(names[i]) for i in np.flatnonzero(states == "redundant")}
    now = {names[i]: names[j] for i, j in found.items()}
    return {name: one for name, one in {**kept, **now}.items() if one is not None}


def _since(states: Array, before: Verdicts | None, epoch: int | None) -> Integers:
    """The epoch in which each feature reached its state."""
    now = -1 if epoch is None else epoch
    if before is None:
        return np.full(len(states), now)
    return np.where(states == np.array(before.states, object), before.since, now)
