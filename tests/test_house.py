"""The house: who may import whom, and what loads lazily."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import keras_importance

ROOT = Path(keras_importance.__file__).parent

# From the ground up; a room may import rooms of lower floors, and of its own folder.
FLOORS = [
    {"errors", "lettering", "progress", "running_fit", "statistics", "tensorboard_plugin"},
    {
        "arrays",
        "dataframe",
        "distances",
        "files",
        "held_out",
        "plots",
        "sampling",
        "splits",
        "trials",
        "verdict",
    },
    {"drift", "html", "result"},
    {"arguments", "batches", "categories", "evidence", "features", "history_file", "residuals"},
    {"history"},
    {"budget", "data", "findings", "fingerprints", "useless_set"},
    {"clustering", "detectors", "masks", "training_rows", "writers"},
    {"engine"},
    {"caveats", "console", "masked_score", "methods"},
    {"preparation", "probe", "study"},
    {"leave_one_out"},
    {"confirmation"},
    {"training"},
    {"standalone", "callback"},
]
COMPUTES = {
    "arrays", "data", "features", "engine", "leave_one_out", "masks", "methods", "masked_score", "probe", "sampling", "study",
}  # fmt: skip
TELLS = {
    "html", "lettering", "plots", "writers", "evidence", "useless_set", "detectors", "findings", "console",
}  # fmt: skip


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The rooms of this package that a file imports when it runs."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras_importance"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("keras_importance.")}
    return found


FILES = [path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downwards(path):
    floor = {name: level for level, names in enumerate(FLOORS) for name in names}
    here = room(path)
    for other in imports(path) - {here}:
        assert floor[other] < floor[here], f"{here} imports {other}"


def test_every_room_has_a_floor():
    assert {room(path) for path in FILES} == set.union(*FLOORS)


def test_the_two_legs_meet_in_the_result_alone():
    for path in FILES:
        if room(path) in COMPUTES:
            assert not imports(path) & TELLS, path
        if room(path) in TELLS:
            assert not imports(path) & COMPUTES, path


def test_only_the_engine_knows_a_backend():
    for path in FILES:
        imported = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        }  # fmt: skip
        if imported & {"tensorflow", "jax", "torch"}:
            assert imported & {"tensorflow", "jax", "torch"} == {path.stem}
            assert path.parent == ROOT / "engine"


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, keras_importance\n"
        "heavy = {'keras', 'tensorflow', 'numpy', 'matplotlib', 'tensorboard', 'pandas'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("name", keras_importance.__all__)
def test_every_public_name_is_there_and_documented(name):
    thing = getattr(keras_importance, name)
    assert name in dir(keras_importance)
    assert name == "__version__" or thing.__doc__


def test_the_version_is_that_of_the_metadata():
    assert keras_importance.__version__ == version("keras_importance")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'FeatureImportnace'"):
        keras_importance.FeatureImportnace  # noqa: B018
