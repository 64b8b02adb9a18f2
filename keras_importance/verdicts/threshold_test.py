"""Evidence: how surely each importance lies below or above a share of what the model explains."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from keras_importance.results.joint_importance import JointImportance
from keras_importance.results.result import ImportanceResult
from keras_importance.results.verdict import Verdicts
from keras_importance.statistics.arrays import Array, Floats, Integers
from keras_importance.statistics.quantiles import tail_quantile, upper_bound

_NOTHING_EXPLAINED = "the model does not surely explain more than a constant does"
_NOT_SCORED = "not scored exactly in this evaluation"
_NO_ROWS = "verdicts need a metric that is a mean over rows"


@dataclass(frozen=True, eq=False)
class ThresholdTest:
    """How the importances of a result lie to the threshold.

    The contrast `importance - min_share · explained` is judged as one number: both come from the same
    rows, and their errors move together.
    """

    result: ImportanceResult | JointImportance
    min_share: float
    quantile: float

    @cached_property
    def is_known(self) -> Array:
        """Whether there is an exact number with an error, and a threshold to hold it to."""
        result = self.result
        if not self.has_threshold:
            return np.zeros(len(result.std_error), bool)
        return np.asarray(result.is_exact & np.isfinite(self._error))

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
            return np.full(len(self.result.std_error), math.nan)
        variance = self.result.std_error**2 - 2 * k * explained.covariance
        return np.asarray(np.sqrt(np.maximum(variance + (k * explained.std_error) ** 2, 0.0)))

    @cached_property
    def _third(self) -> Floats:
        explained, k = self.result.explained, self.min_share
        if explained is None:
            return np.zeros(len(self.result.std_error))
        return np.asarray(explained.third @ np.array([1.0, -3 * k, 3 * k**2, -(k**3)]))


def quantile_for(level: float, result: ImportanceResult) -> float:
    """How many standard errors a one-sided bound of a level is away, for as many rows."""
    n_units = result.n_samples if result.n_blocks is None else result.n_blocks
    return tail_quantile(level, n_units - 1)
