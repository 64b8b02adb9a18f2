"""The tab in a real browser, on a real TensorBoard, over logs that a real fit wrote."""

from __future__ import annotations

import ast
import os
import re

import keras
import numpy as np
import pytest

if os.environ.get("CI", "").lower() != "true":
    pytest.importorskip("selenium", reason="no selenium here: pip install 'keras_importance[browser]'")

from browser import browsing
from selenium.webdriver.common.keys import Keys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_importance import FeatureImportance, TensorBoardWriter
from keras_importance.reporting.writers import EpochReport

NASTY = '<img src=x onerror="document.title=1">'
NAMES = ["age", NASTY, "wind speed", "温度", "noise"]
N_EPOCHS = 6


def fitted(directory, seed):
    """A real fit in which two of five features matter."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((1200, 5)).astype("float32")
    y = 2 * x[:, 0] - x[:, 1] + 0.1 * rng.standard_normal(1200)
    model = keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.02), "mse")
    importance = FeatureImportance(log_dir=directory, features=NAMES, time_budget=None)
    model.fit(
        x, y, validation_split=0.5, epochs=N_EPOCHS, verbose=0, callbacks=[importance], batch_size=100
    )
    return importance.history


def fitted_sequences(directory):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).standard_normal((200, 6, 3)).astype("float32")
    model = keras.Sequential([keras.layers.GRU(4), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    importance = FeatureImportance(log_dir=directory, methods="gradient", features=list("abc"))
    model.fit(x, x[:, -1, 0], validation_split=0.5, epochs=2, verbose=0, callbacks=[importance])
    return importance.history


@pytest.fixture(scope="module")
def histories(tmp_path_factory):
    if browsing.programs() is None:
        if browsing.is_required():
            pytest.fail(browsing.MISSING)
        pytest.skip(browsing.MISSING)
    logs = tmp_path_factory.mktemp("logs")
    found = {name: fitted(logs / name, seed) for seed, name in enumerate(["run-1", "run-2"])}
    return logs, {**found, "sequences": fitted_sequences(logs / "sequences")}


@pytest.fixture(scope="module")
def driver(histories):
    with browsing.chromium() as found:
        found.set_script_timeout(30)
        yield found


@pytest.fixture(scope="module")
def address(histories):
    with browsing.tensorboard(histories[0]) as found:
        yield found


@pytest.fixture
def tab(driver, address):
    tab = browsing.Tab(driver, address)
    tab.errors()
    yield tab
    assert tab.errors() == []


@pytest.fixture
def history(histories):
    return histories[1]["run-1"]


RUN = "run-1/importance"


def check_bars(rows, result, method):
    """Every row says what the result says, and rows are in the order of importance."""
    assert {row["feature"] for row in rows} == set(result.feature_names)
    for row in rows:
        i = result.feature_names.index(row["feature"])
        bar = row["bars"][method]
        for key, values in (
            ("mean", result.importances_mean),
            ("low", result.ci_low),
            ("high", result.ci_high),
        ):
            assert float(bar[key]) == pytest.approx(values[i], rel=1e-5)


def in_order(result):
    return [result.feature_names[i] for i in np.argsort(-result.importances_mean)]


def at(history, method, epoch):
    return next(one for one in history.of(method) if one.epoch == epoch)


def test_every_view_opens_and_says_what_it_shows(tab):
    tab.open(run="sequences/importance")
    for view, text in {
        "drift": "95% intervals",
        "epochs": "rows in the order",
        "steps": "at each time step",
        "compare": "",
        "verdicts": "no verdicts",
        "ranking": "95% intervals",
    }.items():
        tab.click(f"#tab-{view}")
        tab.wait(lambda text=text: text in tab.find("main").text)
        assert tab.find(f"#tab-{view}").get_attribute("aria-selected") == "true"


def test_the_ranking_shows_the_newest_numbers_of_the_methods_side_by_side(tab, history):
    tab.open(run=RUN)
    rows = tab.rows()
    newest = history.newest
    assert [row["feature"] for row in rows] == in_order(newest["permutation"])
    for method in ("permutation", "gradient"):
        check_bars(rows, newest[method], method)
    states = dict(zip(history.judged[-1].feature_names, history.judged[-1].states, strict=True))
    assert {row["feature"]: row["state"] for row in rows} == states


def test_the_ranking_counts_what_fell_and_rose_since_an_epoch_and_shows_it_first(tab, history):
    """Clear is a change beyond the errors of both epochs, added up in squares."""
    tab.open(run=RUN)
    tab.click("#since")
    tab.click("#since option[value='1']")
    before, now = at(history, "permutation", 1), history.newest["permutation"]
    change = now.importances_mean - before.importances_mean
    half = np.hypot(*[(one.ci_high - one.ci_low) / 2 for one in (before, now)])
    expected = {"fell": np.sum(change < -half), "rose": np.sum(change > half)}
    assert sum(expected.values()) > 0
    for key, n in expected.items():
        assert tab.find(f"[data-moved='{key}']").text.split()[1:] == [str(n), key]
    assert "Since epoch 1:" in tab.find(".changes").text
    tab.click("[data-moved='rose']")
    falling = np.argsort(-change)
    assert [row["feature"] for row in tab.rows()] == [now.feature_names[i] for i in falling]
    tab.click("[data-moved='fell']")
    assert [row["feature"] for row in tab.rows()] == [now.feature_names[i] for i in falling[::-1]]


def test_names_are_shown_as_text(tab):
    tab.open(run=RUN)
    assert NASTY in [row["text"].split("\n")[1] for row in tab.rows()]
    for view in ("drift", "epochs", "compare", "verdicts"):
        tab.click(f"#tab-{view}")
        assert tab.script("return document.querySelectorAll('img').length") == 0
    assert tab.script("return document.title") == "Importance"


def test_the_slider_shows_the_numbers_of_its_epoch(tab, history):
    tab.open(run=RUN)
    tab.press("#epoch", Keys.HOME, Keys.ARROW_RIGHT)
    assert tab.find(".epoch-label").text == f"epoch 1 of {N_EPOCHS - 1}"
    rows = tab.rows()
    assert [row["feature"] for row in rows] == in_order(at(history, "permutation", 1))
    check_bars(rows, at(history, "permutation", 1), "permutation")


def test_playing_runs_from_the_first_epoch_to_the_newest(tab):
    tab.open(run=RUN)
    seen = set()
    tab.click("#play")

    def is_done():
        seen.add(tab.find(".epoch-label").text)
        return tab.find("#play").get_attribute("aria-label").startswith("Play")

    tab.wait(is_done)
    assert f"epoch {N_EPOCHS - 1} of {N_EPOCHS - 1}" in seen
    assert len(seen) > 2


def test_the_search_finds_by_parts_of_names(tab):
    tab.open(run=RUN)
    tab.press("#search", "SPEED wi")
    assert [row["feature"] for row in tab.rows()] == ["wind speed"]
    tab.press("#search", Keys.ESCAPE)
    assert len(tab.rows()) == len(NAMES)


def test_methods_are_switched(tab, history):
    tab.open(run=RUN)
    tab.click("[data-method='permutation']")
    rows = tab.rows()
    assert list(rows[0]["bars"]) == ["gradient"]
    assert [row["feature"] for row in rows] == in_order(history.newest["gradient"])


def test_sorting_by_change_puts_first_what_fell_most(tab, history):
    tab.open(run=RUN, since="2")
    tab.click("[data-sort='change']")
    before, now = at(history, "permutation", 2), history.newest["permutation"]
    change = now.importances_mean - before.importances_mean
    rows = tab.rows()
    assert [row["feature"] for row in rows] == [NAMES[i] for i in np.argsort(change)]
    for row in rows:
        assert float(row["change"]) == pytest.approx(
            change[NAMES.index(row["feature"])], rel=1e-4, abs=1e-6
        )


def test_features_picked_in_the_ranking_are_followed_in_the_drift_view(tab, history):
    tab.open(run=RUN)
    for name in ("温度", "age"):
        tab.script("document.querySelector(`[data-feature='${arguments[0]}'] input`).click()", name)
    tab.settle()
    tab.click("#tab-drift")
    lines = "return [...document.querySelectorAll('.series[data-feature]')].map((one) => one.dataset.feature)"
    assert tab.script(lines) == ["温度", "age"]
    # The pointer over the right end: the values of the newest epoch.
    tab.script(
        "const chart = document.querySelector('.lines'); const box = chart.getBoundingClientRect();"
        "chart.dispatchEvent(new MouseEvent('mousemove', {clientX: box.right - 155, clientY: box.top + 99}))"
    )
    tip = tab.find(".tooltip").text
    newest = history.newest["permutation"]
    assert f"epoch {N_EPOCHS - 1}" in tip
    for name in ("温度", "age"):
        (value,) = re.findall(rf"{name}\n(\S+)", tip)
        mean = newest.importances_mean[newest.feature_names.index(name)]
        assert float(value.replace("\u2212", "-")) == pytest.approx(mean, rel=1e-3)


def test_drift_measures_and_changed_verdicts_are_those_of_the_history(tab, history):
    tab.open(
        run=RUN,
        view="drift",
        picked="[" + ",".join(f'"{name}"' for name in NAMES if name != NASTY) + "]",
    )
    newest = [one for one in history.drift() if (one.method, one.epoch) == ("permutation", N_EPOCHS - 1)]
    for one in newest:
        if np.isfinite(one.value):
            chart = tab.find(f"[data-measure='{one.measure}']")
            assert float(chart.get_attribute("data-value")) == pytest.approx(
                one.value, rel=1e-4, abs=1e-6
            )
    expected = {
        (one.epoch, one.feature, one.state)
        for before, later in zip(history.judged, history.judged[1:], strict=False)
        for one in later.changes(before)
        if one.feature != NASTY
    }
    assert expected
    marks = tab.script(
        "return [...document.querySelectorAll('.change-mark')].map((one) => ({...one.dataset}))"
    )
    assert {(int(one["epoch"]), one["feature"], one["state"]) for one in marks} == expected


def test_the_map_over_epochs_reads_out_what_the_history_says(tab, history):
    tab.open(run=RUN, view="epochs")
    tab.press(".map", Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_LEFT)
    newest, before = history.newest["permutation"], at(history, "permutation", N_EPOCHS - 2)
    name = in_order(newest)[1]
    text = tab.find(".readout").text
    value = before.importances_mean[before.feature_names.index(name)]
    assert text.startswith(f"{name}: epoch {N_EPOCHS - 2} ")
    assert float(re.search(r"epoch \d+ (\S+)", text)[1].replace("\u2212", "-")) == pytest.approx(
        value, rel=1e-3
    )


def test_the_map_of_time_steps_follows_the_slider(tab, histories):
    tab.open(run="sequences/importance", view="steps")
    for epoch, key in ((1, Keys.END), (0, Keys.HOME)):
        tab.press("#epoch", key)
        tab.wait(lambda epoch=epoch: f"in epoch {epoch}," in tab.find(".steps-map .note").text)
        result = at(histories[1]["sequences"], "gradient", epoch)
        tab.press(".steps-map .map", Keys.ARROW_DOWN, *[Keys.ARROW_UP] * 3, *[Keys.ARROW_RIGHT] * 6)
        text = tab.find(".steps-map .readout").text
        name, step, value = re.fullmatch(r"(\w): step (\d+) (\S+)", text).groups()
        expected = result.by_step[int(step), result.feature_names.index(name)]
        assert step == "5"
        assert float(value) == pytest.approx(expected, rel=3e-3)


def test_two_runs_are_compared_number_by_number(tab, histories):
    tab.open(run=RUN, view="compare", other="run-2/importance")
    tab.wait(lambda: len(tab.rows()) == len(NAMES))
    first, second = (
        histories[1][name].newest["permutation"].importances_mean for name in ("run-1", "run-2")
    )
    rows = tab.rows()
    for row in rows:
        i = NAMES.index(row["feature"])
        assert float(row["first"]) == pytest.approx(first[i], rel=1e-5)
        assert float(row["second"]) == pytest.approx(second[i], rel=1e-5)
        assert float(row["difference"]) == pytest.approx(second[i] - first[i], rel=1e-4, abs=1e-6)
    sizes = [abs(float(row["difference"])) for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    ranks = [np.argsort(np.argsort(values)) for values in (first, second)]
    agreement = float(tab.find("[data-figure='agreement'] b").text)
    assert agreement == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=0.006)


def test_verdicts_are_listed_with_evidence_and_copied_as_python(tab, history):
    tab.open(run=RUN, view="verdicts")
    verdicts = {one.feature: one for one in history.judged[-1]}
    tab.wait(
        lambda: all(
            "bound" in row["text"] or "test" in row["text"] or "set" in row["text"] for row in tab.rows()
        )
    )
    for row in tab.rows():
        one = verdicts[row["feature"]]
        assert row["state"] == one.state
        if one.state == "useful":
            assert f"above {one.threshold:.4g}" in row["text"]
    assert history.useless_features
    tab.click("#copy")
    copied = ast.literal_eval(tab.wait(lambda: tab.script("return document.body.dataset.copied")))
    assert sorted(copied) == sorted(history.useless_features)
    tab.click(".filters [data-state='useful']")
    useful = [name for name, one in verdicts.items() if one.state == "useful"]
    assert {row["feature"] for row in tab.rows()} == set(useful)
    tab.click("#copy")
    tab.wait(
        lambda: set(ast.literal_eval(tab.script("return document.body.dataset.copied"))) == set(useful)
    )
    assert NASTY in useful


def test_the_address_reproduces_the_view(tab):
    tab.open(run=RUN)
    tab.press("#epoch", Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    tab.press("#search", "e")
    tab.click("[data-sort='name']")
    tab.click("[data-method='gradient']")
    expected = tab.rows()
    link = tab.link()
    tab.visit(link)
    tab.wait(lambda: tab.rows())
    assert tab.rows() == expected
    assert tab.find(".epoch-label").text == f"epoch {N_EPOCHS - 3} of {N_EPOCHS - 1}"
    assert tab.link() == link


def test_the_theme_is_that_of_tensorboard(tab):
    tab.open(run=RUN)
    colours = {}
    for is_dark in (False, True):
        tab.dark(is_dark)
        style = (
            "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]"
        )
        colours[is_dark] = [sum(map(int, re.findall(r"\d+", one)[:3])) for one in tab.script(style)]
    assert colours[False][0] > colours[False][1]
    assert colours[True][0] < colours[True][1]
    tab.dark(False)


def test_the_keyboard_reaches_everything(tab):
    tab.open(run=RUN)
    tab.press("#tab-ranking", Keys.ARROW_RIGHT)
    assert tab.find("#tab-drift").get_attribute("aria-selected") == "true"
    assert tab.script("return document.activeElement.id") == "tab-drift"
    tab.press("#tab-drift", Keys.ARROW_LEFT)
    # The second row is picked with the space bar, and Enter shows it in the drift view.
    second = tab.rows()[1]["feature"]
    tab.press(".ranking .rows", Keys.ARROW_DOWN, Keys.SPACE)
    assert tab.script("return document.querySelectorAll('.row input:checked').length") == 1
    tab.press(".ranking .rows", Keys.ENTER)
    assert tab.find("#tab-drift").get_attribute("aria-selected") == "true"
    assert tab.script("return document.querySelector('.series[data-feature]').dataset.feature") == second
    outline = "return getComputedStyle(document.querySelector('.lines')).outlineStyle"
    tab.script("document.querySelector('.lines').focus({focusVisible: true})")
    assert tab.script(outline) == "solid"


def test_everything_that_can_be_used_has_a_name(tab):
    tab.open(run=RUN)
    for view in ("ranking", "drift", "epochs", "compare", "verdicts"):
        tab.click(f"#tab-{view}")
        nameless = tab.script(
            "return [...document.querySelectorAll('button, select, input, [tabindex=\"0\"]')]"
            ".filter((one) => one.offsetParent && !one.innerText?.trim() && !one.getAttribute('aria-label'))"
            ".map((one) => one.outerHTML)"
        )
        assert nameless == []


def test_epochs_appear_while_they_are_written(driver, histories, tmp_path):
    """From an empty directory on, behind a path prefix, with the loader that keeps few tensors."""
    history = histories[1]["run-1"]
    with browsing.tensorboard(tmp_path, "--load_fast", "false", prefix="/behind/proxy") as address:
        tab = browsing.Tab(driver, address)
        driver.switch_to.default_content()
        driver.get(f"{address}data/plugin_entry.html?name=keras_importance")
        tab.wait(lambda: "No importances" in tab.find("main").text)
        writer = TensorBoardWriter(tmp_path)
        writer.write(EpochReport(0, history, 1.0, with_pictures=False))
        tab.wait(lambda: "one evaluation so far" in tab.find(".note").text)
        check_bars(tab.rows(), at(history, "permutation", 0), "permutation")
        tab.click("#tab-drift")
        assert "One evaluation so far" in tab.find("main").text
        tab.click("#tab-ranking")
        writer.write(EpochReport(1, history, 1.0, with_pictures=False))
        tab.wait(lambda: tab.find(".epoch-label").text == "epoch 1 of 1")
        check_bars(tab.rows(), at(history, "permutation", 1), "permutation")
        writer.close()
    events = EventAccumulator(str(tmp_path / "importance"), size_guidance={"tensors": 0}).Reload()
    assert "importance_permutation/age" in events.Tags()["tensors"]
    tab.errors()
