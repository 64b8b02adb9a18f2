"""How often does a null feature that is correlated with useful ones get an importance above 0?

Two published designs of correlated features. In each replicate a small network learns from one sample, and
plain and conditional permutation importance are computed on another. A feature counts as found where the
one-sided 95% bound of its importance lies above 0: type-I error is the share of null features that are
found, power that of useful ones.

- Chamma, Engemann & Thirion (2023): 50 features in 10 blocks, correlated at 0.8 within a block; 20 of them,
  drawn at random, have effects of ±0.5, ±1, ±2 or ±3 on the target, whose noise has a quarter of the
  signal's standard deviation. Binary: the same, every other feature cut at 0 into 0 and 1.
- PermFIT, Mi et al. (2021): 5 blocks of 10 features, correlated at 0.5; one feature of each block counts:
  x1 + 2 log(1 + 2 x2² + (x3 + 1)²) + x4 x5 + N(0, 1).
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_importance import compute_importance
from keras_importance.results.result import ImportanceResult
from keras_importance.statistics.arrays import Floats, Integers
from keras_importance.statistics.quantiles import normal_quantile

METHODS = ("permutation", "conditional_permutation")
Drawn = tuple[Floats, Floats, Integers]


@dataclass(frozen=True)
class Design:
    """How rows are drawn, and what was published.

    Attributes:
        draw: `(n_rows, rng)` to inputs, targets and the numbers of the useful features.
        published: power of the published conditional method, where there is one.
    """

    draw: Callable[[int, np.random.Generator], Drawn]
    published: str


def blocks(n_rows: int, n_blocks: int, size: int, rho: float, rng: np.random.Generator) -> Floats:
    """Normal features, correlated at rho within a block."""
    shared = np.repeat(rng.standard_normal((n_rows, n_blocks)), size, axis=1)
    own = rng.standard_normal((n_rows, n_blocks * size))
    return np.asarray(math.sqrt(rho) * shared + math.sqrt(1 - rho) * own)


def linear(n_rows: int, rng: np.random.Generator, *, is_binary: bool = False) -> Drawn:
    """The design of Chamma et al."""
    x = blocks(n_rows, 10, 5, 0.8, rng)
    if is_binary:
        x[:, ::2] = x[:, ::2] > 0
    useful = rng.choice(50, 20, replace=False)
    signal = x[:, useful] @ rng.choice([-3, -2, -1, -0.5, 0.5, 1, 2, 3], 20)
    return x, signal + signal.std() / 4 * rng.standard_normal(n_rows), useful


def binary(n_rows: int, rng: np.random.Generator) -> Drawn:
    """The same with every other feature 0 or 1."""
    return linear(n_rows, rng, is_binary=True)


def nonlinear(n_rows: int, rng: np.random.Generator) -> Drawn:
    """The design of Mi et al."""
    x = blocks(n_rows, 5, 10, 0.5, rng)
    useful = np.arange(0, 50, 10)
    a, b, c, d, e = x[:, useful].T
    y = a + 2 * np.log(1 + 2 * b**2 + (c + 1) ** 2) + d * e + rng.standard_normal(n_rows)
    return x, y, useful


DESIGNS = {
    "Chamma et al., linear": Design(linear, "0.83 to 0.89"),
    "the same, half of them binary": Design(binary, "none"),
    "PermFIT, nonlinear, rho 0.5": Design(nonlinear, "none"),
}


def network() -> Any:
    """A small network; one for all replicates, as training it compiles anew otherwise."""
    model = keras.Sequential(
        [
            keras.Input((50,)),
            keras.layers.Dense(32, activation="relu", kernel_regularizer=keras.regularizers.L2(1e-3)),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(5e-3), "mse", steps_per_execution=16)
    return model


def found(result: ImportanceResult) -> Any:
    """Whether the one-sided 95% bound of each feature lies above 0."""
    return result.importances_mean > normal_quantile(0.95) * result.std_error


def shares(design: Design, n_rows: int, epochs: int, seed: int, model: Any, start: Any) -> Floats:
    """`(n_methods, 2)` shares of null and of useful features found in one replicate, then r²."""
    rng = np.random.default_rng([2023, seed])
    x, y, useful = design.draw(2 * n_rows, rng)
    y = (y - y.mean()) / y.std()
    keras.utils.set_random_seed(seed)
    model.set_weights([weights if weights.ndim == 1 else shuffled(weights, rng) for weights in start])
    for variable in model.optimizer.variables:
        if variable is not model.optimizer._learning_rate:
            variable.assign(keras.ops.zeros_like(variable))
    # All epochs as one, as the start of an epoch takes longer than its steps.
    rows = np.concatenate([rng.permutation(n_rows) for _ in range(epochs)])
    model.fit(x[rows], y[rows], batch_size=64, shuffle=False, verbose=0)
    results = compute_importance(model, (x[n_rows:], y[n_rows:]), methods=METHODS, seed=seed)
    is_useful = np.isin(np.arange(50), useful)
    return np.array(
        [
            [found(results[one])[~is_useful].mean(), found(results[one])[is_useful].mean()]
            for one in METHODS
        ]
        + [[0, 1 - results[METHODS[0]].baseline_score]]
    )


def shuffled(weights: Any, rng: np.random.Generator) -> Any:
    """The same weights at other places: a new start."""
    return rng.permutation(weights.ravel()).reshape(weights.shape)


def cell(values: Floats) -> str:
    """Mean and standard error over the replicates."""
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{values.mean():.3f} ± {error:.3f}"


def main() -> None:
    """Prints the table of errors and powers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=30)
    parser.add_argument("--rows", type=int, default=1000, help="rows to learn from, and as many to test")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="next to nothing, to see that it runs")
    arguments = parser.parse_args()
    n_replicates, n_rows, epochs = arguments.replicates, arguments.rows, arguments.epochs
    if arguments.quick:
        n_replicates, n_rows, epochs = 2, 200, 2
    keras.utils.set_random_seed(0)
    model, started = network(), time.perf_counter()
    start = model.get_weights()
    print(f"Python {platform.python_version()}, Keras {keras.__version__}, {n_replicates} replicates,")
    print(f"{n_rows} rows to learn from and {n_rows} others to test, mean ± standard error\n")
    print("| design | method | type-I error | power | published power | r² of the network |")
    print("|---|---|---:|---:|---:|---:|")
    for name, design in DESIGNS.items():
        table = np.array(
            [shares(design, n_rows, epochs, seed, model, start) for seed in range(n_replicates)]
        )
        for number, method in enumerate(METHODS):
            published = design.published if method.startswith("conditional") else "none"
            cells = [cell(table[:, number, 0]), cell(table[:, number, 1]), published]
            print(
                f"| {name} | {method} | {' | '.join(cells)} | {table[:, -1, 1].mean():.2f} |", flush=True
            )
    print(f"\n{time.perf_counter() - started:.0f} seconds")


if __name__ == "__main__":
    main()
