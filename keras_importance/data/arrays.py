"""Arrays, tensors and columns of DataFrames as the NumPy arrays that `fit` would feed to the model."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_importance.errors import InvalidArgumentError
from keras_importance.statistics.arrays import Array

_SHOWN = 8


def as_numpy(leaf: Any) -> Array:
    """The rows of one input, target or weight as an array.

    Raises:
        InvalidArgumentError: for rows that differ in length, sparse matrices, columns that are no
            numbers beside numbers, and what has no rows.
    """
    values = _values(leaf)
    if values.dtype == object and not isinstance(values.flat[0] if values.size else "", (str, bytes)):
        raise InvalidArgumentError(
            f"got validation data of mixed types (a {type(leaf).__name__} of dtype object). Convert "
            "the columns to one numeric type, or pass a dict with one array per column."
        )
    if values.ndim == 0:
        raise InvalidArgumentError(
            "got a single number or element as validation data, where rows were expected. Pass arrays "
            "of many rows; a tf.data.Dataset needs .batch(n)."
        )
    return values


def as_input(leaf: Any) -> Array:
    """`as_numpy` of an input: `fit` makes a column of a pandas Series, `(n_rows, 1)`."""
    values = as_numpy(leaf)
    return values[:, None] if _is_pandas(leaf) and values.ndim == 1 else values


def mapped(function: Callable[..., Any], *nests: Any) -> Any:
    """The nest of what a function returns for the leaves of nests of one form; None stays None."""
    return keras.tree.map_structure(function, *nests, none_is_leaf=False)


def array_hash(values: Any) -> str:
    """Type, shape and SHA-256 hash of an array as text, the same in every process."""
    array = np.asarray(values)
    content = np.ascontiguousarray(array.astype(str) if array.dtype == object else array)
    return f"{array.dtype} {array.shape} {hashlib.sha256(content.tobytes()).hexdigest()}"


def column_names(leaf: Any) -> tuple[str, ...] | None:
    """The names of a DataFrame's columns; None for what has none."""
    columns = getattr(leaf, "columns", None)
    return None if columns is None else tuple(str(column) for column in columns)


def _values(leaf: Any) -> Array:
    if isinstance(leaf, (np.ndarray, list, int, float, str)):
        return np.asarray(leaf)
    if _is_pandas(leaf):
        return _of_frame(leaf) if hasattr(leaf, "columns") else _of_series(leaf)
    if hasattr(leaf, "to_numpy"):
        return np.asarray(leaf.to_numpy())
    if hasattr(leaf, "row_splits") or getattr(leaf, "is_nested", False):
        raise InvalidArgumentError(
            f"got validation data with a {type(leaf).__name__}, whose rows differ in length. Pad it to "
            "a dense array."
        )
    if hasattr(leaf, "toarray"):
        raise InvalidArgumentError(
            f"got validation data as a sparse {type(leaf).__name__}. Pass validation_data= with its "
            ".toarray()."
        )
    if hasattr(leaf, "dense_shape"):
        tf = sys.modules["tensorflow"]
        return np.asarray(tf.sparse.to_dense(tf.sparse.reorder(leaf)))
    if hasattr(leaf, "detach"):  # a torch tensor, on every backend
        tensor = leaf.detach().cpu()
        tensor = tensor.to_dense() if tensor.is_sparse else tensor
        is_known = str(tensor.dtype) != "torch.bfloat16"  # to NumPy
        return np.asarray((tensor if is_known else tensor.float()).numpy())
    return np.asarray(keras.ops.convert_to_numpy(leaf))


# --- pandas -------------------------------------------------------------------------------------


def _is_pandas(leaf: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(leaf, (pandas.DataFrame, pandas.Series))


def _of_frame(frame: Any) -> Array:
    """All columns as one array of numbers, as `fit` makes it; or of texts, where all hold texts."""
    if all(isinstance(dtype, np.dtype) and dtype.kind in "fiu" for dtype in frame.dtypes):
        return np.asarray(frame.to_numpy())
    names = column_names(frame) or ()
    columns = [frame.iloc[:, number] for number in range(len(names))]
    are_texts = [_holds_texts(column) for column in columns]
    if columns and all(are_texts):
        _check_none_missing(columns, names)
        return np.asarray(frame.to_numpy(dtype=object))
    if any(are_texts):
        texts = [name for name, is_text in zip(names, are_texts, strict=True) if is_text]
        raise InvalidArgumentError(
            f"got a DataFrame as validation data that holds text beside numbers, in {listed(texts)}. "
            f"Pass a dict with one array per column, as {{{texts[0]!r}: df[{texts[0]!r}], ...}}, to a "
            "model with an input for each, or numbers in place of the text."
        )
    values = [_of_series(column, name) for column, name in zip(columns, names, strict=True)]
    return np.column_stack(values) if values else np.asarray(frame.to_numpy())


def _of_series(column: Any, name: str | None = None) -> Array:
    """The values of one column: numbers with NaN where one is missing, or texts."""
    name = name or ("" if column.name is None else str(column.name))
    what = listed([name]) if name else "a Series"
    dtype = column.dtype
    if hasattr(dtype, "categories"):
        if dtype.categories.dtype.kind not in "iufb":
            raise InvalidArgumentError(
                f"got validation data with {what} of categories that are no numbers, of which fit takes "
                "none. Pass their codes (.cat.codes), one-hot columns (pandas.get_dummies) or the text "
                "itself (.astype(str)), as the model was trained on them."
            )
        return np.asarray(column.to_numpy())
    if dtype.kind in "iufb":
        if isinstance(dtype, np.dtype):
            return np.asarray(column.to_numpy())
        if column.isna().any():
            return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
        return np.asarray(column.to_numpy(dtype=getattr(dtype, "numpy_dtype", np.float64)))
    if _holds_texts(column):
        _check_none_missing([column], [name])
        return np.asarray(column.to_numpy(dtype=object))
    if dtype.kind == "O":
        try:
            return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
        except (TypeError, ValueError) as error:
            kinds = sorted({type(value).__name__ for value in column.dropna()})
            raise InvalidArgumentError(
                f"got validation data of mixed types, in {what} ({', '.join(kinds[:5])}). Convert it to "
                "numbers, or leave it out."
            ) from error
    raise InvalidArgumentError(
        f"got validation data with {what} of type {dtype}, which is no number. Convert it to numbers, "
        "as in (df[name] - df[name].min()).dt.total_seconds() of dates, or leave it out."
    )


def _holds_texts(column: Any) -> bool:
    if column.dtype.kind not in "OTU" or hasattr(column.dtype, "categories"):
        return False
    present = column.dropna()
    return len(present) > 0 and all(isinstance(value, (str, bytes)) for value in present)


def _check_none_missing(columns: Sequence[Any], names: Sequence[str]) -> None:
    missing = {
        name: int(column.isna().sum())
        for name, column in zip(names, columns, strict=True)
        if column.isna().any()
    }
    if missing:
        raise InvalidArgumentError(
            f"got missing values in the validation data, in {listed(list(missing))} "
            f"({sum(missing.values())} values). Fill them in or drop their rows."
        )


def listed(names: Sequence[str]) -> str:
    """Some of the names as in `columns 'a', 'b'`."""
    shown = ", ".join(map(repr, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
    return f"{'column' if len(names) == 1 else 'columns'} {shown}"
