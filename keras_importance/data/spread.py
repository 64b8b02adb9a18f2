"""Moments of the columns of an input: how far their values spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
    moments are means over the rows `i`.

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


def spread_of(values: Array, weights: Floats | None) -> Spread:
    """The spread of the columns of an input; zeros for an input that holds no numbers.

    Missing values, NaN or infinite, don't count.
    """
    n_rows, n_columns = len(values), values.shape[-1] if values.ndim > 1 else 1
    if values.dtype.kind not in "fiub":
        zeros = np.zeros(n_columns)
        return Spread(zeros, zeros, zeros, zeros, weight_squared=1.0)
    w = unit_weights(weights, n_rows)
    x = values.reshape(n_rows, -1, n_columns).astype(np.float64)
    present = np.isfinite(x)
    x = filled_columns(x, w)
    mean = np.einsum("n,nsc->c", w, x) / x[..., 0].size
    # A filled value adds nothing: the moments are those of the present values.
    q = np.square(x - mean).mean(axis=1) / present_fraction(present, w)
    return Spread(mean, w @ q / n_rows, w**2 @ q / n_rows, w**2 @ q**2 / n_rows, float(np.mean(w**2)))
