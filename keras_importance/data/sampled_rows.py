"""Reads a source once: a sample of its rows as arrays, and facts about the whole source."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_importance.data.arrays import as_input, as_numpy, mapped
from keras_importance.data.dependent_rows import ROWS_TO_COMPARE
from keras_importance.data.frames import column_names
from keras_importance.data.loaders import ACCEPTED, Batch, batches
from keras_importance.data.reservoir import Reservoir
from keras_importance.data.value_weights import weight_of_rows
from keras_importance.errors import InvalidArgumentError
from keras_importance.statistics.arrays import Array, Integers


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
        column_names: for each input the names of its columns; None where the source gives none.
        batch_size: how many rows the first batch of the source has.
    """

    x: Any
    y: Any
    sample_weight: Any
    positions: Integers
    n_seen: int
    first_rows: tuple[Array, ...]
    column_names: tuple[tuple[str, ...] | None, ...]
    batch_size: int


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
    names: tuple[tuple[str, ...] | None, ...] = ()
    heads: list[list[Array]] = []
    batch_size = 0
    # Closed at once, even after an error, so that random states are restored now, not some time later.
    with closing(batches(source, steps)) as stream:
        for x, y, weight in stream:
            _check_inputs(x)
            if reservoir.n_seen == 0:
                names = tuple(column_names(leaf) for leaf in keras.tree.flatten(x))
            batch: Batch = (mapped(as_input, x), *mapped(as_numpy, (y, weight)))
            batch_size = batch_size or len(keras.tree.flatten(batch[0])[0])
            batch = batch if keeps_weightless else _with_weight(batch)
            if reservoir.n_seen < ROWS_TO_COMPARE:
                heads.append([leaf[:ROWS_TO_COMPARE] for leaf in keras.tree.flatten(batch[0])])
            reservoir.add(batch, batch[1], _n_rows(batch))
    if reservoir.n_seen == 0:
        raise InvalidArgumentError(
            "got validation data without a single row of weight above 0. Pass at least a few "
            "hundred rows."
        )
    (x, y, weight), positions = reservoir.rows()
    first_rows = tuple(np.concatenate(parts) for parts in zip(*heads, strict=True))
    return SampledRows(x, y, weight, positions, reservoir.n_seen, first_rows, names, batch_size)


def _check_inputs(x: Any) -> None:
    leaves: Sequence[Any] = keras.tree.flatten(x)
    if not leaves or any(leaf is None for leaf in leaves):
        raise InvalidArgumentError(
            f"got validation data whose inputs hold None or nothing at all. Pass {ACCEPTED}."
        )


def _with_weight(batch: Batch) -> Batch:
    """The batch without its rows of weight 0, which count for nothing and are often padding."""
    weight = weight_of_rows(batch[2])
    if weight is None:
        return batch
    rows = weight != 0
    n_rows = len(rows)
    if rows.all() or any(len(leaf) != n_rows for leaf in keras.tree.flatten(batch) if leaf is not None):
        return batch
    kept: Batch = mapped(lambda leaf: leaf[rows], batch)
    return kept


def _n_rows(batch: Batch) -> int:
    """How many rows the batch has.

    Raises:
        InvalidArgumentError: for parts with different numbers of rows, and no arrays at all.
    """
    lengths = [
        (name, len(leaf))
        for name, part in zip(("x", "y", "sample_weight"), batch, strict=True)
        for leaf in keras.tree.flatten(part)
        if leaf is not None
    ]
    if not lengths:
        raise InvalidArgumentError(f"got no arrays as validation data. Pass {ACCEPTED}.")
    if len({length for _, length in lengths}) > 1:
        listing = ", ".join(f"{name} {length}" for name, length in lengths)
        raise InvalidArgumentError(
            f"got validation data with unequal numbers of rows ({listing}). Pass as many targets "
            "and weights as rows of inputs."
        )
    return lengths[0][1]
