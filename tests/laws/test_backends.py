"""All backends compute the same numbers, and each needs itself alone."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

BACKENDS = ("tensorflow", "jax", "torch")
BACKEND = keras.backend.backend()
TESTS = Path(__file__).parents[1]

# A real training with every method, event files, a saved history and a page of pictures.
TRAINING = """
import sys
from importlib.machinery import PathFinder

find_spec = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.split(".")[0] in {hidden} else find_spec(name, *rest)

import os, tempfile
import keras, numpy as np
from keras_importance import FeatureImportance, ImportanceHistory
from keras_importance.methods import METHODS

rng = np.random.default_rng(0)
x = rng.standard_normal((200, 4)).astype("float32")
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(x, x[:, 0], validation_split=0.5, verbose=0)
before = set(sys.modules)  # Keras itself imports what is there
with tempfile.TemporaryDirectory() as folder:
    log_dir = folder if {logs} else None
    importance = FeatureImportance(methods=list(METHODS), time_budget=None, detectors=(), log_dir=log_dir)
    model.fit(x, x[:, 0], validation_split=0.5, epochs=2, verbose=0, callbacks=[importance])
    path = os.path.join(folder, "history.npz")
    importance.history.save(path)
    assert set(ImportanceHistory.load(path).methods) == set(METHODS)
    importance.history.to_html(os.path.join(folder, "page.html"))
    assert not {logs} or any("tfevents" in name for name in os.listdir(os.path.join(folder, "importance")))
others = {others} & (set(sys.modules) - before)
assert not others, others
"""

OTHERS = set(BACKENDS) - {BACKEND}


def train(hidden: set[str], *, logs: bool) -> None:
    """Trains in a process of its own, where some packages can't be found."""
    code = TRAINING.format(hidden=hidden or "()", others=OTHERS, logs=logs)
    environment = os.environ | {"KERAS_BACKEND": BACKEND}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300, env=environment)


def test_no_other_backend_is_imported_by_us():
    """TensorBoard imports TensorFlow where it is installed, to write its files."""
    train(set(), logs=False)


@pytest.mark.skipif(BACKEND == "tensorflow", reason="it is what runs here")
def test_it_works_where_no_other_backend_is_installed():
    train(OTHERS, logs=True)


@pytest.mark.long
@pytest.mark.parametrize("model", ["inputs in a dict", "classifier", "padded"])
def test_the_three_agree_on_every_score(model):
    """To 1e-4 of the largest, for the same weights and seed; see `make support-table` for all models."""
    missing = [name for name in BACKENDS if importlib.util.find_spec(name) is None]
    if missing and not os.environ.get("CI"):
        pytest.skip(f"{', '.join(missing)} not installed: make test-backends installs it")
    found = subprocess.run(
        [sys.executable, TESTS / "benchmarks" / "support.py", "--only", model, "--no-peers"],
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr[-2000:]
    assert found.stdout.count("exact") >= 8
