"""PartialScores: the scores of one evaluation, collected feature by feature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.scores.sample import FeatureScores, Replacement
from keras_importance.engine.scores.scoring import LINEARISED
from keras_importance.methods.affordable_work import Work
from keras_importance.methods.donor_tables import common_request, request_by_feature
from keras_importance.results.result import ImportanceResult
from keras_importance.results.scores import Explained, Scores
from keras_importance.statistics.arrays import Array, Floats, Integers, unit_weights, weighted_mean
from keras_importance.statistics.donors import Donors
from keras_importance.statistics.influence import (
    Influence,
    influence_standard_error,
    repeats_standard_error,
)

# Features scored both ways calibrate the screen. Fewer than this say nothing about its scale.
_MIN_CALIBRATING = 5


class PartialScores:
    """The scores of one evaluation so far, for each feature or set of features, in units of the metric.

    Args:
        evaluator: the model and the validation rows.
        replacement: the values that take a feature's place.
        work: how many rows and repeats are scored.
        n_features: how many features, or sets of features, there are.
        by_feature: whether each feature may have donors of its own; features that are replaced together
            may not.
        draws: whether draws of the errors are made, which drift needs.

    Attributes:
        request: which rows are scored, with which donors and replacement.
        screened: `(n_features,)` importances by the screen, the model's first-order approximation; NaN
            where there are none.
        importances: `(n_features, n_repeats)` exact importances; NaN where there are none.
        std_error: `(n_features,)` standard errors of the exact importances.
        degrees: `(n_features,)` degrees of freedom of the standard errors; None for the usual ones.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        replacement: Replacement,
        work: Work,
        n_features: int,
        *,
        by_feature: bool = False,
        draws: bool = True,
    ) -> None:
        self._evaluator = evaluator
        self._has_draws = draws
        self._replacement = replacement
        self._together = common_request(evaluator, replacement, work.n_rows, work.n_repeats)
        self.request = self._together
        if by_feature:
            self.request = request_by_feature(evaluator, replacement, work.n_rows, work.n_repeats)
        self._n_rows = work.n_rows
        self._weights = self._of_rows_used(evaluator.row_weights)
        self._blocks = self._of_rows_used(evaluator.data.blocks)
        self.screened = np.full(n_features, math.nan)
        self.importances = np.full((n_features, work.n_repeats), math.nan)
        self.std_error = np.full(n_features, math.nan)
        self._by_screen = np.full((n_features, work.n_repeats), math.nan)
        self._is_exact = np.zeros(n_features, bool)
        self._baseline = math.nan
        self._of_rows = True
        self._reference: _Reference | None = None
        self.degrees: Floats | None = None
        self._covariance = np.full(n_features, math.nan)
        self._third = np.full((n_features, 4), math.nan)
        self._draws: NDArray[np.float32] | None = None

    def enter(self, scores: FeatureScores, donors: Donors | None = None) -> None:
        """Adds the exact scores of some features, or sets.

        Args:
            scores: the scores.
            donors: their donors; None for those of the request.
        """
        donors = donors or self.request.donors.of(scores.indices)
        indices, baseline = scores.indices, scores.baseline
        worsening = self._evaluator.worsening(scores.scores, baseline)
        self._of_rows = baseline.ndim == 1
        self._is_exact[indices] = True
        if self._of_rows:
            self.importances[indices] = weighted_mean(worsening, self._weights)
            self._baseline = float(weighted_mean(baseline, self._weights))
            self._enter_errors(indices, worsening, baseline, donors)
        else:
            self.importances[indices] = worsening
            self.std_error[indices] = repeats_standard_error(worsening)
            self._baseline = float(baseline)

    def _enter_errors(
        self, indices: Integers, worsening: Array, baseline: Array, donors: Donors
    ) -> None:
        influence = self._influence(worsening, donors)
        self.std_error[indices] = influence.standard_error()
        if self.degrees is None:
            self.degrees = np.full(len(self.std_error), math.nan)
        self.degrees[indices] = influence.degrees_of_freedom()
        if self._reference is None:
            self._reference = self._compared_with(baseline)
        moments = influence.moments_with(self._reference.influence)
        self._covariance[indices], self._third[indices] = moments
        if not self._has_draws:
            return
        multipliers = self._of_rows_used(self._evaluator.multipliers)
        if self._draws is None:
            shape = (len(self.std_error), multipliers.shape[1])
            self._draws = np.full(shape, math.nan, np.float32)
        self._draws[indices] = influence.draws(multipliers)

    def _influence(self, worsening: Array, donors: Donors) -> Influence:
        has_donors = self.request.replacement.has_donors
        return Influence.of(worsening, donors if has_donors else None, self._weights, self._blocks)

    def _compared_with(self, baseline: Array) -> _Reference:
        """How much worse the rows are scored by a prediction that ignores all features.

        That is the best constant prediction or, for a metric without one, the prediction with all
        features replaced by those of a donor.
        """
        constant = self._of_rows_used(self._evaluator.constant_scores)
        if constant is None:
            everything = [np.arange(len(self._evaluator.features))]
            shuffled = self._evaluator.scores_of_sets(self._together, everything)
            lost = self._evaluator.worsening(shuffled.scores, shuffled.baseline)[0]
            influence = self._influence(lost, self._together.donors)
            mean = float(weighted_mean(lost, self._weights).mean())
            error = float(influence.standard_error())
            return _Reference(mean, error, "all features shuffled", influence.psi)
        lost = self._evaluator.worsening(constant, baseline)
        mean = float(weighted_mean(lost, self._weights))
        centred = lost - mean
        if self._weights is not None:
            centred = centred * unit_weights(self._weights, len(self._weights))
        error = float(influence_standard_error(centred, self._blocks))
        return _Reference(mean, error, "constant", centred)

    def _of_rows_used(self, values: Any) -> Any:
        """The values of the rows that are scored; None for None."""
        rows = self.request.rows
        return values if values is None or rows is None else values[rows]

    def screen(self, scale: float, n_rows: int) -> None:
        """Screens all features: scores them under the model's first-order approximation.

        Features without a gradient stay NaN.

        Args:
            scale: factor for the screened importances; see `PerturbationMethod.screen_scale`.
            n_rows: how many rows to screen with, at most.
        """
        evaluator, request = self._evaluator, self.request
        if n_rows < self._n_rows:
            # A second donor narrows the error less than a second row.
            request = common_request(evaluator, self._replacement, n_rows, n_repeats=1)
        weights = evaluator.row_weights
        if weights is not None and request.rows is not None:
            weights = weights[request.rows]
        for scores in evaluator.scores(request, LINEARISED):
            screened, baseline = scores.scores, scores.baseline
            if baseline.ndim == 1:  # means first: there are many more scores than means
                screened, baseline = (weighted_mean(part, weights) for part in (screened, baseline))
            worsening = evaluator.worsening(screened, baseline)
            self._by_screen[scores.indices] = scale * worsening
        self._by_screen[self._without_gradient] = math.nan
        self.screened = self._by_screen.mean(axis=1)

    @property
    def _without_gradient(self) -> list[int]:
        """Indices of the features with columns of codes, where a gradient of 0 says nothing."""
        codes = self._evaluator.data.codes
        if not codes:
            return []
        features = self._evaluator.features.features
        return [index for index, feature in enumerate(features) if not codes.isdisjoint(feature.columns)]

    def scores(self, reason: str, previous: ImportanceResult | None = None) -> Scores:
        """The scores of all features, each from the best source that there is.

        Exact importances come first, then screened ones, then those of the previous result. Features
        without any of them get NaN and a note.

        Args:
            reason: the note.
            previous: the method's newest result; None for none.
        """
        importances = self.importances.copy()
        obtained = np.where(self._is_exact, "exact", "screened").astype(object)
        is_open = ~self._is_exact
        importances[is_open] = (self._scale() * self._by_screen)[is_open]
        is_unknown = is_open & np.isnan(importances).any(axis=1)
        if previous is not None:
            importances[is_unknown] = previous.importances_mean[is_unknown, None]
            obtained[is_unknown] = "carried"
            is_unknown &= np.isnan(importances).any(axis=1)
        names = self._evaluator.features.names
        notes = {names[index]: reason for index in np.flatnonzero(is_unknown)}
        is_finite = not self._is_exact.any() or math.isfinite(self._baseline)
        if not is_finite:
            notes = dict.fromkeys(names, self._evaluator.metrics.why_not_finite())
        return Scores(
            importances=importances,
            std_error=self.std_error,
            baseline_score=self._baseline,
            metric=self._evaluator.metric.name,
            error_source="rows" if self._of_rows else "repeats",
            notes=notes,
            obtained=tuple(obtained),
            n_samples=self._n_rows,
            degrees=self.degrees,
            explained=self.explained,
            draws=self._draws,
            is_finite=is_finite,
        )

    @property
    def explained(self) -> Explained | None:
        """How much loss the model explains, and the moments of its error with the importances' errors.

        None if the metric is no mean over rows.
        """
        reference = self._reference
        if reference is None:
            return None
        return Explained(
            reference.mean, reference.std_error, reference.name, self._covariance, self._third
        )

    def _scale(self) -> float:
        """Least-squares factor from screened to exact importances, over the features scored both ways.

        1 with fewer than 5 such features, or if the factor is not positive.
        """
        both = self._is_exact & np.isfinite(self.screened)
        if both.sum() < _MIN_CALIBRATING:
            return 1.0
        exact, screened = self.importances[both].mean(axis=1), self.screened[both]
        squares = float(screened @ screened)
        scale = float(exact @ screened) / squares if squares > 0 else 1.0
        return scale if scale > 0 else 1.0


@dataclass(frozen=True, eq=False)
class _Reference:
    """How much worse the rows are scored by a prediction that ignores all features.

    Attributes:
        mean: worsening of the score, averaged over the rows, in units of the metric.
        std_error: standard error of the mean.
        name: the prediction that ignores all features: `"constant"` or `"all features shuffled"`.
        influence: `(n_rows,)` influence of each row on the mean, centred and weighted.
    """

    mean: float
    std_error: float
    name: str
    influence: Array
