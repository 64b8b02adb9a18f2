"""RegressionTable: all inputs as one table of numbers, for regressions of each feature on the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_importance.data.columns import Column
from keras_importance.data.features import Feature, FeatureSet
from keras_importance.data.padding import filled, of_values
from keras_importance.data.validation_data import ValidationData
from keras_importance.statistics.arrays import Array, Floats, Integers
from keras_importance.statistics.category_draws import classes
from keras_importance.statistics.residuals import Residuals

# A regression of categories on all other elements uses all of their information, but overfits if there
# are few rows. Then it uses the linear predictions for left-out rows, which don't overfit.
_ROWS_A_SLOPE = 10
_MAX_SLOPES = 1000
# Most indicators of a column of categories in the table; fewer if there are many such columns.
_MAX_INDICATORS = 20
_MAX_ELEMENTS = 20_000


@dataclass(frozen=True, eq=False)
class RegressionTable:
    """All inputs as one table of numbers, whose columns are called elements.

    A column of numbers has one element per time step. A column of categories has one indicator (0 or 1)
    per time step and category. Columns of categories are those of
    `ValidationData.are_categories`, and columns of 0 and 1.

    A padded number is the mean of its step over the rows that are valid there. So it says nothing about
    other columns at this step. From step to step the regressions are weaker than over valid rows alone:
    a little less of a feature counts as known from the others. Padded categories are a category.

    Attributes:
        values: `(n_rows, n_elements)` the table.
        of_columns: for each column of the inputs the indices of its elements.
        of_features: for each feature the indices of its elements.
        categories: for each column of categories its codes `(n_rows, n_steps)`: 0, 1, ... by category.
        inputs: the inputs.
    """

    values: Floats
    of_columns: dict[Column, Integers]
    of_features: list[Integers]
    categories: dict[Column, Integers]
    inputs: tuple[Array, ...]

    @classmethod
    def of(cls, data: ValidationData, features: FeatureSet) -> RegressionTable:
        """The table of all columns that belong to a feature."""
        steps = {
            column: _steps_of(data.inputs[column[0]], column[1])
            for feature in features.features
            for column in feature.columns
        }
        counted = {
            column: _steps_of(of_values(data.inputs[column[0]], data.valid[column[0]]), column[1])
            for column in steps
        }
        categories = {
            column: _codes(values)
            for column, values in steps.items()
            if data.are_categories[column[0]][column[1]] or _are_zeros_and_ones(values[counted[column]])
        }
        n_codes = sum(codes.shape[1] for codes in categories.values())
        at_most = int(np.clip(_MAX_ELEMENTS // max(1, n_codes), 2, _MAX_INDICATORS))
        elements = [
            _indicators(categories[column], at_most)
            if column in categories
            else filled(_steps_of(data.filled[column[0]], column[1]), counted[column], data.weights)
            for column in steps
        ]
        ends = np.cumsum([0, *(values.shape[1] for values in elements)])
        of_columns = {column: np.arange(*ends[[i, i + 1]]) for i, column in enumerate(steps)}
        of_features = [
            np.concatenate([of_columns[column] for column in feature.columns])
            for feature in features.features
        ]
        values = np.concatenate(elements, axis=1, dtype=np.float64)
        return cls(values, of_columns, of_features, categories, data.inputs)

    def codes_of(self, feature: Feature) -> Integers | None:
        """`(n_rows, n_codes)` codes of a feature's columns of categories; None if there are none."""
        codes = [self.categories[column] for column in feature.columns if column in self.categories]
        return np.column_stack(codes) if codes else None

    def inputs_drawn(self, features: Sequence[Feature]) -> set[int]:
        """Indices of the inputs of features with categories, whose values are drawn at random."""
        return {
            input_index
            for feature in features
            if any(column in self.categories for column in feature.columns)
            for input_index, _ in feature.columns
        }

    def predictors_of(self, elements: Integers, fitted: Residuals, n_classes: int) -> Floats:
        """`(n_rows, n_predictors)` predictors of a feature's categories, made from the other features.

        They are the elements of the other features. If there are too many for the number of rows, they
        are the linear predictions of the feature's elements from the others.

        Args:
            elements: indices of the feature's elements.
            fitted: the residuals of the linear regressions.
            n_classes: how many categories the feature has.
        """
        n_rows, n_elements = self.values.shape
        n_slopes = (n_elements - len(elements)) * n_classes
        if 0 < n_slopes <= min(n_rows // _ROWS_A_SLOPE, _MAX_SLOPES):
            return np.delete(self.values, elements, axis=1)
        return self.values[:, elements] - fitted.values[:, elements]

    def residuals_of(self, column: Column, fitted: Residuals) -> ColumnResiduals:
        """The residuals of a column of numbers, in the shape and type of the column in its input."""
        elements, values = self.of_columns[column], with_columns(self.inputs[column[0]])
        own = fitted.values[:, elements]
        donated = own * fitted.scale[elements]
        shape = values.shape[:-1]
        return ColumnResiduals(
            own.reshape(shape).astype(values.dtype), donated.reshape(shape).astype(values.dtype)
        )


@dataclass(frozen=True, eq=False)
class ColumnResiduals:
    """The residuals of a column of numbers: value minus the mean given the other features.

    Attributes:
        own: `(n_rows, ...)` residuals of the rows.
        donated: `(n_rows, ...)` residuals times `c`, to be added to the mean of another row; see
            `ConditionalPermutation`.
    """

    own: Array
    donated: Array


def with_columns(values: Array) -> Array:
    """The input with a last axis of columns; `(n_rows,)` becomes `(n_rows, 1)`."""
    return values[:, None] if values.ndim == 1 else values


def _steps_of(values: Array, column: int) -> Array:
    """`(n_rows, n_steps)` values of a column of an input; without time steps `n_steps` is 1."""
    return with_columns(values)[..., column].reshape(len(values), -1)


def _are_zeros_and_ones(values: Array) -> bool:
    """Whether all values are 0, 1 or missing, with both 0 and 1 present."""
    present = values[np.isfinite(values)]
    are_binary = bool(np.all((present == 0) | (present == 1)))
    return are_binary and present.size > 0 and bool(present.min() < present.max())


def _codes(values: Array) -> Integers:
    """The values as codes 0, 1, ..., in sorted order, in the same shape."""
    _, codes = np.unique(values, return_inverse=True)
    return np.asarray(codes.reshape(values.shape))


def _indicators(codes: Integers, at_most: int) -> Floats:
    """`(n_rows, n_indicators)` indicators of the categories at each step.

    Two categories have a single indicator, that of the second.
    """
    indicators = []
    for step in codes.T:
        label = classes(step[:, None], at_most)
        is_class = label[:, None] == np.arange(label.max() + 1)
        indicators.append(is_class[:, 1:] if is_class.shape[1] == 2 else is_class)
    return np.concatenate(indicators, axis=1, dtype=np.float64)
