"""Reads a source once: a sample of its rows as arrays, and facts about the whole source."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_importance.data.arrays import (
    as_input,
    as_numpy,
    check_fits_when_dense,
    is_sparse,
    leaves_of,
    mapped,
    packed,
)
from keras_importance.data.dependent_rows import ROWS_TO_COMPARE
from keras_importance.data.frames import column_labels
from keras_importance.data.loaders import ACCEPTED, Batch, batches
from keras_importance.data.reservoir import Reservoir
from keras_importance.data.unequal_lengths import Padding, common_shape, padded, steps_of
from keras_importance.data.value_weights import weight_of_rows
from keras_importance.errors import NotEvaluableRowsError, RowsError
from keras_importance.statistics.arrays import Array, Integers

# 64 MB of floats.
_DENSE_AT_ONCE = 2**24


@dataclass(frozen=True, eq=False)
class SampledRows:
    """A sample of the rows of a source. Rows of weight 0 are left out and not counted.

    Attributes:
        x: the nest of inputs, structured as in the source.
        y: the nest of targets; its leaves are None where the source holds none.
        sample_weight: the nest of weights; its leaves are None where the source holds none.
        positions: `(n_rows,)` indices of the rows in the source.
        n_seen: how many rows the source has.
        first_rows: for each input the first rows of the source.
        batch_size: how many rows the first batch of the source has.
        steps: for each input `(n_rows,)` how many steps a row had before it was padded to the longest
            row; None where all rows have the same number.
        is_padded_before: whether they are padded before their steps.
        is_ragged: whether an input is a ragged tensor in the source.
        column_labels: for each input the labels of its columns; None where the source gives none.
    """

    x: Any
    y: Any
    sample_weight: Any
    positions: Integers
    n_seen: int
    first_rows: tuple[Array, ...]
    batch_size: int
    steps: tuple[Integers | None, ...]
    is_padded_before: bool
    is_ragged: bool
    column_labels: tuple[tuple[Any, ...] | None, ...]


def sampled_rows(
    source: Any, steps: int | None, reservoir: Reservoir, *, keeps_weightless: bool = False
) -> SampledRows:
    """The rows of a source that a reservoir keeps. Rows of weight 0 do not count.

    Args:
        source: what `fit` accepts as `validation_data`.
        steps: how many batches to read of a dataset; None reads it to its end.
        reservoir: takes the sample; it must be empty.
        keeps_weightless: whether rows of weight 0 are kept all the same.

    Raises:
        InvalidArgumentError: for generators, unknown types, no rows, and rows that don't match.
    """
    labels: tuple[tuple[Any, ...] | None, ...] = ()
    heads: list[list[Array]] = []
    batch_size = 0
    is_ragged = False
    # Closed at once, even after an error, so that random states are restored now, not some time later.
    with closing(batches(source, steps)) as stream:
        for x, y, weight in stream:
            _check_inputs(x)
            is_ragged |= any(hasattr(leaf, "row_lengths") for leaf in leaves_of(x))
            if reservoir.n_seen == 0:
                labels = tuple(column_labels(leaf) for leaf in leaves_of(x))
            for part in _parts_of_sparse((x, y, weight), reservoir.size):
                batch, steps_of_rows = _as_arrays(part, reservoir.padding)
                n_in_batch = len(leaves_of(batch[0])[0])
                batch_size = batch_size or n_in_batch
                if not keeps_weightless:
                    batch, steps_of_rows = _with_weight(batch, steps_of_rows)
                if reservoir.n_seen < ROWS_TO_COMPARE:
                    heads.append([leaf[:ROWS_TO_COMPARE] for leaf in leaves_of(batch[0])])
                fill = (reservoir.padding.nest(batch), [0] * len(steps_of_rows))
                reservoir.add((batch, steps_of_rows), batch[1], _n_rows(batch), fill)
    if reservoir.n_seen == 0:
        raise NotEvaluableRowsError(
            "got {rows} without a single row of weight above 0. Pass at least a few hundred rows."
        )
    ((x, y, weight), steps_of_rows), positions = reservoir.rows()
    return SampledRows(
        x,
        y,
        weight,
        positions,
        reservoir.n_seen,
        first_rows=tuple(_concatenated(parts) for parts in zip(*heads, strict=True)),
        column_labels=labels,
        steps=tuple(None if len(np.unique(of_rows)) == 1 else of_rows for of_rows in steps_of_rows),
        is_padded_before=reservoir.padding.is_before,
        is_ragged=is_ragged,
        batch_size=batch_size,
    )


def _parts_of_sparse(batch: Batch, size: int | None) -> Iterator[Batch]:
    """A batch of sparse matrices of SciPy in parts that fit into memory when dense; others as they are.

    Raises:
        NotEvaluableError: if the rows that will be kept don't fit into memory when dense.
    """
    sparse = [leaf for leaf in leaves_of(batch) if is_sparse(leaf)]
    for leaf in sparse:
        n_rows = leaf.shape[0]
        check_fits_when_dense(leaf, min(n_rows, size or n_rows) if hasattr(leaf, "tocsr") else n_rows)
    if not any(hasattr(leaf, "tocsr") for leaf in sparse):
        yield batch
        return
    rows = mapped(lambda leaf: leaf.tocsr() if hasattr(leaf, "tocsr") else as_numpy(leaf), batch)
    n_rows, n_values = sparse[0].shape[0], sum(math.prod(leaf.shape[1:]) for leaf in sparse)
    at_once = max(1, _DENSE_AT_ONCE // max(n_values, 1))
    for start in range(0, n_rows, at_once):
        yield mapped(lambda leaf, first=start: leaf[first : first + at_once], rows)


def _as_arrays(batch: Batch, padding: Padding) -> tuple[Batch, list[Integers]]:
    """The batch as arrays, and for each input the steps of its rows."""
    x, y, weight = batch
    leaves = leaves_of(x)
    fill = packed(x, padding.of_inputs(len(leaves)))
    read: Batch = (mapped(as_input, x, fill), *mapped(as_numpy, (y, weight)))
    steps = [steps_of(*both) for both in zip(leaves, leaves_of(read[0]), strict=True)]
    padding.note(*read[:2])
    return read, steps


def _concatenated(parts: Sequence[Array]) -> Array:
    shape = common_shape(parts)
    return np.concatenate([padded(part, shape, 0, is_before=False) for part in parts])


def _check_inputs(x: Any) -> None:
    leaves: Sequence[Any] = leaves_of(x)
    if not leaves or any(leaf is None for leaf in leaves):
        raise RowsError(
            f"got {{rows}} whose inputs hold None or nothing at all. Pass {{argument}} as {ACCEPTED}."
        )


def _with_weight(batch: Batch, steps: list[Integers]) -> tuple[Batch, list[Integers]]:
    """The batch and the steps of its inputs, without the rows of weight 0, which are often padding."""
    weight = weight_of_rows(batch[2])
    if weight is None:
        return batch, steps
    rows = weight != 0
    n_rows = len(rows)
    if rows.all() or any(len(leaf) != n_rows for leaf in leaves_of(batch) if leaf is not None):
        return batch, steps
    kept: tuple[Batch, list[Integers]] = mapped(lambda leaf: leaf[rows], (batch, steps))
    return kept


def _n_rows(batch: Batch) -> int:
    """How many rows the batch has.

    Raises:
        InvalidArgumentError: for parts with different numbers of rows, and no arrays at all.
    """
    lengths = [
        (name, len(leaf))
        for name, part in zip(("x", "y", "sample_weight"), batch, strict=True)
        for leaf in leaves_of(part)
        if leaf is not None
    ]
    if not lengths:
        raise RowsError(f"got no arrays as {{rows}}. Pass {{argument}} as {ACCEPTED}.")
    if len({length for _, length in lengths}) > 1:
        listing = ", ".join(f"{name} {length}" for name, length in lengths)
        raise RowsError(
            f"got {{rows}} with unequal numbers of rows ({listing}). Pass as many targets "
            "and weights as rows of inputs."
        )
    return lengths[0][1]
