"""The tab's server side: what a real TensorBoard says of logs that the writer wrote."""

from __future__ import annotations

import configparser
import json
import struct
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorboard import default, program
from tensorboard.backend import application
from tensorboard.backend.event_processing.data_ingester import LocalDataIngester
from werkzeug.test import Client

from keras_importance import FeatureImportance, ImportanceHistory, ImportanceResult, TensorBoardWriter
from keras_importance.reporting.writers import EpochReport
from keras_importance.results import Verdicts
from keras_importance.tensorboard_plugin import stored
from keras_importance.tensorboard_plugin.bundle import bundle
from keras_importance.tensorboard_plugin.plugin import ImportancePlugin

PLUGIN = "/data/plugin/keras_importance"
STATIC = Path(stored.__file__).parent / "static"
NASTY = ('<img src=x onerror="alert(1)">', "温度/°C", "a b&c=d#e", "\u2028line", "")


class Tab:
    """A TensorBoard on a log directory, without a socket."""

    def __init__(self, logdir, prefix=""):
        board = program.TensorBoard(plugins=[*default.get_static_plugins(), ImportancePlugin])
        board.configure(
            logdir=str(logdir), load_fast="false", reload_task="blocking", reload_interval=0,
            path_prefix=prefix,
        )  # fmt: skip
        ingester = LocalDataIngester(board.flags)
        ingester.start()
        self.client = Client(
            application.TensorBoardWSGIApp(board.flags, board.plugin_loaders, ingester.data_provider)
        )
        self.prefix = prefix

    def get(self, path, **query):
        return self.client.get(f"{self.prefix}{PLUGIN}{path}", query_string=query)

    def runs(self):
        return [one["run"] for one in json.loads(self.get("/runs").data)["runs"]]

    def run(self, run="importance"):
        response = self.get("/run", run=run)
        assert response.status_code == 200, response.data
        return unbundled(response.data)

    def is_enabled(self):
        listing = self.client.get(f"{self.prefix}/data/plugins_listing")
        return json.loads(listing.data)["keras_importance"]["enabled"]


def unbundled(content):
    """The header and the arrays of a bundle."""
    (length,) = struct.unpack("<I", content[:4])
    header = json.loads(content[4 : 4 + length])
    arrays = [
        np.frombuffer(content, f"<{one['kind']}", one["length"], 4 + length + one["offset"])
        for one in header["arrays"]
    ]
    shape = (len(header["epochs"]), len(header["names"])) if "epochs" in header else (-1,)
    return header, [one.reshape(shape) for one in arrays]


def result(epoch, names, *, method="permutation", seed=0, **others):
    rng = np.random.default_rng([seed, epoch])
    size = len(names)
    return ImportanceResult(
        method=method, epoch=epoch, feature_names=tuple(names), importances=rng.standard_normal((size, 3)), std_error=rng.random(size), baseline_score=1.0, metric="loss", n_samples=50,
        **others,
    )  # fmt: skip


def judged(epoch, names, states, method="permutation"):
    size = len(names)
    return Verdicts(
        epoch, method, tuple(names), tuple(states), np.full(size, epoch), np.zeros(size),
        np.linspace(0.1, 0.2, size), 0.25, 0.05, np.ones(size), np.full(size, 0.5),
        {names[0]: names[-1]}, {names[-1]: "too few rows"},
    )  # fmt: skip


def written(directory, results, verdicts=()):
    """Writes each epoch as the callback would, and closes the file."""
    writer = TensorBoardWriter(directory)
    for epoch in sorted({one.epoch for one in results}):
        of_epoch = [one for one in results if one.epoch == epoch]
        judged_then = [one for one in verdicts if one.epoch == epoch]
        history = ImportanceHistory(tuple(of_epoch), tuple(judged_then))
        writer.write(EpochReport(epoch, history, 1.0, with_pictures=False))
    writer._undrawn = None
    writer.close()


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A real fit on sequences, with nasty names for two of the features."""
    tmp_path = tmp_path_factory.mktemp("logs")
    x = np.random.default_rng(0).standard_normal((200, 6, 3)).astype("float32")
    model = keras.Sequential([keras.layers.GRU(4), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    importance = FeatureImportance(
        log_dir=tmp_path / "run", features=["a", *NASTY[:2]], time_budget=None
    )
    model.fit(x, x[:, -1, 0], validation_split=0.5, epochs=3, verbose=0, callbacks=[importance])
    return importance.history, tmp_path


def test_all_numbers_are_those_of_the_history(fitted):
    history, logs = fitted
    tab = Tab(logs)
    assert tab.runs() == ["run/importance"]
    header, arrays = tab.run("run/importance")
    assert header["names"] == ["a", *NASTY[:2]]
    assert header["epochs"] == [0, 1, 2]
    by_method = {one["name"]: one for one in header["methods"]}
    assert list(by_method) == list(history.methods)
    for one in history:
        found = by_method[one.method]
        expected = {"mean": one.importances_mean, "low": one.ci_low, "high": one.ci_high}
        for name, values in expected.items():
            np.testing.assert_allclose(arrays[found[name]][one.epoch], values, rtol=1e-6)
        assert (found["metric"], found["n_samples"]) == (one.metric, one.n_samples)
    for one in history.judged:
        found = next(each for each in header["verdicts"] if each["method"] == one.method)
        states = [found["state_names"][code] for code in arrays[found["states"]][one.epoch]]
        assert tuple(states) == one.states


def test_drift_measures_come_from_the_scalars_with_their_floors(fitted):
    history, logs = fitted
    header, _ = Tab(logs).run("run/importance")
    found = {
        (one["method"], one["measure"], epoch): (value, floor)
        for one in header["drift"]
        for epoch, value, floor in zip(one["epochs"], one["values"], one["floors"], strict=True)
    }
    expected = {
        (one.method, one.measure, one.epoch): one for one in history.drift() if np.isfinite(one.value)
    }
    assert set(found) == set(expected)
    for key, one in expected.items():
        value, floor = found[key]
        assert value == pytest.approx(one.value, rel=1e-5, abs=1e-9)
        assert (floor is None) == (not np.isfinite(one.floor))
        assert floor is None or floor == pytest.approx(one.floor, rel=1e-5, abs=1e-9)


def test_time_steps_are_those_of_the_history(fitted):
    history, logs = fitted
    tab = Tab(logs)
    assert tab.run("run/importance")[0]["with_steps"] == ["gradient"]
    for one in history.of("gradient"):
        response = tab.get("/steps", run="run/importance", method="gradient", epoch=one.epoch)
        header, (values,) = unbundled(response.data)
        by_step = values.reshape(header["n_steps"], len(header["names"]))
        assert header["names"] == list(one.feature_names)
        np.testing.assert_allclose(
            by_step, one.by_step, rtol=2e-3, atol=1e-4 * np.abs(one.by_step).max()
        )


def test_evidence_is_that_of_the_verdicts(tmp_path):
    names = ["a", "b", "c"]
    verdicts = judged(4, names, ("redundant", "useless", "undecided"))
    written(tmp_path, [result(4, names, notes={"b": "an integer"})], [verdicts])
    found = json.loads(Tab(tmp_path).get("/evidence", run="importance", epoch=4).data)
    assert found["notes"] == {"permutation": {"b": "an integer"}}
    (one,) = found["verdicts"]
    assert one["states"] == ["redundant", "useless", "undecided"]
    assert one["since"] == [4, 4, 4]
    assert one["bound"] == pytest.approx([0.1, 0.15, 0.2])
    assert one["p_value"] == [0.5, 0.5, 0.5]
    assert (one["threshold"], one["error_rate"]) == (0.25, 0.05)
    assert (one["partners"], one["reasons"]) == ({"a": "c"}, {"c": "too few rows"})


def test_no_epoch_is_lost_to_sampling(tmp_path):
    """The default loader keeps 10 tensors a tag: 47 epochs must all be there."""
    written(tmp_path, [result(epoch, "ab") for epoch in range(47)])
    header, arrays = Tab(tmp_path).run()
    assert header["epochs"] == list(range(47))
    expected = [result(epoch, "ab").importances_mean for epoch in range(47)]
    np.testing.assert_allclose(arrays[header["methods"][0]["mean"]], expected, rtol=1e-6)


def test_a_second_training_in_the_same_directory_replaces_the_first(tmp_path):
    """Its three epochs are shown, and none of the 25 of the first one."""
    written(tmp_path, [result(epoch, "ab") for epoch in range(25)])
    written(tmp_path, [result(epoch, "ab", seed=1) for epoch in range(3)])
    header, arrays = Tab(tmp_path).run()
    assert header["epochs"][-1] == 2
    expected = [result(epoch, "ab", seed=1).importances_mean for epoch in header["epochs"]]
    np.testing.assert_allclose(arrays[header["methods"][0]["mean"]], expected, rtol=1e-6)


def test_a_continued_training_adds_to_the_first(tmp_path):
    written(tmp_path, [result(epoch, "ab") for epoch in range(12)])
    written(tmp_path, [result(epoch, "ab") for epoch in range(12, 15)])
    assert Tab(tmp_path).run()[0]["epochs"] == list(range(15))


def test_features_keep_their_columns_where_they_changed_in_between(tmp_path):
    written(tmp_path, [result(0, ["a", "b"]), result(1, ["c", "a"])])
    header, arrays = Tab(tmp_path).run()
    assert header["names"] == ["c", "a", "b"]
    (first, second) = arrays[header["methods"][0]["mean"]]
    before, after = result(0, "ab").importances_mean, result(1, "ca").importances_mean
    np.testing.assert_allclose(first, [np.nan, *before], rtol=1e-6)
    np.testing.assert_allclose(second, [*after, np.nan], rtol=1e-6)


def test_methods_evaluated_in_some_epochs_say_in_which(tmp_path):
    results = [result(0, "ab"), result(1, "ab"), result(1, "ab", method="lofo")]
    written(tmp_path, results)
    header, _ = Tab(tmp_path).run()
    assert [(one["name"], one["evaluated"]) for one in header["methods"]] == [
        ("permutation", [0, 1]),
        ("lofo", [1]),
    ]


def test_screened_and_carried_numbers_say_so(tmp_path):
    how = ("exact", "screened", "carried")
    written(tmp_path, [result(0, "abc", obtained=how)])
    header, arrays = Tab(tmp_path).run()
    codes = arrays[header["methods"][0]["obtained"]][0]
    assert tuple(header["obtained_names"][code] for code in codes) == how


def test_names_are_data(tmp_path):
    written(tmp_path, [result(0, NASTY)])
    assert Tab(tmp_path).run()[0]["names"] == list(NASTY)


def test_maps_of_many_features_keep_the_most_important(tmp_path):
    steps, size = 100, 700
    by_step = np.tile(np.arange(size, dtype=float), (steps, 1))
    names = [f"x{i}" for i in range(size)]
    written(tmp_path, [result(0, names, by_step=by_step)])
    response = Tab(tmp_path).get("/steps", run="importance", method="permutation", epoch=0)
    header, (values,) = unbundled(response.data)
    assert (header["n_features"], header["names"]) == (size, names[200:])
    np.testing.assert_allclose(values.reshape(steps, -1)[0], np.arange(200, 700), rtol=1e-3)


def test_features_without_steps_are_not_in_the_map():
    by_step = np.array([[1.0, np.nan], [0.5, np.nan]])
    found = stored.unpacked_steps(stored.packed_steps(result(0, "ab"), by_step))
    assert found.feature_names == ("a",)
    assert found.values.tolist() == [[1.0], [0.5]]


def test_the_version_changes_with_every_epoch(tmp_path):
    versions = set()
    for n_epochs in (1, 2, 3):
        written(tmp_path, [result(n_epochs - 1, "ab")])
        versions.add(Tab(tmp_path).run()[0]["version"])
    assert len(versions) == 3


def test_the_tab_shows_only_where_there_is_something_of_ours(tmp_path):
    (tmp_path / "empty").mkdir()
    assert not Tab(tmp_path / "empty").is_enabled()
    assert Tab(tmp_path / "empty").runs() == []
    written(tmp_path / "full", [result(0, "ab")])
    assert Tab(tmp_path / "full").is_enabled()


def test_it_works_under_a_path_prefix(tmp_path):
    written(tmp_path, [result(0, "ab")])
    tab = Tab(tmp_path, prefix="/some/where")
    assert tab.is_enabled()
    assert tab.run()[0]["names"] == ["a", "b"]
    assert tab.get("/index.js").status_code == 200


def static_files():
    """The scripts and the style of the page, those in sub-folders included."""
    return [path for path in sorted(STATIC.rglob("*")) if path.suffix in {".js", ".css"}]


def test_every_file_of_the_page_is_served_as_what_it_is(tmp_path):
    tab = Tab(tmp_path)
    for path in static_files():
        response = tab.get(f"/{path.relative_to(STATIC).as_posix()}")
        assert response.status_code == 200
        assert response.data == path.read_bytes()
        assert response.content_type.startswith(
            "text/css" if path.suffix == ".css" else "application/javascript"
        )


def test_every_file_of_the_page_is_in_the_wheel():
    """The patterns of the package data give each file of the page, and no other."""
    settings = configparser.ConfigParser()
    settings.read(Path(__file__).parents[2] / "setup.cfg")
    patterns = settings["options.package_data"]["keras_importance.tensorboard_plugin"].split(", ")
    packed = {path for pattern in patterns for path in STATIC.parent.glob(pattern)}
    assert packed == set(static_files())


@pytest.mark.parametrize(
    "path",
    [
        "/../plugin.py", "/..%2fplugin.py", "/%2e%2e/plugin.py", "/static/index.js", "/plugin.py",
        "/index.js/../../plugin.py", "//etc/passwd", "/....//plugin.py", "/index.js%00.py", "/stored.py",
        "/views", "/views/", "/package.json", "/views/../../plugin.py", "/views/..%2f..%2fplugin.py",
    ],
)  # fmt: skip
def test_nothing_beyond_the_page_is_served(tmp_path, path):
    response = Tab(tmp_path).client.get(f"{PLUGIN}{path}")
    assert response.status_code == 404
    assert b"import" not in response.data


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/run", {"run": "unknown"}, 404),
        ("/run", {}, 400),
        ("/evidence", {"run": "importance", "epoch": 99}, 404),
        ("/evidence", {"run": "importance", "epoch": "two"}, 400),
        ("/evidence", {"run": "importance"}, 400),
        ("/steps", {"run": "importance", "method": "permutation", "epoch": 0}, 404),
        ("/steps", {"run": "../..", "method": "/etc/passwd", "epoch": 0}, 404),
    ],
    ids=lambda value: str(value).replace("/", ""),
)
def test_what_is_not_there_is_no_server_error(tmp_path, path, query, status):
    written(tmp_path, [result(0, "ab")])
    assert Tab(tmp_path).get(path, **query).status_code == status


@pytest.mark.parametrize(
    "parts",
    [[], [b"nonsense"], stored.packed([result(0, "ab")], [])[:1]],
    ids=["empty", "nonsense", "without arrays"],
)
def test_damaged_summaries_are_value_errors(parts):
    with pytest.raises(ValueError, match="damaged"):
        stored.unpacked(0, parts)


def test_summaries_of_a_later_version_are_counted_not_shown(tmp_path, monkeypatch):
    written(tmp_path, [result(0, "ab")])
    monkeypatch.setattr(stored, "_VERSION", 99)
    written(tmp_path, [result(1, "ab")])
    monkeypatch.undo()
    header, _ = Tab(tmp_path).run()
    assert (header["epochs"], header["n_unreadable"]) == ([0], 1)


def test_the_package_tells_tensorboard_of_the_tab():
    (entry,) = entry_points(group="tensorboard_plugins", name="keras_importance")
    assert entry.load() is ImportancePlugin


def test_loading_the_tab_is_light():
    """Beyond TensorBoard itself, the import takes less than 50 ms, and nothing of Keras or of ours."""
    code = (
        "import sys, time\n"
        "import tensorboard.errors, tensorboard.plugin_util, tensorboard.plugins.base_plugin\n"
        "import tensorboard.backend.http_util, tensorboard.data.provider, werkzeug\n"
        "start = time.process_time()\n"
        "import keras_importance.tensorboard_plugin.plugin\n"
        "print(time.process_time() - start)\n"
        "ours = {name for name in sys.modules if name.startswith('keras_importance.')}\n"
        "assert all(name.startswith('keras_importance.tensorboard_plugin') for name in ours), ours\n"
        "assert not {'keras', 'tensorflow', 'matplotlib', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert float(done.stdout) < 0.05


ARRAYS = st.sampled_from((np.float32, np.uint8)).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(max_dims=1, min_side=0))
)


@given(st.dictionaries(st.text(), ARRAYS | st.integers() | st.text()))
def test_a_bundle_holds_what_went_in(header):
    """The index of each array stands for it, and the array lies at a 4-byte place, as browsers ask."""
    read, arrays = unbundled(bundle({"facts": header}))
    assert all(array["offset"] % 4 == 0 for array in read["arrays"])
    for key, value in header.items():
        if isinstance(value, np.ndarray):
            array = arrays[read["facts"][key]]
            assert array.dtype == value.dtype
            np.testing.assert_array_equal(array, value)
        else:
            assert read["facts"][key] == value


def test_a_summary_is_small():
    """Four floats a feature and its name: 1,000 features x 200 epochs take some MB a method."""
    names = [f"feature_{i}" for i in range(1000)]
    assert sum(map(len, stored.packed([result(0, names)], []))) < 25_000
