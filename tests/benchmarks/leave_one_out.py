"""How fast is leaving features out in lock step, and how near to the truth do the three levels come?

Speed: all models of a fold trained as one program, beside loops of `fit` from the same weights on the same
batches, and beside the package lofo-importance. Truth: problems whose LOFO is known. Duplicate: a feature
and its copy. KERAS_BACKEND chooses the backend.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from numpy.typing import NDArray
from peers import Job
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.datasets import make_friedman1, make_friedman2, make_friedman3
from speed import machine
from timing import Outcome, measured, print_head, print_row, readable

from keras_importance import compute_importance, lofo_importance
from keras_importance.data.hidden_columns import HiddenColumns
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.twins.held_out_scores import resolved_metrics
from keras_importance.engine.twins.step import Start
from keras_importance.engine.twins.twins import TwinPrograms, Twins
from keras_importance.methods.conditional_lofo import ConditionalLOFO
from keras_importance.methods.permutation import PermutationImportance
from keras_importance.results.result import ImportanceResult
from keras_importance.statistics.arrays import Floats, Integers
from keras_importance.statistics.distances import spearman

SEED = 0
BATCH = 32
N_MEASURED = 3
Array = NDArray[Any]
Build = Callable[[], Any]


@dataclass(frozen=True)
class Options:
    """What the command line asks for.

    Attributes:
        repeats: timed runs, of which the median is taken.
        is_quick: next to nothing, to see that it runs.
        whole_loop: whether loops train all their models, not a few that stand for the others.
    """

    repeats: int
    is_quick: bool
    whole_loop: bool


# --- speed: a loop of fits ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Race:
    """A network and rows, on which all are to train the same models.

    Attributes:
        name: what it is, with its sizes.
        x, y: the rows.
        build: makes the network; the global seed gives its weights.
        epochs: of each training.
        targets: how many times faster ours is to be, with compilation and after it.
        training, held_out: numbers of the rows that are trained on, and of those that are scored.
    """

    name: str
    x: Array
    y: Array
    build: Build
    epochs: int
    targets: tuple[str, str]
    training: Integers
    held_out: Integers

    @property
    def rows(self) -> ValidationData:
        """The rows that are trained on."""
        return ValidationData.read((self.x[self.training], self.y[self.training]))

    @property
    def scored(self) -> ValidationData:
        """The rows that are scored."""
        return ValidationData.read((self.x[self.held_out], self.y[self.held_out]))

    @property
    def masks(self) -> HiddenColumns:
        """What each model doesn't see, the first one nothing."""
        features = range(self.x.shape[-1])
        return HiddenColumns.of(self.rows, [(), *([(0, column)] for column in features)])

    @property
    def n_models(self) -> int:
        """One with all features and one without each."""
        return int(self.x.shape[-1]) + 1

    def model(self) -> Any:
        """A new network, the same each time."""
        keras.utils.set_random_seed(SEED)
        return self.build()


def races(options: Options) -> list[Race]:
    """A table and sequences."""
    n_rows, epochs = (128, 2) if options.is_quick else (1000, 20)
    rng = np.random.default_rng(SEED)
    table = rng.standard_normal((n_rows, 20), dtype=np.float32)
    sequences = rng.standard_normal((n_rows, 24, 10), dtype=np.float32)
    of_sequences = sequences.mean(axis=1) * math.sqrt(24)
    mlp, lstm = partial(mlp_network, 20), partial(lstm_network, 24, 10)
    names = f"MLP 64-64, {n_rows} x 20", f"LSTM(32), {n_rows} x 24 x 10"
    every = np.arange(n_rows)
    return [
        Race(names[0], table, bent(table), mlp, epochs, ("20x", "60x"), every, every),
        Race(names[1], sequences, bent(of_sequences), lstm, epochs, ("none", "8x"), every, every),
    ]


def bent(x: Array) -> Array:
    """A target of the first three columns."""
    return np.asarray(x[:, 0] + x[:, 1] * x[:, 2], np.float32)


def mlp_network(n_columns: int) -> Any:
    """64-64; for plain SGD, whose models stay the same to the last digits in any order of sums."""
    hidden = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    return _with_sgd([keras.Input((n_columns,)), *hidden, keras.layers.Dense(1)])


def lstm_network(n_steps: int, n_columns: int) -> Any:
    """One recurrent layer."""
    return _with_sgd([keras.Input((n_steps, n_columns)), keras.layers.LSTM(32), keras.layers.Dense(1)])


def _with_sgd(layers: Sequence[Any]) -> Any:
    model = keras.Sequential(list(layers))
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


def fitted_one_by_one(race: Race, numbers: Sequence[int]) -> Job:
    """A new network for each model, as a loop does that somebody writes; returns their losses."""
    rows, scored, masks = race.rows, race.scored, race.masks

    def run() -> Floats:
        return np.array([_fitted(race.model(), race, rows, scored, masks, one) for one in numbers])

    return _part_of_loop(run, race, numbers)


def fitted_with_one_network(race: Race, numbers: Sequence[int]) -> Job:
    """The same with one network, compiled once, whose weights are set back: the fastest such loop."""
    rows, scored, masks, model = race.rows, race.scored, race.masks, race.model()
    start = model.get_weights()
    _fitted(model, replace(race, epochs=1), rows, scored, masks, 0)

    def run() -> Floats:
        losses = []
        for number in numbers:
            model.set_weights(start)
            losses.append(_fitted(model, race, rows, scored, masks, number))
        return np.array(losses)

    return _part_of_loop(run, race, numbers)


def _fitted(
    model: Any,
    race: Race,
    rows: ValidationData,
    scored: ValidationData,
    masks: HiddenColumns,
    number: int,
) -> float:
    """The loss of one model after its training."""
    seen, held_out = masks.applied(number, rows), masks.applied(number, scored)
    x = seen.pack(seen.inputs)
    model.fit(x, seen.targets, batch_size=BATCH, epochs=race.epochs, shuffle=False, verbose=0)
    x = held_out.pack(held_out.inputs)
    return float(model.evaluate(x, held_out.targets, batch_size=held_out.n_rows, verbose=0))


def _part_of_loop(run: Callable[[], Floats], race: Race, numbers: Sequence[int]) -> Job:
    if len(numbers) == race.n_models:
        return Job(run)
    note = f"measured on {len(numbers)} of {race.n_models} fits and scaled linearly"
    return Job(run, race.n_models / len(numbers), note)


def in_lock_step(race: Race) -> Job:
    """All models as one program, compiled by a first training; returns their losses."""
    rows, scored, masks, model = race.rows, race.scored, race.masks, race.model()
    programs = TwinPrograms(model, rows, resolved_metrics(("loss",), model, scored, SEED))
    start = Start.of(model)

    def run() -> Floats:
        twins = Twins(programs, rows, masks, BATCH, [start])
        for _ in range(race.epochs):
            twins.train([np.arange(rows.n_rows)])
        return np.array([loss.mean() for (loss,) in twins.scores(scored)[0]])

    run()
    return Job(run)


def loops_table(options: Options) -> None:
    """Twins against loops of fits."""
    columns = ["loop of fits", "loop with one network", "ours, compilation included", "ours, compiled"]
    print_head(
        "Leaving out each feature in turn: seconds to train F + 1 models, and how many times ours that is",
        ["workload", *columns, "largest difference of losses"],
    )
    for race in races(options):
        print_row(race.name, *_race_cells(race, options))
    if not options.whole_loop:
        print(f"\n\\* Measured on {N_MEASURED} of the fits and scaled linearly.", flush=True)


def _race_cells(race: Race, options: Options) -> list[str]:
    n_fits = race.n_models if options.whole_loop else N_MEASURED
    numbers = np.linspace(0, race.n_models - 1, n_fits).astype(int).tolist()
    found = measured(
        {
            "loop": partial(fitted_one_by_one, race, numbers),
            "one network": partial(fitted_with_one_network, race, numbers),
            "ours": partial(in_lock_step, race),
        },
        options.repeats,
    )
    loop, mine = found["loop"], found["ours"]
    if loop.job is None or mine.job is None:
        return [loop.failure, "", mine.failure, "", ""]
    with_compiling = [f"{loop.median / one:.0f}x" for one in (mine.one_time, mine.median)]
    seconds = [readable(one) for one in (mine.one_time, mine.median)]
    wanted = zip(seconds, with_compiling, race.targets, strict=True)
    difference = np.abs(mine.found[numbers] - loop.found).max()
    return [
        loop.cell(math.nan),
        found["one network"].cell(mine.median),
        *(f"{one} ({times} faster; target {target})" for one, times, target in wanted),
        f"{difference:.1g}",
    ]


# --- speed: the package lofo-importance -----------------------------------------------------------


class NetworkForSklearn(RegressorMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn is untyped
    """The network as scikit-learn and lofo-importance want it."""

    def __init__(self, epochs: int = 1) -> None:
        self.epochs = epochs

    def fit(self, x: Array, y: Array) -> NetworkForSklearn:
        """Trains a new network for as many columns as there are."""
        keras.utils.set_random_seed(SEED)
        self.model_ = mlp_network(x.shape[1])
        self.model_.fit(x, y, batch_size=BATCH, epochs=self.epochs, shuffle=False, verbose=0)
        return self

    def predict(self, x: Array) -> Array:
        """`(n_rows,)` predictions."""
        return np.asarray(self.model_.predict(x, verbose=0)[:, 0])


def peer_race(options: Options) -> Race:
    """A table of ten features, a fifth of its rows held out."""
    n_rows, epochs = (200, 1) if options.is_quick else (2000, 5)
    x = np.random.default_rng(SEED).standard_normal((n_rows, 10), dtype=np.float32)
    order = np.random.default_rng(SEED + 1).permutation(n_rows)
    training, held_out = np.sort(order[n_rows // 5 :]), np.sort(order[: n_rows // 5])
    network = partial(mlp_network, 10)
    name = f"MLP 64-64, {n_rows} x 10"
    return Race(name, x, bent(x), network, epochs, ("", "100x"), training, held_out)


def by_the_package(race: Race) -> Job:
    """lofo-importance round a wrapped network."""
    lofo: Any = import_module("lofo")
    pandas: Any = import_module("pandas")
    names = [f"x{column}" for column in range(race.x.shape[1])]
    table = pandas.DataFrame(race.x, columns=names).assign(y=race.y)

    def run() -> Floats:
        found = lofo.LOFOImportance(
            lofo.Dataset(table, "y", names),
            "neg_mean_squared_error",
            model=NetworkForSklearn(race.epochs),
            cv=[(race.training, race.held_out)],
        ).get_importance()
        return np.asarray(found.set_index("feature").loc[names, "importance_mean"], np.float64)

    return Job(run)


def by_one_call(race: Race) -> Job:
    """Ours as a user calls it: it compiles anew each time."""

    def run() -> Floats:
        result: ImportanceResult = lofo_importance(
            race.build,
            race.x,
            race.y,
            cv=[(race.training, race.held_out)],
            fit_kwargs={"epochs": race.epochs, "batch_size": BATCH, "shuffle": False},
            lock_step=True,
            seed=SEED,
        )
        return result.importances_mean

    return Job(run)


def importances(make: Callable[[], Job]) -> Job:
    """The same work; returns how much more each model loses than the first one, which sees all."""
    job = make()

    def run() -> Floats:
        losses = job.run()
        return np.asarray(losses[1:] - losses[0])

    return replace(job, run=run)


def peer_table(options: Options) -> None:
    """Ours beside the package and a loop, on the same holdout."""
    race = peer_race(options)
    one_by_one = partial(fitted_one_by_one, race, range(race.n_models))
    whole, compiled = "lofo_importance, which compiles each time", "its program, compiled"
    found = measured(
        {
            "lofo-importance": partial(by_the_package, race),
            "loop of fits": partial(importances, one_by_one),
            whole: partial(by_one_call, race),
            compiled: partial(importances, partial(in_lock_step, race)),
        },
        options.repeats,
    )
    print_head(
        f"{race.name}, {race.epochs} epochs, a fifth of the rows held out: seconds for all features",
        [
            "way", "seconds", "times lofo_importance", f"times its program (target {race.targets[1]})",
            "rank correlation with the loop, largest difference in % of the largest importance",
        ],
    )  # fmt: skip
    for name, outcome in found.items():
        ratios = [_times(outcome, found[one]) for one in (whole, compiled)]
        print_row(name, outcome.cell(math.nan), *ratios, _agreement(outcome, found["loop of fits"]))


def _times(outcome: Outcome, other: Outcome) -> str:
    """How many times the seconds of another way."""
    ratio = outcome.median / other.median
    if math.isnan(ratio) or outcome is other:
        return ""
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.2g}x"


def _agreement(outcome: Outcome, loop: Outcome) -> str:
    if outcome is loop or outcome.job is None or loop.job is None:
        return ""
    difference = np.abs(outcome.found - loop.found).max() / np.abs(loop.found).max()
    return f"{spearman(outcome.found, loop.found):.3f}, {100 * difference:.3g}%"


def speed_tables(options: Options) -> None:
    """Seconds, beside loops and the package."""
    loops_table(options)
    peer_table(options)


# --- truth: problems whose LOFO is known ----------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows whose LOFO is known, and a network that can learn them.

    Attributes:
        name: what it is.
        x: standardised features.
        y: targets, standardised where they are numbers.
        truth: the LOFO of each feature, in units of the metric of the targets as they were drawn.
        unit: what 1 of the metric of the standardised targets is of that.
        worst: the metric of the best constant prediction, in that unit.
        best: the same of the best prediction that there is.
        build: makes the network.
        fit: epochs and batch size.
        metric: what is lost.
        features: as for `lofo_importance`.
    """

    name: str
    x: Array
    y: Array
    truth: Floats
    unit: float
    worst: float
    best: float
    build: Build
    fit: Mapping[str, int]
    metric: str = "loss"
    features: Mapping[str, Sequence[int]] | None = None

    def explained(self, result: ImportanceResult) -> str:
        """How much of what can be explained the network explains, in per cent."""
        share = (self.worst - self.unit * result.baseline_score) / (self.worst - self.best)
        return f"{100 * share:.1f}%"

    @property
    def halves(self) -> tuple[slice, slice]:
        """Rows to train on, and rows to evaluate on."""
        n_rows = len(self.x) // 2
        return slice(n_rows), slice(n_rows, None)

    def trained(self) -> Any:
        """A network trained on the first half."""
        keras.utils.set_random_seed(SEED)
        model = self.build()
        rows, _ = self.halves
        model.fit(self.x[rows], self.y[rows], **self.fit, verbose=0)
        return model


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a method found, in the unit of the truth."""

    value: Floats
    error: Floats

    @classmethod
    def of(cls, result: ImportanceResult, scale: float) -> Estimate:
        """The importances of a result."""
        return cls(scale * result.importances_mean, scale * result.std_error)

    def text(self, number: int) -> str:
        """The estimate for one feature."""
        value, error = float(self.value[number]), float(self.error[number])
        return f"{shortly(value)} ± {shortly(error, 2)}"

    def judged(self, number: int, truth: float, tolerance: float) -> str:
        """The same with how far it is off; bold where that is too much, of a null two standard errors."""
        value, error = float(self.value[number]), float(self.error[number])
        text = self.text(number)
        if not truth:
            return f"**{text}**" if abs(value) > 2 * error else text
        off = value / truth - 1
        text = f"{text} ({100 * off:+.1f}%)"
        return f"**{text}**" if abs(off) > tolerance else text


def shortly(value: float, digits: int = 4) -> str:
    """A number in few digits, and no powers of ten where it is large."""
    return f"{value:,.0f}" if abs(value) >= min(1000, 10**digits) else f"{value:.{digits}g}"


def network(
    n_columns: int,
    units: Sequence[int],
    activation: str,
    *,
    n_steps: int | None = None,
    output: str | None = None,
) -> Any:
    """A network; with `n_steps` its learning rate sinks to 0, and no noise of the last steps is left."""
    hidden = [keras.layers.Dense(width, activation=activation) for width in units]
    last = keras.layers.Dense(1, activation=output)
    model = keras.Sequential([keras.Input((n_columns,)), *hidden, last])
    schedule: Any = keras.optimizers.schedules.CosineDecay
    model.compile(
        keras.optimizers.AdamW(schedule(0.01, n_steps) if n_steps else 0.002, weight_decay=0.1),
        "mse" if output is None else "binary_crossentropy",
        metrics=None if output is None else ["accuracy"],
        steps_per_execution=13,  # most of the time of short steps goes to calling them
    )
    return model


def linear(rho: float, options: Options) -> Problem:
    """Gao et al. (2022): y = 1.5 x1 + 1.2 x2 + x3 + N(0, 0.1), corr(x1, x2) = rho: LOFO 2.25 (1 - rho²)."""
    n_rows, epochs = (200, 2) if options.is_quick else (5000, 30)
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((n_rows, 6))
    x[:, 1] = rho * x[:, 0] + math.sqrt(1 - rho**2) * x[:, 1]
    y = x[:, :3] @ [1.5, 1.2, 1.0] + 0.1 * rng.standard_normal(n_rows)
    # No schedule: a warm start would begin with its highest rate, and end in the noise of that.
    build = partial(network, 6, (50,), "relu")
    return _standardised(
        f"rho = {rho:g}", x, y, [2.25 * (1 - rho**2), math.nan], 0.01, build, epochs, 64,
        features={"x1": [0], "the others": [1, 2, 3, 4, 5]},
    )  # fmt: skip


FRIEDMAN = {
    "Friedman 1": (
        partial(make_friedman1, n_features=10, noise=1.0),
        (6.486, 6.486, 2.222, 8.333, 2.083),
    ),
    "Friedman 2": (make_friedman2, (90.0, 72902.0, 89690.0)),
    "Friedman 3": (make_friedman3, (0.02235, 0.02378, 0.06807)),
}
"""How rows are drawn, and the variance of the function given all features but one; 0 for the rest.

The truths agree within 0.2% with a million Sobol points.
"""


def friedman(name: str, options: Options) -> Problem:
    """One of Friedman's three functions."""
    n_rows, epochs = (200, 2) if options.is_quick else (20_000, 40)
    make, useful = FRIEDMAN[name]
    x, y = make(n_samples=n_rows, random_state=SEED)
    truth = np.pad(useful, (0, x.shape[1] - len(useful)))
    build = partial(network, x.shape[1], (64, 64), "tanh", n_steps=epochs * math.ceil(n_rows / 256))
    return _standardised(name, x, y, truth, float(name == "Friedman 1"), build, epochs, 128)


def _standardised(
    name: str, x: Array, y: Array, truth: Any, noise: float, build: Build, epochs: int, batch_size: int,
    features: Mapping[str, Sequence[int]] | None = None,
) -> Problem:  # fmt: skip
    unit = float(y.var())
    x, y = (((one - one.mean(axis=0)) / one.std(axis=0)).astype(np.float32) for one in (x, y))
    fit = {"epochs": epochs, "batch_size": batch_size}
    return Problem(name, x, y, np.array(truth), unit, unit, noise, build, fit, features=features)


def probit(options: Options) -> Problem:
    """P(Y = 1) = Phi(2.5 x1 + 3.5 x2), four independent normal features; the loss of accuracy.

    The model of the simulation of Williamson et al. (2023), found by its published values .136 and
    .236, which it gives: for slope b, and noise of variance 1, the best accuracy is
    1/2 + arctan(b) / pi, and without a feature of slope a that of the other is b / sqrt(1 + a²).
    """
    n_rows, epochs = (200, 2) if options.is_quick else (20_000, 20)
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((n_rows, 4))
    y = x[:, :2] @ [2.5, 3.5] + rng.standard_normal(n_rows) > 0
    best = best_accuracy(math.hypot(2.5, 3.5))
    without = best_accuracy(3.5 / math.hypot(1, 2.5)), best_accuracy(2.5 / math.hypot(1, 3.5))
    truth = [best - without[0], best - without[1], 0, 0]
    build = partial(
        network, 4, (32,), "tanh", n_steps=epochs * math.ceil(n_rows / 256), output="sigmoid"
    )
    rows = x.astype(np.float32), y.astype(np.float32)
    fit = {"epochs": epochs, "batch_size": 128}
    return Problem("Probit", *rows, np.array(truth), 1.0, 0.5, best, build, fit, "accuracy")


def best_accuracy(slope: float) -> float:
    """E Phi(|slope Z|) of a normal Z."""
    return 0.5 + math.atan(slope) / math.pi


# --- truth: the levels ----------------------------------------------------------------------------

LEVELS: dict[str, Mapping[str, Any]] = {
    "lock step, 3 seeds": {"lock_step": True, "n_seeds": 3},
    "refit": {"lock_step": False},
    "warm start, 4 epochs": {"warm_start": 4},
}
"""Arguments of `lofo_importance`, by the names of their columns."""


def left_out(problem: Problem, level: str) -> ImportanceResult:
    """What `lofo_importance` finds, both halves being held out in turn."""
    first, second = (np.arange(len(problem.x))[rows] for rows in problem.halves)
    result: ImportanceResult = lofo_importance(
        problem.build,
        problem.x,
        problem.y,
        cv=[(first, second), (second, first)],
        metric=problem.metric,
        features=problem.features,
        fit_kwargs=problem.fit,
        seed=SEED,
        **LEVELS[level],
    )
    return result


def of_trained(problem: Problem, model: Any, *methods: Any) -> dict[str, ImportanceResult]:
    """What methods find that train nothing, on the second half."""
    _, rows = problem.halves
    return compute_importance(
        model,
        (problem.x[rows], problem.y[rows]),
        methods=methods,
        metric=problem.metric,
        features=problem.features,
        seed=SEED,
    )


def mean_imputed(problem: Problem, model: Any, column: int) -> Estimate:
    """What a trained network loses when a column is set to its mean: what LOFO is often taken for."""
    _, rows = problem.halves
    x, y = problem.x[rows], problem.y[rows]
    without = x.copy()
    without[:, column] = x[:, column].mean()
    losses = [(model.predict(one, verbose=0)[:, 0] - y) ** 2 for one in (without, x)]
    worse = problem.unit * (losses[0] - losses[1])
    return Estimate(np.array([worse.mean()]), np.array([worse.std() / math.sqrt(len(worse))]))


# --- truth: tables --------------------------------------------------------------------------------

PUBLISHED = {
    "published Lazy-VI": "0.9922",
    "published dropout": "2.3138",
    "published retraining": "0.9940",
}
"""Gao et al. (2022) at a correlation of 0.75."""


def linear_table(options: Options) -> None:
    """The linear problem for several correlations; x1 alone."""
    correlations = (0.0, 0.75) if options.is_quick else (0.0, 0.25, 0.5, 0.75)
    columns = {f"rho = {rho:g}": dict(_linear_cells(linear(rho, options))) for rho in correlations}
    columns["rho = 0.75"] |= PUBLISHED
    print_head(
        "LOFO of x1 in y = 1.5 x1 + 1.2 x2 + x3 + N(0, 0.1), corr(x1, x2) = rho; bold: off by more than 5%",
        ["", *columns],
    )
    for row in columns["rho = 0.75"]:
        print_row(row, *(cells.get(row, "") for cells in columns.values()))


def _linear_cells(problem: Problem) -> Iterator[tuple[str, str]]:
    truth = float(problem.truth[0])
    yield "truth", shortly(truth)
    model = problem.trained()
    results = of_trained(problem, model, ConditionalLOFO(), PermutationImportance())
    estimates = {"conditional_lofo": Estimate.of(results["conditional_lofo"], problem.unit)}
    for level in LEVELS:
        estimates[level] = Estimate.of(left_out(problem, level), problem.unit)
    estimates["permutation / 2"] = Estimate.of(results["permutation"], problem.unit / 2)
    estimates["mean imputed, no training"] = mean_imputed(problem, model, 0)
    for name, estimate in estimates.items():
        yield name, estimate.judged(0, truth, 0.05)
    yield "explained by the network", problem.explained(results["permutation"])


def levels_table(problem: Problem, n_repeats: int = 5) -> None:
    """Each feature of a problem by each level."""
    method = ConditionalLOFO(n_repeats)
    results = {method.name: of_trained(problem, problem.trained(), method)[method.name]}
    results |= {level: left_out(problem, level) for level in LEVELS if "warm" not in level}
    explained = ", ".join(problem.explained(one) for one in results.values())
    share = abs(problem.worst - problem.best)
    print_head(
        f"{problem.name}, {len(problem.x):,} rows, two halves; bold: off by more than 10%, for a null by more "
        f"than two standard errors. Explained by the networks: {explained}",
        ["feature", "truth", "share of what can be explained", *results],
    )
    for number, truth in enumerate(problem.truth):
        # What matters next to nothing is shown, and held to no target.
        tolerance = 0.1 if truth / share > 0.05 else math.inf
        found = [Estimate.of(one, problem.unit) for one in results.values()]
        cells = [one.judged(number, truth, tolerance) for one in found]
        print_row(f"x{number + 1}", shortly(truth), f"{100 * truth / share:.2g}%", *cells)


def truth_tables(options: Options) -> None:
    """What the levels find where the truth is known."""
    linear_table(options)
    for name in FRIEDMAN:
        levels_table(friedman(name, options))
    levels_table(probit(options), n_repeats=20)


# --- a duplicated feature -------------------------------------------------------------------------


def duplicated(options: Options) -> Problem:
    """A sum, y = x1 + 0.7 x2 + N(0, 0.3), of three features and a copy of x1."""
    n_rows, epochs = (200, 2) if options.is_quick else (4000, 20)
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((n_rows, 3))
    y = x[:, 0] + 0.7 * x[:, 1] + 0.3 * rng.standard_normal(n_rows)
    x = np.column_stack([x[:, 0], x[:, 0], x[:, 1:]])
    build = partial(network, 4, (32,), "relu", n_steps=epochs * math.ceil(n_rows / 128))
    return _standardised("a copy", x, y, [0, 0, 0.49, 0], 0.09, build, epochs, 64)


def duplicate_table(options: Options) -> None:
    """A feature and its copy, alone and as a group."""
    alone = duplicated(options)
    as_group = replace(alone, features={"x1 and its copy, as a group": [0, 1]})
    model = alone.trained()
    rows = {"x1": 0, "copy of x1": 1, "x2": 2, "null": 3}
    estimates = _of_ways(alone, model)
    print_head(
        f"y = x1 + 0.7 x2 + N(0, 0.3), {len(alone.x):,} rows: without either copy nothing is lost",
        ["feature", "truth of LOFO", *estimates],
    )
    truth = {"x1": "0", "copy of x1": "0", "x2": "0.49", "null": "0"}
    for name, number in rows.items():
        print_row(name, truth[name], *(one.text(number) for one in estimates.values()))
    together = [one.text(0) for one in _of_ways(as_group, model).values()]
    print_row("x1 and its copy, as a group", "1", *together)


def _of_ways(problem: Problem, model: Any) -> dict[str, Estimate]:
    found = of_trained(problem, model, PermutationImportance(), ConditionalLOFO())
    found |= {level: left_out(problem, level) for level in ("lock step, 3 seeds",)}
    return {name: Estimate.of(result, problem.unit) for name, result in found.items()}


# --- the command line -----------------------------------------------------------------------------

TABLES = {"speed": speed_tables, "truth": truth_tables, "duplicate": duplicate_table}


def main() -> None:
    """Prints the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=TABLES, help="one kind of tables")
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the median is taken")
    parser.add_argument(
        "--full-loop", action="store_true", help="time all fits of a loop, not three of them"
    )
    parser.add_argument("--quick", action="store_true", help="next to nothing, to see that it runs")
    given = parser.parse_args()
    options = Options(given.repeats, given.quick, given.full_loop)
    print(f"{machine()}; seconds are medians of {given.repeats} runs", flush=True)
    for name in [given.only] if given.only else TABLES:
        TABLES[name](options)


if __name__ == "__main__":
    main()
