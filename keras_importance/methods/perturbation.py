"""The one loop of all methods that replace a feature and see how much worse the model gets."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_importance.data import ValidationData
from keras_importance.engine import Evaluator, FeatureScores, Replacement
from keras_importance.errors import InvalidArgumentError
from keras_importance.methods.base import ImportanceMethod, Scores, need_targets
from keras_importance.statistics import (
    Donors,
    donor_standard_error,
    repeats_standard_error,
    weighted_mean,
)


class PerturbationMethod(ImportanceMethod):
    """Replaces one feature at a time with the help of donor rows, and scores what that costs.

        importance_j = mean_{i,k} [score(f(x_i with feature j replaced, donor k)), y_i)
                                   - score(f(x_i), y_i)]

    for a score of which a larger value is worse, with the sign turned for the others. A subclass says
    in `replacement` what takes the feature's place.

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
        """Scores every feature with the same donors, in every evaluation."""
        data = evaluator.data
        donors = Donors.draw(data.n_rows, self.n_repeats, evaluator.rng())
        importances = np.full((len(evaluator.features), self.n_repeats), math.nan)
        std_error = np.full(len(importances), math.nan)
        baseline = math.nan
        for found in self.scored(evaluator, self.replacement(data), donors):
            worsening = evaluator.worsening(found.scores, found.baseline)
            by_rows = found.baseline.ndim == 1
            if by_rows:
                importances[found.numbers] = weighted_mean(worsening, data.weights)
                std_error[found.numbers] = donor_standard_error(worsening, donors, data.weights, data.blocks)
                baseline = float(weighted_mean(found.baseline, data.weights))
            else:
                importances[found.numbers] = worsening
                std_error[found.numbers] = repeats_standard_error(worsening)
                baseline = float(found.baseline)
        return Scores(
            importances=importances,
            std_error=std_error,
            baseline_score=baseline,
            metric=evaluator.metric.name,
            error_source="rows" if by_rows else "repeats",
        )
