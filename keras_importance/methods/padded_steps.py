"""Scores of feature parts of padded sequences: means over the valid steps of the rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from keras_importance.data.padding import of_values
from keras_importance.data.validation_data import ValidationData
from keras_importance.methods.feature_parts import FeaturePart, Members, PartShape, columns_of_parts
from keras_importance.statistics.arrays import Array, Floats, unit_weights


@dataclass(frozen=True, eq=False)
class CountedSteps:
    """Which values of feature parts count, and how much.

    Attributes:
        of_columns: `(n_rows, n_steps, n_parts, width)` True for the values at valid steps.
        counted: `(n_rows, n_steps, n_parts)` 1.0 for the steps at which a column of a part is valid.
        within: the same divided by the number of these steps in the row: the weights of a row's mean.
        rows: `(n_rows, n_parts)` weights of mean 1; 0 for rows without a valid step.
    """

    of_columns: Array
    counted: Floats
    within: Floats
    rows: Floats

    @classmethod
    def of(cls, data: ValidationData, shape: PartShape, members: Members) -> CountedSteps:
        """The values of some rows that count, for the parts of one shape."""
        leaves = [
            of_values(values, valid) for values, valid in zip(data.inputs, data.valid, strict=True)
        ]
        of_columns = columns_of_parts(leaves, members, data.n_rows, shape.n_steps)
        counted = np.asarray(of_columns.any(axis=-1), np.float64)
        n_counted = counted.sum(axis=1)
        rows = unit_weights(data.weights, data.n_rows)[:, None] * (n_counted > 0)
        rows = np.asarray(rows / np.maximum(rows.mean(axis=0), np.finfo(float).tiny))
        return cls(of_columns, counted, counted / np.maximum(n_counted, 1)[:, None], rows)

    def row_means(self, values: Floats) -> Floats:
        """`(n_rows, n_parts)` means of `(n_rows, n_steps, n_parts)` values over a row's valid steps."""
        return np.asarray(np.sum(self.within * values, axis=1))

    def mean(self, of_rows: Floats) -> Floats:
        """`(n_parts,)` weighted means of `(n_rows, n_parts)` values of rows."""
        return np.asarray(np.mean(self.rows * of_rows, axis=0))

    def by_step(self, values: Floats) -> Floats:
        """`(n_steps, n_parts)` weighted means over the rows valid at a step; NaN for none."""
        weights = self.rows[:, None] * self.counted
        totals = weights.sum(axis=0)
        sums = np.sum(weights * values, axis=0)
        return np.asarray(np.divide(sums, totals, out=np.full_like(sums, math.nan), where=totals > 0))


def gradient_part(
    x: Floats, g: Array, steps: CountedSteps, members: Members, *, sums_squares: bool
) -> FeaturePart:
    """The scores of `GradientImportance` for parts of one shape, over valid steps.

    With `L_i` the valid steps of row `i`, `S` the covariance of a part's columns over valid steps (each
    row's mean first), and `q_it = g_it' S g_it`,

        score = mean_i mean_{t in L_i} sqrt(q_it)      or      sqrt(mean_i sum_{t in L_i} q_it)

    Args:
        x: `(n_rows, n_steps, n_parts, width)` values.
        g: `(n_scalars, n_rows, n_steps, n_parts, width)` gradients.
        steps: which of them count.
        members: the parts.
        sums_squares: whether squares are summed, as in the second formula.
    """
    g = np.where(steps.of_columns, g, 0)
    x = _centred(x, steps)
    weights = steps.rows[:, None] * steps.within / len(x)
    covariance = np.einsum("nsf,nsfv,nsfw->fvw", weights, x, x, optimize=True)
    squares = np.einsum("mnsfv,fvw,mnsfw->nsf", g, covariance, g, optimize=True, dtype=np.float64)
    squares = np.maximum(squares, 0.0)
    sizes = np.sqrt(squares)
    if sums_squares:
        rows, slope = np.sum(steps.counted * squares, axis=1), steps.counted
        score, by_step = np.sqrt(steps.mean(rows)), np.sqrt(steps.by_step(squares))
        chain = np.divide(0.5, score, out=np.zeros_like(score), where=score > 0)
    else:
        rows = steps.row_means(sizes)
        slope = steps.within * np.divide(0.5, sizes, out=np.zeros_like(sizes), where=sizes > 0)
        score, by_step, chain = steps.mean(rows), steps.by_step(sizes), np.ones(len(members))
    weights = steps.rows[:, None] * slope / len(x)
    by_covariance = np.einsum("nsf,mnsfv,mnsfw->fvw", weights, g, g, optimize=True)
    spread = np.einsum("nsf,nsfv,fvw,nsfw->nf", steps.within, x, by_covariance, x, optimize=True)
    centred = rows - steps.mean(rows) + spread - steps.mean(spread)
    direction = np.full(len(members), math.nan)
    if x.shape[-1] == 1:
        direction = np.sqrt(covariance[:, 0, 0]) * steps.mean(steps.row_means(g[0, ..., 0]))
    return FeaturePart(
        features=[feature for feature, _ in members],
        score=score,
        influence=chain * steps.rows * centred,
        by_step=by_step,
        direction=direction,
    )


def _centred(x: Floats, steps: CountedSteps) -> Floats:
    """The values minus the means of their columns over valid steps; 0 at padded steps."""
    x = np.where(steps.of_columns, x, 0)
    means = np.einsum("nf,nsf,nsfv->fv", steps.rows, steps.within, x, optimize=True) / len(x)
    return np.where(steps.of_columns, x - means, 0)
