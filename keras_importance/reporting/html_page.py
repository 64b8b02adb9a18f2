"""A history as an HTML page of its own, with all pictures inside."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from keras_importance.reporting import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_importance.results.history import ImportanceHistory
    from keras_importance.results.result import ImportanceResult
    from keras_importance.results.verdict import Verdict

_MAX_ROWS = 30

_MAX_LISTED = 1000

_NUMBERS = (0, 2, 3)

_STYLE = """
:root { color-scheme: light dark; --ink: #22303c; --faint: #5d6b78; --line: #e3e8ec; --paper: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6ebef; --faint: #a7b3bd; --line: #3a4650; --paper: #1c242b; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
p.facts { color: var(--faint); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; border-bottom: 1px solid var(--line); }
img { max-width: 100%; background: #fff; border-radius: 6px; display: block; margin: .5rem 0 1rem; }
"""


def table(history: ImportanceHistory) -> str:
    """The newest result of each method as a table, the most important features first."""
    if not len(history):
        return "<p>No evaluation yet.</p>"
    return "".join(
        f"<p><b>{escape(_heading(one))}</b><br>{escape(_facts(one))}</p>{_rows(one, history, _MAX_ROWS)}"
        for one in history.newest.values()
    )


def page(history: ImportanceHistory, title: str) -> str:
    """A page that needs no other file: pictures, tables and verdicts of a history."""
    sections = [_section(one, history) for one in history.newest.values()]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>{''.join(sections) or '<p>No evaluation yet.</p>'}</body></html>\n"
    )


def _section(result: ImportanceResult, history: ImportanceHistory) -> str:
    figures = [("ranking", plots.ranking(result))]
    if len(history.of(result.method)) > 1:
        figures.append(("importance over the epochs", plots.over_epochs(history, result.method)))
        figures.append(("ranks over the epochs", plots.ranks(history, result.method)))
    if result.by_step is not None:
        figures.append(("importance of each time step", plots.over_steps(result)))
    pictures = "".join(_picture(figure, f"{result.method}: {what}") for what, figure in figures)
    return (
        f"<h2>{escape(_heading(result))}</h2>"
        f'<p class="facts">{escape(_facts(result))}</p>{pictures}{_rows(result, history, _MAX_LISTED)}'
    )


def _picture(figure: Figure, description: str) -> str:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=160)
    encoded = base64.b64encode(content.getvalue()).decode()
    return f'<img alt="{escape(description)}" src="data:image/png;base64,{encoded}">'


def _heading(result: ImportanceResult) -> str:
    when = "" if result.epoch is None else f", epoch {result.epoch}"
    return f"{result.method.replace('_', ' ')}{when}"


def _facts(result: ImportanceResult) -> str:
    facts = [f"in units of the {result.metric}", f"{result.n_samples:,} rows", "95% intervals"]
    if math.isfinite(result.baseline_score):
        facts.insert(1, f"now {result.baseline_score:.4g}")
    return ", ".join([*facts, *([result.procedure] if result.procedure else [])])


def _rows(result: ImportanceResult, history: ImportanceHistory, at_most: int) -> str:
    """The most important features, and how many there are beside."""
    verdicts: dict[str, Verdict] = {
        one.feature: one for one in history.verdicts() if one.method == result.method
    }
    ranks = result.rank
    order = np.argsort(np.nan_to_num(ranks, nan=math.inf), kind="stable")
    means, lows, highs = result.importances_mean, result.ci_low, result.ci_high
    head = ["", "feature", "importance", "95% interval", *(["verdict"] if verdicts else [])]
    lines = [_line("th", head)]
    for i in order[:at_most]:
        name = result.feature_names[i]
        rank = "" if math.isnan(ranks[i]) else f"{int(ranks[i])}"
        interval = f"{lows[i]:.4g} to {highs[i]:.4g}" if math.isfinite(lows[i]) else ""
        known = [f"{means[i]:.4g}", interval] if math.isfinite(means[i]) else ["none", ""]
        state = [verdicts[name].state if name in verdicts else ""] if verdicts else []
        lines.append(_line("td", [rank, name, *known, *state]))
    hidden = len(order) - at_most
    more = f"<p>{hidden:,} more features</p>" if hidden > 0 else ""
    return f"<table>{''.join(lines)}</table>{more}"


def _line(tag: str, cells: Sequence[str]) -> str:
    # Notebooks have no style sheet of ours.
    kinds = [' style="text-align:right"' if place in _NUMBERS else "" for place in range(len(cells))]
    parts = (f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
    return f"<tr>{''.join(parts)}</tr>"
