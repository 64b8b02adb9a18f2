"""The newest results as an HTML table, as notebooks show them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_importance.results.result import ImportanceResult
    from keras_importance.results.verdict import Verdict

_MAX_ROWS = 30

# Columns of numbers are aligned to the right.
_NUMBERS = (0, 2, 3)


def newest_table(newest: Sequence[ImportanceResult], verdicts: Sequence[Verdict]) -> str:
    """The newest result of each method as a table, the most important features first.

    Args:
        newest: the newest result of each method.
        verdicts: all verdicts in the order of the evaluations.
    """
    if not newest:
        return "<p>No evaluation yet.</p>"
    return "".join(
        f"<p><b>{escape(heading(result))}</b><br>{escape(facts_line(result))}</p>"
        f"{rows_table(result, verdicts, _MAX_ROWS)}"
        for result in newest
    )


def heading(result: ImportanceResult) -> str:
    """The method and the epoch of a result."""
    when = "" if result.epoch is None else f", epoch {result.epoch}"
    return f"{result.method.replace('_', ' ')}{when}"


def facts_line(result: ImportanceResult) -> str:
    """The unit, the score, and the rows of a result, in one line."""
    facts = [f"in units of the {result.metric}", f"{result.n_samples:,} rows", "95% intervals"]
    if math.isfinite(result.baseline_score):
        facts.insert(1, f"now {result.baseline_score:.4g}")
    return ", ".join([*facts, *([result.procedure] if result.procedure else [])])


def rows_table(result: ImportanceResult, verdicts: Iterable[Verdict], at_most: int) -> str:
    """The most important features of a result as a table, and below it how many more there are.

    Args:
        result: the result.
        verdicts: all verdicts in the order of the evaluations; for each feature the last one by the
            result's method is shown.
        at_most: how many features are shown.
    """
    states = {each.feature: each.state for each in verdicts if each.method == result.method}
    ranks = result.rank
    order = np.argsort(np.nan_to_num(ranks, nan=math.inf), kind="stable")
    means, lows, highs = result.importances_mean, result.ci_low, result.ci_high
    head = ["", "feature", "importance", "95% interval", *(["verdict"] if states else [])]
    lines = [_line("th", head)]
    for i in order[:at_most]:
        name = result.feature_names[i]
        rank = "" if math.isnan(ranks[i]) else f"{int(ranks[i])}"
        interval = f"{lows[i]:.4g} to {highs[i]:.4g}" if math.isfinite(lows[i]) else ""
        known = [f"{means[i]:.4g}", interval] if math.isfinite(means[i]) else ["none", ""]
        state = [states.get(name, "")] if states else []
        lines.append(_line("td", [rank, name, *known, *state]))
    hidden = len(order) - at_most
    more = f"<p>{hidden:,} more features</p>" if hidden > 0 else ""
    return f"<table>{''.join(lines)}</table>{more}"


def _line(tag: str, cells: Sequence[str]) -> str:
    # Notebooks have no style sheet of ours.
    styles = [' style="text-align:right"' if i in _NUMBERS else "" for i in range(len(cells))]
    parts = (f"<{tag}{style}>{escape(cell)}</{tag}>" for style, cell in zip(styles, cells, strict=True))
    return f"<tr>{''.join(parts)}</tr>"
