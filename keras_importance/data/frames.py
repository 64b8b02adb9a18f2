"""Columns of pandas DataFrames and Series as the arrays that `fit` would feed to the model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_importance.errors import RowsError
from keras_importance.statistics.arrays import Array

_MAX_LISTED = 8


def column_labels(leaf: Any) -> tuple[Any, ...] | None:
    """The labels of a DataFrame's columns: texts, numbers, tuples; None for a value without labels."""
    columns = getattr(leaf, "columns", None)
    return None if columns is None else tuple(columns)


def is_pandas(leaf: Any) -> bool:
    """Whether a value is a DataFrame or a Series."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(leaf, (pandas.DataFrame, pandas.Series))


def frame_values(frame: Any) -> Array:
    """`(n_rows, n_columns)` values of a DataFrame: numbers, or texts if all columns hold texts.

    Raises:
        InvalidArgumentError: for texts beside numbers, missing texts, and types that are no numbers.
    """
    if all(isinstance(dtype, np.dtype) and dtype.kind in "fiu" for dtype in frame.dtypes):
        return np.asarray(frame.to_numpy())
    names = tuple(map(str, column_labels(frame) or ()))
    columns = [frame.iloc[:, index] for index in range(len(names))]
    are_texts = [_holds_texts(column) for column in columns]
    if columns and all(are_texts):
        _check_none_missing(columns, names)
        return np.asarray(frame.to_numpy(dtype=object))
    if any(are_texts):
        texts = [name for name, is_text in zip(names, are_texts, strict=True) if is_text]
        raise RowsError(
            f"got a DataFrame as {{rows}} that holds text beside numbers, in {listed(texts)}. "
            f"Pass a dict with one array per column, as {{{texts[0]!r}: df[{texts[0]!r}], ...}}, to a "
            "model with an input for each, or numbers in place of the text."
        )
    values = [series_values(column, name) for column, name in zip(columns, names, strict=True)]
    return np.column_stack(values) if values else np.asarray(frame.to_numpy())


def series_values(column: Any, name: str | None = None) -> Array:
    """`(n_rows,)` values of a Series: numbers, with NaN for missing ones, or texts.

    Args:
        column: the Series.
        name: its name in errors; None for its own.

    Raises:
        InvalidArgumentError: for missing texts, mixed types, and types that are no numbers.
    """
    name = name or ("" if column.name is None else str(column.name))
    what = listed([name]) if name else "a Series"
    dtype = column.dtype
    if hasattr(dtype, "categories"):
        if dtype.categories.dtype.kind not in "iufb":
            raise RowsError(
                f"got {{rows}} with {what} of categories that are no numbers, of which fit takes "
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
            raise RowsError(
                f"got {{rows}} of mixed types, in {what} ({', '.join(kinds[:5])}). Convert it to "
                "numbers, or leave it out."
            ) from error
    raise RowsError(
        f"got {{rows}} with {what} of type {dtype}, which is no number. Convert it to numbers, "
        "as in (df[name] - df[name].min()).dt.total_seconds() of dates, or leave it out."
    )


def _holds_texts(column: Any) -> bool:
    """Whether all values of a Series that aren't missing are texts, and there are some."""
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
        raise RowsError(
            f"got missing values in the {{rows}}, in {listed(list(missing))} "
            f"({sum(missing.values())} values). Fill them in or drop their rows."
        )


def listed(names: Sequence[str]) -> str:
    """The first eight names as an error lists them: `columns 'a', 'b', ...`."""
    shown = ", ".join(map(repr, names[:_MAX_LISTED])) + (", ..." if len(names) > _MAX_LISTED else "")
    return f"{'column' if len(names) == 1 else 'columns'} {shown}"
