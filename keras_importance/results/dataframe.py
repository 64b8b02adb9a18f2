"""Results as a tidy table, a pandas DataFrame."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from keras_importance.results.result import ImportanceResult

States = Mapping[tuple[str, int | None], tuple[str, ...]]
"""`{(method, epoch): states}` of the verdicts on the features."""

_COLUMNS = (
    "epoch", "method", "feature", "importance", "std_error", "ci_low", "ci_high", "rank",
    "importance_std", "direction", "metric", "baseline_score", "n_samples", "error_source",
    "obtained", "exact_epoch", "n_rows", "procedure", "verdict", "note",
)  # fmt: skip


def as_dataframe(
    results: Sequence[ImportanceResult], states: States = MappingProxyType({})
) -> pd.DataFrame:
    """One row for each result and feature, the most important first: `ImportanceHistory.to_dataframe`.

    Raises:
        ImportError: without pandas.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "to_dataframe() needs pandas: pip install 'keras_importance[pandas]'."
        ) from error
    tables = [
        pd.DataFrame(_columns(one, states.get((one.method, one.epoch)))).sort_values("rank")
        for one in results
    ]
    if not tables:
        return pd.DataFrame(columns=list(_COLUMNS))
    return pd.concat(tables, ignore_index=True)


def _columns(one: ImportanceResult, states: tuple[str, ...] | None) -> dict[str, Any]:
    n_features = len(one.feature_names)
    values = (
        one.epoch, one.method, one.feature_names, one.importances_mean, one.std_error, one.ci_low,
        one.ci_high, one.rank, one.importances_std,
        np.full(n_features, math.nan) if one.direction is None else one.direction,
        one.metric, one.baseline_score, one.n_samples, one.error_source, one.obtained, one.exact_epoch,
        one.n_rows, one.procedure, states or ("",) * n_features,
        [one.notes.get(name, "") for name in one.feature_names],
    )  # fmt: skip
    return dict(zip(_COLUMNS, values, strict=True))
