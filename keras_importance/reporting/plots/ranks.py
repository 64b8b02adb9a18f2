"""The ranks of the most important features from epoch to epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator
from numpy.typing import NDArray

from keras_importance.reporting.plots.captions import chosen_text, head_lines, no_values_lines, rows_text
from keras_importance.reporting.plots.figure import (
    FAINT,
    MAX_TICKS,
    ROW_HEIGHT,
    frame_axes,
    head_alone,
    label_x,
    name_rows,
    panels,
    room_for,
)
from keras_importance.reporting.plots.lettering import labels
from keras_importance.reporting.plots.selection import by_importance, comparable_results, evenly_chosen
from keras_importance.statistics.arrays import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from keras_importance.results.history import ImportanceHistory
    from keras_importance.results.result import ImportanceResult

# The first colours of lines in the tab.
_LINES = ("#0072B2", "#D55E00", "#009E73", "#B65F96", "#A87900", "#3A9FD6", "#6B4FA0")
_PALE = "#CBD4DB"
_OTHER = "#8593A0"
# Line width and order of drawing; the size of a dot is in square points.
_GREY_LINES = {_PALE: (0.9, 1.0), _OTHER: (1.1, 2.0)}
_GREY_DOTS = {_PALE: 0.0, _OTHER: 9.0}
_LINE_WIDTH = 2.2
_DOT_SIZE = 20.0

_MAX_RANKS = 20
_MAX_DOTTED = 40


def ranks(
    history: ImportanceHistory, method: str | None = None, *, max_features: int = _MAX_RANKS
) -> Figure:
    """A line for the rank of each of the now most important features, from epoch to epoch.

    Of the features whose interval lies above 0, the first seven have lines in colour, and the others
    grey lines. Pale lines with a name are features too near 0 for their rank to say much. Pale lines
    without a name are features that rank lower now and ranked as high before. Hollow dots were
    approximated within a time budget; beyond 40 epochs there are no dots. Of more than 250 evaluations,
    250 at even distances are drawn, the newest among them.

    Args:
        history: what to draw.
        method: name of the method; None for the first method of the history.
        max_features: how many ranks at most; a line below the axis says how many features rank lower.

    Raises:
        ValueError: for an empty history or a method without results.
    """
    newest, every = comparable_results(history, method, "ranks")
    results = evenly_chosen(every)
    order = by_importance(newest.importances_mean)[:max_features]
    if not order:
        return head_alone(no_values_lines(newest))
    # A rank of 1 is row 0.
    rows = np.stack([result.rank for result in results], axis=1) - 1
    epochs = [i if result.epoch is None else result.epoch for i, result in enumerate(results)]
    is_exact = np.array([[result.obtained[index] == "exact" for result in results] for index in order])
    with_dots = len(results) <= _MAX_DOTTED
    colours = _line_colours(newest.ci_low[order])
    passing = np.setdiff1d(np.flatnonzero((rows < len(order)).any(axis=1)), order)
    key = _key(is_pale=_PALE in colours, is_hollow=with_dots and not is_exact.all())
    key += chosen_text(len(results), len(every))
    figure = _named_panel(newest, order, colours, key, len(passing))
    axes = figure.axes[0]
    _add_lines(axes, epochs, rows[order], colours, rows[passing])
    if with_dots:
        _add_dots(axes, epochs, rows[order], is_exact, colours)
    _set_epochs(axes, epochs)
    return figure


def _line_colours(low: Floats) -> list[str]:
    """The colour of each line, from the lower bounds of the importances, most important first."""
    colours, unused = [], list(_LINES)
    for lower in low:
        # NaN, an importance without an interval, is not pale: nothing speaks against its rank.
        if lower <= 0:
            colours.append(_PALE)
        else:
            colours.append(unused.pop(0) if unused else _OTHER)
    return colours


def _key(*, is_pale: bool, is_hollow: bool) -> str:
    """What pale lines and hollow dots mean, where there are any."""
    pale = " · pale: interval not above 0" if is_pale else ""
    return f"{pale} · hollow: approximated" if is_hollow else pale


def _named_panel(
    newest: ImportanceResult,
    order: Sequence[int],
    colours: Sequence[str],
    key: str,
    n_passing: int,
) -> Figure:
    """A panel with a row for each feature in `order`: its rank at the left, its name at the right."""
    rank_texts = [str(rank) for rank in range(1, len(order) + 1)]
    names = labels([newest.feature_names[index] for index in order])
    below = ["epoch", *_ranked_lower(newest, len(order), n_passing)]
    figure = panels(
        [len(order) * ROW_HEIGHT],
        head_lines(newest, f"1: most important · {rows_text(newest)}{key}", ", ranks up to"),
        left=room_for(rank_texts),
        right=room_for(names),
        n_lines=len(below),
    )
    axes = figure.axes[0]
    axes.set_ylim(len(order) - 0.5, -0.5)
    name_rows(axes, rank_texts, FAINT)
    inks = [FAINT if colour in _GREY_LINES else colour for colour in colours]
    name_rows(axes, names, inks, at_right=True)
    frame_axes(axes)
    label_x(axes, *below)
    return figure


def _add_lines(
    axes: Axes, epochs: Sequence[int], rows: Floats, colours: Sequence[str], passing: Floats
) -> None:
    """Draws `(n_features, n_epochs)` rows as lines, over pale lines of features that rank lower now."""
    lines = [np.column_stack([epochs, row]) for row in passing]
    axes.add_collection(LineCollection(lines, colors=_PALE, linewidths=0.9, zorder=1))
    for index, (row, colour) in enumerate(zip(rows, colours, strict=True)):
        # The most important line on top.
        width, height = _GREY_LINES.get(colour, (_LINE_WIDTH, 4.0 - index / len(rows)))
        axes.add_artist(Line2D(epochs, row, color=colour, linewidth=width, zorder=height))


def _add_dots(
    axes: Axes,
    epochs: Sequence[int],
    rows: Floats,
    is_exact: NDArray[np.bool_],
    colours: Sequence[str],
) -> None:
    """Draws a dot for each feature and epoch, hollow where the importance isn't exact."""
    sizes = [_GREY_DOTS.get(colour, _DOT_SIZE) for colour in colours]
    edges: Any = np.repeat(to_rgba_array(colours), len(epochs), axis=0)
    axes.scatter(
        np.tile(epochs, len(colours)),
        rows.ravel(),
        np.repeat(sizes, len(epochs)),
        facecolors=np.where(is_exact.reshape(-1, 1), edges, 1.0),
        edgecolors=edges,
        linewidths=1.1,
        zorder=5,
    )


def _set_epochs(axes: Axes, epochs: Sequence[int]) -> None:
    margin = 0.02 * (epochs[-1] - epochs[0]) or 0.5
    axes.set_xlim(epochs[0] - margin, epochs[-1] + margin)
    # Around a single epoch the locator would find fractions of it.
    whole = MaxNLocator(MAX_TICKS, integer=True)
    axes.xaxis.set_major_locator(whole if len(epochs) > 1 else FixedLocator(epochs))


def _ranked_lower(newest: ImportanceResult, n_shown: int, n_passing: int) -> list[str]:
    """A line on the features that rank lower than those shown, if there are any."""
    n_lower = int(np.isfinite(newest.importances_mean).sum()) - n_shown
    if n_lower <= 0:
        return []
    lower = "1 more feature ranks" if n_lower == 1 else f"{n_lower:,} more features rank"
    return [f"{lower} lower{f'; {n_passing:,} ranked higher before' if n_passing else ''}"]
