"""Arrays, tensors and DataFrames as the NumPy arrays that `fit` would feed to the model."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_importance.data.frames import frame_values, is_pandas, series_values
from keras_importance.errors import RowsError
from keras_importance.statistics.arrays import Array


def as_numpy(leaf: Any) -> Array:
    """`(n_rows, ...)` array of the rows of one input, target or weight.

    Raises:
        InvalidArgumentError: for rows that differ in length, sparse matrices, mixed types, and values
            without rows.
    """
    values = _values(leaf)
    if values.dtype == object and not isinstance(values.flat[0] if values.size else "", (str, bytes)):
        raise RowsError(
            f"got {{rows}} of mixed types (a {type(leaf).__name__} of dtype object). Convert "
            "the columns to one numeric type, or pass a dict with one array per column."
        )
    if values.ndim == 0:
        raise RowsError(
            "got a single number or element as {rows}, where rows were expected. Pass arrays "
            "of many rows; a tf.data.Dataset needs .batch(n)."
        )
    return values


def as_input(leaf: Any) -> Array:
    """`as_numpy` of an input; a pandas Series becomes a column `(n_rows, 1)`, as in `fit`."""
    values = as_numpy(leaf)
    return values[:, None] if is_pandas(leaf) and values.ndim == 1 else values


def mapped(function: Callable[..., Any], *nests: Any) -> Any:
    """Calls a function on the leaves of nests of equal structure; returns the nest of its values.

    None stays None.
    """
    return keras.tree.map_structure(function, *nests, none_is_leaf=False)


def array_hash(values: Any) -> str:
    """Type, shape and SHA-256 hash of an array as text, the same in every process."""
    array = np.asarray(values)
    content = np.ascontiguousarray(array.astype(str) if array.dtype == object else array)
    return f"{array.dtype} {array.shape} {hashlib.sha256(content.tobytes()).hexdigest()}"


def _values(leaf: Any) -> Array:
    """The values of anything like an array, of any type and shape."""
    if isinstance(leaf, (np.ndarray, list, int, float, str)):
        return np.asarray(leaf)
    if is_pandas(leaf):
        return frame_values(leaf) if hasattr(leaf, "columns") else series_values(leaf)
    if hasattr(leaf, "to_numpy"):
        return np.asarray(leaf.to_numpy())
    if hasattr(leaf, "row_splits") or getattr(leaf, "is_nested", False):
        raise RowsError(
            f"got {{rows}} with a {type(leaf).__name__}, whose rows differ in length. Pad it to "
            "a dense array."
        )
    if hasattr(leaf, "toarray"):
        raise RowsError(
            f"got {{rows}} as a sparse {type(leaf).__name__}. Pass {{argument}} with its .toarray()."
        )
    if hasattr(leaf, "dense_shape"):
        tf = sys.modules["tensorflow"]
        return np.asarray(tf.sparse.to_dense(tf.sparse.reorder(leaf)))
    if hasattr(leaf, "detach"):  # a torch tensor, on every backend
        tensor = leaf.detach().cpu()
        tensor = tensor.to_dense() if tensor.is_sparse else tensor
        has_numpy_type = str(tensor.dtype) != "torch.bfloat16"
        return np.asarray((tensor if has_numpy_type else tensor.float()).numpy())
    return np.asarray(keras.ops.convert_to_numpy(leaf))
