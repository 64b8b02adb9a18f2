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

INK = "#22303C"
FAINT = "#5D6B78"
GRID = "#E3E8EC"
MAX_NAMED = 40
_WIDTH = 8.2
_PANEL_WIDTH = 5.0
ROW_HEIGHT = 0.24
_MARGIN = 0.2
TITLE_HEIGHT = 0.66
_GAP = 0.12
SMALL = 9
_LARGE = 12
MAX_TICKS = 12
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


def without_numbers(result: ImportanceResult) -> Figure:
    """A figure that says that no feature has a number."""
    head = head_lines(result, "No feature has a number here: the report says why.")
    figure = panels([ROW_HEIGHT], head, left=_MARGIN)
    figure.axes[0].set_axis_off()
    return figure


def comparable_results(
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


def panels(
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
    sizes = ((_LARGE, _title_weight(head[0])), (SMALL, "normal"))
    widths = [lettering.width(text, *size) for text, size in zip(head, sizes, strict=True)]
    width = max(_WIDTH, left + _PANEL_WIDTH + right, *(2 * _MARGIN + one for one in widths))
    bottom = 0.28 + 0.17 * n_lines
    height = TITLE_HEIGHT + sum(heights) + _GAP * (len(heights) - 1) + bottom
    figure = Picture(figsize=(width, height), dpi=_DPI, facecolor="white")
    # A style of the user's may ask for one.
    figure.set_layout_engine("none")
    top = height - TITLE_HEIGHT
    for panel_height in heights:
        top -= panel_height
        box = (left, top, width - left - right, panel_height)
        figure.add_axes(as_fractions(figure, box), facecolor="white")
        top -= _GAP
    _write_head(figure, head)
    return figure


def room_for(names: Sequence[str]) -> float:
    """How much room the names need beside a panel."""
    return _MARGIN + 0.1 + max((lettering.width(name, SMALL) for name in names), default=0.0)


def as_fractions(
    figure: Figure, box: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """A box `(left, bottom, width, height)` in inches as fractions of the figure."""
    width, height = figure.get_size_inches()
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height


def name_rows(
    axes: Axes, names: Sequence[str], colours: str | Sequence[str] = INK, *, at_right: bool = False
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


def frame_axes(axes: Axes) -> None:
    """Takes away the grid and the frame, and sets the look of the ticks."""
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=INK, labelsize=SMALL)


def label_x(axes: Axes, *lines: str) -> None:
    """Writes lines below the x axis."""
    text = "\n".join(map(lettering.drawable, lines))
    axes.set_xlabel(text, color=FAINT, **_lettered(text.replace("\n", " ")))


def _lettered(text: str, size: int = SMALL) -> dict[str, Any]:
    """How to draw a text as it is: no formulas, and in fonts that have its letters."""
    return {
        "fontsize": size, "family": lettering.families(text), "parse_math": False, "usetex": False,
    }  # fmt: skip


def head_lines(result: ImportanceResult, subtitle: str, over: str = ",") -> tuple[str, str]:
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
        (title, 0.24, {"color": INK, "weight": _title_weight(title), **_lettered(title, _LARGE)}),
        (subtitle, 0.47, {"color": FAINT, **_lettered(subtitle)}),
    )
    for text, depth, style in styles:
        x, y, *_ = as_fractions(figure, (_MARGIN, figure.get_figheight() - depth, 0, 0))
        figure.text(x, y, text, va="center", **style)


def rows_text(result: ImportanceResult) -> str:
    """How many rows were used, and how features were left out."""
    how = f" · {result.procedure}" if result.procedure else ""
    return f"{result.n_samples:,} validation rows{how}"


def unit_text(result: ImportanceResult) -> str:
    """What the importances are measured in."""
    metric = shortened(result.metric)
    if result.method == "gradient":
        return f"change of the {metric} per standard deviation"
    if math.isnan(result.baseline_score):
        return f"importance ({metric})"
    return f"how much {metric} worsens (now {result.baseline_score:.4g})"


def by_importance(values: Floats) -> list[int]:
    """The features with a number, most important first."""
    order = np.argsort(-np.nan_to_num(values), kind="stable")
    return [int(i) for i in order if np.isfinite(values[i])]
