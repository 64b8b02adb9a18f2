"""How long does importance take, beside other packages and programs written by hand?

Each way is made ready and run once, then all are run in turn in one process; a cell is the median of the
runs and, in brackets, how many times ours that is. "One-time" seconds are those of getting ready, compiling
included. Memory is the highest resident memory of a fresh process beyond that before the evaluator was made.
KERAS_BACKEND chooses the backend.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np
from peers import Job, captum_permutation, captum_saliency, shap_gradients, sklearn_loop
from programs import backend_version, hand_written_gradient, hand_written_permutation
from timing import Outcome, first_words, measured, peak_memory, print_head, print_row, readable
from trainings import TRAININGS, Clock, print_tables
from workloads import Workload, all_workloads, mlp

from keras_importance import FeatureImportance, Writer
from keras_importance.engine.backends.compiler import Compiler
from keras_importance.engine.effort import Effort
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.scores.sample import ScoreRequest
from keras_importance.methods.base import ImportanceMethod
from keras_importance.methods.gradient import GradientImportance
from keras_importance.methods.linearised_permutation import LinearisedPermutation
from keras_importance.methods.permutation import PermutationImportance
from keras_importance.methods.preparation import prepared_evaluator
from keras_importance.reporting.writers import EpochReport
from keras_importance.results.scores import Scores
from keras_importance.statistics.arrays import Floats
from keras_importance.statistics.distances import spearman
from keras_importance.statistics.donors import Donors
from keras_importance.statistics.influence import Influence

N_REPEATS = 5
SEED = 0
BATCH = 32
OURS, HAND = "ours", "written by hand"
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    repeats: int
    shrink: int
    sklearn_features: int | None
    epochs: int
    workloads: Sequence[Callable[[], Workload]]


# --- ours ---------------------------------------------------------------------------------------


def evaluator_of(
    workload: Workload, model: Any, method: ImportanceMethod, seed: int = SEED
) -> Evaluator:
    """An evaluator of all validation rows."""
    return prepared_evaluator(
        model,
        (workload.x, workload.y),
        [method],
        features=None,
        metric="loss",
        max_samples=None,
        seed=seed,
    )


def ours(workload: Workload, model: Any, method: ImportanceMethod) -> Job:
    """The evaluator, after its first evaluation."""
    evaluator = evaluator_of(workload, model, method)
    method(evaluator)
    return Job(lambda: method(evaluator).importances_mean)


def exact_of(evaluator: Evaluator, method: PermutationImportance, numbers: Sequence[int]) -> Floats:
    """The importances of the numbered features alone."""
    data = evaluator.data
    donors = Donors.draw(data.n_rows, method.n_repeats, evaluator.rng())
    importances = np.full(len(evaluator.features), np.nan)
    request = ScoreRequest(method.replacement(data), donors, features=np.array(numbers))
    for found in evaluator.scores(request):
        worsening = evaluator.worsening(found.scores, found.baseline)
        importances[found.indices] = worsening.mean(axis=(1, 2), dtype=np.float64)
        Influence.of(worsening, donors).standard_error()
    return importances[list(numbers)]


def in_fresh_process(function: Callable[..., Answer], *arguments: Any) -> Answer:
    """What the function returns in a process that has not computed anything yet."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


@dataclass(frozen=True)
class Cost:
    """Seconds of the first and of a later evaluation, and memory of both."""

    one_time: float
    seconds: float
    megabytes: float


def cost_of_ours(make: Callable[[], Workload], n_repeats: int) -> Cost | str:
    """The cost of permutation, or why there is none."""
    workload = make()
    model = workload.trained()
    method = PermutationImportance(n_repeats)
    try:
        with peak_memory() as peak:
            outcome = measured({OURS: partial(ours, workload, model, method)}, 1)[OURS]
    except Exception as error:  # noqa: BLE001 (goes into the table)
        return first_words(error)
    return Cost(outcome.one_time, outcome.median, peak.megabytes) if outcome.job else outcome.failure


# --- permutation and gradient -------------------------------------------------------------------


def permutation_ways(workload: Workload, model: Any, options: Options) -> dict[str, Callable[[], Job]]:
    """All ways to permutation importance; Captum is of use where torch or its peer runs."""
    asked = (workload, model, N_REPEATS, SEED)
    ways: dict[str, Callable[[], Job]] = {
        OURS: partial(ours, workload, model, PermutationImportance(N_REPEATS)),
        "scikit-learn": partial(sklearn_loop, *asked, options.sklearn_features),
        "Captum": partial(captum_permutation, *asked),
        HAND: lambda: _run_once(hand_written_permutation(*asked)),
    }
    if keras.backend.backend() == "jax":
        del ways["Captum"]
    return ways


def gradient_ways(workload: Workload, model: Any) -> dict[str, Callable[[], Job]]:
    """All ways to gradient importance."""
    ways: dict[str, Callable[[], Job]] = {
        OURS: partial(ours, workload, model, GradientImportance()),
        "Captum": partial(captum_saliency, workload, model),
        "SHAP": partial(shap_gradients, workload, model),
        HAND: lambda: _run_once(hand_written_gradient(workload, model)),
    }
    if keras.backend.backend() == "jax":
        del ways["Captum"]
    return ways


def _run_once(run: Callable[[], Floats]) -> Job:
    run()
    return Job(run)


def permutation_tables(options: Options) -> None:
    """Seconds and memory, then what each way needs once and whether the ways agree."""
    columns = [OURS, "scikit-learn", "Captum", HAND]
    outcomes = {}
    print_head(
        f"Permutation importance, K = {N_REPEATS}, all rows and features",
        ["workload", *columns, "peak memory of ours"],
    )
    for make in options.workloads:
        workload = make()
        found = measured(permutation_ways(workload, workload.trained(), options), options.repeats)
        cost = in_fresh_process(cost_of_ours, make, N_REPEATS)
        memory = "none" if isinstance(cost, str) else f"{cost.megabytes:.0f} MB"
        print_row(workload.name, *_cells(found, columns), memory)
        outcomes[workload.name] = found
    _print_notes(outcomes)
    _print_one_time(outcomes, columns)
    _print_agreement(outcomes, columns[1:])


def gradient_tables(options: Options) -> None:
    """Seconds, then what each way needs once."""
    columns = [OURS, "Captum", "SHAP", HAND]
    outcomes = {}
    print_head("Gradient importance, all rows and features", ["workload", *columns])
    for make in options.workloads:
        workload = make()
        # A run takes milliseconds: more of them cost nothing and are steadier.
        found = measured(gradient_ways(workload, workload.trained()), 3 * options.repeats)
        print_row(workload.name, *_cells(found, columns))
        outcomes[workload.name] = found
    _print_notes(outcomes)
    _print_one_time(outcomes, columns)


def _cells(found: dict[str, Outcome], columns: Sequence[str]) -> list[str]:
    reference = found[OURS].median
    return [found[name].cell(reference) if name in found else "not run" for name in columns]


def _print_notes(outcomes: dict[str, dict[str, Outcome]]) -> None:
    for workload, found in outcomes.items():
        for outcome in found.values():
            if outcome.job and outcome.job.note:
                print(f"\n\\* {workload}: {outcome.job.note}.", flush=True)


def _print_one_time(outcomes: dict[str, dict[str, Outcome]], columns: Sequence[str]) -> None:
    print_head("One-time seconds of the table above", ["workload", *columns])
    for workload, found in outcomes.items():
        ready = {name: readable(one.one_time) for name, one in found.items() if one.job}
        print_row(workload, *(ready.get(name, "none") for name in columns))


def _print_agreement(outcomes: dict[str, dict[str, Outcome]], columns: Sequence[str]) -> None:
    """Only the program by hand moves the same rows; the others draw their own."""
    print_head(
        "Agreement with ours: rank correlation, and the largest difference in % of the largest importance",
        ["workload", *columns],
    )
    for workload, found in outcomes.items():
        own = found[OURS].found
        print_row(workload, *(_agreement(own, found.get(name)) for name in columns))


def _agreement(own: Floats, other: Outcome | None) -> str:
    if other is None or not other.job or not len(own):
        return "none"
    own = own[: len(other.found)]
    difference = np.abs(own - other.found).max() / np.abs(own).max()
    return f"{spearman(own, other.found):.3f}, {100 * difference:.2g}%"


# --- what bounds it ------------------------------------------------------------------------------

_PRODUCT_ROWS, _SQUARE, _PRODUCTS = 20_000, 2048, 20


def bound_table(options: Options) -> None:
    """How near ours comes to what the machine can do: rates of the products that no trick spares."""
    print_head(
        f"What bounds permutation, K = {N_REPEATS}: products behind the first layer, of every replaced row",
        [
            "workload",
            "GFLOP",
            "ours, all else included, GFLOP/s",
            "the largest of them alone",
            f"NumPy, {_SQUARE} x {_SQUARE}",
        ],
    )
    for make in options.workloads:
        workload = make()
        model = workload.trained()
        kernels = _kernels_behind_first(model)
        n_rows = workload.n_rows * workload.n_features * N_REPEATS
        flop = 2.0 * n_rows * sum(times * kernel.size for kernel, times in kernels)
        run = partial(ours, workload, model, PermutationImportance(N_REPEATS))
        seconds = measured({OURS: run}, options.repeats)[OURS].median
        largest = max((kernel for kernel, _ in kernels), key=lambda kernel: kernel.size)
        rates = (flop / seconds, _rate_of_product(model, largest), _rate_of_numpy())
        print_row(workload.name, f"{flop / 1e9:.3g}", *(f"{rate / 1e9:.0f}" for rate in rates))


def _kernels_behind_first(model: Any) -> list[tuple[Floats, int]]:
    """The matrices that replaced rows are multiplied with, and how often: those of an LSTM in each step."""
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.LSTM):
            n_steps = layer.input.shape[1]
            found += [
                (np.asarray(layer.get_weights()[0]), 0),
                (np.asarray(layer.get_weights()[1]), n_steps),
            ]
        elif isinstance(layer, keras.layers.Dense):
            found.append((np.asarray(layer.get_weights()[0]), 1))
    return found[1:]


def _rate_of_product(model: Any, kernel: Floats) -> float:
    """Operations a second of the backend's own product of many rows with a matrix."""
    rows = np.ones((_PRODUCT_ROWS, len(kernel)), np.float32)
    compiler = Compiler(model)
    program = compiler(lambda _call, a, b: keras.ops.max(keras.ops.matmul(a, b)))
    tensors = [compiler.on_device(one) for one in (rows, kernel)]
    return 2 * rows.shape[0] * kernel.size / _fastest(lambda: float(program(*tensors)))


def _rate_of_numpy() -> float:
    square = np.ones((_SQUARE, _SQUARE), np.float32)
    return 2 * _SQUARE**3 / _fastest(lambda: square @ square)


def _fastest(run: Callable[[], Any]) -> float:
    """Seconds of the fastest of several runs: what the machine can do, neighbours apart."""
    seconds = []
    for _ in range(_PRODUCTS):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


# --- growth and wide tables ---------------------------------------------------------------------


def growth_table(options: Options) -> None:
    """How ours grows with features and rows."""
    shrink = options.shrink
    sizes = [(2000 // shrink, n // shrink) for n in (100, 300, 1000, 3000, 10_000)]
    sizes += [(n // shrink, 50 // shrink) for n in (1000, 10_000, 100_000)]
    print_head(
        "Growth of permutation importance, MLP 64-64, K = 1",
        ["rows", "features", "seconds", "ns per feature and row", "one-time seconds", "peak memory"],
    )
    for n_rows, n_features in sizes:
        cost = in_fresh_process(cost_of_ours, partial(mlp, n_rows, n_features, (64, 64)), 1)
        if isinstance(cost, str):
            print_row(str(n_rows), str(n_features), cost, "", "", "")
            continue
        each = 1e9 * cost.seconds / (n_rows * n_features)
        cells = (readable(cost.seconds), f"{each:.0f}", readable(cost.one_time))
        print_row(str(n_rows), str(n_features), *cells, f"{cost.megabytes:.0f} MB")


def wide_table(options: Options) -> None:
    """Ten thousand features: what an epoch takes, and what the ways to rate them take."""
    make = partial(mlp, 2000 // options.shrink, 10_000 // options.shrink, (128, 64))
    print_head(f"Wide, {make().name}", ["work", "seconds", "one-time seconds", "peak memory"])
    for row in in_fresh_process(_wide_rows, make, options.repeats):
        print_row(*row)


def _wide_rows(make: Callable[[], Workload], repeats: int) -> list[tuple[str, ...]]:
    workload = make()
    keras.utils.set_random_seed(SEED)
    model = workload.build()
    epoch = partial(model.fit, workload.x_train, workload.y_train, batch_size=BATCH, verbose=0)
    works: dict[str, Callable[[], Job]] = {
        "one epoch of training": lambda: _run_once(lambda: np.asarray(epoch().history["loss"])),
        "linearised permutation, K = 1": lambda: ours(workload, model, LinearisedPermutation(1)),
        f"permutation of the top 100, K = {N_REPEATS}": lambda: _exact_of_top(workload, model),
    }
    rows = []
    for name, make_ready in works.items():
        with peak_memory() as peak:
            outcome = measured({name: make_ready}, repeats)[name]
        rows.append(_wide_row(name, outcome, peak.megabytes))
    return rows


def _wide_row(name: str, outcome: Outcome, megabytes: float) -> tuple[str, ...]:
    if outcome.job is None:
        return name, outcome.failure, "", ""
    return name, readable(outcome.median), readable(outcome.one_time), f"{megabytes:.0f} MB"


def _exact_of_top(workload: Workload, model: Any, n_top: int = 100) -> Job:
    """The exact importances of what the screen takes for the top."""
    method = PermutationImportance(N_REPEATS)
    evaluator = evaluator_of(workload, model, method)
    by_screen = LinearisedPermutation(2)(evaluator).importances_mean
    top = np.argsort(-by_screen)[:n_top].tolist()
    return _run_once(partial(exact_of, evaluator, method, top))


# --- the callback -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fit:
    """One training.

    Attributes:
        steady: seconds from the end of the first epoch to that of the last.
        epochs: seconds of the epochs after the first, without what the callback took at their ends.
    """

    steady: float
    epochs: Floats
    model: Any
    importance: Any


def fitted(workload: Workload, importance: Any, epochs: int) -> Fit:
    """A training of a new network, with the callback or None."""
    keras.utils.set_random_seed(0)
    model, first, last = workload.build(), Clock(), Clock()
    model.fit(
        workload.x_train,
        workload.y_train,
        batch_size=BATCH,
        epochs=epochs,
        validation_data=(workload.x, workload.y),
        callbacks=[first, last] if importance is None else [first, importance, last],
        verbose=0,
    )
    own = np.subtract(first.ends, first.begins)[1:]
    return Fit(last.ends[-1] - last.ends[0], own, model, importance)


class _Cost(Writer):
    """Adds up what the callback says of its own time; comes after the writer that draws."""

    def __init__(self) -> None:
        self.own: list[float] = []
        self.compiling = 0.0
        self.compiling_later = 0.0

    def write(self, report: EpochReport) -> None:
        self.own.append(report.seconds if report.epoch else 0.0)
        self.compiling += report.compile_seconds
        self.compiling_later += report.compile_seconds if report.epoch else 0.0


def callback_table(options: Options) -> None:
    """What the callback adds to ten trainings, and how exact its evaluations are."""
    chosen = TRAININGS if options.shrink == 1 else TRAININGS[:1]
    print_tables(chosen, options.repeats)


class _CompilerOf(ImportanceMethod):
    """Looks at nothing but the compiler of a training, which outlives it."""

    name = "compiler"
    compiler: Compiler

    def compute(self, evaluator: Evaluator, effort: Effort) -> Scores:
        self.compiler = evaluator.compiler
        return Scores(importances=np.full((len(evaluator.features), 1), np.nan), metric="nothing")


def compilation_table(options: Options) -> None:
    """What the callback compiles once in a training, by program."""
    print_head(
        "One-time compilation of FeatureImportance with its defaults, by program",
        ["workload", "in all", "programs: seconds"],
    )
    for make in options.workloads:
        name, seconds = in_fresh_process(_compilation, make)
        largest = sorted(seconds.items(), key=lambda one: -one[1])
        programs = ", ".join(f"{program} {each:.2f}" for program, each in largest if each >= 0.005)
        print_row(name, readable(sum(seconds.values())), programs)


def _compilation(make: Callable[[], Workload]) -> tuple[str, dict[str, float]]:
    workload, listener = make(), _CompilerOf()
    methods = (GradientImportance(), PermutationImportance(), listener)
    fitted(workload, FeatureImportance(methods=methods), epochs=20)
    return workload.name, dict(listener.compiler.seconds_of)


def _rank_agreement(workload: Workload, fit: Fit) -> tuple[str, str]:
    """Over the features that the unlimited evaluation tells from 0, and of that with another seed."""
    method = PermutationImportance(N_REPEATS)
    unlimited, again = (
        method(evaluator_of(workload, fit.model, method, seed)) for seed in (SEED, SEED + 1)
    )
    certain = unlimited.ci_low > 0
    found = []
    for other in (fit.importance.results["permutation"], again):
        agreement = spearman(other.importances_mean[certain], unlimited.importances_mean[certain])
        found.append(f"{agreement:.3f} over {int(certain.sum())} features")
    return found[0], found[1]


def budget_table(options: Options) -> None:
    """What other shares than the default buy: `time_budget` against the ranking of the last epoch."""
    shares = (0.02, 0.05, 0.1, 0.2)
    print_head(
        f"time_budget in a fit of {options.epochs} epochs: own time, evaluations, rows x repeats of the last "
        "epoch, rank correlation with the unlimited",
        ["workload", *(str(share) for share in shares)],
    )
    for make in options.workloads:
        workload = make()
        plain = fitted(workload, None, options.epochs)
        cells = []
        for share in shares:
            cost = _Cost()
            importance = FeatureImportance(time_budget=share, writers=[cost])
            fit = fitted(workload, importance, options.epochs)
            last = importance.results["permutation"]
            agreement, _ = _rank_agreement(workload, fit)
            cells.append(
                f"{100 * sum(cost.own) / plain.steady:.1f}%, {len(cost.own)}, "
                f"{last.n_samples} x {last.n_repeats}, {agreement.split()[0]}"
            )
        print_row(workload.name, *cells)


def repeats_table(options: Options) -> None:
    """What rows and repeats buy: standard error of the ten most important features at equal cost."""
    splits = ((1, 1), (2, 2), (5, 5))
    print_head(
        "Mean standard error of the ten most important features at equal cost: rows x repeats",
        ["workload", "most rows", "between", "most repeats"],
    )
    for make in options.workloads:
        workload = make()
        model = workload.trained()
        method = PermutationImportance(N_REPEATS)
        evaluator = evaluator_of(workload, model, method)
        top = np.argsort(-method(evaluator).importances_mean)[:10]
        cells = []
        for n_repeats, divisor in splits:
            n_rows = evaluator.data.n_rows // divisor
            rows = evaluator.subsamples.rows(n_rows)
            donors = Donors.draw(n_rows, n_repeats, evaluator.rng())
            errors = []
            replacement = method.replacement(evaluator.data)
            for found in evaluator.scores(ScoreRequest(replacement, donors, rows, np.sort(top))):
                worsening = evaluator.worsening(found.scores, found.baseline)
                errors.append(Influence.of(worsening, donors).standard_error())
            cells.append(f"{n_rows} x {n_repeats}: {np.concatenate(errors).mean():.3g}")
        print_row(workload.name, *cells)


# --- the command line ---------------------------------------------------------------------------

TABLES = {
    "permutation": permutation_tables,
    "gradient": gradient_tables,
    "bound": bound_table,
    "growth": growth_table,
    "wide": wide_table,
    "fit": callback_table,
    "compilation": compilation_table,
    "budget": budget_table,
    "repeats-and-rows": repeats_table,
}


def machine() -> str:
    """Processor, cores and versions, and the load: other work on the machine slows threaded peers most."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return (
        f"{processor}, {cores} cores, load {load} before the start; Python {platform.python_version()}, Keras {keras.__version__}, "
        f"{backend_version()}, NumPy {np.__version__}"
    )


def main() -> None:
    """Prints the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for table, function in TABLES.items():
        parser.add_argument(f"--{table}", action="store_true", help=_first_line(function))
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the median is taken")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of --fit")
    parser.add_argument("--sklearn-features", type=int, help="on how many features scikit-learn runs")
    parser.add_argument("--only", type=int, nargs="+", default=[1, 2, 3, 4], help="numbers of workloads")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows and features")
    given = parser.parse_args()

    shrink = 10 if given.quick else 1
    makers = all_workloads(shrink)
    workloads = [makers[number - 1] for number in given.only]
    options = Options(given.repeats, shrink, given.sklearn_features, given.epochs, workloads)
    asked = [table for table in TABLES if getattr(given, table.replace("-", "_"))] or list(TABLES)
    print(f"{machine()}; medians of {given.repeats} runs", flush=True)
    for table in asked:
        TABLES[table](options)


def _first_line(function: Callable[[Options], None]) -> str:
    return (function.__doc__ or "").splitlines()[0]


if __name__ == "__main__":
    main()
