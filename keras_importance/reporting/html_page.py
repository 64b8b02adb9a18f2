"""A history as an HTML page of its own, with all pictures inside."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING

from keras_importance.reporting import plots
from keras_importance.results.html_table import facts_line, heading, rows_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_importance.results.history import ImportanceHistory
    from keras_importance.results.result import ImportanceResult

_MAX_LISTED = 1000

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


def page(history: ImportanceHistory, title: str) -> str:
    """An HTML page that needs no other file: pictures, tables and verdicts of the newest results."""
    sections = [_section(result, history) for result in history.newest.values()]
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
        f"<h2>{escape(heading(result))}</h2>"
        f'<p class="facts">{escape(facts_line(result))}</p>{pictures}'
        f"{rows_table(result, history.verdicts(), _MAX_LISTED)}"
    )


def _picture(figure: Figure, description: str) -> str:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=160)
    encoded = base64.b64encode(content.getvalue()).decode()
    return f'<img alt="{escape(description)}" src="data:image/png;base64,{encoded}">'
