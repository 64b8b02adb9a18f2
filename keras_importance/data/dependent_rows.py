"""Which rows depend on one another: copies of a row, overlapping windows of one series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_importance.statistics.arrays import Array, Integers

# Enough consecutive rows to tell windows that overlap from windows that look alike by chance.
ROWS_TO_COMPARE = 16
_MIN_BLOCKS = 20
# Share of distinct rows with a value of their own in a column, for which equal rows are copies.
_TELLING = 0.9


def repeated_rows(leaves: Sequence[Array]) -> Integers | None:
    """Numbers of the distinct rows, where some are there several times; None where none is.

    Rows of few categories agree by chance. So copies count as such only beside values that tell all
    distinct rows apart.
    """
    known = [leaf for leaf in leaves if leaf is not None and leaf.dtype.kind in "fiub"]
    flat = [leaf.reshape(len(leaf), -1) for leaf in known]
    if not flat:
        return None
    keys = [b"".join(parts) for parts in zip(*(map(bytes, leaf) for leaf in flat), strict=True)]
    numbers = dict(zip(dict.fromkeys(keys), range(len(keys)), strict=False))
    if len(numbers) == len(keys) or len(numbers) < _MIN_BLOCKS:
        return None
    first = {number: row for row, number in reversed(list(enumerate(numbers[key] for key in keys)))}
    rows = list(first.values())
    tells_apart = any(
        len(np.unique(leaf[rows, column])) >= _TELLING * len(rows)
        for leaf in flat
        if leaf.dtype.kind == "f"
        for column in range(leaf.shape[1])
    )
    return np.array([numbers[key] for key in keys]) if tells_apart else None


def block_length(window: int, n_rows: int) -> int:
    """Rows that count as one block: four windows, or two where that would leave fewer than 20 blocks.

    Neighbouring windows share steps across the border of a block, and a series remembers longer than a
    window: long blocks keep what that hides small, many blocks keep the error itself exact.
    """
    return max(2 * window, min(4 * window, n_rows // _MIN_BLOCKS))


def overlapping_window(inputs: Sequence[Array]) -> int:
    """How many consecutive rows share time steps; 0 unless the rows are windows of one series.

    Row `i + 1` is row `i` moved on by `stride` steps, as a sliding window makes them.
    """
    for values in inputs:
        if values.ndim != 3 or len(values) <= 2 or values.dtype.kind not in "fiu":
            continue
        rows = values[:ROWS_TO_COMPARE]
        n_steps = int(rows.shape[1])
        for stride in range(1, n_steps // 2 + 1):
            earlier, later = rows[:-1, stride:], rows[1:, :-stride]
            if np.array_equal(earlier, later) and not np.array_equal(earlier, rows[:-1, :-stride]):
                return -(-n_steps // stride)
    return 0
