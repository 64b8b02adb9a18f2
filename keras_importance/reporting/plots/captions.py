"""The texts of pictures: titles, subtitles, units, counts of rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from keras_importance.reporting.plots.fonts import drawable
from keras_importance.reporting.plots.lettering import shortened

if TYPE_CHECKING:
    from keras_importance.results.result import ImportanceResult

_TITLES = {
    "gradient": "Gradient importance",
    "permutation": "Permutation importance",
    "conditional_lofo": "Leave one feature out, estimated",
    "lofo": "Leave one feature out",
}


def method_title(method: str) -> str:
    """What pictures and charts call a method."""
    return _TITLES.get(method, method.replace("_", " ").capitalize())


def head_lines(result: ImportanceResult, subtitle: str, over: str = ",") -> tuple[str, str]:
    """Title and subtitle in drawable letters; the title is `<method><over> epoch <epoch>`.

    Args:
        result: what the picture shows.
        subtitle: the subtitle.
        over: text between method and epoch. Without an epoch the title ends at its first comma.
    """
    where = over.split(",")[0] if result.epoch is None else f"{over} epoch {result.epoch}"
    return drawable(f"{method_title(result.method)}{where}"), drawable(subtitle)


def no_values_lines(result: ImportanceResult) -> tuple[str, str]:
    """Title and subtitle of a picture in which no feature has a number."""
    return head_lines(result, "No feature has a number here: the report says why.")


def rows_text(result: ImportanceResult) -> str:
    """How many rows were used, and how features were left out."""
    procedure = f" · {result.procedure}" if result.procedure else ""
    return f"{result.n_samples:,} validation rows{procedure}"


def chosen_text(n_shown: int, n_evaluations: int) -> str:
    """What follows in a subtitle where not all evaluations are shown; empty where they are."""
    return "" if n_shown == n_evaluations else f" · {n_shown:,} of {n_evaluations:,} evaluations"


def unit_text(result: ImportanceResult) -> str:
    """What the importances are measured in."""
    metric = shortened(result.metric)
    if result.method == "gradient":
        return f"change of the {metric} per standard deviation"
    if math.isnan(result.baseline_score):
        return f"importance ({metric})"
    return f"how much {metric} worsens (now {result.baseline_score:.4g})"
