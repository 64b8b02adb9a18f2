"""What the pictures show: the arrays and texts they are made of."""

from __future__ import annotations

import dataclasses
import io
import math

import numpy as np
import pytest

from keras_importance import ImportanceHistory, ImportanceResult, plots


def result(n_features=5, epoch=0, n_steps=None, names=None, values=None, **fields):
    rng = np.random.default_rng(n_features)
    values = rng.uniform(-0.1, 1, n_features) if values is None else np.array(values)
    return ImportanceResult(
        method=fields.pop("method", "permutation"),
        epoch=epoch,
        feature_names=names or tuple(f"feature_{i}" for i in range(len(values))),
        importances=values[:, None],
        std_error=np.full(len(values), 0.05),
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
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == pytest.approx(one.importances_mean[order])


def test_whiskers_are_the_intervals():
    one = result(6)
    axes = drawn(plots.ranking(one)).axes[0]
    order = np.argsort(-one.importances_mean)
    ends = np.array([segment[:, 0] for segment in axes.collections[0].get_segments()])
    assert ends == pytest.approx(np.column_stack([one.ci_low, one.ci_high])[order])


def test_the_colour_says_on_which_side_of_zero_the_interval_lies():
    axes = drawn(plots.ranking(result(values=[1.0, 0.05, -1.0]))).axes[0]
    colours = [bar.get_facecolor() for bar in axes.patches]
    assert len(set(colours)) == 3


def test_approximated_features_are_hollow_and_counted():
    one = result(values=[3.0, 2.0, 1.0], obtained=("exact", "screened", "carried"))
    axes = drawn(plots.ranking(one)).axes[0]
    is_white = [bar.get_facecolor()[:3] == (1, 1, 1) for bar in axes.patches]
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
    shown = np.concatenate([axes.images[0].get_array().data for axes in figure.axes[:-1]])
    values = np.stack([one.importances_mean for one in history], axis=1)
    order = np.argsort(-values[:, -1])
    assert shown == pytest.approx(np.maximum(values[order], 0))
    assert labels(figure.axes[0]) == [f"feature_{i}" for i in order[:40]]


def test_the_heatmap_names_the_epochs():
    history = ImportanceHistory() + [result(3, epoch) for epoch in (0, 5, 10, 12)]
    axes = drawn(plots.over_epochs(history)).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "5", "10", "12"]


def test_the_step_map_holds_steps_by_features():
    one = result(4, n_steps=48)
    figure = drawn(plots.over_steps(one))
    order = np.argsort(-one.by_step.mean(axis=0))
    assert figure.axes[0].images[0].get_array().data == pytest.approx(one.by_step.T[order])


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


def test_a_history_without_the_method_is_refused():
    for history, method in ((ImportanceHistory(), None), (ImportanceHistory((result(),)), "lofo")):
        with pytest.raises(ValueError, match=f"over_epochs got method={method!r}"):
            plots.over_epochs(history, method)


@pytest.mark.parametrize(
    "values",
    [[0.0, 0.0], [-1.0, -2.0], [math.nan, math.nan], [1e-30, 1e30], [5.0]],
    ids=["zero", "negative", "unknown", "extreme", "alone"],
)
def test_extreme_importances_can_be_drawn(values):
    one = result(values=values)
    drawn(plots.ranking(one))
    drawn(plots.over_epochs(ImportanceHistory((one,))))


@pytest.mark.parametrize(
    "name",
    ["$x_1$", "a" * 200, "line\nbreak", "<img onerror=alert(1)>", "Ångström µ", "風速", "", "_hidden", "a\\b{}^"],
)  # fmt: skip
def test_any_name_can_be_drawn_as_it_is(name, recwarn):
    one = result(names=(name, "other"), values=[1.0, 0.5])
    figure = drawn(plots.ranking(one))
    shown = labels(figure.axes[0])[0]
    assert shown == plots.shortened(name)
    assert len(shown) <= 34
    assert "\n" not in shown


def test_long_names_keep_both_ends():
    assert plots.shortened("first" + "x" * 100 + "last").startswith("first")
    assert plots.shortened("first" + "x" * 100 + "last").endswith("last")


def test_the_title_says_method_epoch_and_rows():
    assert texts(plots.ranking(result(epoch=7)))[0] == "Permutation importance, epoch 7"
    assert "1,000 validation rows" in texts(plots.ranking(result()))[1]
    assert texts(plots.ranking(result(method="my_way", epoch=None)))[0] == "My way"
    assert "of the shuffling alone" in texts(plots.ranking(result(error_source="repeats")))[1]
