"""How much the metric worsens when several features are replaced together: JointImportance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_importance.results.intervals import half_width
from keras_importance.results.scores import Explained
from keras_importance.statistics.arrays import Floats, read_only


@dataclass(frozen=True, eq=False, kw_only=True)
class JointImportance:
    """The importances of sets of features, where the features of each set are replaced together.

    They are in the unit of the metric; larger means more useful, as in `ImportanceResult`.

    Attributes:
        sets: names of the features of each set.
        importances: `(n_sets, n_repeats)` importance of each set in each repeat.
        std_error: `(n_sets,)` standard error of `importances_mean`.
        degrees: `(n_sets,)` degrees of freedom of the standard errors; NaN for a normal distribution.
        explained: what the model explains, with moments for each set where `Explained` has them for
            each feature; None where the metric is no mean over rows.
    """

    sets: tuple[tuple[str, ...], ...]
    importances: Floats
    std_error: Floats
    degrees: Floats
    explained: Explained | None

    def __post_init__(self) -> None:
        for name in ("importances", "std_error", "degrees"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    @property
    def importances_mean(self) -> Floats:
        """`(n_sets,)` mean over the repeats: the importance."""
        return np.asarray(self.importances.mean(axis=1))

    @property
    def is_exact(self) -> NDArray[np.bool_]:
        """`(n_sets,)` whether the importance was computed exactly: always True."""
        return np.ones(len(self.sets), bool)

    @property
    def ci_low(self) -> Floats:
        """`(n_sets,)` lower bound of the 95% interval."""
        return self.importances_mean - half_width(self.std_error, self.degrees)
