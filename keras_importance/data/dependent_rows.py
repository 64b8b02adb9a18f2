"""Which rows depend on one another: copies of a row, overlapping windows of one series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_importance.statistics.arrays import Array, Integers

# Enough consecutive rows to tell windows that overlap from windows that look alike by chance.
ROWS_TO_COMPARE = 16
_MIN_BLOCKS = 20
# Fraction of distinct rows with a value of their own in a column, from which equal rows are copies.
_MIN_DISTINCT = 0.9


def repeated_rows(leaves: Sequence[Array | None]) -> Integers | None:
    """`(n_rows,)` index of the distinct row that each row equals; None where no row is a copy.

    Rows of few categories are equal by chance. So equal rows count as copies only if there are
    `n >= 20` distinct rows and a column of floats has at least `0.9 n` distinct values in them.

    Args:
        leaves: inputs and targets; those that hold no numbers are not compared.
    """
    numeric = [leaf for leaf in leaves if leaf is not None and leaf.dtype.kind in "fiub"]
    flat = [leaf.reshape(len(leaf), -1) for leaf in numeric]
    if not flat:
        return None
    keys = [b"".join(parts) for parts in zip(*(map(bytes, leaf) for leaf in flat), strict=True)]
    index_of = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    if len(index_of) == len(keys) or len(index_of) < _MIN_BLOCKS:
        return None
    row_of = {key: row for row, key in enumerate(keys)}
    rows = list(row_of.values())
    tells_apart = any(
        len(np.unique(leaf[rows, column])) >= _MIN_DISTINCT * len(rows)
        for leaf in flat
        if leaf.dtype.kind == "f"
        for column in range(leaf.shape[1])
    )
    return np.array([index_of[key] for key in keys]) if tells_apart else None


def block_length(window: int, n_rows: int) -> int:
    """How many consecutive rows form a block: `n_rows / 20`, but two windows at least and four at most.

    Neighbouring windows share steps across the border of a block, and the values of a series depend on
    each other beyond a window. Long blocks miss less of this dependence. Many blocks estimate the error
    more precisely.

    Args:
        window: how many consecutive rows share time steps.
        n_rows: how many rows there are.
    """
    return max(2 * window, min(4 * window, n_rows // _MIN_BLOCKS))


def overlapping_window(inputs: Sequence[Array]) -> int:
    """How many consecutive rows share time steps; 0 unless the rows are windows of one series.

    Rows are such windows if row `i + 1` is row `i` moved on by `stride` steps: then
    `ceil(n_steps / stride)` rows share steps.

    Args:
        inputs: for each input the first rows of the source, in their order; those of sequences are
            `(n_rows, n_steps, n_columns)`.
    """
    for values in inputs:
        if values.ndim != 3 or len(values) <= 2 or values.dtype.kind not in "fiu":
            continue
        rows = values[:ROWS_TO_COMPARE]
        n_steps = int(rows.shape[1])
        for stride in range(1, n_steps // 2 + 1):
            earlier, later = rows[:-1, stride:], rows[1:, :-stride]
            is_moved = np.array_equal(earlier, later, equal_nan=True)
            if is_moved and not np.array_equal(earlier, rows[:-1, :-stride], equal_nan=True):
                return -(-n_steps // stride)
    return 0
