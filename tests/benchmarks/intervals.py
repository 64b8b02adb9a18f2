"""How often do 95% intervals of permutation importance hold the true value?

For a fixed model with three features, the importance of the first is known from ten million rows. Each
replicate draws new validation rows, takes the importance of the feature and three error bars on the same
draws: ours (rows as recipients and donors), that of the row differences alone, and the std over repeats
divided by sqrt(K), which is what the repeats of scikit-learn's `permutation_importance` offer.
"""

from __future__ import annotations

import argparse
import math
import platform
from collections.abc import Callable

import numpy as np
import systematic

from keras_importance.statistics.arrays import Floats
from keras_importance.statistics.donors import Donors
from keras_importance.statistics.influence import (
    Influence,
    influence_standard_error,
    repeats_standard_error,
)
from keras_importance.statistics.quantiles import normal_quantile, tail_quantile

Score = Callable[[Floats, Floats], Floats]
WEIGHTS = np.array([1.0, 0.5, -0.7])
MODEL = np.array([0.8, 0.6, -0.5])
LOSSES: dict[str, Score] = {
    "squared error": lambda y, f: (y - f) ** 2,
    "absolute error": lambda y, f: np.abs(y - f),
    "log loss": lambda y, f: np.logaddexp(0, np.where(y > 0, -f, f)),
}


def drawn(n_rows: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Rows of three features and a noisy target."""
    x = rng.standard_normal((n_rows, 3))
    x[:, 0] += 0.5 * x[:, 0] * x[:, 1]
    return x, x @ WEIGHTS + 0.5 * rng.standard_normal(n_rows)


def differences(score: Score, x: Floats, y: Floats, donors: Donors) -> Floats:
    """How much worse each row gets with the first feature of its donor."""
    baseline = score(y, x @ MODEL)
    moved = x @ MODEL + (x[donors.rows, 0] - x[:, 0]) * MODEL[0]
    return score(y, moved) - baseline


def true_importance(score: Score, rng: np.random.Generator) -> float:
    """The importance over ten million rows."""
    parts = []
    for _ in range(10):
        x, y = drawn(1_000_000, rng)
        parts.append(differences(score, x, y, Donors.draw(len(x), 1, rng)).mean())
    return float(np.mean(parts))


def coverage(
    score: Score, truth: float, n_rows: int, n_repeats: int, n_replicates: int, rng: np.random.Generator
) -> Floats:
    """Share of replicates whose interval holds the truth, for each of the three error bars."""
    hits = np.zeros(3)
    for _ in range(n_replicates):
        x, y = drawn(n_rows, rng)
        donors = Donors.draw(n_rows, n_repeats, rng)
        found = differences(score, x, y, donors)
        influence = Influence.of(found, donors)
        errors = np.array(
            [
                float(influence.standard_error()),
                float(influence_standard_error(found.mean(axis=0))),
                float(repeats_standard_error(found.mean(axis=1)[None])[0]),
            ]
        )
        quantiles = np.full(3, normal_quantile(0.975))
        quantiles[0] = tail_quantile(0.025, float(influence.degrees_of_freedom()))
        hits += np.abs(found.mean() - truth) < quantiles * errors
    return np.where(np.isnan(errors), math.nan, hits / n_replicates)


def window_coverage(memory: float, n_rows: int, width: int, n_replicates: int) -> tuple[float, float]:
    """Coverage for overlapping windows of a series of the given memory: by blocks, and by rows.

    The model is the mean of a window and makes the target, up to noise: importance `2 Var(mean)`.
    """
    rng = np.random.default_rng(1)
    block = max(2 * width, min(4 * width, n_rows // 20))
    blocks = np.arange(n_rows) // block
    lags = np.arange(1, width)
    truth = 2 * (width + 2 * np.sum((width - lags) * memory**lags)) / width**2
    hits = np.zeros(2)
    for _ in range(n_replicates):
        series = np.empty(n_rows + width)
        series[0] = rng.standard_normal()
        shocks = math.sqrt(1 - memory**2) * rng.standard_normal(len(series))
        for step in range(1, len(series)):
            series[step] = memory * series[step - 1] + shocks[step]
        outputs = np.convolve(series, np.full(width, 1 / width), "valid")[:n_rows]
        noise = 0.5 * rng.standard_normal(n_rows)
        donors = Donors.draw(n_rows, 5, rng)
        found = (outputs + noise - outputs[donors.rows]) ** 2 - noise**2
        error = np.abs(found.mean() - truth)
        by_blocks = Influence.of(found, donors, blocks=blocks)
        quantile = tail_quantile(0.025, float(by_blocks.degrees_of_freedom()))
        hits += (
            error < quantile * float(by_blocks.standard_error()),
            error < normal_quantile(0.975) * Influence.of(found, donors).standard_error(),
        )
    return float(hits[0] / n_replicates), float(hits[1] / n_replicates)


def main() -> None:
    """Prints the tables of coverages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--systematic", action="store_true", help="the table of systematic donors alone")
    arguments = parser.parse_args()
    if arguments.systematic:
        systematic.print_tables(arguments.replicates)
        return
    rng = np.random.default_rng(0)
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, {arguments.replicates} replicates\n"
    )
    print("| loss | rows | repeats K | ours | rows alone | std over repeats / sqrt K |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, score in LOSSES.items():
        truth = true_importance(score, rng)
        for n_rows in (200, 500, 1000):
            for n_repeats in (1, 5, 20):
                shares = coverage(score, truth, n_rows, n_repeats, arguments.replicates, rng)
                cells = " | ".join("none" if math.isnan(s) else f"{s:.3f}" for s in shares)
                print(f"| {name} | {n_rows} | {n_repeats} | {cells} |", flush=True)

    n_replicates = min(arguments.replicates, 400)
    print(f"\nOverlapping windows of 24 steps, K = 5, {n_replicates} replicates\n")
    print("| rows | correlation of neighbouring steps | blocks of windows | rows taken as separate |")
    print("|---:|---:|---:|---:|")
    for n_rows in (2000, 8000):
        for memory in (0.0, 0.9, 0.98):
            by_blocks, by_rows = window_coverage(memory, n_rows, 24, n_replicates)
            print(f"| {n_rows} | {memory} | {by_blocks:.3f} | {by_rows:.3f} |", flush=True)
    systematic.print_tables(arguments.replicates)


if __name__ == "__main__":
    main()
