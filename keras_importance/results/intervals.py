"""The 95% intervals of importances, one feature or set at a time."""

from __future__ import annotations

import numpy as np

from keras_importance.statistics.arrays import Floats
from keras_importance.statistics.quantiles import tail_quantile

LEVEL = 0.95


def half_width(std_error: Floats, degrees: Floats) -> Floats:
    """`(n,)` half widths of 95% intervals: `std_error` times the two-sided quantile of Student's t.

    Args:
        std_error: `(n,)` standard errors.
        degrees: `(n,)` degrees of freedom; NaN for a normal distribution.
    """
    # Most features have the same degrees of freedom.
    different, which = np.unique(degrees, return_inverse=True)
    quantiles = np.array([tail_quantile((1 - LEVEL) / 2, df) for df in different])
    return np.asarray(quantiles[which] * std_error)
