"""Random subsamples of the rows: a larger subsample contains the rows of each smaller one."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from keras_importance.data.validation_data import ValidationData
from keras_importance.statistics.arrays import Integers, generator


class Subsamples:
    """Random subsamples of the rows, for evaluations that can't afford all rows.

    Args:
        data: the rows.
        seed: seed of the order in which rows are taken.
    """

    def __init__(self, data: ValidationData, seed: int) -> None:
        self._data = data
        self._seed = seed
        self._newest: tuple[int, ValidationData] = (data.n_rows, data)

    def rows(self, n_rows: int) -> Integers | None:
        """Sorted indices of `n_rows` rows drawn at random; None for all rows."""
        if n_rows >= self._data.n_rows:
            return None
        return np.sort(self._order[:n_rows])

    def data(self, n_rows: int) -> ValidationData:
        """The data of `rows(n_rows)`; the same object for the same `n_rows` as in the call before."""
        rows = self.rows(n_rows)
        if rows is None:
            return self._data
        if self._newest[0] != n_rows:
            self._newest = n_rows, self._data.only(rows)
        return self._newest[1]

    @cached_property
    def _order(self) -> Integers:
        return generator(self._seed, "rows").permutation(self._data.n_rows)


def multipliers(data: ValidationData, n_draws: int, seed: int) -> NDArray[np.int8]:
    """`(n_rows, n_draws)` random signs -1 and 1 of the rows, the same for all rows of a block.

    The signs are the same in every evaluation; see `Influence.draws`.
    """
    n_units = data.n_rows if data.blocks is None else int(data.blocks.max()) + 1
    signs = generator(seed, "multipliers").integers(0, 2, (n_units, n_draws), np.int8) * 2 - 1
    signs = signs.astype(np.int8)
    return signs if data.blocks is None else signs[data.blocks]
