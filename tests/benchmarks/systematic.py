"""How large is the error with systematic donors, and how often do the 95% intervals hold the truth?

A fixed model takes a feature of some kind and a further number. Each replicate draws new validation rows,
and the importance of the feature with random and with systematic donors of the same rows. The error is the
spread over replicates, divided by the one with 50 random donors. Run by `make bench-intervals`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keras_importance.data.features import Feature
from keras_importance.methods.donor_tables import donation_orders
from keras_importance.statistics.arrays import Array, Floats
from keras_importance.statistics.donors import Donors
from keras_importance.statistics.influence import Influence
from keras_importance.statistics.quantiles import tail_quantile

N_ROWS = (400, 2000, 20_000)
MANY = 50


@dataclass(frozen=True)
class Kind:
    """A kind of feature.

    Attributes:
        draw: draws its values `(n_rows, ...)`.
        effect: `(..., n_rows)` what the model makes of values.
        n_columns: how many columns it has.
    """

    draw: Callable[[np.random.Generator, int], Array]
    effect: Callable[[Array], Floats] = lambda values: values[..., 0]
    n_columns: int = 1


def of_category(values: Array) -> Floats:
    """The effects of five categories, in no order."""
    return np.asarray(np.array([0.3, -1.2, 1.5, -0.4, 0.8])[values[..., 0].astype(int)])


KINDS = {
    "normal": Kind(lambda rng, n: rng.standard_normal((n, 1))),
    "lognormal": Kind(lambda rng, n: rng.lognormal(0, 0.5, (n, 1))),
    "binary, 5%": Kind(lambda rng, n: 2.0 * (rng.random((n, 1)) < 0.05)),
    "category of 5": Kind(
        lambda rng, n: rng.choice(5, (n, 1), p=[0.4, 0.3, 0.15, 0.1, 0.05]), of_category
    ),
    "group of two": Kind(
        lambda rng, n: rng.standard_normal((n, 2)) @ np.array([[1, 0.5], [0, 0.8]]),
        lambda values: 0.7 * values[..., 0] + 0.4 * values[..., 1],
        2,
    ),
    "sequence": Kind(
        lambda rng, n: rng.standard_normal((n, 8, 1)) + rng.standard_normal((n, 1, 1)),
        lambda values: values[..., 0] @ np.linspace(0.05, 0.2, 8),
    ),
}


def linear(effect: Floats, z: Floats) -> Floats:
    """A model without interactions."""
    return effect + 0.5 * z


def nonlinear(effect: Floats, z: Floats) -> Floats:
    """A model that bends and interacts."""
    return np.asarray(1.5 * np.tanh(effect) + 0.5 * z + 0.5 * np.tanh(effect - 1) * z)


MODELS = {"linear": linear, "nonlinear": nonlinear}
Model = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True, eq=False)
class Rows:
    """Validation rows: the feature's values and effect, the further number, and the noise of the target."""

    values: Array
    effect: Floats
    z: Floats
    noise: Floats

    @classmethod
    def drawn(cls, kind: Kind, n_rows: int, rng: np.random.Generator) -> Rows:
        """Rows of a kind of feature."""
        values = kind.draw(rng, n_rows)
        return cls(values, kind.effect(values), *rng.standard_normal((2, n_rows)))

    def differences(self, model: Model, donors: Donors) -> Floats:
        """`(n_repeats, n_rows)` how much the squared error grows with the donors' values."""
        right = model(self.effect, self.z)
        wrong = model(self.effect[donors.rows_for(0)], self.z)
        return (right + 0.5 * self.noise - wrong) ** 2 - (0.5 * self.noise) ** 2


def systematic(kind: Kind, values: Array, n_repeats: int, rng: np.random.Generator) -> Donors:
    """Systematic donors for a feature."""
    feature = Feature("x", tuple((0, column) for column in range(kind.n_columns)))
    return Donors.systematic(donation_orders([feature], [values], len(values)), n_repeats, rng)


def truth(kind: Kind, model: Model, rng: np.random.Generator) -> float:
    """The importance over four million rows."""
    means = []
    for _ in range(4):
        rows = Rows.drawn(kind, 1_000_000, rng)
        means.append(rows.differences(model, Donors.draw(len(rows.z), 1, rng)).mean())
    return float(np.mean(means))


def holds(true: float, differences: Floats, donors: Donors) -> bool:
    """Whether the 95% interval holds the truth."""
    influence = Influence.of(differences[None], donors)
    quantile = tail_quantile(0.025, float(influence.degrees_of_freedom()[0]))
    error = float(influence.standard_error()[0])
    return bool(abs(differences.mean() - true) < quantile * error)


def coverage(
    kind: Kind, model: Model, n_rows: int, n_repeats: int, n_replicates: int, seed: int = 0
) -> float:
    """The share of replicates whose 95% interval with systematic donors holds the truth."""
    rng = np.random.default_rng(seed)
    true, hits = truth(kind, model, np.random.default_rng(1)), 0
    for _ in range(n_replicates):
        rows = Rows.drawn(kind, n_rows, rng)
        donors = systematic(kind, rows.values, n_repeats, rng)
        hits += holds(true, rows.differences(model, donors), donors)
    return hits / n_replicates


def relative_errors(
    kind: Kind, model: Model, n_rows: int, n_replicates: int, seed: int = 0
) -> dict[str, float]:
    """The error of random and of systematic donors, relative to that of 50 random donors."""
    rng = np.random.default_rng(seed)
    estimates: dict[str, list[float]] = {}
    for _ in range(n_replicates):
        rows = Rows.drawn(kind, n_rows, rng)
        drawn = {f"random {k}": Donors.draw(n_rows, k, rng) for k in (2, 3, 5, MANY)}
        drawn |= {f"systematic {k}": systematic(kind, rows.values, k, rng) for k in (2, 3, 5)}
        for name, donors in drawn.items():
            estimates.setdefault(name, []).append(float(rows.differences(model, donors).mean()))
    spread = {name: float(np.std(values)) for name, values in estimates.items()}
    return {name: value / spread[f"random {MANY}"] for name, value in spread.items()}


def print_tables(n_replicates: int) -> None:
    """Prints the table of coverages and errors."""
    compared = ("random 2", "random 3", "random 5", "systematic 2", "systematic 3", "systematic 5")
    print("\nSystematic donors: coverage at n = 400, 2,000, 20,000; error against random donors\n")
    print(
        f"| feature | model | {' | '.join(compared)} | K = 2: 400 | 2,000 | 20,000 | K = 3: 400 | ",
        end="",
    )
    print("2,000 | 20,000 |\n|---|---|" + "---:|" * 12)
    for name, kind in KINDS.items():
        for of_model, model in MODELS.items():
            errors = relative_errors(kind, model, N_ROWS[0], 2 * n_replicates)
            covered = [
                coverage(kind, model, n_rows, k, n_replicates if n_rows <= 2000 else n_replicates // 2)
                for k in (2, 3)
                for n_rows in N_ROWS
            ]
            cells = [f"{errors[one]:.2f}" for one in compared] + [f"{share:.3f}" for share in covered]
            print(f"| {name} | {of_model} | {' | '.join(cells)} |", flush=True)
