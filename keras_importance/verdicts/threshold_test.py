"""ThresholdTest: which importances are surely below or above a share of the explained loss."""

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
    """Confidence bounds of the contrast: the importance minus a share of the explained loss.

    With importance `I`, explained loss `R` and `k = min_share`, the contrast of a feature is

        c = I - k R
        var(c) = var(I) - 2 k cov(I, R) + k² var(R)

    `I` and `R` come from the same rows, so their errors are correlated. Therefore the bounds are those
    of the difference `c`. They are corrected for skewness; see `upper_bound`. All values are in units of
    the metric. "Surely" means: by a one-sided bound, with the confidence of `quantile`.

    Attributes:
        result: the importances of features, or of sets of features.
        min_share: `k`, the share of the explained loss that separates useful from useless.
        quantile: distance of a bound from its estimate in standard errors; a quantile of the standard
            normal or of Student's t distribution.
    """

    result: ImportanceResult | JointImportance
    min_share: float
    quantile: float

    @cached_property
    def is_known(self) -> Array:
        """`(n_features,)` True if `has_threshold` and the importance is exact with a standard error."""
        result = self.result
        if not self.has_threshold:
            return np.zeros(len(result.std_error), bool)
        return np.asarray(result.is_exact & np.isfinite(self._error))

    @property
    def has_threshold(self) -> bool:
        """True if the explained loss is surely above 0, so that a share of it is a threshold."""
        explained = self.result.explained
        return explained is not None and explained.loss > self.quantile * explained.std_error

    @property
    def why_unknown(self) -> str:
        """Why a feature can't be judged, if its `is_known` is False."""
        if self.result.explained is None:
            return _NO_ROWS
        return _NOT_SCORED if self.has_threshold else _NOTHING_EXPLAINED

    @property
    def threshold(self) -> float:
        """The importance below which a feature is useless, `k R`; NaN if `R` is unknown."""
        explained = self.result.explained
        return math.nan if explained is None else self.min_share * explained.loss

    @cached_property
    def upper(self) -> Floats:
        """`(n_features,)` upper bounds of the contrasts, in units of the metric."""
        return upper_bound(self._contrast, self._error, self._third, self.quantile)

    @cached_property
    def lower(self) -> Floats:
        """`(n_features,)` lower bounds of the contrasts, in units of the metric."""
        return -upper_bound(-self._contrast, self._error, -self._third, self.quantile)

    @cached_property
    def is_low(self) -> Array:
        """`(n_features,)` True if the importance is surely below the threshold."""
        return np.asarray(self.is_known & (self.upper < 0))

    @cached_property
    def is_high(self) -> Array:
        """`(n_features,)` True if the importance is surely above the threshold."""
        return np.asarray(self.is_known & (self.lower > 0))

    @cached_property
    def is_harmful(self) -> Array:
        """`(n_features,)` True if the importance is surely below 0."""
        result, explained = self.result, self.result.explained
        third = np.zeros(len(self.upper)) if explained is None else explained.third[:, 0]
        mean = result.importances_mean
        return np.asarray(upper_bound(mean, result.std_error, third, self.quantile) < 0)

    def kept_states(self, before: Verdicts | None) -> Array:
        """`(n_features,)` earlier states of features that can't be judged now; "undecided" for others.

        Without a threshold all features are undecided.

        Args:
            before: the verdicts before; None for none.
        """
        states = np.full(len(self.upper), "undecided", object)
        if before is not None and self.has_threshold:
            states[~self.is_known] = np.array(before.states, object)[~self.is_known]
        return states

    def streak(self, before: Verdicts | None) -> Integers:
        """`(n_features,)` number of evaluations in a row with an importance surely below the threshold.

        Features that can't be judged now keep their earlier number.

        Args:
            before: the verdicts before; None for none.
        """
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
        """`(n_features,)` third central moments of the contrasts.

        From the errors of `I` and `R`: `E c³ = E I³ - 3 k E I² R + 3 k² E I R² - k³ E R³`.
        """
        explained, k = self.result.explained, self.min_share
        if explained is None:
            return np.zeros(len(self.result.std_error))
        return np.asarray(explained.third @ np.array([1.0, -3 * k, 3 * k**2, -(k**3)]))


def quantile_for(level: float, result: ImportanceResult) -> float:
    """The distance of a one-sided bound from its estimate, in standard errors.

    Args:
        level: probability that the bound is wrong.
        result: a result with the same rows. The degrees of freedom are its number of independent rows,
            or of blocks of rows, minus 1.
    """
    n_units = result.n_samples if result.n_blocks is None else result.n_blocks
    return tail_quantile(level, n_units - 1)
