"""What is known of each feature so far in one evaluation: scores, errors, and what they compare with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.scores.linearised import MAX_OUTPUTS
from keras_importance.engine.scores.sample import FeatureScores, Replacement
from keras_importance.methods.affordable_work import Work
from keras_importance.results.scores import Explained, Scores
from keras_importance.statistics.arrays import Array, Floats, Integers, weighted_mean
from keras_importance.statistics.donors import Donors
from keras_importance.statistics.influence import (
    Influence,
    influence_standard_error,
    repeats_standard_error,
)

# Features scored both ways tell how far the screen is off; fewer say nothing.
_MIN_CALIBRATING = 5


class PartialScores:
    """What is known of each feature, or set of features, so far in one evaluation.

    Attributes:
        rows: numbers of the rows that are scored; None for all.
        donors: the donors, as positions in the rows.
        screened: `(n_features,)` importances by the screen; NaN for none.
        importances: `(n_features, n_repeats)` exact importances; NaN for none.
        std_error: `(n_features,)` their standard errors.
        degrees: `(n_features,)` their degrees of freedom; None for the usual ones.
    """

    def __init__(
        self, evaluator: Evaluator, replacement: Replacement, work: Work, n_features: int
    ) -> None:
        self._evaluator = evaluator
        self._replacement = replacement
        self.rows = evaluator.some_rows(work.n_rows)
        self._n_rows = work.n_rows
        self._weights, self._blocks = (self._of_rows_used(one) for one in _rows_of(evaluator))
        self.donors = Donors.draw(work.n_rows, work.n_repeats, evaluator.rng())
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

    def enter(self, found: FeatureScores) -> None:
        """Takes up the exact scores of some features."""
        numbers, worsening = found.numbers, self._evaluator.worsening(found.scores, found.baseline)
        self._of_rows = found.baseline.ndim == 1
        self._is_exact[numbers] = True
        if self._of_rows:
            self.importances[numbers] = weighted_mean(worsening, self._weights)
            self._baseline = float(weighted_mean(found.baseline, self._weights))
            self._enter_errors(numbers, worsening, found.baseline)
        else:
            self.importances[numbers] = worsening
            self.std_error[numbers] = repeats_standard_error(worsening)
            self._baseline = float(found.baseline)

    def _enter_errors(self, numbers: Integers, worsening: Array, baseline: Array) -> None:
        influence = self._influence(worsening)
        self.std_error[numbers] = influence.standard_error()
        if self.degrees is None:
            self.degrees = np.full(len(self.std_error), math.nan)
        self.degrees[numbers] = influence.degrees_of_freedom()
        if self._reference is None:
            self._reference = self._compared_with(baseline)
        moments = influence.moments_with(self._reference.influence)
        self._covariance[numbers], self._third[numbers] = moments
        multipliers = self._of_rows_used(self._evaluator.multipliers)
        if self._draws is None:
            shape = (len(self.std_error), multipliers.shape[1])
            self._draws = np.full(shape, math.nan, np.float32)
        self._draws[numbers] = influence.draws(multipliers)

    def _influence(self, worsening: Array) -> Influence:
        donors = self.donors if self._replacement.has_donors else None
        return Influence.of(worsening, donors, self._weights, self._blocks)

    def _compared_with(self, baseline: Array) -> _Reference:
        """What the rows lose by the best constant prediction, or with all features shuffled."""
        constant = self._of_rows_used(self._evaluator.constant_scores)
        if constant is None:
            everything = [np.arange(len(self._evaluator.features))]
            found = self._evaluator.jointly_perturbed(
                self._replacement, self.donors, everything, rows=self.rows
            )
            lost = self._evaluator.worsening(found.scores, found.baseline)[0]
            influence = self._influence(lost)
            mean = float(weighted_mean(lost, self._weights).mean())
            error = float(influence.standard_error())
            return _Reference(mean, error, "all features shuffled", influence.psi)
        lost = self._evaluator.worsening(constant, baseline)
        mean = float(weighted_mean(lost, self._weights))
        centred = lost - mean
        if self._weights is not None:
            centred = centred * (self._weights / np.mean(self._weights))
        error = float(influence_standard_error(centred, self._blocks))
        return _Reference(mean, error, "constant", centred)

    def _of_rows_used(self, values: Any) -> Any:
        return values if values is None or self.rows is None else values[self.rows]

    def screen(self, scale: float) -> None:
        """Scores all features that have a gradient under the model's first-order approximation.

        Args:
            scale: what its importances are multiplied with, until features are scored both ways.
        """
        if self._evaluator.n_outputs > MAX_OUTPUTS:
            return  # as many backward passes would cost more than they save
        for found in self._evaluator.linearly_perturbed(self._replacement, self.donors, rows=self.rows):
            worsening = self._evaluator.worsening(found.scores, found.baseline)
            if found.baseline.ndim == 1:
                worsening = weighted_mean(worsening, self._weights)
            self._by_screen[found.numbers] = scale * worsening
        self.screened = self._by_screen.mean(axis=1)

    def scores(self, reason: str) -> Scores:
        """All that is known: exact scores, else the screen's, else those of before, else the reason."""
        importances = self.importances.copy()
        obtained = np.where(self._is_exact, "exact", "screened").astype(object)
        is_open = ~self._is_exact
        importances[is_open] = (self._scale() * self._by_screen)[is_open]
        previous = self._evaluator.effort.previous
        is_unknown = is_open & np.isnan(importances).any(axis=1)
        if previous is not None:
            importances[is_unknown] = previous.importances_mean[is_unknown, None]
            obtained[is_unknown] = "carried"
            is_unknown &= np.isnan(importances).any(axis=1)
        names = self._evaluator.features.names
        return Scores(
            importances=importances,
            std_error=self.std_error,
            baseline_score=self._baseline,
            metric=self._evaluator.metric.name,
            error_source="rows" if self._of_rows else "repeats",
            notes={names[number]: reason for number in np.flatnonzero(is_unknown)},
            obtained=tuple(obtained),
            n_samples=self._n_rows,
            degrees=self.degrees,
            explained=self.explained,
            draws=self._draws,
        )

    @property
    def explained(self) -> Explained | None:
        """What the model explains, and how the importances move with it."""
        reference = self._reference
        if reference is None:
            return None
        return Explained(
            reference.mean, reference.std_error, reference.name, self._covariance, self._third
        )

    def _scale(self) -> float:
        """What the screen must be multiplied with to fit the features that were scored both ways."""
        both = self._is_exact & np.isfinite(self.screened)
        if both.sum() < _MIN_CALIBRATING:
            return 1.0
        exact, screened = self.importances[both].mean(axis=1), self.screened[both]
        squares = float(screened @ screened)
        scale = float(exact @ screened) / squares if squares > 0 else 1.0
        return scale if scale > 0 else 1.0


@dataclass(frozen=True, eq=False)
class _Reference:
    """What the rows lose by a prediction that ignores all features.

    Attributes:
        mean: the loss, averaged over the rows.
        std_error: its standard error.
        name: what stands for such a prediction.
        influence: `(n_rows,)` what each row adds to the mean, centred and weighted.
    """

    mean: float
    std_error: float
    name: str
    influence: Array


def _rows_of(evaluator: Evaluator) -> tuple[Floats | None, Integers | None]:
    return evaluator.data.weights, evaluator.data.blocks
