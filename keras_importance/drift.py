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

from keras_importance.statistics import (
    Floats,
    jensen_shannon,
    spearman,
    tail_quantile,
    top_k_overlap,
)

if TYPE_CHECKING:
    from keras_importance.result import ImportanceResult

AGREEMENTS = ("spearman", "top_k_overlap")
"""Measures that fall where the importances move; the others rise."""

_LEVEL = 0.05
_STEADY_STEPS = 3
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
        value: the measure; NaN where it is undefined.
        floor: how far noise alone would move it, in 19 of 20 cases; NaN where the errors aren't known.
    """

    epoch: int
    method: str
    measure: str
    value: float
    floor: float

    @property
    def is_drift(self) -> bool:
        """Whether the importances moved further than noise would move them."""
        if self.measure in AGREEMENTS:
            return self.value < self.floor - _ROUNDING
        return self.value > self.floor + _ROUNDING


class Mover(NamedTuple):
    """A feature whose importance changed between two evaluations by more than noise.

    Attributes:
        epoch: epoch of the later evaluation.
        method: name of the method.
        feature: name of the feature.
        change: of its importance.
        std_error: of the change, both evaluations seen together.
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
class Step:
    """Two results of a method on the same features, the later beside the earlier one.

    Features that weren't scored exactly in both take no part: the jump from an approximation to an
    exact score says nothing of the model.
    """

    earlier: ImportanceResult
    later: ImportanceResult

    @cached_property
    def is_compared(self) -> NDArray[np.bool_]:
        """`(n_features,)` which features take part."""
        exact = np.ones(len(self.later.feature_names), bool)
        for one in (self.earlier, self.later):
            exact &= np.array(one.obtained) == "exact"
            exact &= np.isfinite(one.importances_mean)
            if one.draws is not None:
                exact &= np.isfinite(one.draws[:, 0])
        return exact

    @cached_property
    def before(self) -> Floats:
        """Earlier importances of the features compared."""
        return self.earlier.importances_mean[self.is_compared]

    @cached_property
    def now(self) -> Floats:
        """Later importances of the features compared."""
        return self.later.importances_mean[self.is_compared]

    @cached_property
    def _draws(self) -> tuple[Floats, Floats] | None:
        """`(n_draws, n_compared)` errors of both evaluations, drawn together."""
        first, second = self.earlier.draws, self.later.draws
        if first is None or second is None or first.shape != second.shape:
            return None
        return _along_features(first[self.is_compared]), _along_features(second[self.is_compared])

    def drifts(self) -> Iterator[Drift]:
        """The measures, each with its floor."""
        mean = self.later.importances_mean
        matter = ((self.earlier.ci_low > 0) | (self.later.ci_low > 0))[self.is_compared]
        k = max(1, min(10, len(mean[self.is_compared]) // 3))
        measures: dict[str, Measure] = {
            "spearman": lambda one, other: spearman(one[matter], other[..., matter]),
            "jensen_shannon": jensen_shannon,
            "top_k_overlap": lambda one, other: top_k_overlap(one, other, k),
        }
        for name, measure in measures.items():
            yield self._drift(name, measure)

    def divergence(self) -> Drift:
        """The Jensen-Shannon divergence alone."""
        return self._drift("jensen_shannon", jensen_shannon)

    def _drift(self, name: str, measure: Measure) -> Drift:
        epoch = self.later.epoch
        value = floor = math.nan
        if len(self.now):
            value, floor = float(measure(self.before, self.now)), self._floor(name, measure)
        return Drift(-1 if epoch is None else epoch, self.later.method, name, value, floor)

    @cached_property
    def _noise(self) -> tuple[Floats, Floats] | None:
        """What to compare if nothing had changed: importances, and draws of them with noise.

        Of two noises the larger one, feature by feature: that of the change, `later - earlier`, which is
        none where the same rows are scored with the same weights; and that of the less exact
        evaluation, below which the rows can't tell the importances apart. The first alone would call
        every change of the weights a drift, however small: its own noise shrinks with it. The noise is
        put round the more exact evaluation. Of two on nested rows it is the one that the change doesn't
        depend on.
        """
        if self._draws is None:
            return None
        first, second = self._draws
        is_first_better = np.vdot(first, first) <= np.vdot(second, second)
        centre, single = (self.before, second) if is_first_better else (self.now, first)
        of_change = second - first
        is_larger = _variance(of_change) > _variance(single)
        return centre, centre + np.where(is_larger, of_change, single)

    def _floor(self, name: str, measure: Measure) -> float:
        """The quantile of the measure that noise exceeds one time in twenty."""
        if self._noise is None:
            return math.nan
        found = measure(*self._noise)
        known = found[np.isfinite(found)]
        if not len(known):
            return math.nan
        # The draw beyond the level: of finitely many, it is never passed too often.
        if name in AGREEMENTS:
            return float(np.quantile(known, _LEVEL, method="lower"))
        return float(np.quantile(known, 1 - _LEVEL, method="higher"))

    def movers(self, alpha: float, min_share: float) -> Iterator[Mover]:
        """The features that moved, in their order; see `ImportanceHistory.movers`."""
        if self._draws is None or self.later.epoch is None or not len(self.now):
            return
        first, second = self._draws
        change = self.now - self.before
        error = np.sqrt(_variance(second - first))
        error = np.maximum(error, _PRECISION * np.maximum(np.abs(self.before), np.abs(self.now)))
        z = np.divide(change, error, out=np.zeros_like(change), where=error > 0)
        explained = self.later.explained
        least = 0.0 if explained is None else min_share * max(explained.loss, 0.0)
        limit = tail_quantile(alpha / 2 / len(change), len(first))
        numbers = np.flatnonzero(self.is_compared)
        for i in np.flatnonzero((np.abs(z) > limit) & (np.abs(change) >= least)):
            yield Mover(
                self.later.epoch,
                self.later.method,
                self.later.feature_names[numbers[i]],
                float(change[i]),
                float(error[i]),
                float(z[i]),
                "riser" if change[i] > 0 else "faller",
            )

    @property
    def is_most_compared(self) -> bool:
        """Whether the features compared have most of the importance."""
        mean = np.maximum(np.nan_to_num(self.later.importances_mean), 0.0)
        return bool(mean[self.is_compared].sum() >= mean.sum() / 2)


def _along_features(draws: NDArray[np.float32]) -> Floats:
    return np.ascontiguousarray(draws.T, np.float64)


def _variance(draws: Floats) -> Floats:
    """Of each feature; the draws have mean 0."""
    return np.asarray(np.einsum("df,df->f", draws, draws) / len(draws))


def steps(results: Sequence[ImportanceResult]) -> Iterator[Step]:
    """Each result of one method beside the one before, where both are about the same features."""
    for earlier, later in pairwise(results):
        if earlier.feature_names == later.feature_names and later.epoch is not None:
            yield Step(earlier, later)


@dataclass(frozen=True, eq=False)
class Stability:
    """How long the importances of a method have been stable.

    No step drifts, and no evaluation drifts from the first one: small steps in one direction would
    else pass unseen.

    Attributes:
        first: the evaluation from which on they are stable.
        newest: the newest evaluation.
        n_steps: how many steps lie between them.
    """

    first: ImportanceResult
    newest: ImportanceResult
    n_steps: int = 0

    @property
    def since(self) -> int | None:
        """The epoch from which on they are stable; None for fewer than three steps."""
        return self.first.epoch if self.n_steps >= _STEADY_STEPS else None

    def then(self, later: ImportanceResult) -> Stability:
        """The same after one more evaluation."""
        is_stable = _is_stable(self.newest, later) and (
            self.first is self.newest or _is_stable(self.first, later)
        )
        return Stability(self.first, later, self.n_steps + 1) if is_stable else Stability(later, later)

    @classmethod
    def of(cls, results: Sequence[ImportanceResult], known: Stability | None = None) -> Stability:
        """After one result of a method or more, going on from what is known of the first ones."""
        places = [i for i, one in enumerate(results) if known is not None and one is known.newest]
        found = known if known is not None and places else cls(results[0], results[0])
        for later in results[places[0] + 1 if places else 1 :]:
            found = found.then(later)
        return found


def _is_stable(earlier: ImportanceResult, later: ImportanceResult) -> bool:
    """Whether the later result lies within the noise of the earlier one; not where nothing says so."""
    if earlier.feature_names != later.feature_names:
        return False
    step = Step(earlier, later)
    drift = step.divergence()
    return step.is_most_compared and drift.value <= drift.floor + _ROUNDING
