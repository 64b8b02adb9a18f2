"""Feature parts: the columns of a feature in inputs with equally many time steps.

The gradients of a part are one array. A feature over inputs of different lengths has several parts, and
their scores are joined to the score of the feature.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from keras_importance.data.columns import Column
from keras_importance.engine.evaluator import Evaluator
from keras_importance.statistics.arrays import Array, Floats, Integers
from keras_importance.statistics.influence import influence_standard_error


class PartShape(NamedTuple):
    """The shape of a feature part. Parts of the same shape are scored together.

    Attributes:
        n_steps: number of steps of the inputs.
        width: number of columns of a part.
        is_whole: whether a part is all of its feature.
        is_padded: whether an input of a part has padded steps.
    """

    n_steps: int
    width: int
    is_whole: bool
    is_padded: bool = False


Members = list[tuple[int, tuple[Column, ...]]]
"""For each part the index of its feature, and the columns of the part."""


@dataclass(frozen=True, eq=False)
class FeaturePart:
    """Scores of feature parts of the same shape, in the method's unit.

    Attributes:
        features: for each part the index of its feature.
        score: `(n_parts,)` scores.
        influence: `(n_rows, n_parts)` influence of each row on the score; None if `std_error` is given.
        by_step: `(n_steps, n_parts)` scores at each time step.
        direction: `(n_parts,)` signed mean effects; NaN for a part with several columns.
        std_error: `(n_parts,)` standard errors of the scores, if `influence` is None.
    """

    features: list[int]
    score: Floats
    influence: Floats | None
    by_step: Floats
    direction: Floats
    std_error: Floats | None = None


def parts_of(evaluator: Evaluator, without: Mapping[str, str] | None = None) -> dict[PartShape, Members]:
    """The parts of all features, by shape; without the parts of the features named in `without`."""
    parts = evaluator.once("feature parts", lambda: _all_parts(evaluator))
    if not without:
        return parts
    names = evaluator.features.names
    kept = {
        shape: [(feature, columns) for feature, columns in members if names[feature] not in without]
        for shape, members in parts.items()
    }
    return {shape: members for shape, members in kept.items() if members}


def _all_parts(evaluator: Evaluator) -> dict[PartShape, Members]:
    steps = [math.prod(values.shape[1:-1]) for values in evaluator.data.inputs]
    parts: dict[PartShape, Members] = {}
    for index, feature in enumerate(evaluator.features.features):
        by_steps: dict[int, list[Column]] = {}
        for column in feature.columns:
            by_steps.setdefault(steps[column[0]], []).append(column)
        for n_steps, columns in by_steps.items():
            is_padded = any(evaluator.data.valid[index] is not None for index, _ in columns)
            shape = PartShape(n_steps, len(columns), len(by_steps) == 1, is_padded)
            parts.setdefault(shape, []).append((index, tuple(columns)))
    return parts


def columns_of_parts(
    leaves: Sequence[Array | None], members: Members, n_rows: int, n_steps: int
) -> Array:
    """`(n_rows, n_steps, n_parts, width)` values of the parts' columns.

    Args:
        leaves: for each input an array of the shape of the input; None stands for zeros.
        members: the parts.
        n_rows: number of rows.
        n_steps: number of steps.
    """
    columns = [
        _column(leaves[input_index], column, n_rows, n_steps)
        for _, columns in members
        for input_index, column in columns
    ]
    return np.stack(columns, axis=-1).reshape(n_rows, n_steps, len(members), -1)


def _column(leaf: Array | None, column: int, n_rows: int, n_steps: int) -> Array:
    if leaf is None:
        return np.zeros((n_rows, n_steps))
    return leaf.reshape(n_rows, n_steps, -1)[:, :, column]


# --- from parts to features -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FeatureValues:
    """Scores of features, joined from the scores of their parts; NaN for a feature without parts.

    Attributes:
        score: `(n_features,)` scores: the square root of the sum of the squared scores of the parts.
        std_error: `(n_features,)` standard errors of the scores.
        direction: `(n_features,)` signed mean effects; NaN also for a feature with several columns.
    """

    score: Floats
    std_error: Floats
    direction: Floats

    @classmethod
    def of(cls, parts: Sequence[FeaturePart], n_features: int, blocks: Integers | None) -> FeatureValues:
        """Joins the scores of each feature's parts.

        Args:
            parts: the scored parts.
            n_features: how many features there are.
            blocks: `(n_rows,)` block of each row, where rows depend on one another; None for independent
                rows.
        """
        squares = np.full(n_features, math.nan)
        direction = np.full(n_features, math.nan)
        n_parts = np.zeros(n_features, int)
        for part in parts:
            squares[part.features] = np.nan_to_num(squares[part.features]) + part.score**2
            direction[part.features] = part.direction
            n_parts[part.features] += 1
        direction[n_parts > 1] = math.nan
        score = np.sqrt(squares)
        return cls(score, _standard_errors(parts, score, blocks), direction)

    def without(self, features: Sequence[int]) -> FeatureValues:
        """A copy with NaN as score and standard error of the features with these indices."""
        is_without = np.isin(np.arange(len(self.score)), features)
        score, std_error = (
            np.where(is_without, math.nan, values) for values in (self.score, self.std_error)
        )
        return replace(self, score=score, std_error=std_error)


def _standard_errors(parts: Sequence[FeaturePart], score: Floats, blocks: Integers | None) -> Floats:
    """`(n_features,)` standard errors.

    The influence of a row on a feature is `sum over its parts (score · influence) / score of feature`.
    """
    std_error = np.full(len(score), math.nan)
    products: dict[int, Floats] = {}
    for part in parts:
        if part.influence is None:
            std_error[part.features] = part.std_error
            continue
        for index, feature in enumerate(part.features):
            product = part.score[index] * part.influence[:, index]
            products[feature] = products.get(feature, 0.0) + product
    for feature, product in products.items():
        influence = product / score[feature] if score[feature] > 0 else 0.0 * product
        std_error[feature] = influence_standard_error(influence, blocks)
    return std_error


def by_step_of(evaluator: Evaluator, parts: Sequence[FeaturePart]) -> Floats | None:
    """`(n_steps, n_features)` scores at each step; None unless all sequences are equally long."""
    lengths = {values.shape[1] for values in evaluator.data.inputs if values.ndim == 3}
    if len(lengths) != 1 or any(values.ndim > 3 for values in evaluator.data.inputs):
        return None
    n_steps = lengths.pop()
    by_step = np.full((n_steps, len(evaluator.features)), math.nan)
    for part in parts:
        if len(part.by_step) == n_steps:
            by_step[:, part.features] = part.by_step
    return by_step
