"""The values of a feature as numbers, and functions such as a network could learn from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_importance.data.features import Feature
from keras_importance.data.padding import filled, of_values
from keras_importance.data.validation_data import ValidationData
from keras_importance.statistics.arrays import Array, Floats, Integers, Singles

N_BINS = 6
_MAX_CATEGORIES = 20
# Of all texts of a group together: their principal directions are computed.
_MAX_INDICATORS = 400
_MAX_DIRECTIONS = 8


@dataclass(frozen=True, eq=False)
class Columns:
    """Standardised columns of all features, those of a feature side by side.

    Attributes:
        columns: `(n_rows, n_columns)` columns.
        starts: `(n_features + 1,)` the first column of each feature.
    """

    columns: Singles
    starts: Integers

    def span(self, index: int) -> tuple[int, int]:
        """The first column of a feature, and the one behind its last."""
        return int(self.starts[index]), int(self.starts[index + 1])

    def of(self, index: int) -> Singles:
        """The columns of a feature."""
        first, end = self.span(index)
        return self.columns[:, first:end]


def values_of(feature: Feature, data: ValidationData) -> Array:
    """`(n_rows, n_elements)` finite values of a feature; integers if it is one category.

    A text is the fractions of its steps in each category. A missing number is the mean of the others,
    and a further column says that it is missing.
    """
    columns = [_column(data, *column) for column in feature.columns]
    (index, column), is_single = feature.columns[0], len(columns) == 1 == columns[0].shape[1]
    if is_single and data.are_categories[index][column]:
        return columns[0] if columns[0].dtype.kind != "f" else _codes(columns[0])
    are_texts = [data.inputs[index].dtype.kind not in "fiub" for index, _ in feature.columns]
    at_most = max(1, min(_MAX_CATEGORIES, _MAX_INDICATORS // max(1, sum(are_texts))))
    parts = [
        _fractions(column, at_most) if is_text else _finite(column)
        for column, is_text in zip(columns, are_texts, strict=True)
    ]
    return np.concatenate(parts, axis=1)


def lines_of(values: Array) -> Floats:
    """`(n_rows, n_lines)` linear functions of a feature: its values, or principal directions of many.

    For categories, indicators.
    """
    if values.dtype.kind != "f":
        return one_hot(values)
    if values.shape[1] <= _MAX_DIRECTIONS:
        return values
    left, size, _ = np.linalg.svd(standardised(values), full_matrices=False)
    return np.asarray(left[:, :_MAX_DIRECTIONS] * size[:_MAX_DIRECTIONS])


def lengths_of(data: ValidationData) -> list[Floats]:
    """For each input with padding, functions of a row's number of valid steps.

    Every feature of the input shows it, so it is known from the others.
    """
    n_valid = [valid.sum(axis=1)[:, None] for valid in data.valid if valid is not None]
    return [standardised(np.concatenate([n, n**2, one_hot(n)], axis=1)) for n in n_valid]


def bins_of(values: Floats) -> Floats:
    """`(n_rows, n_columns, 6)` indicators of the quantile bins of each column.

    Where quantiles are equal, the bins between them are empty.
    """
    edges = np.quantile(values, np.arange(1, N_BINS) / N_BINS, axis=0)
    bins = np.sum(values[:, :, None] >= edges.T, axis=2)
    return np.asarray(bins[:, :, None] == np.arange(N_BINS), np.float64)


def one_hot(values: Array) -> Floats:
    """A column of 0 and 1 for each category, or for the 20 most frequent categories."""
    return np.asarray(values.reshape(-1, 1) == _frequent(values, _MAX_CATEGORIES), np.float64)


def standardised(values: Floats) -> Floats:
    """The columns with mean 0 and variance 1; zeros for constant columns."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    is_constant = spread <= 1e-9 * np.maximum(np.abs(values).max(axis=0), 1e-30)
    return np.asarray(np.where(is_constant, 0.0, centred / np.where(is_constant, 1.0, spread)))


def _column(data: ValidationData, input_index: int, column: int) -> Array:
    """`(n_rows, n_steps)` values of a column; codes of the categories in place of texts.

    Padded numbers are the mean of their step.
    """
    values, valid = data.inputs[input_index], data.valid[input_index]
    of_column = (values if values.ndim == 1 else values[..., column]).reshape(len(values), -1)
    if values.dtype.kind not in "fiub":
        return _codes(of_column)
    if valid is None or values.dtype.kind != "f":
        return of_column
    counted = of_values(values, valid)[..., column].reshape(len(values), -1)
    return filled(of_column, counted, data.weights)


def _fractions(codes: Integers, at_most: int) -> Floats:
    """`(n_rows, n_categories)` the fraction of a row's steps in each of the most frequent categories."""
    frequent = _frequent(codes, at_most)
    return np.stack([np.mean(codes == category, axis=1) for category in frequent], axis=1)


def _frequent(values: Array, at_most: int) -> Array:
    """The most frequent categories, most frequent first."""
    categories, counts = np.unique(values, return_counts=True)
    return np.asarray(categories[np.argsort(-counts, kind="stable")[:at_most]])


def _codes(texts: Array) -> Integers:
    """Whole numbers in place of texts; equal texts, also missing ones, have equal codes."""
    _, codes = np.unique([str(text) for text in texts.ravel()], return_inverse=True)
    return np.asarray(codes.reshape(texts.shape), np.int64)


def _finite(column: Array) -> Floats:
    """The values as floats, the mean in place of those that aren't finite, which a further column marks.

    Args:
        column: `(n_rows, n_steps)` numbers.
    """
    values = column.astype(np.float64)
    is_known = np.isfinite(values)
    if is_known.all():
        return values
    mean = values[is_known].mean() if is_known.any() else 0.0
    return np.concatenate(
        [np.where(is_known, values, mean), ~is_known.all(axis=1, keepdims=True)], axis=1
    )
