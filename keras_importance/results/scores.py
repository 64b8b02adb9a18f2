"""What a method computes of each feature: Scores, with the scale of the importances, Explained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from keras_importance.statistics.arrays import Floats, Singles, read_only

ErrorSource = Literal["rows", "repeats"]
Obtained = Literal["exact", "screened", "carried"]


def axes(*names: str, dtype: Any = np.float64) -> dict[str, Any]:
    """Metadata of a field that holds an array: the names of its axes, and what it is stored as.

    An `ImportanceResult` checks the number of axes, and the length of the axis `"feature"`.
    """
    return {"axes": names, "dtype": dtype}


@dataclass(frozen=True, eq=False)
class Explained:
    """What a model explains beyond the best constant prediction: the scale of the importances.

    Attributes:
        loss: mean over rows of the constant's score minus the model's; larger means explains more. In
            the unit of the metric.
        std_error: standard error of `loss`.
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


@dataclass(frozen=True, eq=False, kw_only=True)
class Scores:
    """What a method computes of each feature. An `ImportanceResult` adds the features and the epoch.

    A larger importance always means a more useful feature, whichever way the metric points.

    Attributes:
        importances: `(n_features, n_repeats)` importance of each feature in each repeat; NaN where a
            feature has none.
        metric: name of the metric, or of the quantity that the method differentiates. Its unit is the
            unit of the importances.
        std_error: `(n_features,)` standard error of the mean over the repeats; None where the method
            has none.
        baseline_score: the metric on the untouched rows; NaN where the method scores nothing.
        n_samples: how many rows were used; None for all rows.
        direction: `(n_features,)` signed mean effect of a feature on the output; None where the
            method, or an output of several units, has no sign.
        by_step: `(n_steps, n_features)` importance at each time step, NaN for features without
            steps; None where there are no sequences.
        error_source: `"rows"` where the error is that of a new validation set of the same size;
            `"repeats"` where it covers the shuffling alone, for metrics that aren't a mean over rows.
        notes: why a feature has no importance, by the feature's name.
        obtained: `(n_features,)` how each importance was computed; None if all are exact. Only exact
            importances have an error. `"screened"`: by the model's first-order approximation, where the
            time budget allowed no more. `"carried"`: taken over from the last exact score, where there
            is no approximation either.
        degrees: `(n_features,)` degrees of freedom of the standard errors, NaN for a normal
            distribution; None for rows - 2, blocks - 2 or repeats - 1, whichever the errors come from.
        explained: what the model explains with all features, the scale that verdicts compare importances
            with; None where the metric is no mean over rows.
        draws: `(n_features, n_draws)` draws of the errors of the importances, with the same random
            signs of the rows in each evaluation; None without draws.
        procedure: how features were left out, where there is more than one way: `"lock step"`,
            `"refit, columns masked"`, ...; else empty.
        is_finite: False where features have no importance because the model's outputs or the metric are
            not finite, and `notes` say so.
    """

    importances: Floats = field(metadata=axes("feature", "repeat"))
    metric: str
    std_error: Floats | None = field(default=None, metadata=axes("feature"))
    baseline_score: float = math.nan
    n_samples: int | None = None
    direction: Floats | None = field(default=None, metadata=axes("feature"))
    by_step: Floats | None = field(default=None, metadata=axes("step", "feature"))
    error_source: ErrorSource = "rows"
    notes: Mapping[str, str] = field(default_factory=dict)
    obtained: Sequence[Obtained] | None = None
    degrees: Floats | None = field(default=None, metadata=axes("feature"))
    explained: Explained | None = None
    draws: Singles | None = field(default=None, metadata=axes("feature", "draw", dtype=np.float32))
    procedure: str = ""
    is_finite: bool = True
