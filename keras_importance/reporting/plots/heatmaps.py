"""Features over epochs, and features over time steps, the darker the more important."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator, ScalarFormatter
from numpy.typing import NDArray

from keras_importance.reporting.plots.captions import (
    chosen_text,
    head_lines,
    no_values_lines,
    rows_text,
    unit_text,
)
from keras_importance.reporting.plots.figure import (
    FAINT,
    MAX_TICKS,
    ROW_HEIGHT,
    SMALL,
    TITLE_HEIGHT,
    as_fractions,
    frame_axes,
    head_alone,
    label_x,
    name_rows,
    panels,
    room_for,
)
from keras_importance.reporting.plots.lettering import labels
from keras_importance.reporting.plots.selection import (
    MAX_NAMED,
    by_importance,
    comparable_results,
    evenly_chosen,
)
from keras_importance.statistics.arrays import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from keras_importance.results.history import ImportanceHistory
    from keras_importance.results.result import ImportanceResult

_N_SHADES = 256
_SHADES = LinearSegmentedColormap.from_list(
    "importance", ["#F6F9FB", "#CFE3F1", "#7FB7DA", "#2C82BE", "#0B4A7F", "#06264A"], _N_SHADES
)
# A table: matplotlib looks colours up several times slower.
_PALETTE = _SHADES(np.arange(_N_SHADES), bytes=True)
_UNKNOWN = np.array([0xE8, 0xE4, 0xDC, 0xFF], np.uint8)

# Lengths in inches.
_OTHERS_HEIGHT = 2.4
_SCALE_HEIGHT = 3.0
_SCALE_TICK_HEIGHT = 0.3
_SCALE_ROOM = 0.85


def over_epochs(history: ImportanceHistory, method: str | None = None) -> Figure:
    """All features x epochs so far, the darker the more important; one row per feature.

    Rows are ordered by the newest evaluation. Beyond 40 features, the others share a panel below.
    Of more than 250 evaluations, 250 at even distances have a column, the newest among them.

    Args:
        history: what to draw.
        method: name of the method; None for the first method of the history.

    Raises:
        ValueError: for an empty history or a method without results.
    """
    newest, every = comparable_results(history, method, "over_epochs")
    results = evenly_chosen(every)
    values = np.stack([result.importances_mean for result in results], axis=1)
    order = by_importance(newest.importances_mean)
    if not order:
        return head_alone(no_values_lines(newest))
    subtitle = f"{unit_text(newest)} · {rows_text(newest)}{chosen_text(len(results), len(every))}"
    head = head_lines(newest, subtitle, " over time, up to")
    figure = _heatmap(values, order, newest.feature_names, head)
    panel = _lowest_panel(figure)
    columns = range(0, len(results), -(-len(results) // MAX_TICKS))
    # Not `set_xticks`, which makes all ticks at once.
    panel.xaxis.set_major_locator(FixedLocator(columns))
    panel.xaxis.set_major_formatter(FixedFormatter([str(results[column].epoch) for column in columns]))
    label_x(panel, "epoch")
    return figure


def over_steps(result: ImportanceResult) -> Figure:
    """Features x time steps of sequences, the darker the more important; the first step is 0.

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
    order = [index for index in by_importance(total) if index in with_steps]
    if not order:
        return head_alone(no_values_lines(result))
    head = head_lines(result, f"{unit_text(result)} · {rows_text(result)}", " at each time step,")
    figure = _heatmap(result.by_step.T, order, result.feature_names, head)
    panel = _lowest_panel(figure)
    panel.xaxis.set_major_locator(MaxNLocator(MAX_TICKS, integer=True))
    label_x(panel, "time step")
    return figure


def _heatmap(
    values: Floats, order: Sequence[int], names: Sequence[str], head: tuple[str, str]
) -> Figure:
    """Shades of `(n_features, n_columns)` values, one row per feature in `order`.

    The first 40 rows have names; other rows lie in a lower panel. Both share one scale of shades.
    """
    named, others = list(order)[:MAX_NAMED], list(order)[MAX_NAMED:]
    heights = [max(len(named), 1) * ROW_HEIGHT, *([_OTHERS_HEIGHT] if others else [])]
    shown_names = labels([names[index] for index in named])
    figure = panels(heights, head, left=room_for(shown_names), right=_SCALE_ROOM)
    top = float(np.nanmax(values[list(order)], initial=0.0))
    top = top if top > 0 else 1.0
    for axes, rows in zip(figure.axes, (named, others), strict=False):
        # In colours: matplotlib would look one up for each of the pixels.
        axes.imshow(_shades(values[rows], top), aspect="auto", interpolation="nearest")
        axes.xaxis.set_major_locator(NullLocator())
        frame_axes(axes)
    name_rows(figure.axes[0], shown_names)
    if others:
        figure.axes[1].yaxis.set_major_locator(NullLocator())
        figure.axes[1].set_ylabel(f"{len(others):,} other features", color=FAINT, fontsize=SMALL)
    _add_colour_scale(figure, top, heights[0])
    return figure


def _shades(values: Floats, top: float) -> NDArray[np.uint8]:
    """The colour of each value, by its square root: the darkest at `top`, and grey for NaN."""
    # Below 0 is noise or harm; the ranking tells which, the shades start at 0.
    depth = np.sqrt(np.maximum(values, 0.0) / top)
    is_known = np.isfinite(depth)
    shade = np.minimum(np.where(is_known, depth, 0.0) * _N_SHADES, _N_SHADES - 1).astype(np.intp)
    return np.where(is_known[..., None], _PALETTE[shade], _UNKNOWN)


def _add_colour_scale(figure: Figure, top: float, room: float) -> None:
    """Adds the scale of shades from 0 to `top` at the right, at most `room` inches high."""
    height = min(room, _SCALE_HEIGHT)
    box = (figure.get_figwidth() - 0.75, figure.get_figheight() - TITLE_HEIGHT - height, 0.14, height)
    axes = figure.add_axes(as_fractions(figure, box), facecolor="white")
    # Not matplotlib's colour bar, which takes as long as all else in the figure.
    shades = _shades(np.linspace(1, 0, _N_SHADES)[:, None] ** 2, 1.0)
    axes.imshow(shades, aspect="auto", interpolation="nearest", extent=(0, 1, 0, 1))
    frame_axes(axes)
    axes.xaxis.set_major_locator(NullLocator())
    _name_shades(axes, top, min(5, max(1, int(height / _SCALE_TICK_HEIGHT))))


def _name_shades(axes: Axes, top: float, n_steps: int) -> None:
    """Writes round values beside the shades, in steps of which there are at most `n_steps`."""
    steps = np.asarray(MaxNLocator(n_steps).tick_values(0, top))
    values = steps[(steps >= 0) & (steps <= top)]
    texts: Any = ScalarFormatter()
    texts.create_dummy_axis()
    texts.axis.set_view_interval(0, top)
    names = FixedFormatter(texts.format_ticks(values))
    names.set_offset_string(texts.get_offset())
    axes.yaxis.set_major_locator(FixedLocator([float(place) for place in np.sqrt(values / top)]))
    axes.yaxis.set_major_formatter(names)
    axes.tick_params(labelleft=False, labelright=True, colors=FAINT, labelsize=8)


def _lowest_panel(figure: Figure) -> Axes:
    """The last panel before the colour scale."""
    return figure.axes[-2]
