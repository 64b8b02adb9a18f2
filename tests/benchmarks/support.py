"""Which models and validation data each method takes on each backend, beside the nearest peers.

A cell is exact where every backend gives every feature the same number, to 1e-4 of the largest, and where
permutation importance is what `model.evaluate` says of the shuffled rows. It is not applicable where the
question has no answer, and the callback says why. Anything else fails. Run by `make support-table`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

TABLES = ("models", "data")
BACKENDS = ("tensorflow", "jax", "torch")
TOLERANCE = 1e-4
# A number of half precision has three digits.
HALF_PRECISION = 5e-3
# What trains twins needs a training that moves the weights; the others are compared on fixed ones.
LEARNING_RATE = 0.05

DRAWS = "the dropout of a training draws other numbers on each backend"

Cell = dict[str, Any]
"""`{"values": {...}}`, `{"reason": "..."}` where there is no answer, or `{"error": "..."}`."""
Found = Mapping[str, dict[str, dict[str, Cell]]]
"""By backend, then row, then column of a table."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=BACKENDS, help="print the cells of one backend as JSON")
    parser.add_argument("--only", default="", help="models and data whose name holds this text")
    parser.add_argument("--table", choices=("models", "data"), help="one table alone")
    parser.add_argument("--no-peers", action="store_true", help="leave the peers out")
    given = parser.parse_args()
    if given.backend:
        tables = [given.table] if given.table else TABLES
        print(json.dumps(cells_here(given.only, tables, peers=not given.no_peers)))
        return
    further = ["--no-peers"] * given.no_peers + ["--table", given.table] * bool(given.table)
    with ThreadPoolExecutor(len(BACKENDS)) as pool:
        each = pool.map(lambda backend: in_backend(backend, given.only, *further), BACKENDS)
        found = dict(zip(BACKENDS, each, strict=True))
    failures = []
    for table in TABLES:
        of_table = {backend: cells[table] for backend, cells in found.items()}
        peers = (
            {backend: cells["peers"] for backend, cells in found.items()} if table == "models" else {}
        )
        text, failed = as_markdown(table, of_table, peers)
        print(text)
        failures += failed
    print("\n".join(failures))
    sys.exit(f"{len(failures)} cells fail" if failures else 0)


def in_backend(backend: str, only: str, *further: str) -> dict[str, Any]:
    """What this script finds on a backend, in a process of its own."""
    with tempfile.TemporaryFile("w+") as out:
        environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, __file__, "--backend", backend, "--only", only, *further]
        subprocess.run(command, env=environment, stdout=out, check=True, timeout=3600)
        out.seek(0)
        found: dict[str, Any] = json.loads(out.read().splitlines()[-1])
        return found


# --- tables -------------------------------------------------------------------------------------


def verdict(cells: Mapping[str, Cell]) -> tuple[str, str]:
    """What a cell of the table says of what was found on each backend, and why."""
    for backend, cell in cells.items():
        if "error" in cell:
            return "fails", f"{backend}: {cell['error']}"
    known = {backend: cell for backend, cell in cells.items() if "values" in cell}
    if not known:
        return "n/a", next(iter(cells.values()))["reason"]
    (first, reference), *others = known.items()
    tolerance = reference.get("tolerance", TOLERANCE)
    for backend, cell in [
        *others,
        *((one, {"values": cell["by hand"]}) for one, cell in known.items() if "by hand" in cell),
    ]:
        off = distance(reference["values"], cell["values"])
        if not off <= tolerance:
            return "fails", f"{backend} differs from {first} by {off:.1g} of the largest"
    missing = {backend: cell["reason"] for backend, cell in cells.items() if backend not in known}
    if missing:
        return f"exact ({', '.join(SHORT[one] for one in known)})", next(iter(missing.values()))
    notes = list(reference.get("notes", {}).values())
    if tolerance == float("inf"):
        return "works, not compared", notes[0]
    return ("exact, in part", notes[0]) if notes else ("exact", "")


SHORT = {"tensorflow": "TF", "jax": "JAX", "torch": "torch"}


def distance(ours: Mapping[str, float], theirs: Mapping[str, float]) -> float:
    """The largest difference, as a share of the largest value."""
    if set(ours) - set(theirs):
        return float("inf")
    largest = max(map(abs, ours.values()), default=0.0) or 1.0
    return max((abs(ours[name] - theirs[name]) for name in ours), default=0.0) / largest


def as_markdown(title: str, found: Found, peers: Found) -> tuple[str, list[str]]:
    """The table, with the reasons below it, and what failed."""
    reasons: dict[str, int] = {}
    failures = []
    first = found[BACKENDS[0]]
    columns = list(next(iter(first.values()), {}))
    others = sorted({peer for cells in peers.values() for row in cells.values() for peer in row})
    lines = [
        f"| {title} | {' | '.join([*columns, *others])} |",
        f"|---{'|---' * len([*columns, *others])}|",
    ]
    for row in first:
        cells = []
        for column in columns:
            said, why = verdict({backend: found[backend][row][column] for backend in BACKENDS})
            if said == "fails":
                failures.append(f"{row}, {column}: {why}")
            mark = f" [{reasons.setdefault(why, len(reasons) + 1)}]" if why and said != "fails" else ""
            cells.append(said + mark)
        cells += [of_peer(peer, row, peers) for peer in others]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    notes = [f"{number}. {why}" for why, number in reasons.items()]
    return "\n".join([*lines, "", *notes, ""]), failures


def of_peer(peer: str, row: str, peers: Found) -> str:
    """What a peer made of a cell that it claims, on the backends that it is for."""
    said = [cells[row][peer] for cells in peers.values() if peer in cells.get(row, {})]
    if not said:
        return ""
    return next((f"fails: {one['error'].split(':')[0]}" for one in said if "error" in one), "works")


# --- cells of one backend -----------------------------------------------------------------------


def cells_here(only: str, tables: Sequence[str], *, peers: bool) -> dict[str, Any]:
    """`{"models": {model: {method: cell}}, "peers": {model: {peer: cell}}, "data": {data: {model: cell}}}`."""
    from kinds import MODELS

    wanted = MODELS if "models" in tables else {}
    chosen = {name: kind for name, kind in wanted.items() if only.lower() in name.lower()}
    return {
        "models": {name: model_cells(kind) for name, kind in chosen.items()},
        "peers": {name: peers_cells(kind) for name, kind in chosen.items()} if peers else {},
        "data": data_cells(only) if "data" in tables else {},
    }


def peers_cells(kind: Any) -> dict[str, Cell]:
    """What the peers that claim a model make of it."""
    import support_peers

    return support_peers.cells(*made(kind), kind)


def model_cells(kind: Any) -> dict[str, Cell]:
    """What each method says of a model, in a `fit`."""
    import keras

    from keras_importance.methods import METHODS

    backend = keras.backend.backend()
    if backend in kind.not_on:
        return {name: {"reason": kind.not_on[backend]} for name in METHODS}
    fixed = [name for name, method in METHODS.items() if not method.trains]
    found = results_of(kind, fixed)
    if "error" in found:  # of which method?
        found = {name: results_of(kind, [name]) for name in fixed}
        found = {name: one.get(name, one) for name, one in found.items()}
    for name in sorted(set(METHODS) - set(fixed)):
        one = results_of(kind, [name], LEARNING_RATE)
        found[name] = one.get(name, one)
        if kind.draws and "values" in found[name]:
            found[name] |= {"tolerance": float("inf"), "notes": {"": DRAWS}}
    return found


def results_of(kind: Any, methods: list[str], learning_rate: float = 0.0) -> dict[str, Any]:
    """`{method: cell}` of one `fit`; `{"error": ...}` or `{"reason": ...}` where there is none."""
    import keras

    from keras_importance import FeatureImportance

    model, (x, y) = made(kind)
    if learning_rate:
        model.optimizer.learning_rate = learning_rate
    importance = FeatureImportance(methods=methods, metric=kind.metric, time_budget=None, detectors=())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fit(model, x, y, importance)
        except ValueError as error:
            return as_reason(error)
        except Exception as error:  # noqa: BLE001 (what fails is what the table is about)
            return {"error": f"{type(error).__name__}: {error}"}
    said = [str(one.message) for one in caught if "importance" in str(one.message).lower()]
    found: dict[str, Any] = {
        name: cell_of(importance.results[name], kind)
        if name in importance.results
        else {"error": next((one for one in said if repr(name) in one), "no result")}
        for name in methods
    }
    if "values" in found.get("permutation", {}):
        found["permutation"]["by hand"] = permuted_by_hand(model, x, y, kind.metric)
    keras.backend.clear_session()
    return found


def fit(model: Any, x: Any, y: Any, importance: Any) -> None:
    """Trains an epoch; texts go to Keras in a dataset."""
    from kinds import as_dataset, holds_texts

    data = as_dataset(x, y) if holds_texts(x) else (x, y)
    arguments = {"verbose": 0, "callbacks": [importance], "validation_data": data}
    if holds_texts(x):
        model.fit(data, **arguments)
    else:
        model.fit(x, y, batch_size=16, shuffle=False, **arguments)


def as_reason(error: ValueError) -> Cell:
    """An error before training is an answer, where it is ours."""
    text = " ".join(str(error).split())
    return {"reason" if text.startswith("FeatureImportance got") else "error": text}


def cell_of(result: Any, kind: Any) -> Cell:
    """The importances of the features that have one, and why the others have none."""
    import numpy as np

    means = result.importances_mean
    if np.isnan(means).all():
        return {"reason": next(iter(result.notes.values()))}
    values = {name: float(mean) for name, mean in zip(result.feature_names, means, strict=True)}
    unknown = [name for name in values if np.isnan(values[name]) and name not in result.notes]
    if unknown:
        return {"error": f"no number and no reason for {unknown}"}
    return {
        "values": {name: mean for name, mean in values.items() if not np.isnan(mean)},
        "notes": dict(result.notes),
        "tolerance": HALF_PRECISION if kind.is_half_precision else TOLERANCE,
    }


def made(kind: Any) -> tuple[Any, tuple[Any, Any]]:
    """The compiled model with its fixed weights, and its rows."""
    import kinds
    import numpy as np

    rng = np.random.default_rng(0)
    model, data = kind.make(), (kind.rows(rng), kind.targets(rng))
    if not model.built:
        model(data[0][:2])
    return kind.compile(kinds.with_fixed_weights(model)), data


def permuted_by_hand(model: Any, x: Any, y: Any, metric: str) -> dict[str, float]:
    """How much worse `model.evaluate` is with each column taken from the donors of the rows.

    Padded steps keep their values.
    """
    import numpy as np
    from kinds import as_dataset, holds_texts

    from keras_importance.data.features import FeatureSet
    from keras_importance.data.padding import lent
    from keras_importance.data.validation_data import ValidationData
    from keras_importance.engine.masks import with_valid_steps
    from keras_importance.methods.preparation import input_names

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from models.donors_by_hand import donors_of

    data = ValidationData.read((x, y), input_names=input_names(model))
    data = with_valid_steps(data, model)
    features = FeatureSet.from_argument(None, data.columns).features
    is_padded = any(valid is not None for valid in data.valid)
    donors = donors_of(features, data.inputs, 3, is_padded=is_padded)
    sign = -1 if metric == "auc" else 1

    def score(leaves: Iterable[Any]) -> float:
        rows = data.pack(list(leaves))
        given = (as_dataset(rows, y),) if holds_texts(rows) else (rows, y, data.n_rows)
        found = model.evaluate(*given, verbose=0, return_dict=True)
        return sign * float(found[metric])

    plain = score(data.inputs)
    means = {}
    for feature, donors_of_feature in zip(features, donors, strict=True):
        found = []
        for donor in donors_of_feature:
            leaves = [np.array(leaf) for leaf in data.inputs]
            for place, column in feature.columns:
                moved = lent(data.inputs[place], data.valid[place], donor)
                leaves[place][..., column] = moved[..., column]
            found.append(score(leaves) - plain)
        means[feature.name] = float(np.mean(found))
    return means


# --- validation data ----------------------------------------------------------------------------


def data_cells(only: str) -> dict[str, dict[str, Cell]]:
    """`{data: {model: cell}}`: the numbers of the rows, in whatever form they come."""
    from kinds import DATA, MODELS, OF_EACH_STRUCTURE

    found: dict[str, dict[str, Cell]] = {}
    for name, data in DATA.items():
        if only.lower() in name.lower():
            found[name] = {of: data_cell(MODELS[of], data) for of in OF_EACH_STRUCTURE}
    return found


def data_cell(kind: Any, data: Any) -> Cell:
    """The gradients and the loss of rows in one form, beside those of the plain arrays."""
    import keras

    backend = keras.backend.backend()
    if backend in kind.not_on:
        return {"reason": kind.not_on[backend]}
    model, (x, y) = made(kind)
    given = data.of(x, y)
    if isinstance(given, str):
        return {"reason": given}
    # After the training, which moves the means of a BatchNormalization.
    other, plain = (values_of(model, kind, x, y, one) for one in (given, None))
    keras.backend.clear_session()
    return other if "values" not in other else other | {"by hand": plain["values"]}


def values_of(model: Any, kind: Any, x: Any, y: Any, given: Any) -> Cell:
    """Gradient importances and the score of the untouched rows."""
    from keras_importance import FeatureImportance, ImportanceWarning, compute_importance

    if given is None:
        results = compute_importance(model, (x, y), metric=kind.metric)
    else:
        importance = FeatureImportance(
            given.of_callback, metric=kind.metric, time_budget=None, detectors=()
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                # In order: a BatchNormalization's means depend on it, and each backend shuffles its own way.
                arguments = {"shuffle": False, "verbose": 0, **given.of_fit}
                model.fit(*given.training, callbacks=[importance], **arguments)
            except ValueError as error:
                return as_reason(error)
            except Exception as error:  # noqa: BLE001 (what fails is what the table is about)
                return {"error": f"{type(error).__name__}: {error}"}
        said = [str(one.message) for one in caught if one.category is ImportanceWarning]
        if said:
            return {"error": said[0]}
        results = importance.results
    cell = cell_of(results["gradient"], kind)
    values = cell.get("values", {}) | {"score": results["permutation"].baseline_score}
    return {"values": values, "notes": {}, "tolerance": cell.get("tolerance", TOLERANCE)}


if __name__ == "__main__":
    main()
