"""What an evaluation found of each feature: ImportanceResult."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from keras_importance.results.dataframe import as_dataframe
from keras_importance.statistics.arrays import Floats, read_only
from keras_importance.statistics.quantiles import tail_quantile

if TYPE_CHECKING:
    import pandas as pd

ErrorSource = Literal["rows", "repeats"]
Obtained = Literal["exact", "screened", "carried"]

_LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Explained:
    """What a model explains beyond the best constant prediction: the scale that importances are held to.

    Attributes:
        loss: mean over rows of the constant's score minus the model's, larger means explains more.
        std_error: its standard error.
        reference: what the model is compared with: `"constant"`, or `"all features shuffled"` where the
            metric has no score for a constant prediction.
        covariance: `(n_features,)` covariance of each importance with `loss`.
        third: `(n_features, 4)` third moments `E m³, E m² o, E m o², E o³` of the errors of the
            importance `m` and of the loss `o`.
    """

    loss: float
    std_error: float
    reference: str
    covariance: Floats
    third: Floats

    def __post_init__(self) -> None:
        for name in ("covariance", "third"):
            object.__setattr__(self, name, read_only(getattr(self, name)))


@dataclass(frozen=True, eq=False)
class ImportanceResult:
    """How much each feature matters to a model, by one method, at one epoch.

    A larger importance always means a more useful feature, whichever way the metric points. The
    intervals are for one feature at a time, at 95%.

    Attributes:
        method: name of the method, such as `"permutation"`.
        epoch: 0-based epoch of the evaluation; None outside training.
        feature_names: names of the features, in the order of every array here.
        importances: `(n_features, n_repeats)` importance of each feature in each repeat.
        std_error: `(n_features,)` standard error of `importances_mean`.
        baseline_score: the metric on the untouched rows; NaN where the method scores nothing.
        metric: name of the metric or the quantity that the method differentiates; its unit is the
            unit of the importances.
        n_samples: how many rows were used.
        direction: `(n_features,)` signed mean effect of a feature on the output; None where the
            method, or an output of several units, has no sign.
        by_step: `(n_steps, n_features)` importance at each time step, NaN for features without
            steps; None where there are no sequences.
        error_source: `"rows"` where the error is that of a new validation set of the same size;
            `"repeats"` where it covers the shuffling alone, for metrics that aren't a mean over rows.
        notes: why a feature has no number, by the feature's name.
        obtained: `(n_features,)` how each number was found: `"exact"`; `"screened"`, by the model's
            first-order approximation, where the time budget allowed no more; `"carried"` over from the
            last exact score, where there is no approximation either. Only exact numbers have an error.
        exact_epoch: `(n_features,)` epoch of the last exact score; NaN for none.
        n_rows: `(n_features,)` how many rows each number comes from.
        n_blocks: how many independent blocks of rows the error comes from; None where each row is one.
        degrees: `(n_features,)` degrees of freedom of the standard errors; NaN for normal ones.
        explained: what the model explains at all, which verdicts compare importances with; None where
            the metric is no mean over rows.
        draws: `(n_features, n_draws)` what the errors of the importances could have been, with the same
            random signs of the rows in each evaluation; None where nothing drew them.
        procedure: how features were left out, where there is more than one way: `"lock step"`,
            `"refit, columns masked"`, ...; else empty.
    """

    method: str
    epoch: int | None
    feature_names: tuple[str, ...]
    importances: Floats
    std_error: Floats
    baseline_score: float
    metric: str
    n_samples: int
    direction: Floats | None = None
    by_step: Floats | None = None
    error_source: ErrorSource = "rows"
    notes: Mapping[str, str] = field(default_factory=dict)
    obtained: tuple[Obtained, ...] = ()
    exact_epoch: Floats = field(default_factory=lambda: np.empty(0))
    n_rows: Floats = field(default_factory=lambda: np.empty(0))
    n_blocks: int | None = None
    degrees: Floats = field(default_factory=lambda: np.empty(0))
    explained: Explained | None = None
    draws: NDArray[np.float32] | None = None
    procedure: str = ""

    def __repr__(self) -> str:
        """What it is about, in one line: the arrays of many features fill a screen."""
        return (
            f"<ImportanceResult: {self.method} of {len(self.feature_names)} features, "
            f"epoch {self.epoch}>"
        )

    def __post_init__(self) -> None:
        n_features = len(self.feature_names)
        self._fill_in(n_features)
        shapes = {
            "importances": (n_features, *np.shape(self.importances)[1:]),
            "std_error": (n_features,),
            "direction": (n_features,),
            "exact_epoch": (n_features,),
            "n_rows": (n_features,),
            "degrees": (n_features,),
            "by_step": (0 if self.by_step is None else len(self.by_step), n_features),
            "draws": (n_features, *(() if self.draws is None else self.draws.shape[1:])),
        }
        for name, shape in shapes.items():
            given = getattr(self, name)
            if given is None:
                continue
            values = read_only(given, np.float32 if name == "draws" else np.float64)
            if values.shape != shape or (name in ("importances", "draws") and values.ndim != 2):
                raise ValueError(
                    f"{self.method!r} returned {name} of shape {values.shape} for {n_features} "
                    "features. Return one row, or for by_step one column, per feature."
                )
            object.__setattr__(self, name, values)
        object.__setattr__(self, "feature_names", tuple(self.feature_names))
        object.__setattr__(self, "notes", MappingProxyType(dict(self.notes)))

    def _fill_in(self, n_features: int) -> None:
        """What isn't said of the features is that all were scored exactly, now, on all rows."""
        if not self.obtained:
            object.__setattr__(self, "obtained", ("exact",) * n_features)
        if not np.size(self.exact_epoch):
            epoch = math.nan if self.epoch is None else self.epoch
            object.__setattr__(self, "exact_epoch", np.full(n_features, epoch))
        if not np.size(self.n_rows):
            object.__setattr__(self, "n_rows", np.full(n_features, self.n_samples))
        if not np.size(self.degrees):
            units = self.n_samples if self.n_blocks is None else self.n_blocks
            degrees = self.n_repeats - 1 if self.error_source == "repeats" else units - 2
            object.__setattr__(self, "degrees", np.full(n_features, degrees))
        object.__setattr__(self, "obtained", tuple(self.obtained))
        if len(self.obtained) != n_features or not set(self.obtained) <= set(get_args(Obtained)):
            raise ValueError(
                f"{self.method!r} returned obtained={self.obtained} for {n_features} features. Return "
                f"one of {', '.join(get_args(Obtained))} per feature."
            )

    @property
    def n_repeats(self) -> int:
        """How many repeats the importances were averaged over."""
        return int(self.importances.shape[1])

    @property
    def importances_mean(self) -> Floats:
        """`(n_features,)` mean over the repeats: the importance."""
        return np.asarray(self.importances.mean(axis=1))

    @property
    def importances_std(self) -> Floats:
        """`(n_features,)` standard deviation over the repeats; no standard error, see `std_error`."""
        return np.asarray(self.importances.std(axis=1))

    @property
    def ci_low(self) -> Floats:
        """`(n_features,)` lower bound of the 95% interval."""
        return self.importances_mean - self._half_width

    @property
    def ci_high(self) -> Floats:
        """`(n_features,)` upper bound of the 95% interval."""
        return self.importances_mean + self._half_width

    @property
    def rank(self) -> Floats:
        """`(n_features,)` 1 for the most important feature; NaN for those without a number."""
        mean = self.importances_mean
        rank = np.full(len(mean), math.nan)
        known = np.flatnonzero(np.isfinite(mean))
        rank[known[np.argsort(-mean[known], kind="stable")]] = np.arange(1, len(known) + 1)
        return rank

    def to_dataframe(self) -> pd.DataFrame:
        """One row per feature, most important first. Needs pandas."""
        return as_dataframe([self])

    @property
    def _half_width(self) -> Floats:
        quantiles = [tail_quantile((1 - _LEVEL) / 2, degrees) for degrees in self.degrees]
        return np.asarray(np.array(quantiles) * self.std_error)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "notes": dict(self.notes)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, notes=MappingProxyType(state["notes"]))
