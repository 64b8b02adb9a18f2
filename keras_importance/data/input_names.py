"""Names of the inputs that are read, and of their columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_importance.data.columns import InputColumns
from keras_importance.statistics.arrays import Array


def named_columns(
    x: Any,
    inputs: Sequence[Array],
    labels: Sequence[tuple[Any, ...] | None],
    input_names: Sequence[str | None],
) -> tuple[InputColumns, ...]:
    """The names of each input and of its columns; by default `input_<index>` and `x<index>`.

    Args:
        x: the nest of inputs; the keys of a dict name them.
        inputs: the inputs as arrays.
        labels: for each input the labels of its columns; None where the source gives none.
        input_names: names for the inputs of a list, None for an input without a name.
    """
    names = _input_names(x, input_names)
    return tuple(
        InputColumns.labelled(name or f"input_{index}", of_input)
        if of_input
        else _default_columns(values, name, index)
        for index, (name, of_input, values) in enumerate(zip(names, labels, inputs, strict=True))
    )


def _input_names(x: Any, given: Sequence[str | None]) -> list[str | None]:
    """The keys of a dict of inputs, joined by `/`; else the given names, if there is one per input."""
    paths = [path for path, _ in keras.tree.flatten_with_path(x)]
    if all(path and all(isinstance(key, str) for key in path) for path in paths):
        return ["/".join(path) for path in paths]
    return list(given) if len(given) == len(paths) else [None] * len(paths)


def _default_columns(values: Array, name: str | None, index: int) -> InputColumns:
    """The columns of an array; a single column has the input's name as its label."""
    n_columns = values.shape[-1] if values.ndim > 1 else 1
    if n_columns == 1 and name:
        return InputColumns.labelled(name, (name,))
    return InputColumns(name or f"input_{index}", tuple(f"x{column}" for column in range(n_columns)))
