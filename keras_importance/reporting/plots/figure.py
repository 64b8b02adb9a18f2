"""What all pictures share: panels, names of rows, titles, colours. No window, no pyplot."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap, PowerNorm, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator
from matplotlib.transforms import ScaledTranslation

from keras_importance.reporting.plots import lettering
from keras_importance.reporting.plots.lettering import shortened
from keras_importance.statistics.influence import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from keras_importance.results.history import ImportanceHistory
    from keras_importance.results.result import ImportanceResult

# Okabe & Ito's blue and vermilion: told apart by colour-blind people, and in print.
_USEFUL = "#0072B2"

_HARMFUL = "#D55E00"

_UNSURE = "#9DB4C6"

_INK = "#22303C"

_FAINT = "#5D6B78"

_GRID = "#E3E8EC"

_PALE = "#CBD4DB"

_OTHER = "#8593A0"

# The first colours of lines in the tab.
_LINE_STYLES = {_PALE: (0.9, 1.0), _OTHER: (1.1, 2.0)}

_LINES = ("#0072B2", "#D55E00", "#009E73", "#B65F96", "#A87900", "#3A9FD6", "#6B4FA0")

_SHADES = LinearSegmentedColormap.from_list(
    "importance", ["#F6F9FB", "#CFE3F1", "#7FB7DA", "#2C82BE", "#0B4A7F", "#06264A"]
).with_extremes(bad="#E8E4DC")

_MAX_NAMED = 40

_MAX_RANKS = 20

_MAX_DOTTED = 40

_WIDTH = 8.2

_PANEL_WIDTH = 5.0

_ROW_HEIGHT = 0.24

# Of the height of a row.
_BAR_HEIGHT = 0.68

_MARGIN = 0.2

_TITLE_HEIGHT = 0.66

_GAP = 0.12

_OTHERS_HEIGHT = 2.4

_SCALE_HEIGHT = 3.0

_SCALE_TICK_HEIGHT = 0.3

_SMALL = 9

_LARGE = 12

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
    names = lettering.labels([result.feature_names[i] for i in order])
    below = [_unit(result), *_not_shown(result, order)]
    error = "" if result.error_source == "rows" else " of the shuffling alone"
    # A gradient's size is above 0 for all that the network touches: no side of 0 to tell apart.
    key = "" if math.isnan(result.baseline_score) else ": blue above 0, pale around 0, orange below 0"
    head = _head(result, f"{_rows(result)} · 95% intervals{error}{key}")
    figure = _panels([len(order) * _ROW_HEIGHT], head, left=_room(names), n_lines=len(below))
    axes = figure.axes[0]
    rows = np.arange(len(order))
    colours = [
        _USEFUL if lower > 0 else _HARMFUL if upper < 0 else _UNSURE
        for lower, upper in zip(low, high, strict=True)
    ]
    is_exact = [result.obtained[i] == "exact" for i in order]
    filled = ["white" if not exact else colour for exact, colour in zip(is_exact, colours, strict=True)]
    # One collection: matplotlib takes ten times as long for bars of their own.
    shapes = [_bar(row, width) for row, width in enumerate(mean)]
    bars = PolyCollection(shapes, facecolors=filled, edgecolors=colours, linewidths=1.0, zorder=2)
    bars.sticky_edges.x.append(0)  # no margin where bars begin
    axes.add_collection(bars)
    axes.autoscale_view()
    known = np.isfinite(low)
    axes.hlines(rows[known], low[known], high[known], color=_INK, linewidth=1.3, zorder=3)
    axes.axvline(0, color=_FAINT, linewidth=0.8, zorder=1)
    axes.set_ylim(len(order) - 0.4, -0.6)
    _name_rows(axes, names)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    _frame(axes)
    axes.grid(axis="x", color=_GRID, zorder=0)
    _label_x(axes, *below)
    return figure


def _bar(row: int, width: float) -> list[tuple[float, float]]:
    low, high = row - _BAR_HEIGHT / 2, row + _BAR_HEIGHT / 2
    return [(0, low), (width, low), (width, high), (0, high)]


def over_epochs(history: ImportanceHistory, method: str | None = None) -> Figure:
    """All features x epochs so far, the darker the more important; one row per feature.

    Rows are ordered by the newest evaluation. Beyond 40 features, the others share a panel below.

    Args:
        history: what to draw.
        method: name of the method; None for the first one.
    """
    newest, results = _results(history, method, "over_epochs")
    values = np.stack([one.importances_mean for one in results], axis=1)
    order = _by_importance(newest.importances_mean)
    if not order:
        return _without_numbers(newest)
    head = _head(newest, f"{_unit(newest)} · {_rows(newest)}", " over time, up to")
    figure = _heatmap(values, order, newest.feature_names, head)
    panel = _lowest_panel(figure)
    columns = range(0, len(results), -(-len(results) // _MAX_TICKS))
    panel.set_xticks(columns, [str(results[column].epoch) for column in columns])
    _label_x(panel, "epoch")
    return figure


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
    newest, results = _results(history, method, "ranks")
    order = _by_importance(newest.importances_mean)[:max_features]
    if not order:
        return _without_numbers(newest)
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
    figure = _panels(
        [len(order) * _ROW_HEIGHT],
        _head(newest, f"1: most important · {_rows(newest)}{key}", ", ranks up to"),
        left=_room(numbers),
        right=_room(names),
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
    _name_rows(axes, numbers, _FAINT)
    _name_rows(axes, names, [_FAINT if one in _LINE_STYLES else one for one in colours], at_right=True)
    # Around a single epoch the locator would find fractions of it.
    whole = MaxNLocator(_MAX_TICKS, integer=True)
    axes.xaxis.set_major_locator(whole if len(epochs) > 1 else FixedLocator(epochs))
    _frame(axes)
    _label_x(axes, *below)
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
    head = _head(result, f"{_unit(result)} · {_rows(result)}", " at each time step,")
    figure = _heatmap(result.by_step.T, order, result.feature_names, head)
    panel = _lowest_panel(figure)
    panel.xaxis.set_major_locator(MaxNLocator(_MAX_TICKS, integer=True))
    _label_x(panel, "time step")
    return figure


def method_title(method: str) -> str:
    """What the pictures call a method."""
    return _WHAT.get(method, method.replace("_", " ").capitalize())


def _without_numbers(result: ImportanceResult) -> Figure:
    head = _head(result, "No feature has a number here: the report says why.")
    figure = _panels([_ROW_HEIGHT], head, left=_MARGIN)
    figure.axes[0].set_axis_off()
    return figure


def _results(
    history: ImportanceHistory, method: str | None, plot: str
) -> tuple[ImportanceResult, list[ImportanceResult]]:
    """The newest result of the method, and all of it on the same features."""
    if not len(history) or method not in (None, *history.methods):
        raise ValueError(
            f"{plot} got method={method!r} and a history with the methods {list(history.methods)}. "
            "Pass one of them, and a history with results."
        )
    method = method or history.methods[0]
    newest = history.newest[method]
    return newest, [one for one in history.of(method) if one.feature_names == newest.feature_names]


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


# --- shared drawing -----------------------------------------------------------------------------


class Picture(Figure):
    """A figure that a notebook shows: it draws others only once pyplot was imported."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def _panels(
    heights: Sequence[float],
    head: tuple[str, str],
    *,
    left: float,
    right: float = 0.25,
    n_lines: int = 1,
) -> Figure:
    """A figure of panels below one another, under title and subtitle, with room for lines below.

    All lengths in inches. The room is computed, not measured: matplotlib's own layout engines draw
    everything twice.
    """
    sizes = ((_LARGE, _title_weight(head[0])), (_SMALL, "normal"))
    widths = [lettering.width(text, *size) for text, size in zip(head, sizes, strict=True)]
    width = max(_WIDTH, left + _PANEL_WIDTH + right, *(2 * _MARGIN + one for one in widths))
    bottom = 0.28 + 0.17 * n_lines
    height = _TITLE_HEIGHT + sum(heights) + _GAP * (len(heights) - 1) + bottom
    figure = Picture(figsize=(width, height), dpi=_DPI, facecolor="white")
    # A style of the user's may ask for one.
    figure.set_layout_engine("none")
    top = height - _TITLE_HEIGHT
    for panel_height in heights:
        top -= panel_height
        box = (left, top, width - left - right, panel_height)
        figure.add_axes(_in_parts(figure, box), facecolor="white")
        top -= _GAP
    _write_head(figure, head)
    return figure


def _room(names: Sequence[str]) -> float:
    """How much room the names need beside a panel."""
    return _MARGIN + 0.1 + max((lettering.width(name, _SMALL) for name in names), default=0.0)


def _in_parts(
    figure: Figure, box: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    width, height = figure.get_size_inches()
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height


def _heatmap(
    values: Floats, order: Sequence[int], names: Sequence[str], head: tuple[str, str]
) -> Figure:
    """One row per feature; the rows beyond those with names lie in a lower panel."""
    named, others = list(order)[:_MAX_NAMED], list(order)[_MAX_NAMED:]
    heights = [max(len(named), 1) * _ROW_HEIGHT, *([_OTHERS_HEIGHT] if others else [])]
    shown_names = lettering.labels([names[i] for i in named])
    figure = _panels(heights, head, left=_room(shown_names), right=0.85)
    top = np.nanmax(values[list(order)], initial=0.0)
    shades = ScalarMappable(PowerNorm(0.5, vmin=0.0, vmax=top if top > 0 else 1.0), _SHADES)
    for axes, rows in zip(figure.axes, (named, others), strict=False):
        # Below 0 is noise or harm; the ranking tells which, the shades start at 0.
        shown = np.ma.masked_invalid(np.maximum(values[rows], 0.0))
        # In colours: matplotlib would look one up for each of the pixels.
        axes.imshow(shades.to_rgba(shown, bytes=True), aspect="auto", interpolation="nearest")
        axes.set_xticks([])
        _frame(axes)
    _name_rows(figure.axes[0], shown_names)
    if others:
        figure.axes[1].set_yticks([])
        figure.axes[1].set_ylabel(f"{len(others):,} other features", color=_FAINT, fontsize=_SMALL)
    _colour_scale(figure, shades, heights[0])
    return figure


def _colour_scale(figure: Figure, shades: ScalarMappable, room: float) -> None:
    height = min(room, _SCALE_HEIGHT)
    top = figure.get_figheight() - _TITLE_HEIGHT
    left = figure.get_figwidth() - 0.75
    box = _in_parts(figure, (left, top - height, 0.14, height))
    axes = figure.add_axes(box, facecolor="white")
    bar: Any = figure.colorbar(shades, cax=axes)
    bar.outline.set_visible(False)
    axes.grid(visible=False)
    axes.yaxis.set_major_locator(MaxNLocator(min(5, max(1, int(height / _SCALE_TICK_HEIGHT)))))
    axes.tick_params(length=0, colors=_FAINT, labelsize=8)


def _lowest_panel(figure: Figure) -> Axes:
    """The last panel before the colour scale."""
    return figure.axes[-2]


def _name_rows(
    axes: Axes, names: Sequence[str], colours: str | Sequence[str] = _INK, *, at_right: bool = False
) -> None:
    """Writes the names beside the rows: as texts, since matplotlib takes twice as long for ticks."""
    axes.set_yticks([])
    x, gap, side = (1, 4, "left") if at_right else (0, -4, "right")
    beside = axes.get_yaxis_transform() + ScaledTranslation(gap / 72, 0, axes.figure.dpi_scale_trans)
    for row, name in enumerate(names):
        colour = colours if isinstance(colours, str) else colours[row]
        axes.text(
            x, row, name, transform=beside, ha=side, va="center_baseline", color=colour,
            **_lettered(name),
        )  # fmt: skip


def _frame(axes: Axes) -> None:
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=_INK, labelsize=_SMALL)


def _label_x(axes: Axes, *lines: str) -> None:
    text = "\n".join(map(lettering.drawable, lines))
    axes.set_xlabel(text, color=_FAINT, **_lettered(text.replace("\n", " ")))


def _lettered(text: str, size: int = _SMALL) -> dict[str, Any]:
    """How to draw a text as it is: no formulas, and in fonts that have its letters."""
    return {
        "fontsize": size, "family": lettering.families(text), "parse_math": False, "usetex": False,
    }  # fmt: skip


def _head(result: ImportanceResult, subtitle: str, over: str = ",") -> tuple[str, str]:
    """Title and subtitle."""
    where = over.split(",")[0] if result.epoch is None else f"{over} epoch {result.epoch}"
    title = f"{method_title(result.method)}{where}"
    return lettering.drawable(title), lettering.drawable(subtitle)


def _title_weight(title: str) -> str:
    # Bold fonts have far fewer letters.
    return "bold" if title.isascii() else "normal"


def _write_head(figure: Figure, head: tuple[str, str]) -> None:
    title, subtitle = head
    styles: tuple[tuple[str, float, dict[str, Any]], ...] = (
        (title, 0.24, {"color": _INK, "weight": _title_weight(title), **_lettered(title, _LARGE)}),
        (subtitle, 0.47, {"color": _FAINT, **_lettered(subtitle)}),
    )
    for text, depth, style in styles:
        x, y, *_ = _in_parts(figure, (_MARGIN, figure.get_figheight() - depth, 0, 0))
        figure.text(x, y, text, va="center", **style)


def _rows(result: ImportanceResult) -> str:
    how = f" · {result.procedure}" if result.procedure else ""
    return f"{result.n_samples:,} validation rows{how}"


def _unit(result: ImportanceResult) -> str:
    metric = shortened(result.metric)
    if result.method == "gradient":
        return f"change of the {metric} per standard deviation"
    if math.isnan(result.baseline_score):
        return f"importance ({metric})"
    return f"how much {metric} worsens (now {result.baseline_score:.4g})"


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
