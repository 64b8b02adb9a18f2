"""Puts one value for each input into the nest in which a model takes its inputs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import keras
import numpy as np


def packed(structure: Any, columns_first: Collection[int], leaves: Sequence[Any]) -> Any:
    """The nest in which the model takes its inputs, filled with one value for each input.

    Args:
        structure: the nest, with the index of each input in its place.
        columns_first: indices of the inputs whose columns the model takes along axis 1.
        leaves: the values.
    """
    return keras.tree.map_structure(
        lambda index: columns_moved_first(leaves[index]) if index in columns_first else leaves[index],
        structure,
    )


def columns_moved_first(values: Any) -> Any:
    """The values `(n_rows, ..., n_columns)`, an array or a tensor, as `(n_rows, n_columns, ...)`."""
    move = np.moveaxis if isinstance(values, np.ndarray) else keras.ops.moveaxis
    return move(values, -1, 1)
