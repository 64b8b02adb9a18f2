"""Replacements that redraw a feature given the others: by residuals of other rows, or by categories."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from keras_importance.data.columns import Column
from keras_importance.data.features import FeatureSet
from keras_importance.data.padding import Steps
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.scores.sample import Replacement
from keras_importance.methods.regression_table import ColumnResiduals, RegressionTable, with_columns
from keras_importance.statistics.arrays import Array, Integers, generator
from keras_importance.statistics.category_draws import class_probabilities, classes, drawn_rows
from keras_importance.statistics.residuals import residuals

_MAX_CLASSES = 50


def conditional_replacement(
    data: ValidationData,
    features: FeatureSet,
    n_repeats: int,
    seed: int = 0,
    *,
    spread: bool = False,
) -> Replacement:
    """The replacement that redraws each feature given all other features.

    A number becomes its mean given the other features plus the residual of a donor, or is missing where
    that of the donor is. In the regressions, the mean of a column stands for a missing number. A
    category becomes that of a row drawn at random for each repeat; numbers in the same feature then get
    the residuals of that row, not of the donor. See `ConditionalPermutation`.

    Args:
        data: the rows.
        features: the features; each is redrawn given all columns outside of it.
        n_repeats: how many times categories are drawn.
        seed: seed of these draws. All features use the same random numbers.
        spread: whether the categories of a row are spread evenly over its probabilities; else they are
            drawn independently.
    """
    table = RegressionTable.of(data, features)
    fitted = residuals(table.values, table.of_features, data.weights, data.blocks)
    drafts = _Drafts(data, n_repeats, table.inputs_drawn(features.features))
    for feature, elements in zip(features.features, table.of_features, strict=True):
        codes = table.codes_of(feature)
        if codes is None:
            for column in feature.columns:
                drafts.shift(column, table.residuals_of(column, fitted))
            continue
        label = classes(codes, _MAX_CLASSES)
        predictors = table.predictors_of(elements, fitted, int(label.max()) + 1)
        chances = class_probabilities(predictors, label, data.weights)
        rng = generator(seed, "categories")
        rows = drawn_rows(chances, label, n_repeats, rng, data.weights, spread=spread)
        for column in feature.columns:
            if column in table.categories:
                drafts.draw(column, rows)
            else:
                drafts.move(column, table.residuals_of(column, fitted), rows)
    return drafts.replacement()


class _Drafts:
    """A replacement that is filled in column by column. A column that isn't filled in keeps its values.

    Args:
        data: the rows.
        n_repeats: how many times categories are drawn.
        drawn: indices of the inputs that have a column drawn at random. Their kept values differ from
            repeat to repeat.
    """

    def __init__(self, data: ValidationData, n_repeats: int, drawn: Collection[int]) -> None:
        inputs = data.inputs
        self._steps = [None if valid is None else Steps(valid) for valid in data.valid]
        self._is_flat = [values.ndim == 1 for values in inputs]
        self._values = [with_columns(values) for values in inputs]
        self._kept = [
            np.broadcast_to(values, (n_repeats, *values.shape) if i in drawn else values.shape).copy()
            for i, values in enumerate(map(with_columns, data.filled))
        ]
        self._donated = {
            i: np.zeros_like(values) for i, values in enumerate(self._values) if values.dtype.kind == "f"
        }

    def shift(self, column: Column, residual: ColumnResiduals) -> None:
        """Lets a column of numbers keep its mean given the others, and get the residual of a donor."""
        self._kept_column(column)[...] -= residual.own
        self._donated[column[0]][..., column[1]] = self._or_missing(column, residual.donated)

    def draw(self, column: Column, rows: Integers) -> None:
        """Gives a column of categories the values of the drawn rows `(n_repeats, n_rows)`."""
        input_index, column_index = column
        values, steps = self._values[input_index], self._steps[input_index]
        if steps is not None and values.ndim == 2:  # a column is a step
            drawn = steps.lent(values, rows, column_index)
        else:
            drawn = self._of_rows(values[..., column_index], steps, rows)
        self._kept_column(column)[...] = drawn

    def move(self, column: Column, residual: ColumnResiduals, rows: Integers) -> None:
        """Lets a column of numbers keep its mean given the others, and get residuals of drawn rows."""
        steps = self._steps[column[0]] if residual.own.ndim > 1 else None
        donated = self._or_missing(column, residual.donated)
        self._kept_column(column)[...] += self._of_rows(donated, steps, rows) - residual.own

    @staticmethod
    def _of_rows(values: Array, steps: Steps | None, rows: Integers) -> Array:
        """A column's values of the drawn rows; at valid steps those of their valid steps."""
        return values[rows] if steps is None else steps.lent(values, rows)

    def replacement(self) -> Replacement:
        """The replacement, in the shapes of the inputs."""
        donated = [self._donated.get(i) for i in range(len(self._values))]
        return Replacement(
            donated=tuple(
                values[..., 0] if is_flat and values is not None else values
                for values, is_flat in zip(donated, self._is_flat, strict=True)
            ),
            kept=tuple(
                values[..., 0] if is_flat else values
                for values, is_flat in zip(self._kept, self._is_flat, strict=True)
            ),
        )

    def _or_missing(self, column: Column, residual: Array) -> Array:
        """The residuals; where the row has no value, that is NaN or infinite, what it has instead."""
        values = self._values[column[0]][..., column[1]]
        return np.where(np.isfinite(values), residual, values)

    def _kept_column(self, column: Column) -> Array:
        """A view of the values that rows keep in a column."""
        input_index, column_index = column
        return self._kept[input_index][..., column_index]
