"""Parts shared by all pictures: panels under a title, names beside rows, colours. No pyplot."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from matplotlib.transforms import ScaledTranslation

from keras_importance.reporting.plots import fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#22303C"
FAINT = "#5D6B78"

# Font sizes in points.
SMALL = 9
_LARGE = 12

# Lengths in inches.
ROW_HEIGHT = 0.24
TITLE_HEIGHT = 0.66
_MIN_WIDTH = 8.2
_MIN_PANEL_WIDTH = 5.0
_MARGIN = 0.2
_GAP = 0.12

MAX_TICKS = 12
_DPI = 110


class Picture(Figure):
    """A figure that a notebook shows; it shows matplotlib's `Figure` only once pyplot was imported."""

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
    """A figure of panels below one another, under a title and a subtitle.

    The room is computed, not measured: matplotlib's own layout engines draw everything twice.

    Args:
        heights: height of each panel in inches, from the top.
        head: title and subtitle.
        left: room to the left of the panels in inches.
        right: room to their right in inches.
        n_lines: for how many lines of text there is room below the lowest panel.
    """
    sizes = ((_LARGE, _title_weight(head[0])), (SMALL, "normal"))
    widths = [fonts.width(text, *size) for text, size in zip(head, sizes, strict=True)]
    with_margins = [2 * _MARGIN + text_width for text_width in widths]
    width = max(_MIN_WIDTH, left + _MIN_PANEL_WIDTH + right, *with_margins)
    bottom = 0.28 + 0.17 * n_lines
    height = TITLE_HEIGHT + sum(heights) + _GAP * (len(heights) - 1) + bottom
    figure = Picture(figsize=(width, height), dpi=_DPI, facecolor="white")
    # The user's style may ask for a layout engine.
    figure.set_layout_engine("none")
    top = height - TITLE_HEIGHT
    for panel_height in heights:
        top -= panel_height
        box = (left, top, width - left - right, panel_height)
        figure.add_axes(as_fractions(figure, box), facecolor="white")
        top -= _GAP
    _write_head(figure, head)
    return figure


def head_alone(head: tuple[str, str]) -> Figure:
    """A figure of a title and a subtitle with nothing below."""
    figure = panels([ROW_HEIGHT], head, left=_MARGIN)
    figure.axes[0].set_axis_off()
    return figure


def as_fractions(
    figure: Figure, box: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """A box `(left, bottom, width, height)` in inches as fractions of the figure."""
    width, height = figure.get_size_inches()
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height


def room_for(names: Sequence[str]) -> float:
    """The width in inches that the names need beside a panel."""
    return _MARGIN + 0.1 + max((fonts.width(name, SMALL) for name in names), default=0.0)


def name_rows(
    axes: Axes, names: Sequence[str], colours: str | Sequence[str] = INK, *, at_right: bool = False
) -> None:
    """Writes the names beside the rows: as texts, since matplotlib takes twice as long for ticks.

    Args:
        axes: where row `i` lies at `y = i`.
        names: the name of each row, from the top.
        colours: the colour of all names, or of each.
        at_right: whether the names stand at the right of the panel.
    """
    axes.yaxis.set_major_locator(NullLocator())
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
    text = "\n".join(map(fonts.drawable, lines))
    axes.set_xlabel(text, color=FAINT, **_lettered(text.replace("\n", " ")))


def _write_head(figure: Figure, head: tuple[str, str]) -> None:
    title, subtitle = head
    styles: tuple[tuple[str, float, dict[str, Any]], ...] = (
        (title, 0.24, {"color": INK, "weight": _title_weight(title), **_lettered(title, _LARGE)}),
        (subtitle, 0.47, {"color": FAINT, **_lettered(subtitle)}),
    )
    for text, depth, style in styles:
        x, y, *_ = as_fractions(figure, (_MARGIN, figure.get_figheight() - depth, 0, 0))
        figure.text(x, y, text, va="center", **style)


def _title_weight(title: str) -> str:
    # Bold fonts have far fewer letters.
    return "bold" if title.isascii() else "normal"


def _lettered(text: str, size: int = SMALL) -> dict[str, Any]:
    """How to draw a text as it is: no formulas, and in fonts that have its letters."""
    return {
        "fontsize": size, "family": fonts.families(text), "parse_math": False, "usetex": False,
    }  # fmt: skip
