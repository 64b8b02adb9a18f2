"""Pictures as pixels while a training waits: each text is laid out once, and no ticks are made."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import to_rgba
from matplotlib.transforms import Bbox, IdentityTransform
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis, Tick
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from matplotlib.text import Text

_Pixels = NDArray[np.uint8]
# Without types in matplotlib.
_Sheet: Any = RendererAgg

# A picture has up to a hundred texts; a stamp takes 3 kB.
_MAX_STAMPS = 1000
_POINTS_PER_INCH = 72
# Distance of the text of a common factor, such as "1e-6", from its axis, in points, as in matplotlib.
_FACTOR_GAP = 3


@dataclass(frozen=True)
class _Stamp:
    """A drawn text: how much of each pixel it covers, and where it lies beside the text's position.

    Attributes:
        cover: `(height, width)` from 0 to 255.
        left: pixels from the position to the left edge.
        bottom: pixels from the position up to the lower edge.
        box: the extent of the text, the position at 0.
    """

    cover: _Pixels
    left: int
    bottom: int
    box: Bbox


class Painter:
    """Draws the pictures of this package as matplotlib does, several times faster.

    Most of matplotlib's time goes into texts and ticks. A painter keeps the texts that it has drawn,
    and moves a single tick along each axis. It draws what the pictures here are made of: texts, images
    that fill their axes, lines, collections, and an axis at the bottom or at a side.
    """

    def __init__(self) -> None:
        self._stamps: dict[Hashable, _Stamp] = {}

    def pixels(self, figure: Figure) -> _Pixels:
        """The picture as `(height, width, 4)` red, green, blue and opacity, which is full."""
        canvas: Any = FigureCanvasAgg(figure)
        sheet = canvas.get_renderer()
        pixels: _Pixels = np.asarray(sheet.buffer_rgba())
        _whole(pixels)[:] = _whole(_colour(figure.get_facecolor()))
        for axes in figure.axes:
            self._paint(axes, sheet, pixels)
        for text in figure.texts:
            self._print(text, pixels)
        return pixels

    def _paint(self, axes: Axes, sheet: RendererAgg, pixels: _Pixels) -> None:
        for image in axes.images:
            _fill(axes, image, pixels)
        shapes: list[Artist] = [*axes.lines, *axes.collections]
        if axes.axison:
            shapes += [axes.xaxis, axes.yaxis]
        for shape in sorted(shapes, key=lambda shape: shape.get_zorder()):
            if shape is axes.xaxis or shape is axes.yaxis:
                self._paint_axis(axes, shape, sheet, pixels)
            else:
                shape.draw(sheet)
        for text in axes.texts:
            self._print(text, pixels)

    def _paint_axis(self, axes: Axes, axis: Axis, sheet: RendererAgg, pixels: _Pixels) -> None:
        """Draws the grid, the texts of the ticks, their common factor, and the label beyond them."""
        boxes = [axes.bbox]
        for tick in _ticks(axis):
            if tick.gridline.get_visible():
                tick.gridline.draw(sheet)
            texts = (tick.label1, tick.label2)
            boxes += [self._print(text, pixels) for text in texts if text.get_visible()]
        around = Bbox.union(boxes)
        factor, label, is_horizontal = axis.get_offset_text(), axis.label, axis is axes.xaxis
        factor.set_text(axis.get_major_formatter().get_offset())
        gap, padding = (_pixels_of(axes, points) for points in (_FACTOR_GAP, axis.labelpad))
        if is_horizontal:
            factor.set_y(around.y0 - gap)
            label.set_y(around.y0 - padding)
        else:
            factor.set_y(axes.bbox.y1 + gap)
            label.set_x(around.x0 - padding)
        for text in (factor, label):
            if text.get_text():
                self._print(text, pixels)

    def _print(self, text: Text, pixels: _Pixels) -> Bbox:
        """Draws a text; returns its extent."""
        stamp = self._stamp(text)
        x, y = (round(float(place)) for place in text.get_transform().transform(text.get_position()))
        (n_rows, n_columns), height = stamp.cover.shape, len(pixels)
        left, top = x + stamp.left, height - (y + stamp.bottom) - n_rows
        below = pixels[max(top, 0) : max(top + n_rows, 0), max(left, 0) : max(left + n_columns, 0)]
        cover = stamp.cover[max(-top, 0) :, max(-left, 0) :][: len(below), : below.shape[1]]
        weights = cover[..., None].astype(np.uint16)
        below[:] = (below * (255 - weights) + _colour(text.get_color()) * weights + 127) // 255
        return stamp.box.translated(x, y)

    def _stamp(self, text: Text) -> _Stamp:
        """The stamp of a text, the one kept if it was drawn before."""
        key = (
            text.get_text(), text.get_fontproperties(), _dpi(text),
            text.get_horizontalalignment(), text.get_verticalalignment(),
            text.get_rotation(), text.get_rotation_mode(),
        )  # fmt: skip
        # Put at the end again: the first one is the one that was not drawn for the longest time.
        kept = self._stamps.pop(key) if key in self._stamps else None
        stamp = self._stamps[key] = kept or _new_stamp(text)
        if len(self._stamps) > _MAX_STAMPS:
            del self._stamps[next(iter(self._stamps))]
        return stamp


def _new_stamp(text: Text) -> _Stamp:
    """The text as matplotlib draws it on a sheet of its own."""
    place, transform = text.get_position(), text.get_transform()
    text.set_transform(IdentityTransform())
    text.set_position((0, 0))
    box = text.get_window_extent()
    left, bottom = math.floor(box.x0) - 2, math.floor(box.y0) - 2
    text.set_position((-left, -bottom))
    sheet = _Sheet(math.ceil(box.x1) + 2 - left, math.ceil(box.y1) + 2 - bottom, _dpi(text))
    text.draw(sheet)
    text.set_transform(transform)
    text.set_position(place)
    return _Stamp(np.asarray(sheet.buffer_rgba())[..., 3].copy(), left, bottom, box)


def _ticks(axis: Axis) -> Iterator[Tick]:
    """The ticks in view, in fact a single tick that is moved: each new one takes a millisecond."""
    places = axis.get_majorticklocs()
    low, high = sorted(axis.get_view_interval())
    tolerance = 1e-6 * (high - low)
    texts = axis.get_major_formatter().format_ticks(list(places))
    for place, text in zip(places, texts, strict=True):
        if low - tolerance <= place <= high + tolerance:
            (tick,) = axis.get_major_ticks(1)
            tick.update_position(place)
            tick.label1.set_text(text)
            tick.label2.set_text(text)
            yield tick


def _fill(axes: Axes, image: AxesImage, pixels: _Pixels) -> None:
    """Fills the room of the axes with an image in colours: each pixel has the nearest one."""
    box, colours = axes.bbox, np.asarray(image.get_array())
    left, right = round(box.x0), round(box.x1)
    top, bottom = len(pixels) - round(box.y1), len(pixels) - round(box.y0)
    rows, columns = (
        (2 * np.arange(size) + 1) * n // (2 * size)
        for size, n in zip((bottom - top, right - left), colours.shape[:2], strict=True)
    )
    _whole(pixels)[top:bottom, left:right] = _whole(colours)[rows[:, None], columns]


def _colour(name: Any) -> _Pixels:
    """A colour as `(4,)` red, green, blue and opacity."""
    return np.round(255 * np.array(to_rgba(name))).astype(np.uint8)


def _whole(pixels: _Pixels) -> NDArray[np.uint32]:
    """The same pixels as a number each, which NumPy copies ten times as fast as four."""
    return np.ascontiguousarray(pixels).view(np.uint32)[..., 0]


def _pixels_of(axes: Axes, points: float) -> float:
    return points * _dpi(axes) / _POINTS_PER_INCH


def _dpi(artist: Artist) -> float:
    figure: Any = artist.figure
    return float(figure.dpi)
