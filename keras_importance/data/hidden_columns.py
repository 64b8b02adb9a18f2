"""Rows as a model sees them that must do without some columns: masked, or without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from keras_importance.data.features import Column, InputColumns
from keras_importance.data.validation_data import ValidationData
from keras_importance.statistics.arrays import Array


@dataclass(frozen=True, eq=False)
class HiddenColumns:
    """Which columns each of several models doesn't see, and what it sees in their place.

    Attributes:
        hidden: for each input, `(n_models, n_columns)`: the columns that a model doesn't see.
        fill: for each input, `(n_columns,)`: the one value that a hidden column has in all rows.
    """

    hidden: tuple[NDArray[np.bool_], ...]
    fill: tuple[Array, ...]

    @classmethod
    def of(cls, data: ValidationData, sets: Sequence[Sequence[Column]]) -> HiddenColumns:
        """Masks for one model a set of columns, filled with what is usual in the data."""
        hidden = [np.zeros((len(sets), len(one.columns)), bool) for one in data.columns]
        for number, columns in enumerate(sets):
            for place, column in columns:
                hidden[place][number, column] = True
        return cls(tuple(hidden), tuple(usual_values(values) for values in data.inputs))

    def applied(self, number: int, data: ValidationData) -> ValidationData:
        """The rows as one of the models sees them."""
        seen = []
        for values, hidden, fill in zip(data.inputs, self.hidden, self.fill, strict=True):
            is_flat = values.ndim == 1
            seen.append(
                np.where(hidden[number, 0], fill[0], values)
                if is_flat
                else np.where(hidden[number], fill, values)
            )
        return data.with_inputs(tuple(seen))


def usual_values(values: Array) -> Array:
    """`(n_columns,)` means of numbers; of integers and texts the most frequent value."""
    columns = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    if values.dtype.kind == "f":
        return np.asarray(columns.mean(axis=0, dtype=np.float64), values.dtype)
    found = []
    for column in columns.T:
        known, counts = np.unique(column, return_counts=True)
        found.append(known[np.argmax(counts)])
    return np.array(found, values.dtype)


def without_columns(data: ValidationData, columns: Sequence[Column]) -> ValidationData:
    """The rows of a single input without some of its columns."""
    (values,), (names,) = data.inputs, data.columns
    dropped = {column for _, column in columns}
    kept = [column for column in range(len(names.columns)) if column not in dropped]
    left = InputColumns(names.name, tuple(names.columns[column] for column in kept))
    return replace(data, inputs=(values[..., kept],), columns=(left,))
