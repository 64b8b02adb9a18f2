"""The one loop of all methods that replace a feature and see how much worse the model gets."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_importance.budget import Work, affordable, most_urgent
from keras_importance.data import ValidationData
from keras_importance.engine import Evaluator, FeatureScores, Replacement
from keras_importance.engine.linearised import MAX_OUTPUTS
from keras_importance.errors import InvalidArgumentError
from keras_importance.methods.base import ImportanceMethod, Interrupted, Scores, need_targets
from keras_importance.progress import progress_bar
from keras_importance.statistics import (
    Donors,
    donor_standard_error,
    repeats_standard_error,
    weighted_mean,
)

# Features scored both ways tell how far the screen is off; fewer say nothing.
_MIN_CALIBRATING = 5


class PerturbationMethod(ImportanceMethod):
    """Replaces one feature at a time with the help of donor rows, and scores what that costs.

        importance_j = mean_{i,k} [score(f(x_i with feature j replaced, donor k)), y_i)
                                   - score(f(x_i), y_i)]

    for a score of which a larger value is worse, with the sign turned for the others. A subclass says
    in `replacement` what takes the feature's place.

    Within a time budget an evaluation makes do with fewer repeats, then with fewer rows, then with some
    of the features: the others get the value of the model's first-order approximation, brought to the
    scale of those scored both ways, without an error.

    Args:
        n_repeats: donors per row. Five are enough: more rows narrow the intervals, more repeats
            hardly do.
        name: name in results and tags; None for the class's own.
    """

    def __init__(self, n_repeats: int = 5, *, name: str | None = None) -> None:
        super().__init__(name=name)
        whole = isinstance(n_repeats, (int, np.integer)) and not isinstance(n_repeats, bool)
        if not whole or n_repeats < 1:
            raise ValueError(
                f"{type(self).__name__} got n_repeats={n_repeats}. Pass a whole number, 1 or more."
            )
        self.n_repeats = int(n_repeats)

    @abstractmethod
    def replacement(self, data: ValidationData) -> Replacement:
        """What a row gets in place of a feature: what it keeps plus what its donor gives."""

    def scored(self, evaluator: Evaluator, *arguments: Any, **keywords: Any) -> Iterator[FeatureScores]:
        """Scores with each feature replaced; see `Evaluator.perturbed`."""
        return evaluator.perturbed(*arguments, **keywords)

    def check(self, evaluator: Evaluator) -> None:
        """Raises `InvalidArgumentError` without targets, or with no more rows than repeats."""
        need_targets(self, evaluator)
        evaluator.check_metric()
        n_rows = evaluator.data.n_rows
        if n_rows <= self.n_repeats:
            raise InvalidArgumentError(
                f"got {n_rows} validation rows for the {self.n_repeats} repeats of {self.name!r}, "
                f"which need {self.n_repeats + 1} rows at least. Pass more rows or a smaller n_repeats."
            )

    def compute(self, evaluator: Evaluator) -> Scores:
        """Scores the features, all of them with the same donors."""
        effort = evaluator.effort
        replacement = self.replacement(evaluator.data)
        started = evaluator.clock()
        work = self.affordable_work(evaluator, replacement, effort.seconds)
        table = _Table(evaluator, work)
        try:
            numbers = np.arange(len(evaluator.features))
            if work.n_features < len(numbers):
                table.screen(replacement)
                left = effort.seconds - (evaluator.clock() - started)
                n_features = self.affordable_work(evaluator, replacement, left).n_features
                numbers = most_urgent(table.screened, effort.previous, n_features)
            with progress_bar(len(numbers), self.name, shown=effort.verbose) as bar:
                for found in self.scored(
                    evaluator, replacement, table.donors, rows=table.rows, numbers=numbers
                ):
                    table.enter(found)
                    bar.update(len(found.numbers))
        except KeyboardInterrupt:
            raise Interrupted(table.scores("the evaluation was interrupted")) from None
        return table.scores("not scored yet: beyond the time budget so far")

    def affordable_work(self, evaluator: Evaluator, replacement: Replacement, seconds: float) -> Work:
        """How much of the work can be done in as many seconds."""
        full = Work(evaluator.data.n_rows, self.n_repeats, len(evaluator.features))
        if math.isinf(seconds):
            return full
        donors = Donors.draw(full.n_rows, full.n_repeats, evaluator.rng())
        per_score, rows_in_block = evaluator.rate(replacement, donors)
        return affordable(seconds / per_score, full, rows_in_block)


class _Table:
    """What is known of each feature so far in one evaluation.

    Attributes:
        rows: numbers of the rows that are scored; None for all.
        donors: the donors, as positions in the rows.
        screened: `(n_features,)` importances by the screen; NaN for none.
    """

    def __init__(self, evaluator: Evaluator, work: Work) -> None:
        n_features = len(evaluator.features)
        self._evaluator = evaluator
        self.rows = evaluator.some_rows(work.n_rows)
        self._n_rows = work.n_rows
        self._weights, self._blocks = evaluator.data.weights, evaluator.data.blocks
        if self.rows is not None:
            self._weights = None if self._weights is None else self._weights[self.rows]
            self._blocks = None if self._blocks is None else self._blocks[self.rows]
        self.donors = Donors.draw(work.n_rows, work.n_repeats, evaluator.rng())
        self.screened = np.full(n_features, math.nan)
        self._importances = np.full((n_features, work.n_repeats), math.nan)
        self._std_error = np.full(n_features, math.nan)
        self._by_screen = np.full((n_features, work.n_repeats), math.nan)
        self._is_exact = np.zeros(n_features, bool)
        self._baseline = math.nan
        self._of_rows = True

    def enter(self, found: FeatureScores) -> None:
        """Takes up the exact scores of some features."""
        numbers, worsening = found.numbers, self._evaluator.worsening(found.scores, found.baseline)
        self._of_rows = found.baseline.ndim == 1
        self._is_exact[numbers] = True
        if self._of_rows:
            errors = donor_standard_error(worsening, self.donors, self._weights, self._blocks)
            self._importances[numbers] = weighted_mean(worsening, self._weights)
            self._std_error[numbers] = errors
            self._baseline = float(weighted_mean(found.baseline, self._weights))
        else:
            self._importances[numbers] = worsening
            self._std_error[numbers] = repeats_standard_error(worsening)
            self._baseline = float(found.baseline)

    def screen(self, replacement: Replacement) -> None:
        """Scores all features that have a gradient under the model's first-order approximation."""
        if self._evaluator.n_outputs > MAX_OUTPUTS:
            return  # as many backward passes would cost more than they save
        for found in self._evaluator.linearly_perturbed(replacement, self.donors, rows=self.rows):
            worsening = self._evaluator.worsening(found.scores, found.baseline)
            if found.baseline.ndim == 1:
                worsening = weighted_mean(worsening, self._weights)
            self._by_screen[found.numbers] = worsening
        self.screened = self._by_screen.mean(axis=1)

    def scores(self, reason: str) -> Scores:
        """All that is known: exact scores, else the screen's, else those of before, else the reason."""
        importances = self._importances.copy()
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
            std_error=self._std_error,
            baseline_score=self._baseline,
            metric=self._evaluator.metric.name,
            error_source="rows" if self._of_rows else "repeats",
            notes={names[number]: reason for number in np.flatnonzero(is_unknown)},
            obtained=tuple(obtained),
            n_rows=self._n_rows,
        )

    def _scale(self) -> float:
        """What the screen must be multiplied with to fit the features that were scored both ways."""
        both = self._is_exact & np.isfinite(self.screened)
        if both.sum() < _MIN_CALIBRATING:
            return 1.0
        exact, screened = self._importances[both].mean(axis=1), self.screened[both]
        squares = float(screened @ screened)
        scale = float(exact @ screened) / squares if squares > 0 else 1.0
        return scale if scale > 0 else 1.0
