"""How much each feature matters, by one method in one evaluation: ImportanceResult."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from keras_importance.results.dataframe import as_dataframe
from keras_importance.results.intervals import half_width
from keras_importance.results.scores import Obtained, Scores, axes
from keras_importance.statistics.arrays import Floats, read_only

if TYPE_CHECKING:
    import pandas as pd


def _unsaid() -> Floats:
    return np.empty(0)


@dataclass(frozen=True, eq=False, kw_only=True)
class ImportanceResult(Scores):
    """How much each feature matters to a model, by one method, at one epoch.

    A larger importance always means a more useful feature, whichever way the metric points. The
    intervals are for one feature at a time, at 95%. By default all features were scored exactly, at
    this epoch, on all rows.

    It has all attributes of `Scores`; `std_error`, `obtained`, `degrees` and `n_samples` are never None
    here. Its own attributes are:

    Attributes:
        method: name of the method, such as `"permutation"`.
        epoch: 0-based epoch of the evaluation; None outside training.
        feature_names: names of the features, in the order of every array here.
        exact_epoch: `(n_features,)` epoch of the last exact score; NaN for none.
        n_rows: `(n_features,)` how many rows each importance comes from.
        n_blocks: how many independent blocks of rows the error comes from; None for independent rows.

    Raises:
        ValueError: for arrays that don't have one entry per feature, and unknown ways in `obtained`.
    """

    n_samples: int
    std_error: Floats = field(default_factory=_unsaid, metadata=axes("feature"))
    obtained: tuple[Obtained, ...] = ()
    degrees: Floats = field(default_factory=_unsaid, metadata=axes("feature"))
    method: str
    epoch: int | None
    feature_names: tuple[str, ...]
    exact_epoch: Floats = field(default_factory=_unsaid, metadata=axes("feature"))
    n_rows: Floats = field(default_factory=_unsaid, metadata=axes("feature"))
    n_blocks: int | None = None

    @classmethod
    def of(
        cls,
        scores: Scores,
        *,
        method: str,
        epoch: int | None,
        feature_names: tuple[str, ...],
        n_samples: int,
        n_blocks: int | None,
        previous: ImportanceResult | None,
    ) -> ImportanceResult:
        """The scores of one evaluation as a result.

        Args:
            scores: what the method computed.
            method: name of the method.
            epoch: epoch of the evaluation; None outside training.
            feature_names: names of the features, in the order of the scores.
            n_samples: how many rows were used, unless the scores say.
            n_blocks: how many independent blocks of rows there are; None for independent rows.
            previous: the result before, or None. It gives the epoch of the last exact score to features
                that were not scored exactly, and the number of rows to features carried over.
        """
        given = {part.name: getattr(scores, part.name) for part in fields(Scores)}
        given = {name: value for name, value in given.items() if value is not None}
        n_samples = given.setdefault("n_samples", n_samples)
        obtained = np.array(given.get("obtained") or ["exact"] * len(feature_names))
        n_rows, exact_epoch = np.full(len(obtained), n_samples), np.full(len(obtained), math.nan)
        if previous is not None:
            exact_epoch = np.array(previous.exact_epoch)
            is_carried = obtained == "carried"
            n_rows[is_carried] = previous.n_rows[is_carried]
        if epoch is not None:
            exact_epoch[obtained == "exact"] = epoch
        return cls(
            **given,
            method=method,
            epoch=epoch,
            feature_names=feature_names,
            exact_epoch=exact_epoch,
            n_rows=n_rows,
            n_blocks=n_blocks,
        )

    def __repr__(self) -> str:
        """The method, the number of features and the epoch: the arrays would fill a screen."""
        return (
            f"<ImportanceResult: {self.method} of {len(self.feature_names)} features, "
            f"epoch {self.epoch}>"
        )

    def __post_init__(self) -> None:
        self._set("baseline_score", float(self.baseline_score))
        self._set("notes", MappingProxyType(dict(self.notes)))
        self._set("feature_names", tuple(self.feature_names))
        self._set("obtained", tuple(self.obtained) or ("exact",) * len(self.feature_names))
        self._check_obtained()
        for part in fields(self):
            if "axes" in part.metadata and getattr(self, part.name) is not None:
                self._set(part.name, self._array(part.name, **part.metadata))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_obtained(self) -> None:
        n_features, ways = len(self.feature_names), get_args(Obtained)
        if len(self.obtained) != n_features or not set(self.obtained) <= set(ways):
            raise ValueError(
                f"{self.method!r} returned obtained={self.obtained} for {n_features} features. Return "
                f"one of {', '.join(ways)} per feature."
            )

    def _array(self, name: str, axes: tuple[str, ...], dtype: Any) -> NDArray[Any]:
        """A read-only copy of the array in a field; its default where none was given.

        Args:
            name: name of the field.
            axes: names of the axes that the array must have.
            dtype: type of the copy.

        Raises:
            ValueError: for a wrong number of axes, or of features along the axis `"feature"`.
        """
        given, n_features = getattr(self, name), len(self.feature_names)
        if name in _USUAL and not np.size(given):
            given = np.full(n_features, _USUAL[name](self), dtype)
        values = read_only(given, dtype)
        if values.ndim != len(axes) or values.shape[axes.index("feature")] != n_features:
            raise ValueError(
                f"{self.method!r} returned {name} of shape {values.shape} for {n_features} "
                "features. Return one row, or for by_step one column, per feature."
            )
        return values

    @property
    def n_repeats(self) -> int:
        """How many repeats the importances were averaged over."""
        return int(self.importances.shape[1])

    @property
    def usual_degrees(self) -> int:
        """Default degrees of freedom of the standard errors: repeats - 1, blocks - 2 or rows - 2."""
        if self.error_source == "repeats":
            return self.n_repeats - 1
        return (self.n_samples if self.n_blocks is None else self.n_blocks) - 2

    @property
    def is_exact(self) -> NDArray[np.bool_]:
        """`(n_features,)` whether the importance was computed exactly."""
        return np.asarray(np.array(self.obtained) == "exact")

    @property
    def importances_mean(self) -> Floats:
        """`(n_features,)` mean over the repeats: the importance."""
        return np.asarray(self.importances.mean(axis=1))

    @property
    def importances_std(self) -> Floats:
        """`(n_features,)` standard deviation over the repeats. It is not the standard error."""
        return np.asarray(self.importances.std(axis=1))

    @property
    def ci_low(self) -> Floats:
        """`(n_features,)` lower bound of the 95% interval."""
        return self.importances_mean - half_width(self.std_error, self.degrees)

    @property
    def ci_high(self) -> Floats:
        """`(n_features,)` upper bound of the 95% interval."""
        return self.importances_mean + half_width(self.std_error, self.degrees)

    @property
    def rank(self) -> Floats:
        """`(n_features,)` 1 for the most important feature; NaN for features without an importance."""
        mean = self.importances_mean
        rank = np.full(len(mean), math.nan)
        known = np.flatnonzero(np.isfinite(mean))
        rank[known[np.argsort(-mean[known], kind="stable")]] = np.arange(1, len(known) + 1)
        return rank

    def columns(self) -> dict[str, Any]:
        """The columns of a data frame by name, each with one value per feature or one for all."""
        return {name: value_of(self) for name, value_of in COLUMNS.items()}

    @property
    def why_unknown(self) -> str | None:
        """Why all importances are NaN, where the outputs or the scores are not finite; else None.

        Features that have no importance by their nature, such as gradients of texts, only have notes.
        """
        if not np.isnan(self.importances_mean).all():
            return None
        if not self.notes.keys() >= set(self.feature_names):
            return "the model's outputs or losses are not finite"
        return None if self.is_finite else next(iter(self.notes.values()))

    def to_dataframe(self) -> pd.DataFrame:
        """A tidy table: one row per feature, most important first.

        Raises:
            ImportError: without pandas.
        """
        return as_dataframe([self.columns()], tuple(COLUMNS))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "notes": dict(self.notes)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, notes=MappingProxyType(state["notes"]))


_USUAL: Mapping[str, Callable[[ImportanceResult], float]] = {
    "std_error": lambda _: math.nan,
    "degrees": attrgetter("usual_degrees"),
    "exact_epoch": lambda result: math.nan if result.epoch is None else result.epoch,
    "n_rows": attrgetter("n_samples"),
}


def _direction(result: ImportanceResult) -> Floats:
    unknown = np.full(len(result.feature_names), math.nan)
    return unknown if result.direction is None else result.direction


def _notes(result: ImportanceResult) -> list[str]:
    return [result.notes.get(name, "") for name in result.feature_names]


def _no_verdicts(result: ImportanceResult) -> tuple[str, ...]:
    return ("",) * len(result.feature_names)


COLUMNS: Mapping[str, Callable[[ImportanceResult], Any]] = {
    "epoch": attrgetter("epoch"),
    "method": attrgetter("method"),
    "feature": attrgetter("feature_names"),
    "importance": attrgetter("importances_mean"),
    "std_error": attrgetter("std_error"),
    "ci_low": attrgetter("ci_low"),
    "ci_high": attrgetter("ci_high"),
    "rank": attrgetter("rank"),
    "importance_std": attrgetter("importances_std"),
    "direction": _direction,
    "metric": attrgetter("metric"),
    "baseline_score": attrgetter("baseline_score"),
    "n_samples": attrgetter("n_samples"),
    "error_source": attrgetter("error_source"),
    "obtained": attrgetter("obtained"),
    "exact_epoch": attrgetter("exact_epoch"),
    "n_rows": attrgetter("n_rows"),
    "procedure": attrgetter("procedure"),
    "verdict": _no_verdicts,
    "note": _notes,
}
"""For each column of a data frame, in order, the function of a result that gives its values.

A history fills in the verdicts.
"""
