"""Names beside pictures: no letter without a shape, no two names alike."""

from __future__ import annotations

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from keras_importance.reporting.plots import fonts, lettering


@pytest.fixture
def fallbacks(monkeypatch):
    """Sets which fallback fonts are installed."""

    def set_installed(files):
        monkeypatch.setattr(fonts, "_installed", lambda: files)
        fonts._family.cache_clear()

    yield set_installed
    fonts._family.cache_clear()


def test_letters_that_no_font_has_are_codes(fallbacks):
    fallbacks({})
    assert fonts.drawable("風 speed \x00") == r"\u98a8 speed \x00"


def test_marks_without_a_shape_leave_nothing(fallbacks):
    """U+E0067 is a tag character of the flag of England: no font shows it by itself."""
    fallbacks({})
    assert fonts.drawable("a\U000e0067b") == "ab"


@pytest.mark.filterwarnings("error")
def test_a_fallback_font_draws_what_the_font_in_use_lacks(fallbacks):
    """`cmr10`, which comes with matplotlib, has no Greek beyond capitals."""
    fallbacks({"DejaVu Sans": matplotlib.font_manager.findfont("DejaVu Sans")})
    with matplotlib.rc_context({"font.family": "cmr10"}):
        assert fonts.drawable("длина") == "длина"
        assert fonts.families("длина") == ["cmr10", "DejaVu Sans"]
        assert fonts.families("length") == ["cmr10"]
        figure = Figure()
        figure.text(0, 0, "длина", family=fonts.families("длина"))
        figure.canvas.draw()


def test_installed_fallbacks_are_in_the_order_of_the_list():
    found = list(fonts._installed())
    assert found == [one for one in fonts._FALLBACKS if one in found]
    assert "DejaVu Sans" in found


def test_short_names_are_whole():
    names = ["a", "Ångström µ", "two  words", "x" * 34]
    assert lettering.labels(names) == ["a", "Ångström µ", "two words", "x" * 34]


def test_long_names_keep_both_ends():
    assert lettering.shortened("first" + "x" * 100 + "last").startswith("first")
    assert lettering.shortened("first" + "x" * 100 + "last").endswith("last")


LONG = st.text("ab_", max_size=50)


@given(st.lists(LONG, min_size=1, max_size=12))
def test_different_names_have_different_labels(parts):
    """However alike their ends are: the label shows where they begin to differ."""
    names = [f"sensor_of_the_northern_hall_{part}_mean_over_the_last_hour" for part in parts]
    labels = lettering.labels(names)
    assert len(set(labels)) == len(set(names))
    assert all(len(label) <= 34 for label in labels)


def test_the_width_is_that_of_the_drawn_text():
    """Within the 6% that are kept for letters on whole pixels, and one pixel."""
    figure = Figure(dpi=110)
    for name in ("feature_0", "mmmmmmmmmmmmmmmmmmmmmmm", "Ångström µ", "WWWWWWWWWWWWWWWWWWW", "iiiiiii"):
        drawn = figure.text(0, 0, name, fontsize=9).get_window_extent().width
        assert drawn - 1 <= 110 * fonts.width(name, 9) <= 1.07 * drawn + 2
