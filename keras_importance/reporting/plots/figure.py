"""What all pictures share: panels, names of rows, titles, colours. No window, no pyplot."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from keras_importance.reporting.plots import lettering
from keras_importance.reporting.plots.lettering import shortened
from keras_importance.statistics.arrays import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from keras_importance.results.history import ImportanceHistory
    from keras_importance.results.result import ImportanceResult

_INK = "#22303C"

_FAINT = "#5D6B78"

_GRID = "#E3E8EC"

_MAX_NAMED = 40

_WIDTH = 8.2

_PANEL_WIDTH = 5.0

_ROW_HEIGHT = 0.24

_MARGIN = 0.2

_TITLE_HEIGHT = 0.66

_GAP = 0.12

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


def _by_importance(values: Floats) -> list[int]:
    """The features with a number, most important first."""
    order = np.argsort(-np.nan_to_num(values), kind="stable")
    return [int(i) for i in order if np.isfinite(values[i])]
