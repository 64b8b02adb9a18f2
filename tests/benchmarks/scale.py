"""What importance costs as rows, features and devices grow: the figures behind docs/scale.md.

Four tables: the cost of one score (a row, a feature, a repeat) at several sizes, of reading a sample from
rows that don't fit into memory, how the standard error falls with rows, and what a second replica on the
same processor brings. Each is a median over repeated runs in one process; compilation is left out.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_importance import GradientImportance, LinearisedPermutation, PermutationImportance
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.evaluator import Evaluator
from keras_importance.methods.base import ImportanceMethod
from keras_importance.methods.preparation import prepared_evaluator

Singles = NDArray[np.float32]

N_REPEATS = 5
METHODS: tuple[ImportanceMethod, ...] = (
    PermutationImportance(n_repeats=N_REPEATS),
    LinearisedPermutation(n_repeats=N_REPEATS),
    GradientImportance(),
)
SIZES = ((5000, 10), (5000, 100), (5000, 1000), (1000, 10_000))
COLUMNS = (20, 100)
ROWS = (500, 1000, 2000, 5000, 20_000, 50_000)
OF_REPLICAS = (20_000, 100)


def network(n_features: int) -> keras.Model:
    """Two hidden layers of 64 units, compiled."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((n_features,)), *layers, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def rows(n_rows: int, n_features: int) -> tuple[Singles, Singles]:
    """Of independent features, of which the first two matter."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n_rows, n_features), np.float32)
    y = 2 * x[:, 0] + 0.2 * x[:, 1] + rng.standard_normal(n_rows, np.float32)
    return x, y[:, None]


def evaluator_of(model: keras.Model, data: object) -> Evaluator:
    """An evaluator of all rows."""
    return prepared_evaluator(
        model, data, METHODS, features=None, metric="loss", max_samples=None, seed=0
    )


@dataclass(frozen=True)
class Timing:
    """Medians over several runs.

    Attributes:
        seconds: by the clock on the wall.
        slowest: the same of the slowest run.
        core_seconds: of all cores together, which others that use the machine hardly change.
    """

    seconds: float
    slowest: float
    core_seconds: float


def timed(run: Callable[[], object], n_runs: int) -> Timing:
    """Several runs after a first one, which compiles."""
    run()
    seconds, core_seconds = [], []
    for _ in range(n_runs):
        started, core_started = time.perf_counter(), time.process_time()
        run()
        seconds.append(time.perf_counter() - started)
        core_seconds.append(time.process_time() - core_started)
    return Timing(statistics.median(seconds), max(seconds), statistics.median(core_seconds))


def peak_megabytes() -> float:
    """The most memory that the process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def costs(sizes: tuple[tuple[int, int], ...], n_runs: int) -> Iterator[str]:
    """Core-nanoseconds of a row of a feature, in all repeats and in one, and seconds of an evaluation."""
    yield "| rows | features | method | seconds (slowest) | core-ns per row x feature | a repeat | peak MB |"
    yield "|---|---|---|---|---|---|---|"
    for n_rows, n_features in sizes:
        evaluator = evaluator_of(network(n_features), rows(n_rows, n_features))
        for method in METHODS:
            found = timed(lambda: method(evaluator), n_runs)  # noqa: B023 (called at once)
            cell = 1e9 * found.core_seconds / (n_rows * n_features)
            yield (
                f"| {n_rows} | {n_features} | {method.name} | {found.seconds:.3g} ({found.slowest:.3g}) "
                f"| {cell:.3g} | {cell / getattr(method, 'n_repeats', 1):.3g} | {peak_megabytes():.0f} |"
            )


def streaming(n_rows: int, columns: tuple[int, ...], n_runs: int) -> Iterator[str]:
    """Seconds per million rows of a dataset that is made as it is read, and of slices of arrays."""
    yield "| columns | what | seconds per million rows (slowest) | core-seconds | peak MB before, after |"
    yield "|---|---|---|---|---|"
    for n_columns in columns:
        dataset = _endless_rows(n_columns).take(n_rows // 4096)
        read = n_rows // 4096 * 4096
        slices = _Slices(read, n_columns)
        runs: dict[str, Callable[[], object]] = {
            "a tf.data.Dataset alone": lambda: [None for _ in dataset],  # noqa: B023 (called at once)
            "its sample of 5,000": lambda: ValidationData.read(dataset, max_samples=5000),  # noqa: B023
            "a PyDataset of arrays alone": lambda: [slices[i] for i in range(len(slices))],  # noqa: B023
            "its sample of 5,000 as well": lambda: ValidationData.read(slices, max_samples=5000),  # noqa: B023
        }
        for name, run in runs.items():
            before = peak_megabytes()
            found, million = timed(run, n_runs), 1e6 / read
            yield (
                f"| {n_columns} | {name} | {million * found.seconds:.3g} ({million * found.slowest:.3g}) "
                f"| {million * found.core_seconds:.3g} | {before:.0f}, {peak_megabytes():.0f} |"
            )


class _Slices(keras.utils.PyDataset):  # type: ignore[misc] # Keras is untyped
    """Batches of rows that are in memory."""

    def __init__(self, n_rows: int, n_columns: int) -> None:
        super().__init__()
        self.x = np.random.default_rng(0).standard_normal((n_rows, n_columns), np.float32)

    def __len__(self) -> int:
        return len(self.x) // 4096

    def __getitem__(self, index: int) -> tuple[Singles, Singles]:
        x = self.x[4096 * index :][:4096]
        return x, x[:, :1]


def _endless_rows(n_columns: int) -> tf.data.Dataset:
    def batch(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x = tf.random.stateless_normal((4096, n_columns), tf.stack([number, number]))
        return x, x[:, :1]

    return tf.data.Dataset.range(1 << 40).map(batch).prefetch(4)


def errors(sizes: tuple[int, ...]) -> Iterator[str]:
    """Standard errors of a strong, a weak and an unused feature, of the loss that all explain."""
    model = network(10)
    model.fit(*rows(20_000, 10), epochs=5, verbose=0)
    x, y = rows(max(sizes) + 20_000, 10)
    yield "| rows | strong: score ± error | weak | unused | error of weak x sqrt(rows) |"
    yield "|---|---|---|---|---|"
    for n_rows in sizes:
        evaluator = evaluator_of(model, (x[20_000:][:n_rows], y[20_000:][:n_rows]))
        result = METHODS[0](evaluator)
        cells = [
            f"{result.importances_mean[number]:.4f} ± {result.std_error[number]:.4f}"
            for number in (0, 1, 2)
        ]
        yield f"| {n_rows} | {' | '.join(cells)} | {result.std_error[1] * n_rows**0.5:.2f} |"


def on_replicas(n_replicas: int, n_runs: int) -> Iterator[str]:
    """Seconds of an evaluation on one device, or on two logical ones of the same processor."""
    if n_replicas > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        devices = [tf.config.LogicalDeviceConfiguration()] * n_replicas
        tf.config.set_logical_device_configuration(cpu, devices)
        with tf.distribute.MirroredStrategy([f"CPU:{n}" for n in range(n_replicas)]).scope():
            model = network(OF_REPLICAS[1])
    else:
        model = network(OF_REPLICAS[1])
    evaluator = evaluator_of(model, rows(*OF_REPLICAS))
    for method in METHODS:
        found = timed(lambda: method(evaluator), n_runs)  # noqa: B023 (called at once)
        yield (
            f"| {evaluator.compiler.replicas.n} | {method.name} | {found.seconds:.3g} ({found.slowest:.3g}) "
            f"| {found.core_seconds:.3g} |"
        )


def replicas(n_runs: int) -> Iterator[str]:
    """The same in processes of their own: devices must be asked for before TensorFlow starts."""
    yield "| replicas | method | seconds (slowest) | core-seconds |"
    yield "|---|---|---|---|"
    for n_replicas in (1, 2):
        command = [sys.executable, __file__, "--on-replicas", str(n_replicas), "--runs", str(n_runs)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
        yield done.stdout.strip()


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="how often each way is timed")
    parser.add_argument("--quick", action="store_true", help="the smallest sizes alone")
    parser.add_argument("--on-replicas", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.on_replicas:
        print("\n".join(on_replicas(arguments.on_replicas, arguments.runs)))
        return
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, TensorFlow {tf.__version__}, load {load:.1f}\n"
    )
    quick = arguments.quick
    tables = {
        "Cost of a score": costs(SIZES[:1] if quick else SIZES, arguments.runs),
        "Reading a sample from a stream": streaming(
            20_000 if quick else 1_000_000, COLUMNS[:1] if quick else COLUMNS, min(arguments.runs, 3)
        ),
        "Standard error against rows": errors(ROWS[:2] if quick else ROWS),
        f"Replicas on one processor, {OF_REPLICAS[0]} rows x {OF_REPLICAS[1]} features": replicas(
            arguments.runs
        ),
    }
    for title, lines in tables.items():
        print(f"### {title}\n")
        for line in lines:
            print(line, flush=True)
        print()


if __name__ == "__main__":
    main()
