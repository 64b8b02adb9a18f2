"""The plan of the package in figures: rooms, floors, arrows, circles, and sizes.

    make house-table
    python tests/benchmarks/house.py --package path/to/another/checkout/keras_importance

A room is a folder or a file at the top of the package. An arrow leads from a file to a file that it imports,
inside of functions and under `TYPE_CHECKING` too, but for the facade of `test_house.py`. The floors are the longest chain of arrows between rooms.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median, quantiles

# What the test of the house lets pass: a page is imported when it is asked for.
FACADE = (("results.history", {"reporting", "reporting.html_page"}),)

ENTERED = """
import sys
import keras, numpy as np
from keras_importance import PermutationImportance
try:
    from keras_importance.methods.preparation import prepared_evaluator
except ImportError:  # checkouts from before the folders
    from keras_importance.preparation import prepared_evaluator
root = sys.argv[1] + "/"
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
model.compile("adam", "mse")
x = np.random.default_rng(0).normal(size=(100, 4)).astype("float32")
method = PermutationImportance()
evaluator = prepared_evaluator(
    model, (x, x[:, 0]), [method], features=None, metric="loss", max_samples=None, seed=0
)
entered = set()
def profile(frame, event, _):
    if event == "call" and frame.f_code.co_filename.startswith(root):
        entered.add(frame.f_code.co_filename.removeprefix(root))
sys.setprofile(profile)
method(evaluator)
sys.setprofile(None)
print(len(entered), "in", len({name.split("/")[0] for name in entered}), "rooms")
"""


def arrows(files: Mapping[str, Path], root: Path) -> dict[str, set[str]]:
    """For each file, as a dotted name below the package, the files that it imports."""
    found = {}
    for name, path in files.items():
        imported = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith(root.name):
                below = str(node.module).removeprefix(root.name).lstrip(".")
                names = [f"{below}.{alias.name}".lstrip(".") for alias in node.names]
                imported |= {one if one in files else below for one in names}
            elif isinstance(node, ast.Import):
                imported |= {alias.name.removeprefix(f"{root.name}.") for alias in node.names}
        found[name] = {one for one in imported if one in files} - {name, ""}
    for name, others in FACADE:
        found.get(name, set()).difference_update(others)
    return found


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Groups of nodes that lead to one another (Tarjan's strongly connected components of two or more)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = []
            while True:
                group.append(stack.pop())
                if group[-1] == node:
                    break
            if len(group) > 1:
                groups.append(sorted(group))

    for node in graph:
        if node not in index:
            visit(node)
    return groups


def n_floors(graph: Mapping[str, set[str]]) -> int:
    """Nodes on the longest chain of arrows; circles count once."""
    depth: dict[str, int] = {}

    def of(node: str, path: tuple[str, ...]) -> int:
        if node not in depth:
            below = [of(other, (*path, node)) for other in graph[node] if other not in (*path, node)]
            depth[node] = 1 + max(below, default=0)
        return depth[node]

    return max(of(node, ()) for node in graph)


def figures(root: Path) -> list[tuple[str, str]]:
    """The rows of the table."""
    files = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(root.rglob("*.py"))
        if path != root / "__init__.py"
    }
    graph = arrows(files, root)
    rooms: dict[str, set[str]] = defaultdict(set)
    for name, others in graph.items():
        rooms[name.split(".")[0]] |= {one.split(".")[0] for one in others} - {name.split(".")[0]}
    n_arrows = sum(len(others) for others in rooms.values())
    trees = {path: ast.parse(path.read_text()) for path in files.values()}
    functions, classes = [], []
    for tree in trees.values():
        for node in ast.walk(tree):
            length = getattr(node, "end_lineno", 0) - getattr(node, "lineno", 0) + 1
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                functions.append((body_length(node), node.name))
            elif isinstance(node, ast.ClassDef):
                classes.append((length, node.name))
    lengths = [length for length, _ in functions]
    sizes = [(len(path.read_text().splitlines()), name) for name, path in files.items()]
    private = [name for name, path in files.items() if knows_private_keras(path.read_text())]
    in_circles = circles(graph)
    code = "import keras_importance; print(len(keras_importance.__all__))"
    return [
        ("rooms at the top", str(len(rooms))),
        ("files", str(len(files))),
        ("floors of rooms", str(n_floors(rooms))),
        ("arrows between rooms", str(n_arrows)),
        ("circles of files", f"{len(in_circles)} {'; '.join(' - '.join(one) for one in in_circles)}".strip()),
        ("largest file", "{} lines, {}".format(*max(sizes))),
        ("files above 350 lines", str(sum(size > 350 for size, _ in sizes))),
        ("largest class", "{} lines, {}".format(*max(classes))),
        ("functions, lines of code: median, 90%, most", f"{median(lengths):.0f}, {quantiles(lengths, n=10)[-1]:.0f}, {max(lengths)}"),
        ("public names", run(code, root)),
        ("files that the first permutation score enters", run(ENTERED, root)),
        ("files that know private names of Keras", str(len(private))),
    ]  # fmt: skip


def body_length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without signature and docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def knows_private_keras(text: str) -> bool:
    """Whether a file names what Keras keeps without a public name."""
    names = ("keras.src", "_flatten_layers", "_keras_history", "_inbound_nodes", "_compile_metrics",
             "_compile_loss", "_fn_kwargs", '"_direction"', '"_fn"', "._fn)", "_keras_mask =")  # fmt: skip
    return any(name in text for name in names)


def run(code: str, root: Path) -> str:
    """What a script prints that imports the package of this folder."""
    environment = {**os.environ, "PYTHONPATH": str(root.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)],
        env=environment,
        cwd=root.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().splitlines()[-1]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    own = Path(__file__).parents[2] / "keras_importance"
    parser.add_argument("--package", type=Path, default=own, help="the folder of the package to measure")
    root = parser.parse_args().package.resolve()
    print("| | |\n|---|---|")
    for what, value in figures(root):
        print(f"| {what} | {value} |")


if __name__ == "__main__":
    main()
