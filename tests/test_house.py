"""The house: six floors of rooms, imports that run down, and what must not be imported where.

Every import counts, also those inside of functions and those under `TYPE_CHECKING`. There is one exception:
the facade `ImportanceHistory.to_html`, which imports the page when it is asked for one.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import keras_importance

ROOT = Path(keras_importance.__file__).parent
NAME = "keras_importance"

# From the ground up. A room is a folder, or a file at the top.
FLOORS = (
    {"statistics", "errors", "progress"},
    {"data", "results", "arguments"},
    {"engine", "tensorboard_plugin"},
    {"methods", "verdicts", "retraining", "reporting"},
    {"callback", "compute"},
    {"__init__"},
)
# The rooms of the engine, from the ground up; its other files lie on top, or serve all of them.
ENGINE_FLOORS = (
    {"keras_internals", "meter"},
    {"backends", "metrics"},
    {"cut"},
    {"gradients", "model_outputs", "twins"},
    {"scores"},
    {
        "channels",
        "clock",
        "effort",
        "footprint",
        "masks",
        "mixed_rows",
        "response",
        "row_checks",
        "shards",
    },
    {"column_use", "gradient_support", "resolved_metrics"},
    {"evaluator"},
    {"planned_work"},
    {"__init__"},
)
COMPUTES = {"data", "engine", "methods", "retraining"}
TELLS = {"reporting", "tensorboard_plugin"}
FACADE = ("results/history.py", "reporting")
BACKENDS = {"tensorflow", "jax", "torch"}

FILES = {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}


def modules_imported(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports; those of the package as modules, not names."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            modules |= {module_of(node.module, alias.name) for alias in node.names}
    return modules


def module_of(module: str, name: str) -> str:
    """The module that `from module import name` reads: a file or folder of that name, or the module."""
    place = ROOT.parent / Path(*module.split("."), name)
    return f"{module}.{name}" if place.is_dir() or place.with_suffix(".py").is_file() else module


def own_imports(file: str) -> set[str]:
    """Paths below the package that a file imports, such as `engine/cut/graph`."""
    modules = modules_imported(FILES[file])
    return {
        one.removeprefix(f"{NAME}.").replace(".", "/") for one in modules if one.startswith(f"{NAME}.")
    }


def room(place: str) -> str:
    return place.split("/")[0].removesuffix(".py")


def floors_of(floors: tuple[set[str], ...]) -> dict[str, int]:
    return {name: level for level, names in enumerate(floors) for name in names}


@pytest.mark.parametrize("file", FILES)
def test_imports_run_down(file):
    floors, here = floors_of(FLOORS), room(file)
    for place in own_imports(file):
        other = room(place)
        if other != here and (file, other) != FACADE:
            assert floors[other] <= floors[here], f"{file} imports {place}, which lies above"


def test_every_room_has_a_floor():
    assert {room(file) for file in FILES} == set.union(*FLOORS)


def test_rooms_of_a_floor_import_one_another_in_one_direction():
    imports = {}
    for file in FILES:
        others = {room(place) for place in own_imports(file)} - {room(file)}
        others -= {FACADE[1]} if file == FACADE[0] else set()
        imports.setdefault(room(file), set()).update(others)
    TopologicalSorter(imports).prepare()  # raises at a circle


def test_no_files_import_one_another_in_a_circle():
    names = {file.removesuffix(".py").removesuffix("/__init__"): file for file in FILES}
    imports = {
        file: {names[place] for place in own_imports(file) if place in names} - {file} for file in FILES
    }
    imports[FACADE[0]] = {one for one in imports[FACADE[0]] if room(one) != FACADE[1]}
    TopologicalSorter(imports).prepare()


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("engine/")])
def test_imports_within_the_engine_run_down(file):
    floors, here = floors_of(ENGINE_FLOORS), room(file.removeprefix("engine/"))
    for place in own_imports(file):
        if place.startswith("engine/"):
            other = room(place.removeprefix("engine/"))
            assert floors[other] <= floors[here], f"{file} imports {place}, which lies above"


def test_every_room_of_the_engine_has_a_floor():
    rooms = {room(file.removeprefix("engine/")) for file in FILES if file.startswith("engine/")}
    assert rooms == set.union(*ENGINE_FLOORS)


def test_computing_never_imports_telling_nor_the_reverse():
    for file in FILES:
        rooms = {room(place) for place in own_imports(file)}
        if room(file) in COMPUTES:
            assert not rooms & TELLS, file
        if room(file) in TELLS:
            assert not rooms & COMPUTES, file


def outside(file: str) -> set[str]:
    return {module.split(".")[0] for module in modules_imported(FILES[file])}


def test_only_the_file_of_a_backend_imports_it():
    for file in FILES:
        imported = outside(file) & BACKENDS
        if imported:
            assert file == f"engine/backends/{imported.pop()}.py"
            assert not imported


@pytest.mark.parametrize("folder", ["statistics", "results"])
def test_numbers_and_facts_know_neither_keras_nor_pictures(folder):
    """Also not by what they import."""
    code = (
        "import importlib, sys\n"
        f"for name in {[file for file in FILES if file.startswith(f'{folder}/')]!r}:\n"
        f"    importlib.import_module('{NAME}.' + name.removesuffix('.py').replace('/', '.'))\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'matplotlib', 'tensorboard'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, keras_importance\n"
        "heavy = {'keras', 'tensorflow', 'numpy', 'matplotlib', 'tensorboard', 'pandas'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("file", FILES)
def test_private_names_stay_in_their_file(file):
    for node in ast.walk(ast.parse(FILES[file].read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(NAME):
            private = [alias.name for alias in node.names if alias.name.startswith("_")]
            assert not private, f"{file} imports {private} from {node.module}"


# Words that stand for an index, a thing that has a name, or a fraction; see docs/development/architecture.md.
AVOIDED = {"number", "numbers", "one", "found", "place", "taken"}


@pytest.mark.parametrize("file", FILES)
def test_parameters_are_named_for_what_they_are(file):
    for node in ast.walk(ast.parse(FILES[file].read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            arguments = node.args
            names = {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
            assert not names & AVOIDED, f"{file}: {node.name}({', '.join(sorted(names & AVOIDED))})"
