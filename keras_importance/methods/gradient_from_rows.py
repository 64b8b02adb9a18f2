"""Gradient importance of feature parts of any shape, from the gradients of each row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.gradients.differentiator import InputGradients
from keras_importance.methods.feature_parts import (
    FeaturePart,
    Members,
    PartShape,
    columns_of_parts,
)
from keras_importance.methods.padded_steps import CountedSteps, gradient_part
from keras_importance.statistics.arrays import (
    Array,
    Floats,
    present_fraction,
    unit_weights,
    weighted_mean,
)

Aggregation = Literal["mean", "rms"]


@dataclass(frozen=True, eq=False)
class ScorerFromRows:
    """Scores feature parts from the gradients of each row, by the formula of `GradientImportance`.

    Attributes:
        data: the rows.
        passes: for each differentiated scalar the gradients of all rows.
        aggregation: how the sizes of the gradients are averaged over rows and steps.
    """

    data: ValidationData
    passes: Sequence[InputGradients]
    aggregation: Aggregation

    @property
    def has_gradient(self) -> Sequence[bool]:
        """For each input whether there is a gradient with respect to it."""
        return [self.passes[0].has(index) for index in range(len(self.data.inputs))]

    def scored(self, shape: PartShape, members: Members) -> FeaturePart:
        """The scores of parts of one shape."""
        size, weights = (
            (self.data.n_rows, shape.n_steps),
            unit_weights(self.data.weights, self.data.n_rows),
        )
        x = columns_of_parts(self.data.filled, members, *size).astype(np.float64)
        if not shape.is_padded:
            x -= weighted_mean(x.mean(axis=1), weights, axis=0)
        if self.data.missing:
            # A filled value adds nothing: the spread is that of the present values.
            values = columns_of_parts(self.data.inputs, members, *size)
            flat = np.isfinite(values).reshape(*size, -1)
            x /= np.sqrt(present_fraction(flat, weights)).reshape(x.shape[2:])
        g = np.stack([columns_of_parts(gradients.arrays, members, *size) for gradients in self.passes])
        if shape.is_padded:
            steps = CountedSteps.of(self.data, shape, members)
            return gradient_part(x, g, steps, members, sums_squares=self.aggregation == "rms")
        covariance = np.einsum("n,nsfv,nsfw->fvw", weights, x, x, optimize=True) / x[..., 0, 0].size
        squares = np.einsum("mnsfv,fvw,mnsfw->nsf", g, covariance, g, optimize=True, dtype=np.float64)
        aggregate = _AGGREGATES[self.aggregation](np.maximum(squares, 0.0), weights)
        return FeaturePart(
            features=[feature for feature, _ in members],
            score=aggregate.score,
            influence=_influence(aggregate, g, x, weights),
            by_step=aggregate.by_step,
            direction=_direction(g, covariance, weights),
        )


@dataclass(frozen=True, eq=False)
class _Aggregate:
    """The score of each part, and the derivatives that its standard error needs.

    Attributes:
        by_step: `(n_steps, n_parts)` scores at each step.
        score: `(n_parts,)` scores.
        rows: `(n_rows, n_parts)` contributions of the rows; their mean is the score, or for `"rms"` the
            square of the score.
        slope: `(n_rows, n_steps, n_parts)` derivative of `rows` with respect to the squared sizes.
        chain: `(n_parts,)` derivative of the score with respect to the mean of `rows`.
    """

    by_step: Floats
    score: Floats
    rows: Floats
    slope: Floats
    chain: Floats


def _mean(squares: Floats, weights: Floats) -> _Aggregate:
    """The mean of the sizes over rows and steps, from their squares `(n_rows, n_steps, n_parts)`."""
    sizes = np.sqrt(squares)
    by_step = weighted_mean(sizes, weights, axis=0)
    score = by_step.mean(axis=0)
    slope = np.divide(0.5, sizes, out=np.zeros_like(sizes), where=sizes > 0) / sizes.shape[1]
    return _Aggregate(by_step, score, sizes.mean(axis=1), slope, np.ones_like(score))


def _root_mean_square(squares: Floats, weights: Floats) -> _Aggregate:
    """The square root of `mean over rows (sum over steps size²)`, from the squares of the sizes."""
    by_step = np.sqrt(weighted_mean(squares, weights, axis=0))
    score = np.sqrt(np.sum(by_step**2, axis=0))
    chain = np.divide(0.5, score, out=np.zeros_like(score), where=score > 0)
    return _Aggregate(by_step, score, squares.sum(axis=1), np.ones_like(squares), chain)


_AGGREGATES: dict[Aggregation, Callable[[Floats, Floats], _Aggregate]] = {
    "mean": _mean,
    "rms": _root_mean_square,
}


def _influence(aggregate: _Aggregate, g: Array, x: Floats, weights: Floats) -> Floats:
    """`(n_rows, n_parts)` influence of each row on the scores.

    It has two terms: the row's own gradient sizes, and its contribution to the covariance `S_j`.
    """
    n_rows, n_steps = aggregate.slope.shape[:2]
    by_covariance = np.einsum("n,nsf,mnsfv,mnsfw->fvw", weights, aggregate.slope, g, g, optimize=True)
    by_covariance = by_covariance / n_rows
    spread = np.einsum("nsfv,fvw,nsfw->nf", x, by_covariance, x, optimize=True) / n_steps
    rows = aggregate.rows
    centred = (
        rows - weighted_mean(rows, weights, axis=0) + spread - weighted_mean(spread, weights, axis=0)
    )
    return np.asarray(aggregate.chain * weights[:, None] * centred)


def _direction(g: Array, covariance: Floats, weights: Floats) -> Floats:
    """`(n_parts,)` mean gradient of the first scalar times the spread; NaN for several columns."""
    if g.shape[-1] > 1:
        return np.full(g.shape[-2], math.nan)
    mean_gradient = weighted_mean(g[0, :, :, :, 0].mean(axis=1), weights, axis=0)
    return np.asarray(np.sqrt(covariance[:, 0, 0]) * mean_gradient)
