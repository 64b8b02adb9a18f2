"""Results and statistics know neither Keras, nor pictures, nor the rooms that compute and tell."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import keras_importance

ROOT = Path(keras_importance.__file__).parent
ALLOWED = {"results": {"results", "statistics", "errors"}, "statistics": {"statistics"}}
FACADE = ("results/history.py", "to_html")
FILES = [path for room in ALLOWED for path in sorted((ROOT / room).glob("*.py"))]

ALONE = """
import importlib, pkgutil, sys
from importlib.abc import MetaPathFinder

NOT_HERE = {"jax", "keras", "matplotlib", "tensorboard", "tensorflow", "torch"}
ROOMS = {"keras_importance", *(f"keras_importance.{name}" for name in ("errors", "results", "statistics"))}

class Refusing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        ours = name.startswith("keras_importance") and ".".join(name.split(".")[:2]) not in ROOMS
        assert not ours and name.split(".")[0] not in NOT_HERE, f"facts import {name}"

sys.meta_path.insert(0, Refusing())
for room in ("results", "statistics"):
    package = importlib.import_module(f"keras_importance.{room}")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)

history = importlib.import_module("keras_importance.results").ImportanceHistory.load(sys.argv[1])
history.save(sys.argv[2])
history.drift(), history.movers(), history.stable_since(), history.verdicts(), history.disagreements()
assert "<table>" in history._repr_html_()
"""


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        assert not node.level, "imports are written in full"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def _imports(path: Path) -> Iterator[str]:
    """All that a file imports, for types and within functions too, but for the facade."""
    tree = ast.parse(path.read_text())
    is_there = str(path.relative_to(ROOT)) == FACADE[0]
    functions = [one for one in ast.walk(tree) if is_there and getattr(one, "name", "") == FACADE[1]]
    facade = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if id(node) not in facade:
            yield from _imported(node)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_facts_alone(path):
    allowed = ALLOWED[path.relative_to(ROOT).parts[0]]
    for name in _imports(path):
        first, *rest = name.split(".")
        assert first not in {"keras", "matplotlib", "tensorboard", "tensorflow"}
        assert first != "keras_importance" or rest[0] in allowed, f"{path.name} imports {name}"


def test_the_facade_is_the_one_import_within_a_function():
    """`history.to_html` loads the page when it is asked for; pandas aside, nothing else is hidden."""
    hidden = [
        (str(path.relative_to(ROOT)), function.name, name)
        for path in FILES
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        for name in _imported(node)
    ]
    assert hidden == [
        ("results/dataframe.py", "as_dataframe", "pandas"),
        (*FACADE, "keras_importance.reporting.html_page"),
    ]


def test_facts_work_where_nothing_else_can_be_imported(tmp_path):
    fixture = Path(__file__).parent / "fixtures" / "history_version_2.npz"
    command = [sys.executable, "-c", ALONE, str(fixture), str(tmp_path / "again.npz")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert not done.returncode, done.stderr
