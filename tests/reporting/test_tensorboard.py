"""What stands in the event files, read back as TensorBoard reads it."""

from __future__ import annotations

import dataclasses
import gc
import io
import math
import shutil
import subprocess
import sys
import threading
from itertools import pairwise

import keras
import matplotlib.image
import numpy as np
import pytest
from reporting.event_files import read
from tensorboard.plugins.custom_scalar import layout_pb2

from keras_importance import (
    FeatureImportance,
    ImportanceHistory,
    ImportanceResult,
    ImportanceWarning,
    TensorBoardWriter,
)
from keras_importance.reporting.writers import EpochReport
from keras_importance.reporting.writers.curves import logged_features
from keras_importance.reporting.writers.report_table import movement, table
from keras_importance.results.drift import Transition


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A real fit of three epochs: the callback and what it wrote."""
    tmp_path = tmp_path_factory.mktemp("run")
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).standard_normal((200, 6, 3)).astype("float32")
    model = keras.Sequential([keras.layers.GRU(4), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    importance = FeatureImportance(log_dir=tmp_path, features=["a", "b/c", "d"], time_budget=None)
    model.fit(x, x[:, -1, 0], validation_split=0.5, epochs=3, verbose=0, callbacks=[importance])
    return importance, *read(tmp_path / "importance")


def test_every_tag_of_the_contract_is_there(run):
    _, _, plugins = run
    kinds = {
        "scalars": {
            *(f"importance_{method}/{name}" for method in ("gradient", "permutation") for name in ("a", "b/c", "d")),
            *(f"importance_{method}_bounds/{name}/{part}" for method in ("gradient", "permutation") for name in ("a", "b/c", "d") for part in ("value", "lower", "upper")),
            *(f"importance_drift/{method}_{measure}" for method in ("gradient", "permutation") for measure in ("jensen_shannon", "top_k_overlap")),
            "importance_drift/gradient_spearman",
            "importance_drift/permutation_top_k_overlap_floor",
            "importance_flags/useless",
            "importance_flags/undecided",
            "importance_cost/seconds",
            "importance_cost/compile_seconds",
            "importance_cost/share_of_epoch",
        },
        "images": {
            *(f"importance_{method}_images/{name}" for method in ("gradient", "permutation") for name in ("ranking", "over_epochs", "ranks")),
            "importance_gradient_images/over_steps",
        },
        "text": {"importance_report/flags"},
        "custom_scalars": {"custom_scalars__config__"},
    }  # fmt: skip
    for kind, tags in kinds.items():
        written = {tag for tag, plugin in plugins.items() if plugin == kind}
        # These need features above 0, which permutation may not have in the first epochs.
        optional = {
            f"importance_drift/permutation_{name}{floor}"
            for name in ("spearman", "jensen_shannon")
            for floor in ("", "_floor")
        }
        assert written | optional == tags | optional


def test_scalars_are_the_importances_and_the_step_is_the_epoch(run):
    importance, values, _ = run
    for result in importance.history:
        for name, value in zip(result.feature_names, result.importances_mean, strict=True):
            written = values[f"importance_{result.method}/{name}"][result.epoch]
            assert written == pytest.approx(value, rel=1e-6, abs=1e-12)


def test_drift_starts_with_the_second_evaluation(run):
    importance, values, _ = run
    for drift in importance.history.drift():
        if np.isfinite(drift.value):
            tag = f"importance_drift/{drift.method}_{drift.measure}"
            assert values[tag][drift.epoch] == pytest.approx(drift.value, rel=1e-6, abs=1e-12)
            assert 0 not in values[tag]


def test_each_measure_stands_beside_its_floor(run):
    importance, values, _ = run
    for drift in importance.history.drift():
        tag = f"importance_drift/{drift.method}_{drift.measure}_floor"
        if drift.method == "gradient":
            assert tag not in values
        elif np.isfinite(drift.floor):
            assert values[tag][drift.epoch] == pytest.approx(drift.floor, rel=1e-6, abs=1e-12)


def test_images_are_pngs_of_the_size_they_say(run):
    _, values, plugins = run
    for tag, plugin in plugins.items():
        if plugin == "images":
            # Of one epoch there is no change of ranks to see.
            assert set(values[tag]) == ({1, 2} if tag.endswith("/ranks") else {0, 1, 2})
            width, height, png = values[tag][2]
            pixels = matplotlib.image.imread(io.BytesIO(png))
            assert pixels.shape[:2] == (int(height), int(width))
            assert pixels.std() > 0


def test_the_cost_is_there_for_each_epoch(run):
    _, values, _ = run
    for step in range(3):
        seconds = values["importance_cost/seconds"][step]
        assert 0 < seconds < 60
        assert values["importance_cost/share_of_epoch"][step] > 0


def test_the_table_lists_features_by_importance(run):
    importance, values, _ = run
    text = values["importance_report/flags"][2][0].decode()
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    rows = [row for row in rows if "---" not in row]
    rank = importance.results["permutation"].rank
    expected = [importance.results["permutation"].feature_names[i] for i in np.argsort(rank)]
    assert [row.split(" | ")[1] for row in rows] == expected


def test_every_epoch_is_on_disk_before_the_next(tmp_path, small_model, small_data):
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(
            sorted(read(tmp_path / "importance")[0]["importance_gradient/x0"])
        )
    )
    importance = FeatureImportance(log_dir=tmp_path, methods="gradient", time_budget=None)
    small_model().fit(
        *small_data, validation_split=0.3, epochs=3, verbose=0, callbacks=[importance, look]
    )
    assert seen == [[0], [0, 1], [0, 1, 2]]


def test_a_continued_fit_continues_the_curves(tmp_path, small_model, small_data):
    model, arguments = small_model(), {"validation_split": 0.3, "verbose": 0}
    for first, last in ((0, 2), (2, 4)):
        importance = FeatureImportance(log_dir=tmp_path, methods="gradient", time_budget=None)
        model.fit(*small_data, initial_epoch=first, epochs=last, callbacks=[importance], **arguments)
    assert sorted(read(tmp_path / "importance")[0]["importance_gradient/x0"]) == [0, 1, 2, 3]


def test_a_log_directory_deleted_under_way_is_begun_anew(tmp_path, small_model, small_data):
    def delete(epoch, logs):
        if epoch == 1:
            shutil.rmtree(tmp_path / "logs")

    importance = FeatureImportance(log_dir=tmp_path / "logs", methods="gradient", time_budget=None)
    with pytest.warns(ImportanceWarning, match="deleted and started it again"):
        small_model().fit(
            *small_data,
            validation_split=0.3,
            epochs=4,
            verbose=0,
            callbacks=[importance, keras.callbacks.LambdaCallback(on_epoch_end=delete)],
        )
    values, _ = read(tmp_path / "logs" / "importance")
    assert sorted(values["importance_gradient/x0"]) == [2, 3]


def test_a_write_that_fails_does_not_end_the_logging(tmp_path, monkeypatch):
    writer = TensorBoardWriter(tmp_path)
    history = ImportanceHistory((wide(0, 3), wide(1, 3)))
    with monkeypatch.context() as patch:
        patch.setattr(writer._events._writer, "add_event", lambda event: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            writer.write(EpochReport(0, history, 1.0))
    writer.write(EpochReport(1, history, 1.0))
    writer.close()
    assert 1 in read(tmp_path / "importance")[0]["importance_permutation/x0"]


def test_no_thread_outlives_its_writer(tmp_path):
    before = threading.active_count()
    closed, forgotten = TensorBoardWriter(tmp_path / "a"), TensorBoardWriter(tmp_path / "b")
    assert threading.active_count() == before + 2
    closed.close()
    del forgotten
    gc.collect()
    assert threading.active_count() == before


def test_the_share_is_of_the_epochs_own_time(tmp_path):
    writer = TensorBoardWriter(tmp_path)
    writer.write(EpochReport(0, ImportanceHistory((wide(0, 3),)), 0.25))
    writer.close()
    values, _ = read(tmp_path / "importance")
    seconds = values["importance_cost/seconds"][0]
    assert values["importance_cost/share_of_epoch"][0] == pytest.approx(seconds / 0.25, rel=1e-5)


def test_a_picture_that_fails_loses_no_numbers(tmp_path, monkeypatch):
    def fail(result):
        raise RuntimeError("no ink")

    monkeypatch.setattr("keras_importance.reporting.plots.ranking", fail)
    writer = TensorBoardWriter(tmp_path)
    with pytest.raises(RuntimeError, match="no ink"):
        writer.write(EpochReport(0, ImportanceHistory((wide(0, 3),)), 1.0))
    values, _ = read(tmp_path / "importance")
    assert "importance_permutation/x0" in values
    assert "importance_permutation_images/over_epochs" in values


@pytest.mark.filterwarnings("error")
def test_names_beyond_the_font_make_no_noise(tmp_path):
    one = dataclasses.replace(wide(0, 3), feature_names=("風速", "😀", "a"))
    writer = TensorBoardWriter(tmp_path)
    writer.write(EpochReport(0, ImportanceHistory((one,)), 1.0))
    writer.close()
    assert "importance_permutation/風速" in read(tmp_path / "importance")[0]


# --- margin charts ------------------------------------------------------------------------------


def layouts(values):
    """`{step: {category: {feature: (value tag, lower tag, upper tag)}}}`, as shown from the top."""
    return {
        step: {
            category.title: {
                chart.title: (series.value, series.lower, series.upper)
                for chart in reversed(category.chart)
                for series in chart.margin.series
            }
            for category in layout_pb2.Layout.FromString(stored.item()).category
        }
        for step, stored in values.get("custom_scalars__config__", {}).items()
    }


def written(directory, *results):
    """What a writer wrote of the results, one epoch after the other."""
    writer, history = TensorBoardWriter(directory), ImportanceHistory(results)
    for epoch in history.epochs:
        report = EpochReport(epoch, history.before(epoch + 1), 1.0, with_pictures=False)
        writer.write(report)
    writer._undrawn = None
    writer.close()
    return read(directory / "importance")[0]


def test_each_method_has_a_category_with_a_chart_of_each_feature(run):
    _, values, _ = run
    newest = layouts(values)[max(layouts(values))]
    assert list(newest) == ["Gradient importance", "Permutation importance"]
    assert all(set(charts) == {"a", "b/c", "d"} for charts in newest.values())


def test_the_charts_show_importances_and_their_intervals(run):
    importance, values, _ = run
    newest = layouts(values)[max(layouts(values))]
    charts = dict(zip(("gradient", "permutation"), newest.values(), strict=True))
    for result in importance.history:
        numbers = zip(result.importances_mean, result.ci_low, result.ci_high, strict=True)
        for name, expected in zip(result.feature_names, numbers, strict=True):
            drawn = [values[tag][result.epoch] for tag in charts[result.method][name]]
            assert drawn == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("name", ["a/b", "$x.*(", "a|b", "風速", "line\nbreak", "a/lower", ""])
def test_the_charts_name_tags_that_are_there_whatever_a_feature_is_called(tmp_path, name):
    values = written(tmp_path, dataclasses.replace(wide(0, 2), feature_names=(name, "a")))
    charts = layouts(values)[0]["Permutation importance"]
    assert set(charts) == {name, "a"}
    tags = {tag for of_feature in charts.values() for tag in of_feature}
    assert len(tags) == 6
    assert tags <= set(values)


def test_value_and_bounds_have_the_same_steps(tmp_path):
    """TensorBoard draws nothing otherwise: where a number was approximated, all three are left out."""
    errors, obtained = np.array([0.1, math.nan, 0.1]), ("exact", "screened", "exact")
    screened = dataclasses.replace(wide(1, 3), std_error=errors, obtained=obtained)
    values = written(tmp_path, wide(0, 3), screened, wide(2, 3))
    for name, steps in {"x0": {0, 1, 2}, "x1": {0, 2}}.items():
        for part in ("value", "lower", "upper"):
            assert set(values[f"importance_permutation_bounds/{name}/{part}"]) == steps
    assert set(values["importance_permutation/x1"]) == {0, 1, 2}


def test_without_intervals_there_are_no_charts(tmp_path):
    values = written(tmp_path, dataclasses.replace(wide(0, 3), std_error=np.full(3, math.nan)))
    assert not layouts(values)
    assert not [tag for tag in values if "bounds" in tag]


def test_up_to_twenty_features_all_have_a_chart(tmp_path):
    values = written(tmp_path, wide(0, 20))
    assert list(layouts(values)[0]["Permutation importance"]) == [f"x{i}" for i in range(20)]


def test_of_more_features_the_top_ten_have_charts_and_late_ones_find_room(tmp_path):
    """Others lead at each epoch; at the 2nd, 4th, 8th ... evaluation there is room for two more."""
    values = written(tmp_path, *(wide(epoch, 60, top=10 * epoch) for epoch in range(33)))
    charts = {step: set(one["Permutation importance"]) for step, one in layouts(values).items()}
    counts = {step: len(names) for step, names in charts.items()}
    assert counts == {0: 10, 1: 12, 3: 14, 7: 16, 15: 18, 31: 20}
    assert charts[0] == {f"x{i}" for i in range(10)}
    assert all(charts[step] < charts[later] for step, later in pairwise(sorted(charts)))


def test_charts_are_ordered_anew_whenever_the_number_of_evaluations_has_doubled(tmp_path):
    values = written(tmp_path, *(wide(epoch, 3, top=epoch) for epoch in range(8)))
    orders = {step: "".join(one["Permutation importance"]) for step, one in layouts(values).items()}
    assert orders == {0: "x0x1x2", 1: "x1x2x0", 3: "x0x1x2", 7: "x1x2x0"}


def test_the_layout_is_written_again_where_the_directory_was_deleted(tmp_path):
    writer = TensorBoardWriter(tmp_path)
    history = ImportanceHistory(tuple(wide(epoch, 3) for epoch in range(6)))
    writer.write(EpochReport(4, history.before(5), 1.0, with_pictures=False))
    shutil.rmtree(tmp_path)
    with pytest.warns(ImportanceWarning, match="deleted"):
        writer.write(EpochReport(5, history, 1.0, with_pictures=False))
    writer._undrawn = None
    writer.close()
    assert set(layouts(read(tmp_path / "importance")[0])) == {5}


# --- what moved ---------------------------------------------------------------------------------


def moving(epoch, tops, **fields):
    """Two features and their errors, the same in each epoch."""
    draws = 0.1 * np.where(np.random.default_rng(0).random((2, 50)) < 0.5, -1, 1)
    return ImportanceResult(
        method="permutation", epoch=epoch, feature_names=("a*", "b"),
        importances=np.array(tops, float)[:, None], std_error=np.full(2, 0.1), baseline_score=1.0,
        metric="loss", n_samples=500, draws=draws, **fields,
    )  # fmt: skip


def reports(tmp_path, results):
    """`{epoch: text}` of the reports of a training."""
    writer, history = TensorBoardWriter(tmp_path), ImportanceHistory()
    for one in results:
        history += one
        writer.write(EpochReport(one.epoch, history, 1.0, with_pictures=False))
    writer._undrawn = None
    writer.close()
    texts = read(tmp_path / "importance")[0]["importance_report/flags"]
    return {epoch: text[0].decode() for epoch, text in texts.items()}


def test_the_report_names_what_moved_and_since_when_all_is_stable(tmp_path):
    tops = [(1, 1), (5, 1), (5, 1), (5, 1), (5, 1), (2, 1)]
    texts = reports(tmp_path, [moving(2 * number, top) for number, top in enumerate(tops)])
    assert "since epoch" not in texts[0].splitlines()[-1]
    assert texts[2].splitlines()[-1] == r"permutation since epoch 0: rises a\* (+4)."
    assert texts[4].splitlines()[-1] == "permutation since epoch 2: no feature by more than noise."
    assert texts[8].splitlines()[-1].endswith("no feature by more than noise. Stable since epoch 2.")
    assert texts[10].splitlines()[-1] == r"permutation since epoch 8: falls a\* (-3)."


def test_a_writer_that_joins_late_knows_since_when_all_is_stable(tmp_path):
    history = ImportanceHistory(tuple(moving(epoch, (5, 1)) for epoch in range(6)))
    writer = TensorBoardWriter(tmp_path)
    writer.write(EpochReport(5, history, 1.0, with_pictures=False))
    writer.close()
    text = read(tmp_path / "importance")[0]["importance_report/flags"][5][0].decode()
    assert "Stable since epoch 0." in text


def test_many_movers_are_counted():
    step = Transition(
        wide(0, 8), dataclasses.replace(wide(1, 8), importances=1.0 + np.arange(8.0)[:, None] ** 2)
    )
    draws = np.full((8, 50), 0.001)
    step = Transition(
        *(dataclasses.replace(one, draws=k * draws) for k, one in enumerate((step.earlier, step.later)))
    )
    line = movement(step, None)
    assert (
        line
        == "\npermutation since epoch 0: rises x7 (+50), x6 (+36.9), x5 (+25.7), x4 (+16.6), x3 (+9.43) and 2 more."
    )


def test_the_report_says_where_the_methods_disagree(tmp_path):
    gradient = ImportanceResult(
        method="gradient",
        epoch=0,
        feature_names=("a*", "b"),
        importances=np.array([[2.0], [3.0]]),
        std_error=np.full(2, 0.1),
        baseline_score=1.0,
        metric="output",
        n_samples=500,
    )
    writer = TensorBoardWriter(tmp_path)
    history = ImportanceHistory() + [gradient, moving(0, (5, 0))]
    writer.write(EpochReport(0, history, 1.0))
    writer.close()
    text = read(tmp_path / "importance")[0]["importance_report/flags"][0][0].decode()
    assert "b: high gradient, no importance: saturation or overfit (gradient 3, that of" in text


def test_a_report_on_a_thousand_features_compares_two_evaluations_alone(tmp_path, monkeypatch):
    """However long the history: the step itself, and the newest beside the first stable one."""
    compared = []
    monkeypatch.setattr(Transition, "_floor", lambda step, *_: compared.append(step) or math.nan)
    rng = np.random.default_rng(0)
    results = [
        dataclasses.replace(wide(epoch, 1000), draws=rng.standard_normal((1000, 5)))
        for epoch in range(30)
    ]
    writer = TensorBoardWriter(tmp_path)
    for epoch in (28, 29):
        compared.clear()
        report = EpochReport(
            epoch, ImportanceHistory(tuple(results[: epoch + 1])), 1.0, with_pictures=False
        )
        writer.write(report)
    writer._undrawn = None
    writer.close()
    assert len(compared) <= 3 + 2


# --- wide data and strange names ----------------------------------------------------------------


def wide(epoch, n_features, top=0):
    values = np.linspace(1, 0.001, n_features)
    values = np.roll(values, top)
    return ImportanceResult(
        method="permutation",
        epoch=epoch,
        feature_names=tuple(f"x{i}" for i in range(n_features)),
        importances=values[:, None],
        std_error=np.full(n_features, 0.01),
        baseline_score=0.1,
        metric="loss",
        n_samples=10,
    )


@pytest.mark.parametrize(("n_features", "curves"), [(5, 5), (200, 200), (201, 50), (3000, 50)])
def test_curves_are_capped(n_features, curves):
    history = ImportanceHistory((wide(0, n_features),))
    assert len(logged_features(history, "permutation")) == curves


def test_a_feature_keeps_its_curve_and_newcomers_join():
    history = ImportanceHistory()
    before = ()
    for epoch in range(10):
        history += [wide(epoch, 1000, top=40 * epoch)]
        now = logged_features(history, "permutation")
        assert now[: len(before)] == before
        assert len(now) <= 200
        before = now
    assert len(before) == 200


def test_wide_data_are_written_with_their_top_features(tmp_path):
    writer = TensorBoardWriter(tmp_path)
    history = ImportanceHistory((wide(0, 1000),))
    writer.write(EpochReport(0, history, epoch_seconds=1.0))
    writer.close()
    values, _ = read(tmp_path / "importance")
    curves = [tag for tag in values if tag.startswith("importance_permutation/")]
    assert sorted(curves) == sorted(f"importance_permutation/x{i}" for i in range(50))
    text = values["importance_report/flags"][0][0].decode()
    assert "800 less important features are not listed" in text


def test_names_are_data_in_the_table():
    one = ImportanceResult(
        method="gradient", epoch=0, feature_names=("<img onerror=x>", "a|b\n*c*"),
        importances=np.array([[1.0], [np.nan]]), std_error=np.full(2, np.nan), baseline_score=0.0,
        metric="output", n_samples=3, notes={"a|b\n*c*": "no `gradient`"},
    )  # fmt: skip
    lines = table([one]).splitlines()
    assert len(lines) == 4
    assert r"\<img onerror=x\>" in lines[2]
    assert r"a\|b \*c\*" in lines[3]
    assert "none" in lines[3]
    assert r"no \`gradient\`" in lines[3]


def test_it_writes_where_tensorflow_is_not_installed(tmp_path):
    """In a process that can't import TensorFlow."""
    code = f"""
import sys
import threading
import time
sys.modules["tensorflow"] = None
import numpy as np
from keras_importance.results.history import ImportanceHistory
from keras_importance.results.result import ImportanceResult
from keras_importance.reporting.writers import EpochReport, TensorBoardWriter
one = ImportanceResult(
    method="permutation", epoch=0, feature_names=("a", "b"), importances=np.ones((2, 1)),
    std_error=np.ones(2), baseline_score=0.1, metric="loss", n_samples=5,
)
writer = TensorBoardWriter({str(tmp_path)!r})
writer.write(EpochReport(0, ImportanceHistory((one,)), 1.0))
writer.close()
assert not [name for name in sys.modules if name.split(".")[0] == "keras"]
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    values, _ = read(tmp_path / "importance")
    assert values["importance_permutation/a"][0] == 1
