"""Hides columns from a model: filled with a constant, or dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_importance.data.columns import Column, InputColumns
from keras_importance.data.padding import Valid, awake, of_values, valid_values
from keras_importance.data.validation_data import ValidationData
from keras_importance.statistics.arrays import Array, filled_columns


@dataclass(frozen=True, eq=False)
class HiddenColumns:
    """The columns that each of several models doesn't see, and the values it sees in their place.

    Attributes:
        hidden: for each input `(n_models, n_columns)`, True where a model doesn't see a column.
        fill: for each input `(n_columns,)`, the value that a hidden column has in all rows.
    """

    hidden: tuple[NDArray[np.bool_], ...]
    fill: tuple[Array, ...]

    @classmethod
    def of(cls, data: ValidationData, sets: Sequence[Sequence[Column]]) -> HiddenColumns:
        """One model for each set of columns, which are hidden from it.

        Args:
            data: the rows whose `usual_values_of` fill the hidden columns.
            sets: for each model the columns that it doesn't see.
        """
        hidden = [np.zeros((len(sets), len(names.columns)), bool) for names in data.columns]
        for model, columns in enumerate(sets):
            for input_index, column in columns:
                hidden[input_index][model, column] = True
        return cls(tuple(hidden), usual_values_of(data))

    def applied(self, model: int, data: ValidationData) -> ValidationData:
        """The rows as the model with this index sees them; padded steps stay as they are."""
        seen = []
        of_inputs = zip(data.inputs, data.valid, self.hidden, self.fill, strict=True)
        for values, valid, hidden, fill in of_inputs:
            if values.ndim == 1:
                seen.append(np.where(hidden[model, 0], fill[0], values))
                continue
            is_hidden = hidden[model] if valid is None else hidden[model] & of_values(values, valid)
            seen.append(np.where(is_hidden, fill, values))
        return data.with_inputs(tuple(seen))


def usual_values_of(data: ValidationData) -> tuple[Array, ...]:
    """For each input the `usual_values` of its columns."""
    return tuple(map(usual_values, data.inputs, data.are_categories, data.valid))


def usual_values(values: Array, are_categories: NDArray[np.bool_], valid: Valid | None = None) -> Array:
    """`(n_columns,)` means of columns of numbers, and most frequent values of categories.

    Missing values, NaN or infinite, don't count in the means.

    Args:
        values: `(n_rows, ..., n_columns)` or `(n_rows,)` values of an input.
        are_categories: `(n_columns,)` whether a column holds categories.
        valid: `(n_rows, n_steps)` the steps that count; None if all count.
    """
    columns = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    if not are_categories.any() and valid is None:
        return np.asarray(filled_columns(columns).mean(axis=0, dtype=np.float64), values.dtype)
    usual = np.empty(columns.shape[1], values.dtype)
    for index, column in enumerate(valid_values(values, valid)):
        usual[index] = (
            _most_frequent(column)
            if are_categories[index]
            else np.mean(filled_columns(column), dtype=np.float64)
        )
    return usual if are_categories.all() else awake(usual, values, valid)


def _most_frequent(column: Array) -> Any:
    distinct, counts = np.unique(column, return_counts=True)
    return distinct[np.argmax(counts)]


def without_columns(data: ValidationData, columns: Sequence[Column]) -> ValidationData:
    """Rows of a single input, with some of its columns dropped."""
    (values,), (names,) = data.inputs, data.columns
    dropped = {column for _, column in columns}
    kept = [column for column in range(len(names.columns)) if column not in dropped]
    labels = None if names.labels is None else tuple(names.labels[column] for column in kept)
    kept_names = InputColumns(names.name, tuple(names.columns[column] for column in kept), labels)
    (valid,) = data.valid
    if valid is not None and values.ndim == 2:
        valid = valid[:, kept]
    return replace(data, inputs=(values[..., kept],), columns=(kept_names,), valid=(valid,))
