"""The ranks of the most important features from epoch to epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from keras_importance.reporting.plots import lettering
from keras_importance.reporting.plots.figure import (
    FAINT,
    MAX_TICKS,
    ROW_HEIGHT,
    by_importance,
    comparable_results,
    frame_axes,
    head_lines,
    label_x,
    name_rows,
    panels,
    room_for,
    rows_text,
    without_numbers,
)
from keras_importance.statistics.arrays import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from keras_importance.results.history import ImportanceHistory
    from keras_importance.results.result import ImportanceResult

_PALE = "#CBD4DB"
_OTHER = "#8593A0"
# The first colours of lines in the tab.
_LINE_STYLES = {_PALE: (0.9, 1.0), _OTHER: (1.1, 2.0)}
_LINES = ("#0072B2", "#D55E00", "#009E73", "#B65F96", "#A87900", "#3A9FD6", "#6B4FA0")

_MAX_RANKS = 20
_MAX_DOTTED = 40


def ranks(
    history: ImportanceHistory, method: str | None = None, *, max_features: int = _MAX_RANKS
) -> Figure:
    """A line for the rank of each of the now most important features, from epoch to epoch.

    Of the features whose interval lies above 0 the first seven are in colour, the others grey. Pale ones
    are too near 0 for their rank to say much; without a name, they ranked as high before. Hollow dots
    were approximated within a time budget; beyond 40 epochs there are no dots.

    Args:
        history: what to draw.
        method: name of the method; None for the first one.
        max_features: how many ranks; a line below the axis says how many features rank lower.
    """
    newest, results = comparable_results(history, method, "ranks")
    order = by_importance(newest.importances_mean)[:max_features]
    if not order:
        return without_numbers(newest)
    places = np.stack([one.rank for one in results], axis=1) - 1
    epochs = [place if one.epoch is None else one.epoch for place, one in enumerate(results)]
    is_exact = np.array([[how == "exact" for how in one.obtained] for one in results]).T
    colours = _line_colours(newest, order)
    with_dots = len(results) <= _MAX_DOTTED
    key = " · pale: interval not above 0" if _PALE in colours else ""
    if with_dots and not is_exact[order].all():
        key += " · hollow: approximated"
    names = lettering.labels([newest.feature_names[i] for i in order])
    numbers = [str(place + 1) for place in range(len(order))]
    passing = np.setdiff1d(np.flatnonzero((places < len(order)).any(axis=1)), order)
    below = ["epoch", *_ranked_lower(newest, len(order), len(passing))]
    figure = panels(
        [len(order) * ROW_HEIGHT],
        head_lines(newest, f"1: most important · {rows_text(newest)}{key}", ", ranks up to"),
        left=room_for(numbers),
        right=room_for(names),
        n_lines=len(below),
    )
    axes = figure.axes[0]
    lines = [np.column_stack([epochs, places[i]]) for i in passing]
    axes.add_collection(LineCollection(lines, colors=_PALE, linewidths=0.9, zorder=1))
    for row, i in enumerate(order):
        width, height = _LINE_STYLES.get(colours[row], (2.2, 4.0 - row / len(order)))
        axes.plot(epochs, places[i], color=colours[row], linewidth=width, zorder=height)
    if with_dots:
        _dots(axes, epochs, places[order], is_exact[order], colours)
    margin = 0.02 * (epochs[-1] - epochs[0]) or 0.5
    axes.set_xlim(epochs[0] - margin, epochs[-1] + margin)
    axes.set_ylim(len(order) - 0.5, -0.5)
    name_rows(axes, numbers, FAINT)
    name_rows(axes, names, [FAINT if one in _LINE_STYLES else one for one in colours], at_right=True)
    # Around a single epoch the locator would find fractions of it.
    whole = MaxNLocator(MAX_TICKS, integer=True)
    axes.xaxis.set_major_locator(whole if len(epochs) > 1 else FixedLocator(epochs))
    frame_axes(axes)
    label_x(axes, *below)
    return figure


# --- ranks --------------------------------------------------------------------------------------


def _line_colours(result: ImportanceResult, order: Sequence[int]) -> list[str]:
    colours, unused, low = [], list(_LINES), result.ci_low
    for i in order:
        # Without an interval there is nothing that would speak against the rank.
        if low[i] <= 0:
            colours.append(_PALE)
        else:
            colours.append(unused.pop(0) if unused else _OTHER)
    return colours


def _dots(
    axes: Axes, epochs: Sequence[int], places: Floats, is_exact: NDArray[Any], colours: Sequence[str]
) -> None:
    sizes = np.array([{_PALE: 0.0, _OTHER: 9.0}.get(one, 20.0) for one in colours])
    edges: Any = np.repeat(to_rgba_array(colours), len(epochs), axis=0)
    axes.scatter(
        np.tile(epochs, len(colours)),
        places.ravel(),
        np.repeat(sizes, len(epochs)),
        facecolors=np.where(is_exact.reshape(-1, 1), edges, 1.0),
        edgecolors=edges,
        linewidths=1.1,
        zorder=5,
    )


def _ranked_lower(result: ImportanceResult, n_shown: int, n_passing: int) -> list[str]:
    n_lower = int(np.isfinite(result.importances_mean).sum()) - n_shown
    if n_lower <= 0:
        return []
    lower = "1 more feature ranks" if n_lower == 1 else f"{n_lower:,} more features rank"
    return [f"{lower} lower{f'; {n_passing:,} ranked higher before' if n_passing else ''}"]
