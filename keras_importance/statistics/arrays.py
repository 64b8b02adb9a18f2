"""Types of arrays, sums and means over rows and groups, and random generators by purpose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Singles = NDArray[np.float32]


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A random generator, independent of the generators for other purposes and of `default_rng(seed)`.

    The user's data may come from `default_rng(seed)`: a sample drawn with it would depend on the data.
    """
    return np.random.default_rng([seed, *purpose.encode()])


def read_only(values: Any, dtype: Any = np.float64) -> NDArray[Any]:
    """A copy that can't be written to."""
    copy = np.array(values, dtype)
    copy.setflags(write=False)
    return copy


def unit_weights(weights: NDArray[Any] | None, n_rows: int) -> NDArray[Any]:
    """`(n_rows,)` the weights divided by their mean; ones for None."""
    return np.ones(n_rows) if weights is None else weights / np.mean(weights)


def n_blocks(blocks: Integers | None) -> int | None:
    """How many distinct blocks there are; None where each row stands alone."""
    return None if blocks is None else len(np.unique(blocks))


def weighted_mean(values: NDArray[Any], weights: Floats | None, axis: int = -1) -> Floats:
    """Weighted mean over an axis, in float64; the plain mean without weights.

    Args:
        values: of any shape.
        weights: one for each index along the axis; None for equal ones.
        axis: the axis to average over.
    """
    if weights is None:
        return np.asarray(np.mean(values, axis=axis, dtype=np.float64))
    return np.asarray(np.average(np.asarray(values, np.float64), axis=axis, weights=weights))


def present_fraction(present: NDArray[np.bool_], weights: Floats | None) -> Floats:
    """`(n_columns,)` weighted fraction of present values; the first axis is that of the rows.

    1 for a column without any value.
    """
    of_rows = present.reshape(len(present), -1, present.shape[-1]).mean(axis=1)
    fraction = weighted_mean(of_rows, weights, axis=0)
    return np.where(fraction > 0, fraction, 1.0)


def filled_columns(values: Array, weights: Floats | None = None) -> Array:
    """Values with each missing one replaced by the mean of its column; 0 in a column without any value.

    Args:
        values: `(n_rows, ..., n_columns)`, or `(n_rows,)` values of a single column.
        weights: `(n_rows,)` weights of the rows.

    Returns:
        The values themselves where none is missing, that is NaN or infinite.
    """
    present = np.isfinite(values)
    if present.all():
        return values
    known = np.where(present, values, 0)
    if values.ndim == 1:
        return filled_columns(values[:, None], weights)[:, 0]
    of_rows = known.reshape(len(known), -1, known.shape[-1]).mean(axis=1)
    means = weighted_mean(of_rows, weights, axis=0) / present_fraction(present, weights)
    return np.where(present, values, means.astype(values.dtype))


def sums_of_squares(values: NDArray[Any]) -> Floats:
    """`(f,)` sums of the squares of `(f, n)` values, in float64."""
    return np.asarray(np.einsum("fn,fn->f", values, values, dtype=np.float64))


def label_indices(labels: Integers) -> tuple[Integers, int]:
    """`(n,)` index of each label among the sorted distinct labels, and how many of these there are."""
    distinct, indices = np.unique(labels, return_inverse=True)
    return indices.ravel(), len(distinct)


def group_sums(values: NDArray[Any], group: Integers, n_groups: int) -> Floats:
    """`(f, n_groups)` sums of `(f, n)` values over groups; `group` is the `(n,)` group of each value."""
    return np.stack([np.bincount(group, row, n_groups) for row in values])
