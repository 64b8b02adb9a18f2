"""The scripts of the tab: their own tests in Node, who imports whom, and what the server bundles for them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_importance import FeatureImportance
from keras_importance.tensorboard_plugin import stored
from keras_importance.tensorboard_plugin.aligned import aligned
from keras_importance.tensorboard_plugin.bundle import bundle

HERE = Path(__file__).parent
STATIC = Path(stored.__file__).parent / "static"
SCRIPTS = sorted(STATIC.rglob("*.js"))
# From the ground up; a script may import those of lower floors, and of its own folder.
FLOORS = {"model": 0, "widgets": 1, "views": 2, "static": 3}

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no node here: apt-get install nodejs")


def node(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What Node says, without the settings of a Node that runs around it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NODE_")}
    return subprocess.run(
        [str(NODE), *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=60, env=environment, encoding="utf-8",
    )  # fmt: skip


@needs_node
@pytest.mark.parametrize("path", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.stem)
def test_the_laws_of_the_scripts_hold(path):
    done = node("--test", "--test-reporter=tap", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)[1]) > 1


@needs_node
def test_the_tab_reads_what_the_server_bundles(tmp_path):
    """Every importance, interval and verdict of a real fit, exactly: both sides hold single precision."""
    names = ("a", "温度/°C", 'a b&c="d"')
    x = np.random.default_rng(0).standard_normal((200, 3)).astype("float32")
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("adam", "mse")
    importance = FeatureImportance(features=names, time_budget=None)
    model.fit(x, x[:, 0], validation_split=0.5, epochs=3, verbose=0, callbacks=[importance])
    history = importance.history
    epochs = [
        stored.unpacked(
            epoch,
            stored.packed(
                [result for result in history if result.epoch == epoch],
                [verdicts for verdicts in history.judged if verdicts.epoch == epoch],
            ),
        )
        for epoch in range(3)
    ]
    facts = {"run": "run", "version": "1", "drift": [], "with_steps": [], "n_unreadable": 0}
    (tmp_path / "bundle").write_bytes(bundle({**aligned(epochs), **facts}))
    done = node(HERE / "decode.mjs", tmp_path / "bundle")
    assert done.returncode == 0, done.stderr

    states = {
        (verdicts.epoch, name): state
        for verdicts in history.judged
        for name, state in zip(verdicts.feature_names, verdicts.states, strict=True)
    }
    assert states
    expected = [
        {
            "method": result.method,
            "epoch": result.epoch,
            "feature": name,
            "mean": single(result.importances_mean[i]),
            "low": single(result.ci_low[i]),
            "high": single(result.ci_high[i]),
            "obtained": result.obtained[i],
            "state": states.get((result.epoch, name), ""),
        }
        for method in history.methods
        for result in history.of(method)
        for i, name in enumerate(result.feature_names)
    ]
    assert json.loads(done.stdout) == expected


def single(value: float) -> float | None:
    """A number in single precision; None, as JSON says it, where it is missing."""
    return float(np.float32(value)) if np.isfinite(value) else None


def test_scripts_import_downwards():
    for path in SCRIPTS:
        for other in imported(path):
            floor, lower = FLOORS[path.parent.name], FLOORS[other.parent.name]
            assert lower < floor or (path.parent == other.parent), f"{path.name} imports {other.name}"


def test_scripts_import_in_no_circle():
    """Taking away, again and again, those whose imports are all taken away, none remains."""
    remaining = {path: set(imported(path)) for path in SCRIPTS}
    while free := {path for path, others in remaining.items() if not others & set(remaining)}:
        remaining = {path: others for path, others in remaining.items() if path not in free}
    assert not remaining


def test_every_script_is_reached_from_the_index():
    reached, new = set(), {STATIC / "index.js"}
    while new:
        reached |= new
        new = {other for path in new for other in imported(path)} - reached
    assert reached == set(SCRIPTS)


def test_what_is_exported_is_used():
    """By another script or by a test; `render` is what TensorBoard calls."""
    texts = {path: path.read_text(encoding="utf-8") for path in [*SCRIPTS, *HERE.glob("*.mjs")]}
    exported = r"^export (?:async )?(?:function|class|const) (\w+)"
    for path in SCRIPTS:
        for name in set(re.findall(exported, texts[path], re.MULTILINE)) - {"render"}:
            users = [
                other
                for other, text in texts.items()
                if other != path and re.search(rf"\b{name}\b", text)
            ]
            assert users, f"{name} of {path.name}"


def imported(path: Path) -> list[Path]:
    """The scripts that a script imports; all of them with a relative path, which exists."""
    names = re.findall(
        r'^(?:import|\}) .*?from "(.+)";$', path.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert all(name.startswith(".") for name in names)
    others = [(path.parent / name).resolve() for name in names]
    assert set(others) <= {script.resolve() for script in SCRIPTS}
    return others
