"""How often does noise pass for drift, and how soon is a feature named that the model begins to use?

Both tables simulate trainings of linear models with 20 features: five strong ones, five weak ones, ten that
mean nothing and have small weights all the same. Evaluations go through the package's own donors, errors
and draws. In the first table nothing changes but what the row says; all steps should stay within the floors
of the three measures in 95% of cases or more, and hardly any should name a feature that moved. In the second
table the model begins to use a feature at epoch 10.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_importance.results.history import ImportanceHistory
from keras_importance.results.result import ImportanceResult
from keras_importance.results.scores import Explained
from keras_importance.statistics.arrays import Integers, generator
from keras_importance.statistics.donors import Donors
from keras_importance.statistics.influence import Influence

N_STRONG, N_WEAK, N_NULL = 5, 5, 10
N_FEATURES = N_STRONG + N_WEAK + N_NULL
N_DRAWS = 200
MEASURES = ("jensen_shannon", "spearman", "top_k_overlap")

Singles = NDArray[np.float32]
Score = Callable[[Singles, Singles], Singles]


def squared_error(y: Singles, outputs: Singles) -> Singles:
    """Of each row."""
    return np.asarray(np.square(y - outputs))


def log_loss(y: Singles, outputs: Singles) -> Singles:
    """Of each row, its class being the sign of the target."""
    return np.logaddexp(0, np.where(y > 0, -outputs, outputs))


@dataclass(frozen=True)
class Design:
    """What differs between the evaluations of one training.

    Attributes:
        n_rows: how many rows an evaluation may use; one of them is drawn each time.
        n_repeats: the same of the repeats.
        wobble: relative size of the changes of the weights from one evaluation to the next.
        score: of which the importance is the rise.
        n_all: how many rows there are; of more than an evaluation uses, each one takes others.
    """

    n_rows: tuple[int, ...] = (1000,)
    n_repeats: tuple[int, ...] = (5,)
    wobble: float = 0.0
    score: Score = squared_error
    n_all: int = 1000


AFFORDABLE = (300, 500, 700, 1000)
DESIGNS = {
    "the same rows": Design(),
    "weights that oscillate by 1%": Design(wobble=0.01),
    "300 to 1,000 rows, 2 to 5 repeats": Design(AFFORDABLE, (2, 3, 5)),
    "the same, and weights that oscillate by 1%": Design(AFFORDABLE, (2, 3, 5), 0.01),
    "the same, log loss": Design(AFFORDABLE, (2, 3, 5), 0.01, log_loss),
    "other 1,000 rows each time": Design(n_all=5000),
}


@dataclass(frozen=True, eq=False)
class Training:
    """The rows and the weights of one training."""

    x: Singles
    y: Singles
    weights: Singles
    design: Design
    seed: int

    @classmethod
    def draw(cls, design: Design, seed: int) -> Training:
        """Features correlated at 0.2, in every order of importance."""
        rng = np.random.default_rng([10, seed])
        n_rows = design.n_all
        x = math.sqrt(0.8) * rng.standard_normal((n_rows, N_FEATURES))
        x += math.sqrt(0.2) * rng.standard_normal((n_rows, 1))
        truth = np.zeros(N_FEATURES)
        truth[:N_STRONG] = rng.uniform(0.5, 1.0, N_STRONG)
        truth[N_STRONG : N_STRONG + N_WEAK] = rng.uniform(0.1, 0.3, N_WEAK)
        weights = truth + 0.05 * rng.standard_normal(N_FEATURES)
        y = x @ truth + rng.standard_normal(n_rows)
        single = np.float32
        return cls(x.astype(single), y.astype(single), weights.astype(single), design, seed)

    @property
    def signs(self) -> NDArray[np.int8]:
        """`(n_rows, n_draws)` one for each row and draw, the same in every evaluation."""
        rng = generator(self.seed, "multipliers")
        return (2 * rng.integers(0, 2, (len(self.x), N_DRAWS)) - 1).astype(np.int8)

    def history(self, epochs: range, begins: int = 0) -> ImportanceHistory:
        """The evaluations; the first feature is used from the epoch `begins` on."""
        return ImportanceHistory(tuple(self._results(epochs, begins)))

    def _results(self, epochs: range, begins: int) -> Iterator[ImportanceResult]:
        rng, order = np.random.default_rng([11, self.seed]), generator(self.seed, "rows")
        rows, signs = order.permutation(len(self.x)), self.signs
        for epoch in epochs:
            n_rows, n_repeats = rng.choice(self.design.n_rows), int(rng.choice(self.design.n_repeats))
            wobble = self.design.wobble * rng.standard_normal(N_FEATURES)
            weights = (self.weights * (1 + wobble)).astype(np.float32)
            if epoch < begins:
                weights[0] = 0.0
            if len(rows) > max(self.design.n_rows):
                rows = order.permutation(len(self.x))
            used = np.sort(rows[:n_rows])
            yield self._result(epoch, weights, used, n_repeats, signs[used])

    def _result(
        self, epoch: int, weights: Singles, rows: Integers, n_repeats: int, signs: NDArray[np.int8]
    ) -> ImportanceResult:
        x, y, score = self.x[rows], self.y[rows], self.design.score
        donors = Donors.draw(len(x), n_repeats, generator(self.seed, "evaluation"))
        outputs = x @ weights
        baseline = score(y, outputs)
        moved = (x[donors.rows] - x).transpose(2, 0, 1) * weights[:, None, None]
        worse = score(y, outputs + moved) - baseline
        influence = Influence.of(worse, donors)
        constant = score(y, np.full_like(y, y.mean() if score is squared_error else 0.0))
        unknown = np.zeros(N_FEATURES)
        return ImportanceResult(
            method="permutation",
            epoch=epoch,
            feature_names=tuple(f"x{i}" for i in range(N_FEATURES)),
            importances=worse.mean(axis=-1, dtype=np.float64),
            std_error=influence.standard_error(),
            baseline_score=float(baseline.mean()),
            metric="loss",
            n_samples=len(x),
            explained=Explained(
                float((constant - baseline).mean()), 0.0, "constant", unknown, np.zeros((N_FEATURES, 4))
            ),
            draws=influence.draws(signs),
        )


def stationary(design: Design, n_replicates: int, n_evaluations: int) -> list[float]:
    """Shares of the steps within the floor of each measure, and of those that name no feature."""
    within: dict[str, list[bool]] = {measure: [] for measure in MEASURES}
    quiet: list[bool] = []
    quiet_at_any_share: list[bool] = []
    for seed in range(n_replicates):
        history = Training.draw(design, seed).history(range(n_evaluations))
        for drift in history.drift():
            within[drift.measure].append(not drift.is_drift)
        for found, share in ((quiet, 0.01), (quiet_at_any_share, 0.0)):
            named = {one.epoch for one in history.movers(min_share=share)}
            found += [epoch not in named for epoch in range(1, n_evaluations)]
    return [float(np.mean(one)) for one in (*within.values(), quiet, quiet_at_any_share)]


def switched_on(design: Design, n_replicates: int, epoch: int = 10) -> list[float]:
    """Shares: named in the first evaluation, in the first two, drift seen at once, early steps that name any."""
    delays, seen, early = [], [], []
    for seed in range(n_replicates):
        history = Training.draw(design, seed).history(range(epoch - 3, epoch + 2), epoch)
        movers = history.movers()
        drifting = [one for one in history.drift() if one.measure == "jensen_shannon" and one.is_drift]
        seen.append(epoch in [one.epoch for one in drifting])
        named = [
            one.epoch - epoch + 1
            for one in movers
            if (one.feature, one.direction) == ("x0", "riser") and one.epoch >= epoch
        ]
        delays.append(min(named, default=math.inf))
        early.append(len({one.epoch for one in movers if one.epoch < epoch}) / 2)
    at_once, by_second = (float(np.mean(np.array(delays) <= n)) for n in (1, 2))
    return [at_once, by_second, float(np.mean(seen)), float(np.mean(early))]


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--evaluations", type=int, default=5)
    arguments = parser.parse_args()
    n_replicates, n_evaluations = arguments.replicates, arguments.evaluations
    started = time.perf_counter()
    n_steps = n_replicates * (n_evaluations - 1)
    print(f"Python {platform.python_version()}, NumPy {np.__version__}\n")
    print(
        f"Nothing changes but noise, {n_steps} steps: share of steps within the floor, or without movers\n"
    )
    print(f"| evaluations | {' | '.join(MEASURES)} | no mover | no mover of any size |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, design in DESIGNS.items():
        cells = " | ".join(f"{share:.3f}" for share in stationary(design, n_replicates, n_evaluations))
        print(f"| {name} | {cells} |", flush=True)
    print(f"\nA feature is switched on at epoch 10, {n_replicates} trainings\n")
    print(
        "| evaluations | named at once | within two evaluations | drift seen at once | earlier steps that name any |"
    )
    print("|---|---:|---:|---:|---:|")
    for name, design in DESIGNS.items():
        if design.wobble:
            cells = " | ".join(f"{share:.3f}" for share in switched_on(design, n_replicates))
            print(f"| {name} | {cells} |", flush=True)
    print(f"\n{time.perf_counter() - started:.0f} seconds")


if __name__ == "__main__":
    main()
