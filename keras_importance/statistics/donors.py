"""Donors: the row from which each row takes the value of a replaced feature."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from keras_importance.statistics.arrays import Integers

Orders = NDArray[np.int32]
"""`(n_features, n_rows)` for each feature an ordering of the rows: the row at each position."""

# With fewer rows for each repeat, positions that are free of own rows are hard to find.
_ROWS_A_REPEAT = 10


@dataclass(frozen=True, eq=False)
class Donors:
    """The row from which each row takes the value of a replaced feature, for several repeats.

    No row is its own donor, and within a repeat each row donates exactly once.

    Random donors serve all features: `draw` shuffles the rows once and shifts them cyclically by
    `n_repeats` distinct shifts. Systematic donors differ by feature: row `i` takes the value at the
    positions

        (s_i + floor(k n / K)) mod n,       k = 0, ..., K - 1

    of an ordering of the `n` rows that goes with the feature. `s` is one random permutation for all
    features. So the `K` donors of a row are spread evenly over the feature's values, and the mean over
    them is nearer to the mean over all rows: with numbers, 3 systematic donors have a smaller error than
    5 random ones. Any ordering is valid. `s` must not depend on the inputs: a row that starts from its
    own position would be tied to its donor, and the standard error would be too small.

    Attributes:
        rows: `(n_repeats, n_rows)`; `rows[k, i]` is the donor of row `i` in repeat `k`; with `orders`
            the position of the donor.
        recipients: `(n_repeats, n_rows)`; `recipients[k, i]` is the row that `i` donates to; with
            `orders`, that the row at position `i` donates to.
        orders: the orderings of systematic donors; None for random donors, the same for all features.

    Source: Madow & Madow (1944), Annals of Mathematical Statistics 15(1), for systematic samples.
    """

    rows: Integers
    recipients: Integers
    orders: Orders | None = None

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

    @classmethod
    def systematic(cls, orders: Orders, n_repeats: int, rng: np.random.Generator) -> Donors:
        """Systematic donors.

        Args:
            orders: for each feature an ordering of the rows that goes with it. A few rows change places
                in it, so that no row is its own donor.
            n_repeats: donors of each row.
            rng: draws the permutation, and the rows that change places.

        Raises:
            ValueError: with fewer than 10 rows for each repeat.
        """
        n_rows = orders.shape[1]
        if not can_be_systematic(n_rows, n_repeats):
            raise ValueError(
                f"{n_repeats} systematic donors need {_ROWS_A_REPEAT * n_repeats} rows, got {n_rows}."
            )
        start = rng.permutation(n_rows)
        shifts = np.arange(n_repeats) * n_rows // n_repeats
        inverse = np.argsort(start)
        positions = (start + shifts[:, None]) % n_rows
        recipients = inverse[(np.arange(n_rows) - shifts[:, None]) % n_rows]
        return cls(positions, recipients, _without_own(orders, start, shifts, rng))

    def of(self, features: Integers) -> Donors:
        """The donors of some of the features."""
        return self if self.orders is None else replace(self, orders=self.orders[features])

    def rows_for(self, feature: int) -> Integers:
        """`(n_repeats, n_rows)` the donors of each row for a feature, as rows."""
        return self.rows if self.orders is None else self.order_of(feature)[self.rows]

    def listed(self, feature: int) -> Donors:
        """The donors for a feature as rows, without orders."""
        recipients = np.empty_like(self.recipients)
        recipients[:, self.order_of(feature)] = self.recipients
        return Donors(self.rows_for(feature), recipients)

    def order_of(self, feature: int) -> Integers:
        """`(n_rows,)` the row at each position, in the order of a feature."""
        return np.arange(self.rows.shape[1]) if self.orders is None else self.orders[feature]


def can_be_systematic(n_rows: int, n_repeats: int) -> bool:
    """Whether there are rows enough for systematic donors: 10 for each repeat."""
    return n_rows >= _ROWS_A_REPEAT * n_repeats


def _without_own(orders: Orders, start: Integers, shifts: Integers, rng: np.random.Generator) -> Orders:
    """The orders, in which each row that would be its own donor changes places with a random row.

    A neighbour in the order would not do: it hardly differs from the row itself, and importances would
    be too small by `1 / n`. An order does not depend on those of the other features.
    """
    orders = orders.copy()
    n_rows = len(start)
    position, drawn = np.arange(n_rows), rng.permutation(n_rows)
    is_shift = np.zeros(n_rows, bool)
    is_shift[shifts] = True
    for order in orders:
        others = itertools.cycle(drawn)
        for own in np.flatnonzero(is_shift[(position - start[order]) % n_rows]):
            while is_shift[(own - start[order[own]]) % n_rows]:
                other = next(others)
                if not is_shift[(other - start[order[own]]) % n_rows]:
                    order[[own, other]] = order[[other, own]]
    return orders
