"""How far importances move from one evaluation to another, and how far noise alone would move them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_importance.statistics.arrays import Floats, Singles
from keras_importance.statistics.distances import jensen_shannon, spearman, top_k_overlap
from keras_importance.statistics.quantiles import tail_quantile

if TYPE_CHECKING:
    from keras_importance.results.result import ImportanceResult

AGREEMENTS = ("spearman", "top_k_overlap")
"""Measures that fall when importances move; all other measures rise."""

_LEVEL = 0.05
_STEADY_STEPS = 3
# So many values fit into the cache of a core.
_VALUES_AT_ONCE = 25_000
# The measures are sums of rounded numbers.
_ROUNDING = 1e-9

# Scores are computed in single precision, and so no change is known better.
_PRECISION = float(np.finfo(np.float32).eps)

Measure = Callable[[Floats, Floats], Floats]


class Drift(NamedTuple):
    """How far the importances of a method moved between two evaluations, by one measure.

    Attributes:
        epoch: epoch of the later evaluation.
        method: name of the method.
        measure: `"spearman"`, `"jensen_shannon"` or `"top_k_overlap"`; see `ImportanceHistory.drift`.
        value: the measure; NaN where it is undefined. `"spearman"` lies between -1 and 1,
            `"jensen_shannon"` between 0 and 1 bit, `"top_k_overlap"` is a fraction.
        floor: the value that noise alone would not pass in 19 of 20 cases; NaN where the errors aren't
            known.
    """

    epoch: int
    method: str
    measure: str
    value: float
    floor: float

    @property
    def is_drift(self) -> bool:
        """Whether `value` lies beyond `floor`: the importances moved further than noise moves them."""
        if self.measure in AGREEMENTS:
            return self.value < self.floor - _ROUNDING
        return self.value > self.floor + _ROUNDING


class Mover(NamedTuple):
    """A feature whose importance changed between two evaluations by more than noise.

    Attributes:
        epoch: epoch of the later evaluation.
        method: name of the method.
        feature: name of the feature.
        change: the later importance minus the earlier one, in the unit of the metric.
        std_error: standard error of the change, with the correlation of both errors taken into account.
        z: `change / std_error`.
        direction: `"riser"` or `"faller"`.
    """

    epoch: int
    method: str
    feature: str
    change: float
    std_error: float
    z: float
    direction: Literal["riser", "faller"]


@dataclass(frozen=True, eq=False)
class Transition:
    """Two results of a method on the same features, usually of successive evaluations.

    Only features that were scored exactly in both results are compared: the jump from an approximation
    to an exact score says nothing of the model.

    Attributes:
        earlier: the result of the earlier evaluation.
        later: the result of the later evaluation.
    """

    earlier: ImportanceResult
    later: ImportanceResult

    @property
    def _both(self) -> tuple[ImportanceResult, ImportanceResult]:
        return self.earlier, self.later

    @cached_property
    def is_compared(self) -> NDArray[np.bool_]:
        """`(n_features,)` which features are compared."""
        exact = np.ones(len(self.later.feature_names), bool)
        for result in self._both:
            exact &= result.is_exact & np.isfinite(result.importances_mean)
            if result.draws is not None:
                exact &= np.isfinite(result.draws[:, 0])
        return exact

    @cached_property
    def before(self) -> Floats:
        """`(n_compared,)` earlier importances of the features compared."""
        return self.earlier.importances_mean[self.is_compared]

    @cached_property
    def now(self) -> Floats:
        """`(n_compared,)` later importances of the features compared."""
        return self.later.importances_mean[self.is_compared]

    @cached_property
    def _draws(self) -> tuple[Singles, Singles] | None:
        """`(n_compared, n_draws)` joint draws of the errors of each evaluation; None without draws."""
        first, second = self.earlier.draws, self.later.draws
        if first is None or second is None or first.shape != second.shape:
            return None
        return first[self.is_compared], second[self.is_compared]

    def drifts(self) -> Iterator[Drift]:
        """The measures, each with its floor."""
        yield self._drift("spearman", self._rank_agreement)
        yield self.divergence
        yield self._drift("top_k_overlap", self._overlap)

    @cached_property
    def divergence(self) -> Drift:
        """The Jensen-Shannon divergence alone."""
        return self._drift("jensen_shannon", jensen_shannon)

    @cached_property
    def _margins(self) -> list[Floats]:
        """`(n_compared,)` half widths of the intervals of each result.

        The interval of an importance lies above 0 if the importance exceeds its half width.
        """
        return [(result.importances_mean - result.ci_low)[self.is_compared] for result in self._both]

    def _rank_agreement(self, before: Floats, now: Floats) -> Floats:
        """Spearman correlations over the features whose interval lies above 0 in either result."""
        # A comparison with NaN is false: features without an error are left out.
        is_above_0 = (before > self._margins[0]) | (now > self._margins[1])
        used = is_above_0.any(axis=tuple(range(is_above_0.ndim - 1)))
        return spearman(before[..., used], now[..., used], is_above_0[..., used])

    def _overlap(self, before: Floats, now: Floats) -> Floats:
        return top_k_overlap(before, now, max(1, min(10, before.shape[-1] // 3)))

    def _drift(self, name: str, measure: Measure) -> Drift:
        epoch = self.later.epoch
        value = floor = math.nan
        if len(self.now):
            value, floor = float(measure(self.before, self.now)), self._floor(name, measure)
        return Drift(-1 if epoch is None else epoch, self.later.method, name, value, floor)

    @cached_property
    def _pairs(self) -> tuple[Floats, Floats] | None:
        """`(n_draws, n_compared)` each: random earlier and later importances if nothing had changed.

        The change is replaced by noise. The part of both evaluations that is independent of the change
        is kept:

            kept = now - fraction · change,       fraction = Cov(now, change) / Var(change)

            before* = kept - (1 - fraction) · noise,        now* = kept + fraction · noise

        If the true importances are equal, whatever their values, `before*` and `now*` have the
        distribution of the two evaluations given `kept`. So noise is not added to noise. On nested rows
        the larger evaluation is kept whole.

        For each feature, `noise` is the larger of two:

        - the noise of the change, which is 0 where the same rows are scored with the same weights,
        - the noise of the less exact evaluation, below which the rows can't tell importances apart.

        With the first alone every change of the weights would be a drift, however small, because the
        noise of a change shrinks with the change.
        """
        if self._draws is None:
            return None
        first, second = self._draws
        change = second - first
        least_exact = first if _variance(first).sum() > _variance(second).sum() else second
        variance = _variance(change)
        is_larger = variance > _variance(least_exact)
        noise = np.where(is_larger[:, None], change, least_exact)
        fraction = np.divide(
            _covariance(second, change), variance, out=np.ones_like(variance), where=variance > 0
        )
        fraction = np.clip(fraction, 0.0, 1.0)
        kept = self.now - fraction * (self.now - self.before)
        # Contiguous, as all that follows runs along the features.
        noises = np.ascontiguousarray(noise.T)
        return kept - (1 - fraction) * noises, kept + fraction * noises

    def _floor(self, name: str, measure: Measure) -> float:
        """The quantile of the measure that noise passes in one of twenty cases; NaN without draws."""
        if self._pairs is None:
            return math.nan
        before, now = self._pairs
        size = max(1, _VALUES_AT_ONCE // now.shape[1])
        blocks = (slice(start, start + size) for start in range(0, len(now), size))
        values = np.concatenate([measure(before[block], now[block]) for block in blocks])
        known = values[np.isfinite(values)]
        if not len(known):
            return math.nan
        # Rounded outwards to a draw: with finitely many draws, noise doesn't pass the floor too often.
        if name in AGREEMENTS:
            return float(np.quantile(known, _LEVEL, method="lower"))
        return float(np.quantile(known, 1 - _LEVEL, method="higher"))

    def movers(self, alpha: float = 0.05, min_share: float = 0.01) -> Iterator[Mover]:
        """The features that moved, in the order of `feature_names`; see `ImportanceHistory.movers`."""
        if self._draws is None or self.later.epoch is None or not len(self.now):
            return
        first, second = self._draws
        change = self.now - self.before
        error = np.sqrt(_variance(second - first))
        error = np.maximum(error, _PRECISION * np.maximum(np.abs(self.before), np.abs(self.now)))
        z = np.divide(change, error, out=np.zeros_like(change), where=error > 0)
        explained = self.later.explained
        min_change = 0.0 if explained is None else min_share * max(explained.loss, 0.0)
        limit = tail_quantile(alpha / 2 / len(change), first.shape[1])
        indices = np.flatnonzero(self.is_compared)
        for i in np.flatnonzero((np.abs(z) > limit) & (np.abs(change) >= min_change)):
            yield Mover(
                self.later.epoch,
                self.later.method,
                self.later.feature_names[indices[i]],
                float(change[i]),
                float(error[i]),
                float(z[i]),
                "riser" if change[i] > 0 else "faller",
            )

    @property
    def is_most_compared(self) -> bool:
        """Whether the features compared have at least half of all positive importance."""
        mean = np.maximum(np.nan_to_num(self.later.importances_mean), 0.0)
        return bool(mean[self.is_compared].sum() >= mean.sum() / 2)


def _covariance(first: Singles, second: Singles) -> Floats:
    """`(n_features,)` covariance of the draws of each feature, which have mean 0."""
    return np.asarray(np.einsum("fd,fd->f", first, second) / first.shape[1], np.float64)


def _variance(draws: Singles) -> Floats:
    return _covariance(draws, draws)


def transitions(results: Sequence[ImportanceResult]) -> Iterator[Transition]:
    """The pairs of successive results of one method that are about the same features."""
    for earlier, later in pairwise(results):
        if earlier.feature_names == later.feature_names and later.epoch is not None:
            yield Transition(earlier, later)


@dataclass(frozen=True, eq=False)
class Stability:
    """How long the importances of a method have been stable.

    Stable means: no evaluation drifts from the evaluation before it, nor from the first stable one.
    Without the second condition, small steps in one direction would pass unseen.

    Attributes:
        first: the first stable evaluation.
        newest: the newest evaluation.
        n_steps: how many steps lead from `first` to `newest`.
    """

    first: ImportanceResult
    newest: ImportanceResult
    n_steps: int = 0

    @property
    def since(self) -> int | None:
        """The epoch from which on the importances are stable; None for fewer than three steps."""
        return self.first.epoch if self.n_steps >= _STEADY_STEPS else None

    def then(self, step: Transition) -> Stability:
        """The stability after one more evaluation.

        Args:
            step: from `newest` to the evaluation that follows.
        """
        is_stable = _is_stable(step) and (
            self.first is self.newest or _is_stable(Transition(self.first, step.later))
        )
        if not is_stable:
            return Stability(step.later, step.later)
        return Stability(self.first, step.later, self.n_steps + 1)

    @classmethod
    def of(cls, results: Sequence[ImportanceResult], known: Stability | None = None) -> Stability:
        """The stability after all results of a method.

        Args:
            results: the results, at least one.
            known: the stability after some of the first results, to go on from.
        """
        seen = [i for i, result in enumerate(results) if known is not None and result is known.newest]
        stability = known if known is not None and seen else cls(results[0], results[0])
        for later in results[seen[0] + 1 if seen else 1 :]:
            stability = stability.then(Transition(stability.newest, later))
        return stability


def _is_stable(step: Transition) -> bool:
    """Whether the divergence of the two results lies within its floor; False without a floor."""
    if step.earlier.feature_names != step.later.feature_names:
        return False
    drift = step.divergence
    return step.is_most_compared and drift.value <= drift.floor + _ROUNDING
