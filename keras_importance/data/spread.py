"""Moments of the columns of an input: how far their values spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_importance.data.padding import Valid, of_values
from keras_importance.statistics.arrays import (
    Array,
    Floats,
    filled_columns,
    present_fraction,
    unit_weights,
)


@dataclass(frozen=True, eq=False)
class Spread:
    """Weighted moments of columns, with weights `w` of mean 1.

    `q_i` is the mean over time steps of row `i`'s squared distance from the mean of the column. The
    moments are means over the rows `i`. Padded steps don't count, nor do rows without a valid step.

    Attributes:
        mean: `(n_columns,)` weighted mean of the values.
        variance: `(n_columns,)` mean of `w_i q_i`: the weighted variance of the values.
        q: `(n_columns,)` mean of `w_i² q_i`.
        q_squared: `(n_columns,)` mean of `w_i² q_i²`.
        weight_squared: mean of `w_i²`.
    """

    mean: Floats
    variance: Floats
    q: Floats
    q_squared: Floats
    weight_squared: float

    @staticmethod
    def joined(parts: Sequence[Spread]) -> Spread:
        """The spread of the columns of several inputs, one after the other."""
        names = ("mean", "variance", "q", "q_squared")
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return Spread(**columns, weight_squared=parts[0].weight_squared)


def spread_of(values: Array, weights: Floats | None, valid: Valid | None = None) -> Spread:
    """The spread of the columns of an input; zeros for an input that holds no numbers.

    Missing values, NaN or infinite, and padded steps don't count.
    """
    n_rows, n_columns = len(values), values.shape[-1] if values.ndim > 1 else 1
    if values.dtype.kind not in "fiub":
        zeros = np.zeros(n_columns)
        return Spread(zeros, zeros, zeros, zeros, weight_squared=1.0)
    w = unit_weights(weights, n_rows)
    x = values.reshape(n_rows, -1, n_columns).astype(np.float64)
    present = np.isfinite(x)
    x = filled_columns(x, w)
    if valid is not None:
        return _spread_of_padded(x, w, of_values(values, valid).reshape(x.shape))
    mean = np.einsum("n,nsc->c", w, x) / x[..., 0].size
    # A filled value adds nothing: the moments are those of the present values.
    q = np.square(x - mean).mean(axis=1) / present_fraction(present, w)
    return Spread(mean, w @ q / n_rows, w**2 @ q / n_rows, w**2 @ q**2 / n_rows, float(np.mean(w**2)))


def _spread_of_padded(x: Floats, w: Floats, counts: Array) -> Spread:
    """The spread over the values that count; row `i`'s mean is one over its own valid steps.

    Args:
        x: `(n_rows, n_steps, n_columns)` values.
        w: `(n_rows,)` weights of the rows.
        counts: whether each value counts.
    """
    n_counted = counts.sum(axis=1)
    w = w[:, None] * (n_counted > 0)
    w = w / np.maximum(w.mean(axis=0), np.finfo(float).tiny)

    def row_means(of_values: Floats) -> Floats:
        return np.asarray(np.where(counts, of_values, 0).sum(axis=1) / np.maximum(n_counted, 1))

    mean = np.mean(w * row_means(x), axis=0)
    q = row_means(np.square(x - mean))
    variance, q_mean, q_squared = (np.mean(each, axis=0) for each in (w * q, w**2 * q, w**2 * q**2))
    return Spread(mean, variance, q_mean, q_squared, float(np.mean(w**2)))
