"""How often is a verdict wrong, and how early is it right?

Two tables. The first simulates 40 evaluations of linear models whose true importances are known: ten
features lie exactly on the threshold, ten are useless, five are strong. It counts the runs in which any
feature that reaches the threshold is ever called useless, by ours and by four rules that people use.
The second trains real networks on data whose useless features are known.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance import FeatureImportance, UselessFeatureDetector
from keras_importance.results.history import ImportanceHistory
from keras_importance.results.joint_importance import JointImportance
from keras_importance.results.result import ImportanceResult
from keras_importance.results.scores import Explained
from keras_importance.statistics.arrays import Floats
from keras_importance.statistics.donors import Donors
from keras_importance.statistics.influence import Influence, influence_standard_error
from keras_importance.statistics.quantiles import normal_quantile
from keras_importance.verdicts.spending import Spending

# --- simulated evaluations ----------------------------------------------------------------------

N_THRESHOLD, N_USELESS, N_STRONG = 10, 10, 5
N_EVALUATIONS = 40
MIN_SHARE = 0.01
ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class Evaluations:
    """The rows of one run, and the coefficients of the model at each evaluation.

    The target is `x @ truth` and noise, the model `x @ coefficients`; features are independent with
    variance 1. So the importance of feature j is `2 a_j b_j`, and the model explains
    `sum(2 a_j b_j - a_j²)`, whatever the noise.
    """

    x: Floats
    y: Floats
    truth: Floats
    coefficients: Floats

    @classmethod
    def draw(
        cls,
        n_rows: int,
        heavy: bool,
        rng: np.random.Generator,
        *,
        n_weak: int = N_THRESHOLD,
        n_useless: int = N_USELESS,
        weak_importance: float = 1.0,
    ) -> Evaluations:
        """Coefficients that grow and wobble, weak, useless and strong features in this order.

        The importance of the weak ones stays at `weak_importance` times the threshold.
        """
        n_features = n_weak + n_useless + N_STRONG
        truth = np.zeros(n_features)
        truth[:n_weak], truth[-N_STRONG:] = 0.15, 1.0
        growth = 1 - 0.7 * 0.8 ** np.arange(N_EVALUATIONS)[:, None]
        coefficients = np.zeros((N_EVALUATIONS, n_features))
        coefficients[:, -N_STRONG:] = growth * (
            1 + 0.02 * rng.standard_normal((N_EVALUATIONS, N_STRONG))
        )
        useless = slice(n_weak, n_weak + n_useless)
        coefficients[:, useless] = 0.02 * rng.standard_normal((N_EVALUATIONS, n_useless))
        for _ in range(50):  # a fixed point: what is explained depends on the coefficients themselves
            explained = np.sum(2 * coefficients * truth - coefficients**2, axis=1)
            weak = weak_importance * MIN_SHARE * explained[:, None]
            coefficients[:, :n_weak] = weak / (2 * 0.15)
        x = _of_unit_variance(rng, (n_rows, n_features), heavy)
        return cls(x, x @ truth + rng.standard_normal(n_rows), truth, coefficients)

    def result(self, number: int, members: Sequence[Sequence[int]], donors: Donors) -> ImportanceResult:
        """The permutation importance of sets of features at one evaluation."""
        a = self.coefficients[number]
        error = self.y - self.x @ a
        parts = self.x[donors.rows] - self.x
        moved = np.stack([(parts[..., list(one)] @ a[list(one)]) for one in members])
        differences = (error - moved) ** 2 - error**2
        influence = Influence.of(differences, donors)
        lost = (self.y - self.y.mean()) ** 2 - error**2
        covariance, third = influence.moments_with(lost - lost.mean())
        return ImportanceResult(
            method="permutation",
            epoch=number,
            feature_names=tuple("+".join(map(str, one)) for one in members),
            importances=differences.mean(axis=2),
            std_error=influence.standard_error(),
            baseline_score=float(np.mean(error**2)),
            metric="loss",
            n_samples=len(self.x),
            degrees=influence.degrees_of_freedom(),
            explained=Explained(
                float(lost.mean()), float(influence_standard_error(lost)), "constant", covariance, third
            ),
        )


def _of_unit_variance(rng: np.random.Generator, shape: tuple[int, int], heavy: bool) -> Floats:
    if not heavy:
        return rng.standard_normal(shape)
    return rng.standard_t(6, shape) / math.sqrt(6 / 4)


@dataclass(frozen=True, eq=False)
class _Simulated:
    """Answers a detector's questions about one evaluation of the simulation."""

    evaluations: Evaluations
    number: int
    donors: Donors
    n_evaluations: int | None = N_EVALUATIONS

    @property
    def spending(self) -> Spending:
        return Spending(self.n_evaluations)

    def jointly(self, sets: Sequence[Sequence[int]]) -> JointImportance:
        result = self.evaluations.result(self.number, sets, self.donors)
        return JointImportance(
            sets=tuple(tuple(map(str, indices)) for indices in sets),
            importances=result.importances,
            std_error=result.std_error,
            degrees=result.degrees,
            explained=result.explained,
        )

    def unused_signal(self, numbers: Sequence[int]) -> Floats:
        return np.ones(len(numbers))


Rule = Callable[[ImportanceResult], NDArray[np.bool_]]


def _threshold(result: ImportanceResult) -> float:
    assert result.explained is not None
    return MIN_SHARE * result.explained.loss


def _share_below(result: ImportanceResult) -> NDArray[np.bool_]:
    return np.asarray(result.importances_mean < _threshold(result))


def _bound_below(level: float) -> Rule:
    def rule(result: ImportanceResult) -> NDArray[np.bool_]:
        bound = result.importances_mean - normal_quantile(level) * result.std_error
        return np.asarray(bound < _threshold(result))

    return rule


N_FEATURES = N_THRESHOLD + N_USELESS + N_STRONG
NAIVE: dict[str, Rule] = {
    "interval includes 0": lambda one: np.asarray(one.ci_low <= 0),
    "share below 1%": _share_below,
    "95% bound below 1%, each evaluation": _bound_below(ALPHA),
    "the same, Bonferroni over features": _bound_below(ALPHA / N_FEATURES),
}


def false_flags(n_rows: int, heavy: bool, n_replicates: int) -> dict[str, tuple[float, float]]:
    """For each rule the share of runs with a false flag, and of useless features flagged at the end."""
    counts = {name: np.zeros(2) for name in (*NAIVE, "UselessFeatureDetector()")}
    useless = slice(N_THRESHOLD, N_THRESHOLD + N_USELESS)
    for replicate in range(n_replicates):
        rng = np.random.default_rng(replicate)
        evaluations = Evaluations.draw(n_rows, heavy, rng)
        donors = Donors.draw(n_rows, 5, rng)
        history = ImportanceHistory()
        ever = {name: np.zeros(N_FEATURES, bool) for name in counts}
        now = dict(ever)
        for number in range(N_EVALUATIONS):
            result = evaluations.result(number, [[one] for one in range(N_FEATURES)], donors)
            history += result
            history += UselessFeatureDetector(MIN_SHARE, ALPHA)(
                history, _Simulated(evaluations, number, donors)
            )
            now = {name: rule(result) for name, rule in NAIVE.items()}
            states = np.array(history.judged[-1].states)
            now["UselessFeatureDetector()"] = np.isin(states, ("useless", "harmful", "redundant"))
            ever = {name: ever[name] | now[name] for name in counts}
        for name in counts:
            is_true = np.ones(N_FEATURES, bool)
            is_true[useless] = False
            counts[name] += (bool(ever[name][is_true].any()), float(now[name][useless].mean()))
    return {name: tuple(count / n_replicates) for name, count in counts.items()}


N_WEAK, WEAK_IMPORTANCE = 40, 1 / 20


def false_sets(n_rows: int, n_replicates: int) -> tuple[float, float]:
    """Share of runs in which a set that matters was ever to be dropped, and the mean size of the sets.

    Each of forty weak features has a twentieth of the threshold: none is wrong alone, and any twenty of
    them are wrong together, whichever of them the estimates put first.
    """
    false, sizes = 0, []
    for replicate in range(n_replicates):
        rng = np.random.default_rng(replicate)
        evaluations = Evaluations.draw(
            n_rows, False, rng, n_weak=N_WEAK, n_useless=0, weak_importance=WEAK_IMPORTANCE
        )
        donors = Donors.draw(n_rows, 5, rng)
        history, names = ImportanceHistory(), [[one] for one in range(N_WEAK + N_STRONG)]
        for number in range(N_EVALUATIONS):
            history += evaluations.result(number, names, donors)
            history += UselessFeatureDetector(MIN_SHARE, ALPHA)(
                history, _Simulated(evaluations, number, donors)
            )
        sizes.append([len(one.useless) for one in history.judged])
        false += max(sizes[-1]) * WEAK_IMPORTANCE >= 1
    return false / n_replicates, float(np.mean([one[-1] for one in sizes]))


# --- real trainings -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Task:
    """Data whose useful features are known, and a network for them.

    Attributes:
        name: what it is called in the table.
        draw: `(rng, n_rows) -> (x, y)`.
        network: a compiled model.
        useful: names of the features that the target depends on given the others.
        copies: sets of names that say the same: not all of a set may be dropped.
        features: the `features` argument.
        share_of_seeds: how many of the seeds it is trained with.
        n_rows: rows in all, one half to train on and one to judge on.
    """

    name: str
    draw: Callable[[np.random.Generator, int], tuple[Any, Any]]
    network: Callable[[], Any]
    useful: frozenset[str]
    copies: tuple[frozenset[str], ...] = ()
    features: Any = None
    share_of_seeds: float = 1.0
    n_rows: int = 10_000


def _mlp(n_columns: int, n_classes: int = 0) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((n_columns,)),
            layers.Dense(64, activation="relu"),
            layers.Dense(64, activation="relu"),
            layers.Dense(n_classes, activation="softmax") if n_classes else layers.Dense(1),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy" if n_classes else "mse")
    return model


def _lstm() -> Any:
    model = keras.Sequential([keras.Input((24, 12)), keras.layers.LSTM(32), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(3e-3), "mse")
    return model


def _normal(rng: np.random.Generator, n_rows: int, n_columns: int) -> Floats:
    return rng.standard_normal((n_rows, n_columns))


def _late_interaction(rng: np.random.Generator, n_rows: int) -> tuple[Any, Any]:
    x = _normal(rng, n_rows, 20)
    return x, 2 * x[:, 0] + x[:, 1] + x[:, 2] * x[:, 3] + 0.5 * rng.standard_normal(n_rows)


def _late_weak(rng: np.random.Generator, n_rows: int) -> tuple[Any, Any]:
    x = _normal(rng, n_rows, 20)
    return x, 2 * x[:, 0] + x[:, 1] + 0.5 * np.sin(3 * x[:, 2]) + 0.5 * rng.standard_normal(n_rows)


def _friedman(rng: np.random.Generator, n_rows: int) -> tuple[Any, Any]:
    x = rng.uniform(size=(n_rows, 20))
    curve = 10 * np.sin(math.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2
    return x, (curve + 10 * x[:, 3] + 5 * x[:, 4] + rng.standard_normal(n_rows)) / 5


def _proxy(rng: np.random.Generator, n_rows: int) -> tuple[Any, Any]:
    x = _normal(rng, n_rows, 20)
    x[:, 3] = 0.9 * x[:, 0] + math.sqrt(1 - 0.81) * x[:, 3]
    return x, 2 * x[:, 0] + x[:, 1] + 0.7 * x[:, 2] + 0.5 * rng.standard_normal(n_rows)


def _series(rng: np.random.Generator, n_rows: int) -> tuple[Any, Any]:
    x = rng.standard_normal((n_rows, 24, 12))
    parts = x[:, :, 0].mean(axis=1) * 5 + x[:, -1, 1] + x[:, -3:, 2].sum(axis=1) / 1.7
    parts = parts + x[:, -1, 3] * 0.8 + x[:, -2:, 4].sum(axis=1) * 0.7 + x[:, -1, 5]
    return x, parts + 0.5 * rng.standard_normal(n_rows)


def _classes(rng: np.random.Generator, n_rows: int) -> tuple[Any, Any]:
    """Eight numbers, two one-hot groups of five; number 1 is a copy of number 0; group b is noise."""
    x = _normal(rng, n_rows, 8)
    x[:, 1] = x[:, 0]
    a, b = rng.integers(0, 5, (2, n_rows))
    effect = np.array([-1.5, -0.7, 0.0, 0.8, 1.4])
    score = x[:, 0] + x[:, 2] + effect[a] + 0.5 * rng.standard_normal(n_rows)
    inputs = np.concatenate([x, np.eye(5)[a], np.eye(5)[b]], axis=1)
    return inputs, np.digitize(score, [-1.0, 1.0])


def _names(*numbers: int) -> frozenset[str]:
    return frozenset(f"x{number}" for number in numbers)


TASKS = (
    Task("late interaction", _late_interaction, lambda: _mlp(20), _names(0, 1, 2, 3)),
    Task("late weak term", _late_weak, lambda: _mlp(20), _names(0, 1, 2)),
    Task("Friedman 1 and 15 noise columns", _friedman, lambda: _mlp(20), _names(0, 1, 2, 3, 4)),
    Task("proxy with correlation .9", _proxy, lambda: _mlp(20), _names(0, 1, 2)),
    Task(
        "LSTM, 24 steps, 6 of 12 noise", _series, _lstm, _names(0, 1, 2, 3, 4, 5), share_of_seeds=1 / 3
    ),
    Task(
        "classes, one-hot groups, a copy",
        _classes,
        lambda: _mlp(18, 3),
        frozenset({"x2", "a"}),
        copies=(_names(0, 1),),
        features={"a": list(range(8, 13)), "b": list(range(13, 18))},
        n_rows=20_000,
        share_of_seeds=1 / 3,
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What the verdicts of one training were worth.

    Attributes:
        ours: whether a useful feature, or all copies of one, were ever in the set.
        includes_zero: whether a useful feature's interval ever held 0.
        below_share: whether a useful feature's share was ever below 1%.
        found: share of the useless features that ever were in the set.
        at_end: share of them in the set at the end.
        epochs: 1-based epoch in which each useless feature came into the set; infinite for never.
    """

    ours: bool
    includes_zero: bool
    below_share: bool
    found: float
    at_end: float
    epochs: tuple[float, ...]


def trained(task: Task, seed: int, n_epochs: int) -> Outcome:
    """Trains on one half of the rows, judges on the other."""
    x, y = task.draw(np.random.default_rng(seed), task.n_rows)
    x = np.asarray(x, np.float32)
    y = np.asarray(y, np.int64 if np.asarray(y).dtype.kind == "i" else np.float32)
    keras.utils.set_random_seed(seed)
    half = task.n_rows // 2
    importance = FeatureImportance(
        methods=["permutation"],
        features=task.features,
        max_samples=None,
        time_budget=None,
        seed=seed,
    )
    task.network().fit(
        x[:half],
        y[:half],
        validation_data=(x[half:], y[half:]),
        epochs=n_epochs,
        batch_size=64,
        verbose=0,
        callbacks=[importance],
    )
    history = importance.history
    useful = np.isin(history.results[0].feature_names, list(task.useful))
    sets = [set(one.useless) for one in history.judged]
    false = any(one & task.useful or any(copies <= one for copies in task.copies) for one in sets)
    copies = frozenset().union(*task.copies)
    useless = set(history.results[0].feature_names) - task.useful - copies
    epochs = [
        next((number for number, one in enumerate(sets, 1) if name in one), math.inf)
        for name in sorted(useless)
    ]
    return Outcome(
        ours=false,
        includes_zero=any(bool((one.ci_low <= 0)[useful].any()) for one in history),
        below_share=any(bool(_share_below(one)[useful].any()) for one in history),
        found=len(useless & set().union(*sets)) / len(useless),
        at_end=len(useless & sets[-1]) / len(useless),
        epochs=tuple(epochs),
    )


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--only", choices=("simulated", "real"))
    arguments = parser.parse_args()
    print(
        f"Python {platform.python_version()}, Keras {keras.__version__}, {keras.backend.backend()}, "
        f"NumPy {np.__version__}\n"
    )
    if arguments.only != "real":
        _print_simulated(arguments.replicates)
    if arguments.only != "simulated":
        _print_real(arguments.seeds, arguments.epochs)


def _print_simulated(n_replicates: int) -> None:
    print(
        f"Chance of any false flag in {N_EVALUATIONS} evaluations of {N_FEATURES} features, of which "
        f"{N_THRESHOLD} lie on the threshold ({n_replicates} runs; at most {ALPHA})\n"
    )
    print("| rows | features | rule | any false flag | useless ones flagged at the end |")
    print("|---:|---|---|---:|---:|")
    for n_rows, heavy in ((500, False), (1000, False), (1000, True)):
        for name, (false, power) in false_flags(n_rows, heavy, n_replicates).items():
            kind = "Student's t, 6 degrees" if heavy else "normal"
            print(f"| {n_rows:,} | {kind} | {name} | {false:.3f} | {power:.2f} |", flush=True)
    print(
        f"\n{N_WEAK} weak features, of which any {1 / WEAK_IMPORTANCE:g} together reach the threshold: chance "
        f"that as many were ever to be dropped ({n_replicates // 2} runs; at most {ALPHA})\n"
    )
    print("| rows | any false set | features in the set at the end |")
    print("|---:|---:|---:|")
    false, size = false_sets(1000, n_replicates // 2)
    print(f"| 1,000 | {false:.3f} | {size:.1f} |", flush=True)


def _print_real(n_seeds: int, n_epochs: int) -> None:
    print(f"\nReal trainings of {n_epochs} epochs, in how many a useful feature was ever flagged\n")
    print(
        "| data | rows to judge on | ours | interval includes 0 | share below 1% | useless ones flagged | at the end | "
        "median epoch |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for task in TASKS:
        n_trained = max(1, math.ceil(n_seeds * task.share_of_seeds))
        outcomes = [trained(task, seed, n_epochs) for seed in range(n_trained)]
        counts = (
            sum(getattr(one, name) for one in outcomes)
            for name in ("ours", "includes_zero", "below_share")
        )
        cells = " | ".join(f"{count} of {len(outcomes)}" for count in counts)
        found, at_end = (
            float(np.mean([getattr(one, name) for one in outcomes])) for name in ("found", "at_end")
        )
        median = float(np.median([epoch for one in outcomes for epoch in one.epochs]))
        print(
            f"| {task.name} | {task.n_rows // 2:,} | {cells} | {found:.1%} | {at_end:.1%} | {median:g} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
