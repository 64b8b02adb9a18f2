"""Pictures of results and histories, as matplotlib figures that belong to no window."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_importance.statistics import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

    from keras_importance.result import ImportanceHistory, ImportanceResult

# Okabe & Ito's blue and vermilion: told apart by colour-blind people, and in print.
_USEFUL = "#0072B2"
_HARMFUL = "#D55E00"
_UNSURE = "#9DB4C6"
_INK = "#22303C"
_FAINT = "#5D6B78"
_GRID = "#E3E8EC"
_SHADES = LinearSegmentedColormap.from_list(
    "importance", ["#F6F9FB", "#CFE3F1", "#7FB7DA", "#2C82BE", "#0B4A7F", "#06264A"]
).with_extremes(bad="#E8E4DC")

_MAX_NAMED = 40
_MAX_NAME_LENGTH = 34
_WIDTH = 8.2
_ROW_HEIGHT = 0.24
_MARGIN = 0.2
_TITLE_HEIGHT = 0.66
_LETTER_WIDTH = 0.074
_GAP = 0.12
_OTHERS_HEIGHT = 2.4
_SCALE_HEIGHT = 3.0
_MAX_TICKS = 12
_DPI = 110

_WHAT = {
    "gradient": "Gradient importance",
    "permutation": "Permutation importance",
    "conditional_lofo": "Leave one feature out, estimated",
    "lofo": "Leave one feature out",
}


def ranking(result: ImportanceResult, *, max_features: int = _MAX_NAMED) -> Figure:
    """Bars of the most important features with their 95% intervals, most important on top.

    Dark bars lie above 0 with their whole interval, pale ones don't, orange ones lie below 0. Hollow
    bars were approximated within a time budget, and have no interval.

    Args:
        result: what to draw.
        max_features: how many bars; a line below the axis says what the others are.
    """
    order = _by_importance(result.importances_mean)[:max_features]
    mean, low, high = (
        values[order] for values in (result.importances_mean, result.ci_low, result.ci_high)
    )
    if not order:
        return _without_numbers(result)
    names = [result.feature_names[i] for i in order]
    below = [_unit(result), *_not_shown(result, order)]
    figure = _panels([len(order) * _ROW_HEIGHT], names, right=0.25, n_lines=len(below))
    axes = figure.axes[0]
    rows = np.arange(len(order))
    colours = [
        _USEFUL if lower > 0 else _HARMFUL if upper < 0 else _UNSURE
        for lower, upper in zip(low, high, strict=True)
    ]
    is_exact = [result.obtained[i] == "exact" for i in order]
    filled = ["white" if not exact else colour for exact, colour in zip(is_exact, colours, strict=True)]
    axes.barh(rows, mean, height=0.68, color=filled, edgecolor=colours, linewidth=1.0, zorder=2)
    known = np.isfinite(low)
    axes.hlines(rows[known], low[known], high[known], color=_INK, linewidth=1.3, zorder=3)
    axes.axvline(0, color=_FAINT, linewidth=0.8, zorder=1)
    axes.set_ylim(len(order) - 0.4, -0.6)
    _name_rows(axes, names)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="x", color=_GRID, zorder=0)
    _frame(axes)
    _label_x(axes, "\n".join(below))
    error = "" if result.error_source == "rows" else " of the shuffling alone"
    # A gradient's size is above 0 for all that the network touches: no side of 0 to tell apart.
    key = "" if math.isnan(result.baseline_score) else ": blue above 0, pale around 0, orange below 0"
    _title(figure, result, f"{_rows(result)} · 95% intervals{error}{key}")
    return figure


def over_epochs(history: ImportanceHistory, method: str | None = None) -> Figure:
    """All features x epochs so far, the darker the more important; one row per feature.

    Rows are ordered by the newest evaluation. Beyond 40 features, the others share a panel below.

    Args:
        history: what to draw.
        method: name of the method; None for the first one.
    """
    if not len(history) or method not in (None, *history.methods):
        raise ValueError(
            f"over_epochs got method={method!r} and a history with the methods {list(history.methods)}. "
            "Pass one of them, and a history with results."
        )
    method = method or history.methods[0]
    newest = history.newest[method]
    results = [one for one in history.of(method) if one.feature_names == newest.feature_names]
    values = np.stack([one.importances_mean for one in results], axis=1)
    order = _by_importance(newest.importances_mean)
    if not order:
        return _without_numbers(newest)
    figure = _heatmap(values, order, newest.feature_names)
    panel = _lowest_panel(figure)
    columns = range(0, len(results), -(-len(results) // _MAX_TICKS))
    panel.set_xticks(columns, [str(results[column].epoch) for column in columns])
    _label_x(panel, "epoch")
    _title(figure, newest, f"{_unit(newest)} · {_rows(newest)}", " over time, up to")
    return figure


def over_steps(result: ImportanceResult) -> Figure:
    """Time steps x features of sequences, the darker the more important; step 0 is the first one.

    Args:
        result: what to draw; its `by_step` must not be None.

    Raises:
        ValueError: for a result without time steps.
    """
    if result.by_step is None:
        raise ValueError(
            f"over_steps got a result of {result.method!r} without by_step: the method keeps no map of "
            "time steps, or the inputs are no sequences."
        )
    total = np.nanmean(np.where(np.isfinite(result.by_step), result.by_step, 0), axis=0)
    with_steps = set(np.flatnonzero(np.isfinite(result.by_step).any(axis=0)))
    order = [i for i in _by_importance(total) if i in with_steps]
    if not order:
        return _without_numbers(result)
    figure = _heatmap(result.by_step.T, order, result.feature_names)
    panel = _lowest_panel(figure)
    panel.xaxis.set_major_locator(MaxNLocator(_MAX_TICKS, integer=True))
    _label_x(panel, "time step")
    _title(figure, result, f"{_unit(result)} · {_rows(result)}", " at each time step,")
    return figure


def _without_numbers(result: ImportanceResult) -> Figure:
    figure = _panels([_ROW_HEIGHT], (), right=0.25)
    figure.axes[0].set_axis_off()
    _title(figure, result, "No feature has a number here: the report says why.")
    return figure


# --- shared drawing -----------------------------------------------------------------------------


def _panels(heights: Sequence[float], names: Sequence[str], *, right: float, n_lines: int = 1) -> Figure:
    """A figure of panels below one another, with room for names at the left and lines below.

    All lengths in inches. The room is computed, not measured: matplotlib's own layout engines draw
    everything twice.
    """
    left = _MARGIN + 0.1 + _LETTER_WIDTH * max((_letters(shortened(name)) for name in names), default=0)
    bottom = 0.28 + 0.17 * n_lines
    height = _TITLE_HEIGHT + sum(heights) + _GAP * (len(heights) - 1) + bottom
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")
    top = height - _TITLE_HEIGHT
    for panel_height in heights:
        top -= panel_height
        box = (left, top, _WIDTH - left - right, panel_height)
        figure.add_axes(_in_parts(figure, box))
        top -= _GAP
    return figure


def _in_parts(
    figure: Figure, box: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    width, height = figure.get_size_inches()
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height


def _letters(name: str) -> float:
    """How many small Latin letters the name is as wide as."""
    return sum(
        1.9 if unicodedata.east_asian_width(letter) in "WF" else 1.25 if letter.isupper() else 1.0
        for letter in name
    )


def _heatmap(values: Floats, order: Sequence[int], names: Sequence[str]) -> Figure:
    """One row per feature; the rows beyond those with names lie in a lower panel."""
    named, others = list(order)[:_MAX_NAMED], list(order)[_MAX_NAMED:]
    heights = [max(len(named), 1) * _ROW_HEIGHT, *([_OTHERS_HEIGHT] if others else [])]
    shown_names = [names[i] for i in named]
    figure = _panels(heights, shown_names, right=0.85)
    top = np.nanmax(values[list(order)], initial=0.0)
    norm = PowerNorm(0.5, vmin=0.0, vmax=top if top > 0 else 1.0)
    for axes, rows in zip(figure.axes, (named, others), strict=False):
        # Below 0 is noise or harm; the ranking tells which, the shades start at 0.
        shown = np.ma.masked_invalid(np.maximum(values[rows], 0.0))
        image = axes.imshow(shown, aspect="auto", cmap=_SHADES, norm=norm, interpolation="nearest")
        axes.set_xticks([])
        _frame(axes)
    _name_rows(figure.axes[0], shown_names)
    if others:
        figure.axes[1].set_yticks([])
        figure.axes[1].set_ylabel(f"{len(others):,} other features", color=_FAINT, fontsize=9)
    _colour_scale(figure, image, heights[0])
    return figure


def _colour_scale(figure: Figure, image: AxesImage, room: float) -> None:
    height = min(room, _SCALE_HEIGHT)
    top = figure.get_figheight() - _TITLE_HEIGHT
    axes = figure.add_axes(_in_parts(figure, (_WIDTH - 0.75, top - height, 0.14, height)))
    bar: Any = figure.colorbar(image, cax=axes)
    bar.outline.set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(length=0, colors=_FAINT, labelsize=8)


def _lowest_panel(figure: Figure) -> Axes:
    """The last panel before the colour scale."""
    return figure.axes[-2]


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Writes the names beside the rows: as texts, since matplotlib takes twice as long for ticks."""
    axes.set_yticks([])
    for row, name in enumerate(names):
        axes.annotate(
            shortened(name), (0, row), (-4, 0), axes.get_yaxis_transform(), "offset points",
            ha="right", va="center_baseline", fontsize=9, color=_INK, parse_math=False,
        )  # fmt: skip


def _frame(axes: Axes) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=_INK, labelsize=9)


def _label_x(axes: Axes, text: str) -> None:
    axes.set_xlabel(text, color=_FAINT, fontsize=9, parse_math=False)


def _title(figure: Figure, result: ImportanceResult, subtitle: str, over: str = ",") -> None:
    what = _WHAT.get(result.method, result.method.replace("_", " ").capitalize())
    where = "" if result.epoch is None else f"{over} epoch {result.epoch}"
    lines: tuple[tuple[str, float, dict[str, Any]], ...] = (
        (
            f"{what}{where or over.split(',')[0]}",
            0.24,
            {"color": _INK, "fontsize": 12, "weight": "bold"},
        ),
        (subtitle, 0.47, {"color": _FAINT, "fontsize": 9}),
    )
    for text, depth, style in lines:
        x, y, *_ = _in_parts(figure, (_MARGIN, figure.get_figheight() - depth, 0, 0))
        figure.text(x, y, text, va="center", parse_math=False, **style)


def _rows(result: ImportanceResult) -> str:
    how = f" · {result.procedure}" if result.procedure else ""
    return f"{result.n_samples:,} validation rows{how}"


def _unit(result: ImportanceResult) -> str:
    if result.method == "gradient":
        return f"change of the {result.metric} per standard deviation"
    if math.isnan(result.baseline_score):
        return f"importance ({result.metric})"
    return f"how much {result.metric} worsens (now {result.baseline_score:.4g})"


def _not_shown(result: ImportanceResult, shown: Sequence[int]) -> list[str]:
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


def _by_importance(values: Floats) -> list[int]:
    """The features with a number, most important first."""
    order = np.argsort(-np.nan_to_num(values), kind="stable")
    return [int(i) for i in order if np.isfinite(values[i])]


def shortened(name: str, length: int = _MAX_NAME_LENGTH) -> str:
    """The name with its middle left out where it is too long to stand beside a picture."""
    name = " ".join(name.split())
    if len(name) <= length:
        return name
    head = (length - 1) * 2 // 3
    return f"{name[:head]}…{name[head + 1 - length :]}"
