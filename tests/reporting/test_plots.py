"""What the pictures show: the arrays and texts they are made of."""

from __future__ import annotations

import dataclasses
import io
import math
import subprocess
import sys
from itertools import pairwise

import matplotlib.style
import numpy as np
import pytest
from matplotlib.colors import LinearSegmentedColormap, to_hex

from keras_importance import ImportanceHistory, ImportanceResult, plots
from keras_importance.reporting.plots import lettering


def result(n_features=5, epoch=0, n_steps=None, names=None, values=None, **fields):
    rng = np.random.default_rng(n_features)
    values = rng.uniform(-0.1, 1, n_features) if values is None else np.array(values)
    return ImportanceResult(
        method=fields.pop("method", "permutation"),
        epoch=epoch,
        feature_names=names or tuple(f"feature_{i}" for i in range(len(values))),
        importances=values[:, None],
        std_error=fields.pop("std_error", np.full(len(values), 0.05)),
        baseline_score=0.5,
        metric="loss",
        n_samples=1000,
        by_step=None if n_steps is None else rng.uniform(0, 1, (n_steps, len(values))),
        **fields,
    )


def drawn(figure):
    """The figure after a real drawing, which fails where something can't be drawn."""
    figure.savefig(io.BytesIO(), format="png")
    return figure


def shades(values):
    """The colours that a heat map shows of values: the darker the larger, by the square root from 0 on."""
    share = np.sqrt(np.maximum(values, 0) / values.max())
    colours = LinearSegmentedColormap.from_list(
        "", ["#F6F9FB", "#CFE3F1", "#7FB7DA", "#2C82BE", "#0B4A7F", "#06264A"]
    )
    return colours(share, bytes=True)


def labels(axes):
    return [label.get_text() for label in axes.texts]


def texts(figure):
    return [text.get_text() for text in figure.texts]


@pytest.mark.parametrize("n_features", [1, 5, 30, 300])
def test_bars_are_the_most_important_features_in_order(n_features):
    one = result(n_features)
    axes = drawn(plots.ranking(one)).axes[0]
    order = np.argsort(-one.importances_mean)[:40]
    assert labels(axes) == [one.feature_names[i] for i in order]
    bars = [bar.get_extents() for bar in axes.collections[0].get_paths()]
    ends = [
        bar.x1 if mean > 0 else bar.x0
        for bar, mean in zip(bars, one.importances_mean[order], strict=True)
    ]
    assert ends == pytest.approx(one.importances_mean[order])
    assert [(bar.y0 + bar.y1) / 2 for bar in bars] == pytest.approx(range(len(order)))
    assert all(axes.get_xlim()[0] <= end <= axes.get_xlim()[1] for end in ends)


def test_bars_begin_at_the_edge_where_all_intervals_lie_above_zero():
    axes = drawn(plots.ranking(result(values=[3.0, 2.0, 1.0]))).axes[0]
    assert axes.get_xlim()[0] == 0
    assert drawn(plots.ranking(result(values=[3.0, 0.01]))).axes[0].get_xlim()[0] < -0.05


def test_whiskers_are_the_intervals():
    one = result(6)
    axes = drawn(plots.ranking(one)).axes[0]
    order = np.argsort(-one.importances_mean)
    ends = np.array([segment[:, 0] for segment in axes.collections[1].get_segments()])
    assert ends == pytest.approx(np.column_stack([one.ci_low, one.ci_high])[order])


def test_the_colour_says_on_which_side_of_zero_the_interval_lies():
    axes = drawn(plots.ranking(result(values=[1.0, 0.05, -1.0]))).axes[0]
    assert len(np.unique(axes.collections[0].get_facecolors(), axis=0)) == 3


def test_approximated_features_are_hollow_and_counted():
    one = result(values=[3.0, 2.0, 1.0], obtained=("exact", "screened", "carried"))
    axes = drawn(plots.ranking(one)).axes[0]
    is_white = [tuple(colour[:3]) == (1, 1, 1) for colour in axes.collections[0].get_facecolors()]
    assert is_white == [False, True, True]
    assert "2 hollow: approximated" in axes.get_xlabel()


def test_what_is_not_shown_is_said():
    values = np.append(np.linspace(1, 0.1, 50), math.nan)
    label = drawn(plots.ranking(result(values=values))).axes[0].get_xlabel()
    assert "10 more features between 0.1 and 0.265" in label
    assert "1 without a number" in label


@pytest.mark.parametrize("n_features", [5, 300])
def test_the_heatmap_holds_every_feature_and_epoch(n_features):
    history = ImportanceHistory() + [
        result(n_features, epoch, values=np.random.default_rng(epoch).uniform(-0.2, 1, n_features))
        for epoch in range(14)
    ]
    figure = drawn(plots.over_epochs(history))
    shown = np.concatenate([axes.images[0].get_array() for axes in figure.axes[:-1]])
    values = np.stack([one.importances_mean for one in history], axis=1)
    order = np.argsort(-values[:, -1])
    assert np.array_equal(shown, shades(values[order]))
    assert labels(figure.axes[0]) == [f"feature_{i}" for i in order[:40]]


def test_the_heatmap_names_the_epochs():
    history = ImportanceHistory() + [result(3, epoch) for epoch in (0, 5, 10, 12)]
    axes = drawn(plots.over_epochs(history)).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "5", "10", "12"]


def test_the_step_map_holds_steps_by_features():
    one = result(4, n_steps=48)
    figure = drawn(plots.over_steps(one))
    order = np.argsort(-one.by_step.mean(axis=0))
    assert np.array_equal(figure.axes[0].images[0].get_array(), shades(one.by_step.T[order]))


def test_the_step_map_leaves_out_features_without_steps():
    one = result(3, n_steps=6)
    by_step = one.by_step.copy()
    by_step[:, 1] = math.nan
    figure = drawn(plots.over_steps(dataclasses.replace(one, by_step=by_step)))
    assert "feature_1" not in labels(figure.axes[0])
    assert len(labels(figure.axes[0])) == 2


def test_a_result_without_steps_has_no_step_map():
    with pytest.raises(ValueError, match="over_steps got a result of 'permutation' without by_step"):
        plots.over_steps(result())


@pytest.mark.parametrize("plot", [plots.over_epochs, plots.ranks])
def test_a_history_without_the_method_is_refused(plot):
    for history, method in ((ImportanceHistory(), None), (ImportanceHistory((result(),)), "lofo")):
        with pytest.raises(ValueError, match=f"{plot.__name__} got method={method!r}"):
            plot(history, method)


# --- ranks --------------------------------------------------------------------------------------


def ranked(*rows, epochs=None, **fields):
    """A history of the importances of each evaluation."""
    epochs = range(len(rows)) if epochs is None else epochs
    return ImportanceHistory() + [
        result(values=row, epoch=epoch, **fields) for epoch, row in zip(epochs, rows, strict=True)
    ]


def changing(n_features, n_epochs):
    rng = np.random.default_rng(n_features)
    return ranked(*rng.uniform(0.5, 1, (n_epochs, n_features)))


def ranks_of(axes):
    return np.array([line.get_ydata() for line in axes.lines]) + 1


def names_and_ranks(axes):
    """The texts at the right of the lines, and those at their left."""
    right = [one.get_text() for one in axes.texts if one.get_ha() == "left"]
    return right, [one.get_text() for one in axes.texts if one.get_ha() == "right"]


def test_lines_are_the_ranks_in_the_order_of_the_newest():
    axes = drawn(plots.ranks(ranked([3, 1, 2], [1, 2, 3], epochs=[0, 5]))).axes[0]
    assert ranks_of(axes).tolist() == [[2, 1], [3, 2], [1, 3]]
    assert axes.lines[0].get_xdata() == pytest.approx([0, 5])
    assert names_and_ranks(axes) == (["feature_2", "feature_1", "feature_0"], ["1", "2", "3"])


@pytest.mark.parametrize("n_epochs", [1, 2, 200])
@pytest.mark.parametrize("n_features", [1, 5, 300])
def test_any_number_of_features_and_epochs_has_ranks(n_features, n_epochs):
    history = changing(n_features, n_epochs)
    axes = drawn(plots.ranks(history)).axes[0]
    expected = np.stack([one.rank for one in history], axis=1)
    expected = expected[np.argsort(expected[:, -1])][:20]
    assert ranks_of(axes) == pytest.approx(expected)


@pytest.mark.parametrize("epochs", [[7], [0, 1], [3, 8, 13]], ids=str)
def test_the_axis_of_ranks_names_whole_epochs_alone(epochs):
    axes = drawn(plots.ranks(ranked(*[[3, 1]] * len(epochs), epochs=epochs))).axes[0]
    shown = [label.get_text() for label in axes.get_xticklabels()]
    assert shown
    assert all(label.lstrip("\N{MINUS SIGN}").isdigit() for label in shown)


def test_seven_lines_have_colours_of_their_own_and_the_others_share_one():
    axes = drawn(plots.ranks(changing(12, 3))).axes[0]
    colours = [line.get_color() for line in axes.lines]
    assert len(set(colours[:7])) == 7
    assert len(set(colours[7:])) == 1
    assert not set(colours[7:]) & set(colours[:7])


def test_features_that_may_be_worth_nothing_are_pale_and_without_dots():
    axes = drawn(plots.ranks(ranked([3, 2, 0.01], [3, 2, 0.01]))).axes[0]
    assert len({to_hex(line.get_color()) for line in axes.lines}) == 3
    assert axes.lines[2].get_linewidth() < axes.lines[1].get_linewidth()
    assert (axes.collections[-1].get_sizes().reshape(3, 2) > 0).all(axis=1).tolist() == [
        True,
        True,
        False,
    ]


def test_features_without_an_interval_are_in_colour():
    history = ranked([3, 2], [3, 2], std_error=np.full(2, math.nan))
    axes = drawn(plots.ranks(history)).axes[0]
    assert len({line.get_color() for line in axes.lines}) == 2
    assert all(line.get_linewidth() > 2 for line in axes.lines)


def test_dots_of_approximated_ranks_are_hollow():
    exact = result(values=[3, 2])
    half = result(values=[3, 2], epoch=1, obtained=("exact", "screened"))
    figure = drawn(plots.ranks(ImportanceHistory((exact, half))))
    faces = figure.axes[0].collections[-1].get_facecolors().reshape(2, 2, 4)
    assert (faces == 1).all(axis=2).tolist() == [[False, False], [False, True]]
    assert "hollow: approximated" in texts(figure)[1]


def test_beyond_forty_epochs_there_are_no_dots():
    assert len(plots.ranks(changing(3, 40)).axes[0].collections) == 2
    assert len(plots.ranks(changing(3, 41)).axes[0].collections) == 1


def test_what_ranked_higher_before_is_drawn_without_a_name():
    """Of 25 features, 20 have a name; the last one was first before, the other four never were."""
    values = np.linspace(2, 1, 25)
    axes = drawn(plots.ranks(ranked(np.append(values[:-1], 3), values))).axes[0]
    (line,) = axes.collections[0].get_segments()
    assert line.tolist() == [[0, 0], [1, 24]]
    assert "5 more features rank lower; 1 ranked higher before" in axes.get_xlabel()


def test_a_feature_without_a_number_has_a_gap():
    axes = drawn(plots.ranks(ranked([3, 2], [3, math.nan], [3, 2]))).axes[0]
    assert ranks_of(axes)[1] == pytest.approx([2, math.nan, 2], nan_ok=True)


# --- what pictures have in common -----------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [[0.0, 0.0], [-1.0, -2.0], [math.nan, math.nan], [1e-30, 1e30], [5.0]],
    ids=["zero", "negative", "unknown", "extreme", "alone"],
)
def test_extreme_importances_can_be_drawn(values):
    one = result(values=values)
    drawn(plots.ranking(one))
    drawn(plots.over_epochs(ImportanceHistory((one,))))
    drawn(plots.ranks(ImportanceHistory((one,))))


NAMES = (
    "$x_1$", "cost $5 to $10", "a" * 200, "W" * 40, "line\nbreak", "<img onerror=alert(1)>", "Ångström µ",
    "давление масла", "θερμοκρασία", "風速", "気温を測る", "سرعة الرياح", "😀 mood", "", "_hidden",
    "a\\b{}^", "\x00\ud800", *(f"sensor_{'of_the_northern_hall_' * 2}{i}_per_hour" for i in range(3)),
)  # fmt: skip


def all_pictures(names=NAMES):
    n = len(names)
    history = changing(n, 2)
    history = ImportanceHistory(tuple(dataclasses.replace(one, feature_names=names) for one in history))
    newest = dataclasses.replace(history.results[-1], by_step=np.ones((3, n)))
    return {
        "ranking": plots.ranking(newest),
        "over_epochs": plots.over_epochs(history),
        "ranks": plots.ranks(history),
        "over_steps": plots.over_steps(newest),
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("picture", ["ranking", "over_epochs", "ranks", "over_steps"])
def test_any_name_is_drawn_as_text_and_in_one_line(picture):
    axes = drawn(all_pictures()[picture]).axes[0]
    assert not any(one.get_parse_math() or one.get_usetex() for one in axes.texts)
    assert set(lettering.labels(NAMES)) <= set(labels(axes))
    assert not any("\n" in label for label in labels(axes))


@pytest.mark.parametrize("names", [NAMES, ("a",), NAMES + tuple(f"x{i}" for i in range(60))], ids=len)
@pytest.mark.parametrize("picture", ["ranking", "over_epochs", "ranks", "over_steps"])
def test_every_text_lies_within_the_picture(picture, names):
    figure = drawn(all_pictures(names)[picture])
    whole = figure.bbox
    shown = [one for one in texts_in_view(figure) if one.get_text()]
    assert len(shown) > min(len(names), 20)
    for text in shown:
        box = text.get_window_extent()
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole.x1 and box.y1 <= whole.y1
        assert inside, text.get_text()


def texts_in_view(figure):
    """All of them, without ticks beyond the limits of their axes, which are kept and not drawn."""
    yield from figure.texts
    for axes in figure.axes:
        yield from (*axes.texts, axes.xaxis.label, axes.yaxis.label)
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high:
                    yield from (one for one in (tick.label1, tick.label2) if one.get_visible())


def test_labels_do_not_overlap():
    for picture in all_pictures().values():
        axes = drawn(picture).axes[0]
        boxes = [
            one.get_window_extent() for one in axes.texts if one.get_text() and one.get_ha() == "right"
        ]
        boxes.sort(key=lambda box: -box.y1)
        assert all(upper.y0 > lower.y1 for upper, lower in pairwise(boxes))


def test_long_names_and_lines_make_the_picture_wider_not_the_panel_narrower():
    lines = {"metric": "m" * 99, "procedure": "p" * 99, "error_source": "repeats"}
    wide = dataclasses.replace(result(names=("W" * 34, "a"), values=[1, 2]), **lines)
    for figure in (plots.ranking(wide), plots.ranks(ImportanceHistory((wide,)))):
        drawn(figure)
        assert figure.axes[0].get_position().width * figure.get_figwidth() > 4.99
        for text in texts_in_view(figure):
            assert 0 <= text.get_window_extent().x0 <= text.get_window_extent().x1 <= figure.bbox.x1


def test_drawing_leaves_matplotlib_as_it_was():
    code = """
import sys
import matplotlib
import numpy as np
before = matplotlib.rcParams.copy()
from keras_importance import ImportanceHistory, ImportanceResult, plots
one = [
    ImportanceResult(
        method="permutation", epoch=epoch, feature_names=("a", "b"), importances=np.ones((2, 1)),
        std_error=np.ones(2), baseline_score=0.1, metric="loss", n_samples=5,
    )
    for epoch in range(2)
]
for figure in (plots.ranking(one[1]), plots.ranks(ImportanceHistory(tuple(one)))):
    figure.savefig("/dev/null", format="png")
assert matplotlib.rcParams.copy() == before
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_style_of_the_users_changes_neither_ground_nor_layout():
    with matplotlib.style.context(
        ["dark_background", {"axes.grid": True, "figure.constrained_layout.use": True}]
    ):
        styled = all_pictures()
    for name, figure in all_pictures().items():
        for one, other in zip(figure.axes, styled[name].axes, strict=True):
            assert one.get_facecolor() == other.get_facecolor()
            assert one.get_position().bounds == other.get_position().bounds
        assert not styled[name].get_constrained_layout()


def test_the_title_says_method_epoch_and_rows():
    assert texts(plots.ranking(result(epoch=7)))[0] == "Permutation importance, epoch 7"
    assert "1,000 validation rows" in texts(plots.ranking(result()))[1]
    assert texts(plots.ranking(result(method="my_way", epoch=None)))[0] == "My way"
    assert "of the shuffling alone" in texts(plots.ranking(result(error_source="repeats")))[1]
