"""Donors: the row from which each row takes the value of a replaced feature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_importance.statistics.arrays import Integers


@dataclass(frozen=True, eq=False)
class Donors:
    """The row from which each row takes the value of a replaced feature, for several repeats.

    The rows are shuffled once and then shifted cyclically by `n_repeats` distinct shifts. So no row
    is its own donor, and within a repeat each row donates exactly once.

    Attributes:
        rows: `(n_repeats, n_rows)`; `rows[k, i]` is the donor of row `i` in repeat `k`.
        recipients: `(n_repeats, n_rows)`; `recipients[k, i]` is the row that `i` donates to.
    """

    rows: Integers
    recipients: Integers

    @classmethod
    def draw(cls, n_rows: int, n_repeats: int, rng: np.random.Generator) -> Donors:
        """Random donors.

        Raises:
            ValueError: unless `1 <= n_repeats < n_rows`.
        """
        if not 1 <= n_repeats < n_rows:
            raise ValueError(f"{n_repeats} repeats need at least {n_repeats + 1} rows, got {n_rows}.")
        order = rng.permutation(n_rows)
        shifts = 1 + rng.choice(n_rows - 1, size=n_repeats, replace=False)
        rows = np.empty((n_repeats, n_rows), np.int64)
        recipients = np.empty_like(rows)
        for k, shift in enumerate(shifts):
            rows[k, order] = np.roll(order, -shift)
            recipients[k, order] = np.roll(order, shift)
        return cls(rows, recipients)
