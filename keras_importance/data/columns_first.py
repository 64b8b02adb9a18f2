"""Inputs whose columns lie along axis 1, not along the last axis: `(n_rows, n_columns, n_steps)`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from keras_importance.data.columns import InputColumns
from keras_importance.data.validation_data import ValidationData


def with_columns_last(data: ValidationData, indices: Collection[int]) -> ValidationData:
    """The rows, with the columns of some inputs moved to the last axis.

    `ValidationData.pack` moves them back for the model. Columns lose their default names.

    Args:
        data: the rows.
        indices: indices of the inputs; those without an axis to move are left as they are.
    """
    moved = frozenset(
        index for index in indices if data.inputs[index].ndim > 2 and index not in data.columns_first
    )
    if not moved:
        return data
    inputs, columns = list(data.inputs), list(data.columns)
    for index in moved:
        inputs[index] = np.moveaxis(inputs[index], 1, -1)
        names = tuple(f"x{column}" for column in range(inputs[index].shape[-1]))
        columns[index] = InputColumns(columns[index].name, names)
    return replace(
        data,
        inputs=tuple(inputs),
        columns=tuple(columns),
        columns_first=data.columns_first | moved,
    )


def named_along_first_axis(features: Any, data: ValidationData) -> list[int]:
    """`[0]` for a single input whose names are a list that fits its axis 1 alone, else `[]`.

    So a user says that the columns lie there. A list that fits the last axis names the last axis.
    """
    is_list = isinstance(features, (Sequence, np.ndarray)) and not isinstance(features, (str, bytes))
    if not is_list or len(data.inputs) != 1 or data.inputs[0].ndim < 3:
        return []
    shape = data.inputs[0].shape
    return [0] if len(features) == shape[1] != shape[-1] else []
