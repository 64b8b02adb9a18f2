"""Which inputs and features have a gradient at all, and why others have none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_importance.data.features import Column, Feature
from keras_importance.data.padding import lent, valid_values
from keras_importance.data.validation_data import ValidationData
from keras_importance.statistics.arrays import Array, Integers


class GradientSupport:
    """Tells a gradient that is 0 from one that doesn't exist.

    Args:
        data: the rows.
        few_rows: indices of a few of the rows.
        outputs: from the list of inputs for these few rows to the model's outputs, as arrays.
    """

    def __init__(
        self, data: ValidationData, few_rows: Integers, outputs: Callable[[list[Array]], Any]
    ) -> None:
        self._data = data
        few = data.only(few_rows)
        self._inputs, self._valid = list(few.inputs), few.valid
        self._outputs = outputs

    def why_no_gradient(self, input_index: int) -> str | None:
        """Why an input has no gradient; None if the model ignores the input, so the gradient is 0."""
        columns, values = self._data.columns[input_index], self._data.inputs[input_index]
        if values.dtype.kind != "f":
            return f"input {columns.name!r} holds {values.dtype} values, which have no gradient"
        every_column = tuple((input_index, column) for column in range(len(columns.columns)))
        if self._depends_on(Feature(columns.name, every_column)):
            return f"the model turns input {columns.name!r} into whole numbers: no gradient"
        return None

    def why_zero_is_no_gradient(self, feature: Feature) -> str | None:
        """Why a feature has no gradient, although the backend returns 0 at every row.

        Some backends return 0 for values that the model rounds, such as the codes of an embedding.

        Returns:
            The reason; None if 0 is right, because the feature has no effect.
        """
        if all(self._is_whole(column) for column in feature.columns) and self._depends_on(feature):
            return f"the model turns {feature.name!r} into whole numbers: no gradient"
        return None

    def _is_whole(self, column: Column) -> bool:
        """Whether a column of floats holds whole numbers alone."""
        input_index, column_index = column
        valid = self._data.valid[input_index]
        values = valid_values(self._data.inputs[input_index], valid)[column_index]
        return values.dtype.kind == "f" and bool(np.all(values == np.rint(values)))

    def _depends_on(self, feature: Feature) -> bool:
        """Whether the outputs change when a few rows trade their values of a feature at valid steps."""
        moved = [values.copy() for values in self._inputs]
        for input_index, column_index in feature.columns:
            values, valid = self._inputs[input_index], self._valid[input_index]
            column = ... if values.ndim == 1 else (..., column_index)
            moved[input_index][column] = lent(values, valid, np.roll(np.arange(len(values)), 1))[column]
        before, after = (keras.tree.flatten(self._outputs(inputs)) for inputs in (self._inputs, moved))
        return any(not np.array_equal(*pair) for pair in zip(before, after, strict=True))
