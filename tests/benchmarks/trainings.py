"""What does the callback add to ten trainings, and how exact are its evaluations?

Each training runs in a process of its own, with default arguments: without the callback, with it, and with
`log_dir`, in turn; a cell is the median. Seconds are wall clock from the end of the first epoch, in which
Keras compiles, to that of the last, compilation of ours apart. Quality compares each evaluation with an
unlimited one of the same epoch (`time_budget=None`, five repeats).
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras
import numpy as np
from timing import print_head, print_row
from workloads import Workload, embedded, gru, lstm, mlp

from keras_importance import FeatureImportance, PermutationImportance, Writer
from keras_importance.reporting.writers import EpochReport
from keras_importance.statistics.distances import spearman
from keras_importance.statistics.quantiles import normal_quantile

EPOCHS = 25
BATCH = 32
_MIN_SURE = 3


@dataclass(frozen=True)
class Training:
    """A training of the table.

    Attributes:
        name: what is trained on.
        make_all: makes the rows and the network, with as many validation rows as rows to train on.
        n_validation: how many of the validation rows are used.
        epochs: how many epochs.
    """

    name: str
    make_all: Callable[[], Workload]
    n_validation: int
    epochs: int = EPOCHS

    def make(self) -> Workload:
        """The rows and the network."""
        full, rows = self.make_all(), slice(self.n_validation)
        x = keras.tree.map_structure(lambda leaf: leaf[rows], full.x)
        return replace(full, x=x, y=full.y[rows])


TRAININGS = (
    Training("10 columns, 1,600 + 400 rows", partial(mlp, 1600, 10, (64, 32)), 400),
    Training("30 columns, 16,000 + 4,000 rows", partial(mlp, 16_000, 30, (128, 64)), 4000),
    Training("300 columns, 4,000 + 1,000 rows", partial(mlp, 4000, 300, (128, 64)), 1000),
    Training("LSTM, 24 x 12, 4,000 + 1,000 rows", partial(lstm, 4000, 24, 12), 1000),
    Training("100 columns, 8,000 + 2,000 rows", partial(mlp, 8000, 100, (128, 64)), 2000),
    Training("800 columns, 6,000 + 1,500 rows", partial(mlp, 6000, 800, (128, 64)), 1500),
    Training("10,000 columns, 1,600 + 400 rows", partial(mlp, 1600, 10_000, (64,)), 400),
    Training("20,000 columns, 105 + 45 rows", partial(mlp, 105, 20_000, (8,)), 45),
    Training("embeddings in a dict, 8,000 + 2,000 rows", partial(embedded, 8000), 2000),
    Training("GRU, 48 x 8, 12,000 + 3,000 rows", partial(gru, 12_000, 48, 8), 3000, epochs=6),
)


class Clock(keras.callbacks.Callback):  # type: ignore[misc] # Keras is untyped
    """When each epoch began and ended: with what the callbacks before this one took at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.begins: list[float] = []
        self.ends: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.begins.append(time.perf_counter())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.ends.append(time.perf_counter())


class _Costs(Writer):
    """What the callback says of its own time."""

    def __init__(self) -> None:
        self.compiling: list[float] = []
        self.own: list[float] = []

    def write(self, report: EpochReport) -> None:
        self.own.append(report.seconds)
        self.compiling.append(report.compile_seconds)


@dataclass(frozen=True)
class Run:
    """One training: seconds from the end of the first epoch to that of the last, and our compilation."""

    steady: float
    epoch: float
    compiling: float
    compiling_later: float
    n_evaluations: int


def run(workload: Workload, epochs: int, importance: Any = None, costs: _Costs | None = None) -> Run:
    """Trains a new network with the callback, or without."""
    keras.utils.set_random_seed(0)
    model, first, last = workload.build(), Clock(), Clock()
    callbacks = [first, last] if importance is None else [first, importance, last]
    model.fit(
        workload.x_train,
        workload.y_train,
        batch_size=BATCH,
        epochs=epochs,
        validation_data=(workload.x, workload.y),
        callbacks=callbacks,
        verbose=0,
    )
    compiling = [] if costs is None else costs.compiling
    own = np.subtract(first.ends, first.begins)[1:]
    return Run(
        steady=last.ends[-1] - last.ends[0] - sum(compiling[1:]),
        epoch=float(np.median(own)),
        compiling=sum(compiling),
        compiling_later=sum(compiling[1:]),
        n_evaluations=0 if importance is None else len(importance.history.epochs),
    )


def cost_row(training: Training, repeats: int) -> list[str]:
    """The cells of a training in the table of costs."""
    workload = training.make()
    runs: list[list[Run]] = [[], [], []]
    for _ in range(repeats):
        runs[0].append(run(workload, training.epochs))
        costs = _Costs()
        runs[1].append(run(workload, training.epochs, FeatureImportance(writers=[costs]), costs))
        with tempfile.TemporaryDirectory() as folder:
            costs = _Costs()
            logged = FeatureImportance(log_dir=folder, writers=[costs])
            runs[2].append(run(workload, training.epochs, logged, costs))
    epoch = statistics.median(one.epoch for one in runs[0])
    plain = statistics.median(one.steady for one in runs[0])
    cells = [f"{1000 * epoch:.0f}"]
    for ours in runs[1:]:
        added = (statistics.median(one.steady for one in ours) - plain) / (training.epochs - 1)
        allowed = max(0.1 * epoch, 0.05)
        cells.append(f"{1000 * added:.0f} ({added / epoch:.0%}{'' if added <= allowed else ' !'})")
    evaluations = {one.n_evaluations for one in [*runs[1], *runs[2]]}
    compiling = statistics.median(one.compiling for one in runs[1])
    return [
        *cells,
        f"{' '.join(map(str, sorted(evaluations)))} of {training.epochs}",
        f"{compiling:.1f}",
    ]


def quality_row(training: Training) -> list[str]:
    """The cells of a training in the table of quality."""
    workload = training.make()
    keras.utils.set_random_seed(0)
    default = FeatureImportance()
    unlimited = FeatureImportance(
        methods=[PermutationImportance(5)], time_budget=None, max_samples=None, detectors=()
    )
    model = workload.build()
    model.fit(
        workload.x_train,
        workload.y_train,
        batch_size=BATCH,
        epochs=training.epochs,
        validation_data=(workload.x, workload.y),
        callbacks=[default, unlimited],
        verbose=0,
    )
    exact: list[float] = []
    agreements: list[float] = []
    sizes: set[tuple[int, int]] = set()
    surely = -normal_quantile(0.025 / workload.n_features)  # so that no useless feature is among them
    truths = {result.epoch: result for result in unlimited.history}
    for ours in default.history:
        if ours.method != "permutation":
            continue
        truth = truths[ours.epoch]
        sure = np.flatnonzero(truth.importances_mean > surely * truth.std_error)
        exact.append(float(np.mean(np.array(ours.obtained) == "exact")))
        sizes.add((ours.n_samples, ours.n_repeats))
        if len(sure) >= _MIN_SURE:
            agreements.append(float(spearman(ours.importances_mean[sure], truth.importances_mean[sure])))
    return [
        ", ".join(f"{n_rows} x {n_repeats}" for n_rows, n_repeats in sorted(sizes)),
        f"{workload.n_rows} x 5",
        f"{statistics.median(exact):.0%}",
        f"{statistics.median(agreements):.2f}" if agreements else "no sure features",
        f"{min(agreements):.2f}" if agreements else "",
    ]


def in_fresh_process(function: Callable[..., list[str]], *arguments: Any) -> list[str]:
    """What the function returns, called in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def print_tables(
    trainings: Sequence[Training], repeats: int, tables: Sequence[str] = ("cost", "quality")
) -> None:
    """Prints a row for each training in each of the tables."""
    if "cost" in tables:
        print_head(
            "What the callback adds to an epoch with default arguments, in ms; '!' where it is more than "
            "10% and more than 50 ms",
            ["training", "epoch", "added", "added with log_dir", "evaluations", "compilation, s"],
        )
        for training in trainings:
            print_row(training.name, *in_fresh_process(cost_row, training, repeats))
    if "quality" in tables:
        print_head(
            "How exact the evaluations are: permutation importance, beside the unlimited one of each epoch",
            ["training", "rows x repeats", "in full", "features exact", "rank correlation", "lowest"],
        )
        for training in trainings:
            print_row(training.name, *in_fresh_process(quality_row, training))


def main() -> None:
    """Prints both tables, or what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="a part of the names of trainings")
    parser.add_argument("--table", choices=("cost", "quality"), help="one of the tables")
    options = parser.parse_args()
    chosen = [training for training in TRAININGS if options.only in training.name]
    print_tables(chosen, options.repeats, (options.table,) if options.table else ("cost", "quality"))


if __name__ == "__main__":
    main()
