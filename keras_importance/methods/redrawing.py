"""Redraws features given the others: residuals of numbers, draws of categories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_importance.data.features import Column, Feature, FeatureSet
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.scores.sample import Replacement
from keras_importance.statistics.arrays import Array, Floats, Integers, generator
from keras_importance.statistics.category_draws import class_probabilities, classes, drawn_rows
from keras_importance.statistics.residuals import Residuals, residuals

_MAX_CLASSES = 50
# A regression of categories on all other columns draws exactly on what they say, but follows the rows it
# was fitted to: with fewer rows it is one on what left-out regressions predict, which follows none.
_ROWS_A_SLOPE = 10
_MAX_SLOPES = 1000
# Of a column of categories the regressions of the others see as many indicators, of many columns fewer.
_MAX_INDICATORS = 20
_MAX_ELEMENTS = 20_000


def conditional_replacement(
    data: ValidationData, features: FeatureSet, n_repeats: int, seed: int = 0
) -> Replacement:
    """What redraws each feature given the others: means and donors' residuals, or draws of categories.

    Args:
        data: the rows.
        features: the features; each is redrawn given all columns outside of it.
        n_repeats: how many draws of categories there are.
        seed: seed of the draws, which are the same for all features.
    """
    elements = _Elements.of(data, features)
    found = residuals(elements.values, elements.of_features, data.weights, data.blocks)
    drawn = elements.inputs_drawn(features)
    drafts = [_Draft(values, n_repeats, i in drawn) for i, values in enumerate(data.inputs)]
    for feature, numbers in zip(features.features, elements.of_features, strict=True):
        categories = [column for column in feature.columns if column in elements.categories]
        if not categories:
            for column in feature.columns:
                drafts[column[0]].shift(column[1], *elements.residuals_of(column, found))
            continue
        codes = np.column_stack([elements.categories[column] for column in categories])
        label = classes(codes, _MAX_CLASSES)
        known = elements.known_of(numbers, found, int(label.max()) + 1)
        chances = class_probabilities(known, label, data.weights)
        rows = drawn_rows(chances, label, n_repeats, generator(seed, "categories"), data.weights)
        for column in feature.columns:
            if column in elements.categories:
                drafts[column[0]].draw(column[1], rows)
            else:
                drafts[column[0]].move(column[1], *elements.residuals_of(column, found), rows)
    return Replacement(
        donated=tuple(draft.donated for draft in drafts), kept=tuple(draft.kept for draft in drafts)
    )


class _Draft:
    """What takes the place of one input's columns, filled in column by column.

    Args:
        values: the input.
        n_draws: how many draws of categories there are.
        is_drawn: whether rows are drawn for one of its columns, so that each repeat keeps its own.
    """

    def __init__(self, values: Array, n_draws: int, is_drawn: bool) -> None:
        self._values = _with_columns(values)
        shape = (n_draws, *self._values.shape) if is_drawn else self._values.shape
        self._kept = np.broadcast_to(self._values, shape).copy()
        self._donated = np.zeros_like(self._values) if values.dtype.kind == "f" else None
        self._is_flat = values.ndim == 1

    def shift(self, column: int, residual: Array, scaled: Array) -> None:
        """Keeps the mean and gets the donor's residual."""
        assert self._donated is not None  # noqa: S101 (only numbers have residuals)
        self._kept[..., column] -= residual
        self._donated[..., column] = scaled

    def draw(self, column: int, rows: Integers) -> None:
        """Gets the values of drawn rows."""
        self._kept[..., column] = self._values[..., column][rows]

    def move(self, column: int, residual: Array, scaled: Array, rows: Integers) -> None:
        """Keeps the mean and gets the residual of drawn rows."""
        self._kept[..., column] += scaled[rows] - residual

    @property
    def kept(self) -> Array:
        return self._kept[..., 0] if self._is_flat else self._kept

    @property
    def donated(self) -> Array | None:
        return self._donated[..., 0] if self._donated is not None and self._is_flat else self._donated


@dataclass(frozen=True, eq=False)
class _Elements:
    """The inputs as one table of numbers, for the linear regressions.

    Attributes:
        values: `(n_rows, n_elements)`: numbers as they are, one for each step; of categories indicators.
        of_columns: for each column the numbers of its elements.
        of_features: for each feature the numbers of its elements.
        categories: codes `(n_rows, n_steps)` of the columns that hold categories.
        inputs: the inputs.
    """

    values: Floats
    of_columns: dict[Column, Integers]
    of_features: list[Integers]
    categories: dict[Column, Integers]
    inputs: tuple[Array, ...]

    @classmethod
    def of(cls, data: ValidationData, features: FeatureSet) -> _Elements:
        steps = {column: _steps_of(data, column) for one in features.features for column in one.columns}
        categories = {c: _codes(values) for c, values in steps.items() if _holds_categories(values)}
        n_codes = sum(codes.shape[1] for codes in categories.values())
        at_most = int(np.clip(_MAX_ELEMENTS // max(1, n_codes), 2, _MAX_INDICATORS))
        parts = [
            _indicators(categories[column], at_most) if column in categories else values
            for column, values in steps.items()
        ]
        ends = np.cumsum([0, *(part.shape[1] for part in parts)])
        of_columns = {c: np.arange(*ends[[i, i + 1]]) for i, c in enumerate(steps)}
        of_features = [_joined(one, of_columns) for one in features.features]
        values = np.concatenate(parts, axis=1, dtype=np.float64)
        return cls(values, of_columns, of_features, categories, data.inputs)

    def inputs_drawn(self, features: FeatureSet) -> set[int]:
        """The inputs of features with categories; numbers beside them are drawn with them."""
        with_categories = (
            one for one in features.features if any(column in self.categories for column in one.columns)
        )
        return {place for one in with_categories for place, _ in one.columns}

    def known_of(self, numbers: Integers, found: Residuals, n_classes: int) -> Floats:
        """What the other elements say of some: themselves, or where they are many their predictions."""
        n_rows, n_elements = self.values.shape
        n_slopes = (n_elements - len(numbers)) * n_classes
        if 0 < n_slopes <= min(n_rows // _ROWS_A_SLOPE, _MAX_SLOPES):
            return np.delete(self.values, numbers, axis=1)
        return self.values[:, numbers] - found.values[:, numbers]

    def residuals_of(self, column: Column, found: Residuals) -> tuple[Array, Array]:
        """The residuals of a column of numbers, in the input's type, and those that donors give."""
        numbers, values = self.of_columns[column], _with_columns(self.inputs[column[0]])
        residual = found.values[:, numbers]
        both = (residual, residual * found.scale[numbers])
        first, second = (one.reshape(values.shape[:-1]).astype(values.dtype) for one in both)
        return first, second


def _joined(feature: Feature, of_columns: dict[Column, Integers]) -> Integers:
    return np.concatenate([of_columns[column] for column in feature.columns])


def _with_columns(values: Array) -> Array:
    return values[:, None] if values.ndim == 1 else values


def _steps_of(data: ValidationData, column: Column) -> Array:
    """`(n_rows, n_steps)` values of a column."""
    values = _with_columns(data.inputs[column[0]])[..., column[1]]
    return values.reshape(len(values), -1)


def _holds_categories(values: Array) -> bool:
    """Whether a column holds integers or strings, or nothing but 0 and 1, and both."""
    if values.dtype.kind != "f":
        return True
    return bool(np.all((values == 0) | (values == 1))) and values.min() < values.max()


def _codes(values: Array) -> Integers:
    _, codes = np.unique(values, return_inverse=True)
    return np.asarray(codes.reshape(values.shape))


def _indicators(codes: Integers, at_most: int) -> Floats:
    """For each step the indicators of its categories, of two categories that of one."""
    parts = []
    for step in codes.T:
        label = classes(step[:, None], at_most)
        is_class = label[:, None] == np.arange(label.max() + 1)
        parts.append(is_class[:, 1:] if is_class.shape[1] == 2 else is_class)
    return np.concatenate(parts, axis=1, dtype=np.float64)
