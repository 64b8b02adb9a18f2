"""How the model's outputs respond when a few rows have other values in some columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_importance.data.columns import Column
from keras_importance.data.padding import of_values
from keras_importance.data.validation_data import ValidationData
from keras_importance.statistics.arrays import Array, Integers

# From so many rows come the values that the few rows get.
_ROWS_OF_VALUES = 256
# Larger whole numbers have no fractions in float32.
_MOST_WHOLE = 2.0**20
# Between them lies no whole number, and rounding changes nothing.
_FRACTIONS = (0.25, 0.375)
# A change is only missed for certain if a line would have changed by so many units in the last place.
_RESOLUTION = 4.0


class Response:
    """Compares the model's outputs for a few rows with those for the same rows with other values.

    Args:
        data: the rows.
        few_rows: indices of a few of the rows.
        outputs: from the list of inputs for these few rows to the model's outputs, as arrays.
    """

    def __init__(
        self, data: ValidationData, few_rows: Integers, outputs: Callable[[list[Array]], Any]
    ) -> None:
        self._all = [values[:_ROWS_OF_VALUES] for values in data.inputs]
        self._own = [values[few_rows] for values in data.inputs]
        self._valid = [None if valid is None else valid[few_rows] for valid in data.valid]
        self._outputs = outputs
        self._before = self._of(self._own)

    def depends_on(self, columns: Iterable[Column]) -> bool:
        """Whether the outputs change when the rows get other values of some columns."""
        return self._changes(self._before, self._of(self._traded(columns)))

    def takes_as_whole_numbers(self, columns: Sequence[Column]) -> bool:
        """Whether the model turns columns of whole floats into whole numbers, such as codes.

        Then all fractions are the same to it, and another whole number isn't. False for columns that it
        ignores.
        """
        if not all(self.is_whole(column) for column in columns) or self.responds(columns):
            return False
        traded = self._traded(columns)
        after = self._of(traded)
        if not self._changes(self._before, after) or not self._is_resolved(columns, traded, after):
            return False
        return not self._responds_at(traded, columns)

    def responds(self, columns: Iterable[Column]) -> bool:
        """Whether the outputs change between a quarter and three eighths above the values of columns."""
        return self._responds_at(self._own, columns)

    def _responds_at(self, inputs: list[Array], columns: Iterable[Column]) -> bool:
        lower, upper = (self._of(_shifted(inputs, columns, by)) for by in _FRACTIONS)
        return self._changes(lower, upper)

    def is_whole(self, column: Column) -> bool:
        """Whether a column of floats holds whole numbers alone, as far as the first rows tell."""
        values = _column(self._all, column)
        if values.dtype.kind != "f":
            return False
        return bool(np.all((values == np.rint(values)) & (np.abs(values) <= _MOST_WHOLE)))

    def _is_resolved(self, columns: Sequence[Column], traded: list[Array], after: list[Array]) -> bool:
        """Whether a step would have been seen, if the outputs were lines in the columns."""
        furthest = max(
            float(np.max(np.abs(_column(traded, column) - _column(self._own, column)), initial=0.0))
            for column in columns
        )
        return any(
            float(np.max(np.abs(new - old), initial=0.0)) * (_FRACTIONS[1] - _FRACTIONS[0])
            > _RESOLUTION * furthest * np.finfo(new.dtype).eps * float(np.max(np.abs(new), initial=0.0))
            for old, new in zip(self._before, after, strict=True)
            if new.dtype.kind == "f"
        )

    def _traded(self, columns: Iterable[Column]) -> list[Array]:
        """The few rows, with other values of some columns."""
        moved = _copied(self._own, columns)
        for column in columns:
            own = _column(self._own, column)
            _column(moved, column)[...] = np.where(
                self._counts(column), _others(_column(self._all, column), own), own
            )
        return moved

    def _counts(self, column: Column) -> Any:
        """Whether each value of a column counts: padded steps must stay as they are."""
        values, valid = self._own[column[0]], self._valid[column[0]]
        return True if valid is None else _column([of_values(values, valid)], (0, column[1]))

    def _of(self, inputs: list[Array]) -> list[Array]:
        return [np.asarray(output) for output in keras.tree.flatten(self._outputs(inputs))]

    @staticmethod
    def _changes(before: list[Array], after: list[Array]) -> bool:
        return any(not np.array_equal(*pair) for pair in zip(before, after, strict=True))


def _column(inputs: Sequence[Array], column: Column) -> Array:
    """A view of the values of a column."""
    values = inputs[column[0]]
    return values[...] if values.ndim == 1 else values[..., column[1]]


def _copied(inputs: Sequence[Array], columns: Iterable[Column]) -> list[Array]:
    """The inputs, with copies of those that have one of the columns."""
    touched = {input_index for input_index, _ in columns}
    return [values.copy() if index in touched else values for index, values in enumerate(inputs)]


def _shifted(inputs: Sequence[Array], columns: Iterable[Column], by: float) -> list[Array]:
    moved = _copied(inputs, columns)
    for column in columns:
        _column(moved, column)[...] += by
    return moved


def _others(values: Array, own: Array) -> Array:
    """For each own value another one of the values, half of them away; itself if there is no other."""
    distinct = np.unique(values)
    at = np.searchsorted(distinct, own)
    return np.asarray(distinct[(at + max(1, len(distinct) // 2)) % len(distinct)])
