"""Sample weights: a number for each row, or more: for each step, for each output."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_importance.data.arrays import leaves_of, mapped
from keras_importance.errors import NotEvaluableRowsError
from keras_importance.statistics.arrays import Array, Floats


def split_weights(weight: Any, n_rows: int) -> tuple[Floats | None, Any]:
    """The weights of the rows, and those of steps or outputs.

    Returns:
        `(n_rows,)` weights of the rows, None for equal ones; and the nest of weights where they are more
        than a number a row, else None. In that case the weight of a row is the mean of its weights.

    Raises:
        InvalidArgumentError: for weights of another number of rows, negative or not finite.
    """
    leaves = [leaf for leaf in leaves_of(weight) if leaf is not None]
    if not leaves:
        return None, None
    for leaf in leaves:
        _check(leaf, n_rows)
    if len(leaves) == 1 and leaves[0].size == n_rows:
        return np.asarray(leaves[0], np.float64).reshape(n_rows), None
    of_rows = [of_mean_one(leaf).reshape(n_rows, -1).mean(axis=1, dtype=np.float64) for leaf in leaves]
    return np.mean(of_rows, axis=0), mapped(lambda leaf: leaf.astype(keras.config.floatx()), weight)


def weight_of_rows(weight: Any) -> Floats | None:
    """`(n_rows,)` sums of all weights of a row; None without numbers, or for unequal lengths."""
    leaves = _flat(weight)
    if not leaves or any(not isinstance(leaf, np.ndarray) or leaf.ndim == 0 for leaf in leaves):
        return None
    if len({len(leaf) for leaf in leaves}) > 1 or any(leaf.dtype.kind not in "fiub" for leaf in leaves):
        return None
    sums = [leaf.sum(axis=tuple(range(1, leaf.ndim)), dtype=np.float64) for leaf in leaves]
    return np.asarray(np.sum(sums, axis=0))


def _flat(nest: Any) -> list[Array]:
    return [leaf for leaf in leaves_of(nest) if leaf is not None]


def of_mean_one(weight: Any) -> Any:
    """The nest of weights divided by their mean over all outputs, in Keras' float type."""
    leaves = _flat(weight)
    mean = float(np.mean([np.mean(leaf, dtype=np.float64) for leaf in leaves])) if leaves else 0.0
    if mean <= 0:
        return weight
    return mapped(lambda leaf: np.asarray(leaf / mean, keras.config.floatx()), weight)


def _check(weights: Array, n_rows: int) -> None:
    if weights.ndim == 0 or len(weights) != n_rows or weights.dtype.kind not in "fiub":
        raise NotEvaluableRowsError(
            f"got {{rows}} with sample weights of shape {weights.shape} for {n_rows} rows. Pass a "
            f"weight for each row, {(n_rows,)}, or as many rows of weights of steps or outputs."
        )
    if not np.all(np.isfinite(weights)) or np.any(weights < 0):
        raise NotEvaluableRowsError(
            "got {rows} with sample weights that are negative or not finite. Pass weights of 0 or more."
        )
