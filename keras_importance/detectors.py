"""Verdicts: which features are useless, useful, latent, redundant or harmful, and how sure that is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from keras_importance.arguments import instances, share, whole_number
from keras_importance.errors import InvalidArgumentError, speaking_as
from keras_importance.history import ImportanceHistory
from keras_importance.result import ImportanceResult
from keras_importance.statistics import (
    MANY_DEGREES,
    Floats,
    Integers,
    rows_for_tail,
    tail_quantile,
    upper_bound,
)
from keras_importance.verdict import IN_SET, Verdicts

Array = NDArray[Any]

# Where the number of evaluations isn't known.
_MANY_EVALUATIONS = 100
# A set is grown on without a feature that makes it fail, up to as many times.
_MAX_HELD_BACK = 8
# Below this p-value the data hold signal that the network does not use.
_LATENT_LEVEL = 0.01
_NOTHING_EXPLAINED = "the model does not surely explain more than a constant does"
_NOT_SCORED = "not scored exactly in this evaluation"
_NO_ROWS = "verdicts need a metric that is a mean over rows"
_BOTH_SIDES = "its bounds lie on both sides of the threshold"
_NOT_TESTED = "not tested yet for signal that the network does not use"
_HELD_BACK = "with the others, the set is not surely below the threshold"


class Probe(Protocol):
    """What a detector may ask of the model beyond the history."""

    @property
    def n_evaluations(self) -> int | None:
        """How many evaluations are planned; None where that isn't known."""

    def jointly(self, sets: Sequence[Sequence[int]]) -> ImportanceResult:
        """Importance of sets of features that are replaced together."""

    def masked_score(self, numbers: Sequence[int]) -> Floats:
        """p-values of "given the others, the feature says nothing about the target"; NaN: untested."""


class Detector(ABC):
    """Judges the features after each evaluation. Holds settings only: what it knows is the history.

    Attributes:
        method: name of the method whose results it reads.
    """

    method: str

    @abstractmethod
    def __call__(self, history: ImportanceHistory, probe: Probe) -> Verdicts:
        """The verdicts on the newest result of the method, given those before."""

    def n_rows_needed(self, n_features: int, n_evaluations: int | None) -> int:  # noqa: ARG002
        """How many independent rows its claims need."""
        return 0


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
        quantile = _quantile(level / 2 / len(result.feature_names), result)
        evidence = _Evidence(result, self.min_share, quantile)
        streak = evidence.streak(before)
        p_value = np.full(len(streak), math.nan)
        candidates = np.flatnonzero(evidence.is_low & (streak >= self.patience))
        if len(candidates):
            p_value[candidates] = probe.masked_score(candidates.tolist())
        kept = evidence.kept_states(before)
        in_question = np.flatnonzero((p_value >= _LATENT_LEVEL) | np.isin(kept, IN_SET))
        in_order = _in_order(in_question, history.of(self.method))
        members, partners = _largest_set(in_order, _Sets(level, self.min_share, result, probe))
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
        self, evidence: _Evidence, streak: Integers, candidates: Integers, p_value: Floats
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
    judged = {one.name for one in methods if getattr(one, "replaces_sets", False)}
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


@dataclass(frozen=True, eq=False)
class _Evidence:
    """How the importances of a result lie to the threshold.

    The contrast `importance - min_share · explained` is judged as one number: both come from the same
    rows, and their errors move together.
    """

    result: ImportanceResult
    min_share: float
    quantile: float

    @cached_property
    def is_known(self) -> Array:
        """Whether there is an exact number with an error, and a threshold to hold it to."""
        result = self.result
        if not self.has_threshold:
            return np.zeros(len(result.feature_names), bool)
        is_exact = np.array(result.obtained) == "exact"
        return np.asarray(is_exact & np.isfinite(self._error))

    @property
    def has_threshold(self) -> bool:
        """Whether the model surely explains something."""
        explained = self.result.explained
        return explained is not None and explained.loss > self.quantile * explained.std_error

    @property
    def why_unknown(self) -> str:
        """The reason, where there is no evidence."""
        if self.result.explained is None:
            return _NO_ROWS
        return _NOT_SCORED if self.has_threshold else _NOTHING_EXPLAINED

    @property
    def threshold(self) -> float:
        """The importance below which a feature is useless."""
        explained = self.result.explained
        return math.nan if explained is None else self.min_share * explained.loss

    @cached_property
    def upper(self) -> Floats:
        """Upper bounds of the contrasts."""
        return upper_bound(self._contrast, self._error, self._third, self.quantile)

    @cached_property
    def lower(self) -> Floats:
        """Lower bounds of the contrasts."""
        return -upper_bound(-self._contrast, self._error, -self._third, self.quantile)

    @cached_property
    def is_low(self) -> Array:
        """Whether the importance lies below the threshold, with its bound."""
        return np.asarray(self.is_known & (self.upper < 0))

    @cached_property
    def is_high(self) -> Array:
        """Whether it lies above."""
        return np.asarray(self.is_known & (self.lower > 0))

    @cached_property
    def is_harmful(self) -> Array:
        """Whether the importance itself lies below 0 with its upper bound."""
        result, explained = self.result, self.result.explained
        third = np.zeros(len(self.upper)) if explained is None else explained.third[:, 0]
        mean = result.importances_mean
        return np.asarray(upper_bound(mean, result.std_error, third, self.quantile) < 0)

    def kept_states(self, before: Verdicts | None) -> Array:
        """The states of before for those that weren't scored now, else "undecided"."""
        states = np.full(len(self.upper), "undecided", object)
        if before is not None and self.has_threshold:
            states[~self.is_known] = np.array(before.states, object)[~self.is_known]
        return states

    def streak(self, before: Verdicts | None) -> Integers:
        """In how many evaluations running each feature was below; those not scored now keep theirs."""
        past = np.zeros(len(self.upper), np.int64) if before is None else before.streak
        return np.where(self.is_known, np.where(self.upper < 0, past + 1, 0), past)

    @property
    def _contrast(self) -> Floats:
        return self.result.importances_mean - self.threshold

    @cached_property
    def _error(self) -> Floats:
        explained, k = self.result.explained, self.min_share
        if explained is None:
            return np.full(len(self.result.feature_names), math.nan)
        variance = self.result.std_error**2 - 2 * k * explained.covariance
        return np.asarray(np.sqrt(np.maximum(variance + (k * explained.std_error) ** 2, 0.0)))

    @cached_property
    def _third(self) -> Floats:
        explained, k = self.result.explained, self.min_share
        if explained is None:
            return np.zeros(len(self.result.feature_names))
        return np.asarray(explained.third @ np.array([1.0, -3 * k, 3 * k**2, -(k**3)]))


def _quantile(level: float, result: ImportanceResult) -> float:
    n_units = result.n_samples if result.n_blocks is None else result.n_blocks
    return tail_quantile(level, n_units - 1)


def _partners(
    states: Array, before: Verdicts | None, found: Mapping[int, int], names: tuple[str, ...]
) -> dict[str, str]:
    """The partners that were found, and those of redundant features that weren't scored now."""
    past = {} if before is None else before.partners
    kept = {names[i]: past.get(names[i]) for i in np.flatnonzero(states == "redundant")}
    now = {names[i]: names[j] for i, j in found.items()}
    return {name: one for name, one in {**kept, **now}.items() if one is not None}


def _in_order(numbers: Integers, history: ImportanceHistory) -> list[int]:
    """The features whose replacement moves the rows' losses least come first.

    By the standard errors of all evaluations so far, which say so without saying who seems useless: a
    set of the lowest estimates would pass for the luck of its members.
    """
    n_features = len(history.results[-1].feature_names)
    errors = np.array([one.std_error for one in history if len(one.std_error) == n_features])
    known = np.isfinite(errors) & (errors > 0)
    logs = np.log(np.where(known, errors, 1.0)).sum(axis=0)
    size = np.where(known.any(axis=0), logs / np.maximum(known.sum(axis=0), 1), -math.inf)
    return sorted(map(int, numbers), key=lambda i: float(size[i]))


@dataclass(frozen=True, eq=False)
class _Sets:
    """What happens to sets of features that are replaced together.

    Attributes:
        level: what the evaluation may spend of `alpha` on features and sets.
        min_share: share of the explained loss below which a set is useless.
        result: the importances of the features one by one.
        probe: asks the model.
    """

    level: float
    min_share: float
    result: ImportanceResult
    probe: Probe
    _known: dict[frozenset[int], ImportanceResult] = field(default_factory=dict)

    def bound(self, members: Sequence[int], n_held: int) -> float:
        """How far the upper bound of a set lies above the threshold; it passes below 0.

        Growing sets are tested one after the other up to the first that fails, so each may spend what
        the whole sequence has: half of the evaluation's level in all, of which the sequence after
        the n-th feature that was held back gets `1 / 2^(n + 1)`.
        """
        if not members:
            return -_Evidence(self.result, self.min_share, math.inf).threshold
        quantile = _quantile(self.level / 2 ** (n_held + 2), self.result)
        return float(_Evidence(self._jointly(members), self.min_share, quantile).upper[0])

    def matter_more_together(self, one: int, others: Sequence[int]) -> bool:
        """Whether a feature adds more to a set than it is worth alone, as a copy of a member does.

        By a standard error at least: else half of all features would, by chance.
        """
        added = self._jointly([*others, one]).importances_mean - self._jointly(others).importances_mean
        return bool(added[0] > self.result.importances_mean[one] + self.result.std_error[one])

    def say_the_same(self, one: int, other: int) -> bool:
        """Whether two features surely matter more together than apart."""
        apart = self.result.importances_mean[[one, other]].sum()
        return bool(self._jointly([one, other]).ci_low[0] > apart)

    def _jointly(self, members: Sequence[int]) -> ImportanceResult:
        key = frozenset(members)
        if key not in self._known:
            self._known[key] = self.probe.jointly([members])
        return self._known[key]


def _largest_set(order: Sequence[int], sets: _Sets) -> tuple[list[int], dict[int, int]]:
    """Features that pass together, and of those held back the member that some say the same as.

    Taken in their order, as many as pass; the first one that makes them fail is held back. Eight are
    held back at most, as each one halves what the next tests may spend; then the rest is left out.
    """
    members: list[int] = []
    partners: dict[int, int] = {}
    left, n_held = list(order), 0
    while left and n_held <= _MAX_HELD_BACK:
        taken = _n_passing(members, left, n_held, sets)
        members, left = [*members, *left[:taken]], left[taken:]
        if left:
            held, *left = left
            if members and sets.matter_more_together(held, members):
                partner = _partner(held, members, n_held, sets)
                if sets.say_the_same(held, partner):
                    partners[held] = partner
            n_held += 1
    return members, partners


def _n_passing(members: Sequence[int], more: Sequence[int], n_held: int, sets: _Sets) -> int:
    """How many of `more`, from the first on, pass together with the members."""

    def bound(n: int) -> float:
        return sets.bound([*members, *more[:n]], n_held)

    # All pass at first, or many; after one that was held back few do.
    return _last_below(bound, len(more), first=1 if n_held else len(more))


def _partner(held: int, members: Sequence[int], n_held: int, sets: _Sets) -> int:
    """The first of the members together with which, and those before it, the feature fails."""

    def passed(n: int) -> bool:
        return sets.bound([held, *members[:n]], n_held) < 0

    return members[_last_by_halving(passed, len(members))]


def _last_below(bound: Callable[[int], float], n: int, first: int) -> int:
    """The last number up to `n` before one whose bound isn't below 0, as that of 0 is.

    Sought by doubling, from the first number on, and then where a straight line between the nearest
    bounds crosses 0, in turn with halving, in case that they lie on a curve.
    """
    low, high = 0, first
    while bound(high) < 0:
        if high == n:
            return n
        low, high = high, min(2 * high, n)
    halves = False
    while high - low > 1:
        below, above = bound(low), bound(high)
        share = 0.5 if halves or not math.isfinite(above - below) else below / (below - above)
        middle = min(max(low + round(share * (high - low)), low + 1), high - 1)
        low, high = (middle, high) if bound(middle) < 0 else (low, middle)
        halves = not halves
    return low


def _last_by_halving(passed: Callable[[int], bool], high: int, low: int = 0) -> int:
    """The last number before the first that fails, where `low` passes and `high` fails."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passed(middle) else (low, middle)
    return low


def _since(states: Array, before: Verdicts | None, epoch: int | None) -> Integers:
    """The epoch in which each feature reached its state."""
    now = -1 if epoch is None else epoch
    if before is None:
        return np.full(len(states), now)
    return np.where(states == np.array(before.states, object), before.since, now)
