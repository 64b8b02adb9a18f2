"""Arrays, tensors and DataFrames as the NumPy arrays that `fit` would feed to the model."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from keras_importance.data.frames import frame_values, is_pandas, series_values
from keras_importance.errors import NotEvaluableRowsError, RowsError
from keras_importance.statistics.arrays import Array

# A gigabyte of floats.
_MAX_DENSE = 2**28


def as_numpy(leaf: Any, padding: float = 0.0) -> Array:
    """`(n_rows, ...)` array of the rows of one input, target or weight.

    Args:
        leaf: anything like an array.
        padding: the value of the steps that a ragged tensor of floats lacks; 0 or "" in any other.

    Raises:
        InvalidArgumentError: for mixed types, and values without rows.
        NotEvaluableError: for a nested tensor of torch.
    """
    values = _values(leaf, padding)
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


def as_input(leaf: Any, padding: float = 0.0) -> Array:
    """`as_numpy` of an input; a pandas Series becomes a column `(n_rows, 1)`, as in `fit`."""
    values = as_numpy(leaf, padding)
    return values[:, None] if is_pandas(leaf) and values.ndim == 1 else values


def is_sparse(leaf: Any) -> bool:
    """Whether a value is a sparse matrix of SciPy, or a sparse tensor of TensorFlow or JAX."""
    return hasattr(leaf, "toarray") or hasattr(leaf, "dense_shape") or hasattr(leaf, "todense")


def check_fits_when_dense(leaf: Any, n_rows: int) -> None:
    """Checks that some rows of a sparse matrix or tensor fit into memory as an array.

    Raises:
        NotEvaluableError: for more than 2^28 values.
    """
    n_values = n_rows * math.prod(leaf.shape[1:])
    if n_values > _MAX_DENSE:
        most = _MAX_DENSE // math.prod(leaf.shape[1:])
        raise NotEvaluableRowsError(
            f"got {{rows}} as a sparse {type(leaf).__name__} of shape {tuple(leaf.shape)}: "
            f"{n_rows} of its rows are {n_values:,} values when dense, more than {_MAX_DENSE:,}. Pass "
            f"max_samples={most} or less, or fewer rows as validation_data=."
        )


def leaves_of(nest: Any) -> list[Any]:
    """The leaves of a nest, as `keras.tree.flatten` lists them: those of a dict by sorted keys.

    On torch the functions of `keras.tree` hold what they got in reference cycles, so that batches stay
    in memory until Python collects cycles. This frees them at once, and so do `mapped` and `packed`.
    """
    if type(nest) is dict:
        return [leaf for key in sorted(nest) for leaf in leaves_of(nest[key])]
    if type(nest) in (list, tuple):
        return [leaf for part in nest for leaf in leaves_of(part)]
    return list(keras.tree.flatten(nest)) if keras.tree.is_nested(nest) else [nest]


def mapped(function: Callable[..., Any], *nests: Any) -> Any:
    """Calls a function on the leaves of nests of equal structure; returns the nest of its values.

    None stays None.

    Raises:
        ValueError: for nests of different structure.
    """
    first, kind = nests[0], type(nests[0])
    if kind not in (dict, list, tuple) or any(type(nest) is not kind for nest in nests):
        return _mapped_by_keras(function, *nests)
    if kind is dict:
        if any(nest.keys() != first.keys() for nest in nests):
            raise ValueError(f"the keys of dicts differ: {[list(nest) for nest in nests]}")
        of_key = {key: mapped(function, *(nest[key] for nest in nests)) for key in sorted(first)}
        return {key: of_key[key] for key in first}
    return kind([mapped(function, *parts) for parts in zip(*nests, strict=True)])


def packed(nest: Any, values: Iterable[Any]) -> Any:
    """The nest with other leaves: the values, in the order of `leaves_of`, but None stays None."""
    rest = iter(values)
    return mapped(lambda _: next(rest), nest)


def _mapped_by_keras(function: Callable[..., Any], *nests: Any) -> Any:
    """`mapped` of leaves, of nests of other types such as named tuples, and of different types."""
    if any(keras.tree.is_nested(nest) for nest in nests):
        return keras.tree.map_structure(function, *nests, none_is_leaf=False)
    n_given = sum(nest is not None for nest in nests)
    if 0 < n_given < len(nests):
        raise ValueError("some of the leaves are None, others are not")
    return function(*nests) if n_given else None


def array_hash(values: Any) -> str:
    """Type, shape and SHA-256 hash of an array as text, the same in every process."""
    array = np.asarray(values)
    content = np.ascontiguousarray(array.astype(str) if array.dtype == object else array)
    return f"{array.dtype} {array.shape} {hashlib.sha256(content.tobytes()).hexdigest()}"


def _dense(leaf: Any) -> Array:
    if hasattr(leaf, "dense_shape"):
        tf = sys.modules["tensorflow"]
        return np.asarray(tf.sparse.to_dense(tf.sparse.reorder(leaf)))
    return np.asarray(leaf.toarray() if hasattr(leaf, "toarray") else leaf.todense())


def _values(leaf: Any, padding: float = 0.0) -> Array:
    """The values of anything like an array, of any type and shape."""
    if isinstance(leaf, (np.ndarray, list, int, float, str)):
        return np.asarray(leaf)
    if is_pandas(leaf):
        return frame_values(leaf) if hasattr(leaf, "columns") else series_values(leaf)
    if hasattr(leaf, "to_numpy"):
        return np.asarray(leaf.to_numpy())
    if hasattr(leaf, "row_splits"):
        return np.asarray(leaf.to_tensor(padding if leaf.dtype.is_floating else None))
    if getattr(leaf, "is_nested", False):
        raise NotEvaluableRowsError(
            f"got {{rows}} with a nested {type(leaf).__name__}, whose rows differ in length. Pad "
            "it to a dense array."
        )
    if is_sparse(leaf):
        return _dense(leaf)
    if hasattr(leaf, "detach"):  # a torch tensor, on every backend
        tensor = leaf.detach().cpu()
        tensor = tensor.to_dense() if tensor.is_sparse else tensor
        has_numpy_type = str(tensor.dtype) != "torch.bfloat16"
        return np.asarray((tensor if has_numpy_type else tensor.float()).numpy())
    return np.asarray(keras.ops.convert_to_numpy(leaf))
