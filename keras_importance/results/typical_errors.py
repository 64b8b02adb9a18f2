"""The typical standard error of each feature over many results, as sums that a new result adds to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_importance.results.result import ImportanceResult
from keras_importance.statistics.arrays import Floats, Integers


@dataclass(frozen=True, eq=False)
class TypicalErrors:
    """Sums of the logarithms of the standard errors of each feature.

    Attributes:
        logs: `(n_features,)` sum of the logarithms of the errors that are known.
        n_known: `(n_features,)` how many are.
    """

    logs: Floats
    n_known: Integers

    @classmethod
    def of(cls, results: Sequence[ImportanceResult]) -> TypicalErrors:
        """The errors of all results that have as many features as the last."""
        n_features = len(results[-1].feature_names) if results else 0
        return cls(np.zeros(n_features), np.zeros(n_features, np.int64)).then(results)

    def then(self, results: Sequence[ImportanceResult]) -> TypicalErrors:
        """The errors with more results; those of another number of features don't count."""
        logs, n_known = self.logs, self.n_known
        for error in (result.std_error for result in results):
            if len(error) == len(logs):
                is_known = np.isfinite(error) & (error > 0)
                logs = logs + np.log(np.where(is_known, error, 1.0))
                n_known = n_known + is_known
        return TypicalErrors(logs, n_known)

    @property
    def log_size(self) -> Floats:
        """`(n_features,)` logarithm of the geometric mean of the known errors; -inf where none is."""
        return np.where(self.n_known > 0, self.logs / np.maximum(self.n_known, 1), -math.inf)
