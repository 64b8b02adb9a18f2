"""Bars of the most important features with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_importance.reporting.plots.captions import (
    head_lines,
    no_values_lines,
    rows_text,
    unit_text,
)
from keras_importance.reporting.plots.figure import (
    FAINT,
    INK,
    ROW_HEIGHT,
    frame_axes,
    head_alone,
    label_x,
    name_rows,
    panels,
    room_for,
)
from keras_importance.reporting.plots.lettering import labels
from keras_importance.reporting.plots.selection import MAX_NAMED, by_importance
from keras_importance.statistics.arrays import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from keras_importance.results.result import ImportanceResult

# Okabe & Ito's blue and vermilion: told apart by colour-blind people, and in print.
_USEFUL = "#0072B2"
_HARMFUL = "#D55E00"
_UNSURE = "#9DB4C6"
_GRID = "#E3E8EC"

# As a fraction of the height of a row.
_BAR_HEIGHT = 0.68


def ranking(result: ImportanceResult, *, max_features: int = MAX_NAMED) -> Figure:
    """Bars of the most important features with their 95% intervals, most important on top.

    Dark blue bars: the whole interval lies above 0. Orange bars: it lies below 0. Pale bars: it holds 0,
    or there is none. Hollow bars: approximated within a time budget, without an interval.

    Args:
        result: what to draw.
        max_features: how many bars at most; a line below the axis tells about the other features.
    """
    order = by_importance(result.importances_mean)[:max_features]
    if not order:
        return head_alone(no_values_lines(result))
    mean, low, high = (
        values[order] for values in (result.importances_mean, result.ci_low, result.ci_high)
    )
    names = labels([result.feature_names[index] for index in order])
    below = [unit_text(result), *_not_shown(result, order)]
    figure = panels(
        [len(order) * ROW_HEIGHT],
        head_lines(result, f"{rows_text(result)} · {_key(result)}"),
        left=room_for(names),
        n_lines=len(below),
    )
    axes = figure.axes[0]
    _add_bars(axes, mean, _colours(low, high), [result.obtained[index] == "exact" for index in order])
    _add_intervals(axes, low, high)
    axes.axvline(0, color=FAINT, linewidth=0.8, zorder=1)
    axes.set_ylim(len(order) - 0.4, -0.6)
    name_rows(axes, names)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    frame_axes(axes)
    axes.grid(axis="x", color=_GRID, zorder=0)
    label_x(axes, *below)
    return figure


def _key(result: ImportanceResult) -> str:
    """What the intervals and the colours mean."""
    error = "" if result.error_source == "rows" else " of the shuffling alone"
    # A gradient's size is above 0 for all that the network touches: no side of 0 to tell apart.
    has_sides = not math.isnan(result.baseline_score)
    colours = ": blue above 0, pale around 0, orange below 0" if has_sides else ""
    return f"95% intervals{error}{colours}"


def _colours(low: Floats, high: Floats) -> list[str]:
    """The colour of each bar, by the side of 0 on which its whole interval lies."""
    return [
        _USEFUL if lower > 0 else _HARMFUL if upper < 0 else _UNSURE
        for lower, upper in zip(low, high, strict=True)
    ]


def _add_bars(axes: Axes, widths: Floats, colours: Sequence[str], is_exact: Sequence[bool]) -> None:
    faces = [colour if exact else "white" for exact, colour in zip(is_exact, colours, strict=True)]
    # One collection: matplotlib takes ten times as long for bars of their own.
    shapes = [_bar(row, width) for row, width in enumerate(widths)]
    bars = PolyCollection(shapes, facecolors=faces, edgecolors=colours, linewidths=1.0, zorder=2)
    bars.sticky_edges.x.append(0)  # no margin where bars begin
    axes.add_collection(bars)
    axes.autoscale_view()


def _bar(row: int, width: float) -> list[tuple[float, float]]:
    """The corners of the bar from 0 to `width`."""
    low, high = row - _BAR_HEIGHT / 2, row + _BAR_HEIGHT / 2
    return [(0, low), (width, low), (width, high), (0, high)]


def _add_intervals(axes: Axes, low: Floats, high: Floats) -> None:
    rows = np.flatnonzero(np.isfinite(low))
    axes.hlines(rows, low[rows], high[rows], color=INK, linewidth=1.3, zorder=3)


def _not_shown(result: ImportanceResult, shown: Sequence[int]) -> list[str]:
    """Lines on the features without a bar, and on those whose bar is hollow."""
    mean = result.importances_mean
    hidden = np.setdiff1d(np.flatnonzero(np.isfinite(mean)), shown)
    lines = []
    if len(hidden):
        lines.append(
            f"{len(hidden):,} more features between {mean[hidden].min():.3g} and "
            f"{mean[hidden].max():.3g}"
        )
    n_inexact = len(result.obtained) - result.obtained.count("exact")
    if n_inexact:
        lines.append(f"{n_inexact:,} hollow: approximated, to keep within the time budget")
    n_unknown = int(np.sum(~np.isfinite(mean)))
    if n_unknown:
        lines.append(f"{n_unknown:,} without a number: see the report")
    return lines
