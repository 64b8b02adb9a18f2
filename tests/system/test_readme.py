"""The README says only what is true."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_importance import FeatureImportance, ImportanceHistory
from keras_importance.methods import METHODS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_its_code_runs(small_model, small_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = small_data
    names = {"model": small_model(), "x": x, "y": y, "x_test": x, "y_test": y, "keras": keras}
    names |= {"build_model": small_model, "patient": np.arange(len(x)) // 10}
    shorter = {
        "epochs=30": "epochs=1, verbose=0", '"epochs": 20': '"epochs": 1', '"epochs": 100': '"epochs": 1',
        "n_jobs=2": "n_jobs=1",
    }  # fmt: skip
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        for long, short in shorter.items():
            block = block.replace(long, short)
        exec(block, names)  # noqa: S102
    assert ImportanceHistory.load("history.npz").epochs == (0,)
    assert Path("logs/run-1/importance").is_dir()


def test_its_table_lists_every_argument_with_its_default():
    signature = inspect.signature(FeatureImportance)
    listed = dict(
        re.findall(r"[`,] ?`?(\w+)=([^`|]+)`", README.split("| argument |")[1].split("\n\n")[0])
    )
    for name, parameter in signature.parameters.items():
        if name != "validation_data":
            expected = repr(parameter.default).replace("'", '"')
            assert listed.get(name) == expected, name


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([a-z-]+)", README))))
def test_its_targets_exist(target):
    assert re.search(rf"^{target}:.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\((docs/[^)]+)\)", README))))
def test_its_pictures_exist(path):
    assert (ROOT / path).is_file()


def test_it_speaks_of_every_method():
    for method in METHODS:
        assert f'`"{method}"`' in README
