"""The pictures of a training: what matplotlib would draw, with texts that are laid out once."""

from __future__ import annotations

import io
from itertools import pairwise

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.backends.backend_agg import FigureCanvasAgg
from reporting.test_plots import all_pictures, changing, ranked, result

from keras_importance import ImportanceHistory, plots
from keras_importance.reporting.plots import painter as painter_module
from keras_importance.reporting.plots.painter import Painter
from keras_importance.reporting.plots.png import png

PICTURES = ("ranking", "over_epochs", "ranks", "over_steps")


def by_matplotlib(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())


def in_blocks(pixels, size=8):
    """The mean colour of each block: letters that begin within a pixel of each other look the same."""
    height, width = (length - length % size for length in pixels.shape[:2])
    blocks = pixels[:height, :width, :3].reshape(height // size, size, width // size, size, 3)
    return blocks.mean(axis=(1, 3))


def assert_alike(figure, painted):
    drawn = by_matplotlib(figure)
    assert painted.shape == drawn.shape
    assert np.abs(in_blocks(drawn) - in_blocks(painted)).max() < 45
    assert np.abs(drawn.astype(float) - painted).mean() < 2


@pytest.fixture
def laid_out(monkeypatch):
    """The texts that were laid out anew."""
    texts, new_stamp = [], painter_module._new_stamp

    def counted(text):
        texts.append(text.get_text())
        return new_stamp(text)

    monkeypatch.setattr(painter_module, "_new_stamp", counted)
    return texts


@pytest.mark.parametrize("picture", PICTURES)
def test_a_painted_picture_looks_as_matplotlib_draws_it(picture):
    painter = Painter()
    for _ in range(2):  # with new stamps, then with those kept
        assert_alike(all_pictures()[picture], painter.pixels(all_pictures()[picture]))


@pytest.mark.parametrize(
    "values",
    [[0.0, 0.0], [-1.0, -2.0], [np.nan, np.nan], [3e-7, -1e-7], [5.0]],
    ids=["zero", "negative", "unknown", "tiny", "alone"],
)
def test_extreme_importances_are_painted_alike(values):
    """Tiny importances have a common factor beside their axis, such as 1e-7."""
    one = result(values=values)
    history = ImportanceHistory((one,))
    for draw in (
        lambda: plots.ranking(one),
        lambda: plots.over_epochs(history),
        lambda: plots.ranks(history),
    ):
        assert_alike(draw(), Painter().pixels(draw()))


@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_that_is_painted_is_the_same_afterwards(picture):
    painted = all_pictures()[picture]
    Painter().pixels(painted)
    assert np.array_equal(by_matplotlib(painted), by_matplotlib(all_pictures()[picture]))


@pytest.mark.parametrize("picture", PICTURES)
def test_a_second_drawing_lays_out_no_text(picture, laid_out):
    painter = Painter()
    first = painter.pixels(all_pictures()[picture])
    assert laid_out
    laid_out.clear()
    assert np.array_equal(painter.pixels(all_pictures()[picture]), first)
    assert not laid_out


def test_the_next_epoch_lays_out_its_title_and_new_ticks_alone(laid_out):
    names = tuple(f"feature_{i}" for i in range(30))
    painter, history = Painter(), changing(30, 6)
    painter.pixels(plots.over_epochs(history.before(5)))
    assert set(names) <= set(laid_out)
    laid_out.clear()
    painter.pixels(plots.over_epochs(history))
    assert "Permutation importance over time, up to epoch 5" in laid_out
    assert not set(names) & set(laid_out)
    assert len(laid_out) <= 8


def test_texts_that_were_not_drawn_for_long_are_forgotten(monkeypatch, laid_out):
    monkeypatch.setattr(painter_module, "_MAX_STAMPS", 20)
    painter = Painter()
    for first in (0, 100):
        names = tuple(f"x{first + i}" for i in range(40))
        painter.pixels(plots.ranking(result(40, names=names)))
        assert len(painter._stamps) == 20
    assert "x0" in laid_out


def test_the_order_of_drawing_is_that_of_the_picture():
    """Lines lie above pale lines and below dots: the picture of ranks, close up."""
    history = ranked([3, 2, 1], [1, 2, 3], [3, 2, 1])
    drawn, painted = by_matplotlib(plots.ranks(history)), Painter().pixels(plots.ranks(history))
    (panel,) = plots.ranks(history).axes
    left, _, right, _ = (round(end) for end in panel.bbox.extents)
    top = len(drawn) - round(panel.bbox.y1)
    inside = np.s_[top : top + round(panel.bbox.height), left:right]
    assert np.array_equal(drawn[inside], painted[inside])


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(4))))
def test_a_png_holds_the_pixels(pixels):
    read = matplotlib.image.imread(io.BytesIO(png(pixels)), format="png")
    assert np.array_equal(np.round(255 * read).astype(np.uint8), pixels)


# --- long trainings -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_epochs", [1, 2, 249, 250, 251, 3000])
def test_a_picture_shows_at_most_250_evaluations_and_says_so(n_epochs):
    history = ImportanceHistory(
        tuple(result(values=[2.0, 1.0], epoch=epoch) for epoch in range(n_epochs))
    )
    shown = min(n_epochs, 250)
    heat, lines = plots.over_epochs(history), plots.ranks(history)
    assert heat.axes[0].images[0].get_array().shape[1] == shown
    epochs = lines.axes[0].lines[0].get_xdata()
    assert (len(epochs), epochs[0], epochs[-1]) == (shown, 0, n_epochs - 1)
    distances = {later - epoch for epoch, later in pairwise(epochs)}
    assert max(distances, default=0) - min(distances, default=0) <= 1
    for figure in (heat, lines):
        said = f"{shown} of {n_epochs:,} evaluations" in figure.texts[1].get_text()
        assert said == (n_epochs > 250)


def test_values_stand_beside_the_shades_they_have():
    """A shade lies at the square root of its value, as a fraction of the largest."""
    figure = plots.over_epochs(ranked([4.0, 1.0]))
    scale = figure.axes[-1]
    by_matplotlib(figure)
    shown = {tick.label2.get_text(): tick.get_loc() for tick in scale.yaxis.get_major_ticks()}
    assert shown
    for text, place in shown.items():
        assert place == pytest.approx(np.sqrt(float(text) / 4))
    colours = scale.images[0].get_array()[:, 0]
    darkest, half = colours[0], colours[len(colours) // 2]
    cells = figure.axes[0].images[0].get_array()[:, 0]
    assert np.array_equal(cells[0], darkest)
    assert np.abs(cells[1].astype(int) - half).max() <= 2
