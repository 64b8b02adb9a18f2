"""The 95% intervals of importances, one feature or set at a time."""

from __future__ import annotations

import numpy as np

from keras_importance.statistics.arrays import Floats
from keras_importance.statistics.quantiles import tail_quantile

LEVEL = 0.95


def half_width(std_error: Floats, degrees: Floats) -> Floats:
    """Half the width of each interval: Student's quantile at the degrees of freedom times the error."""
    quantiles = [tail_quantile((1 - LEVEL) / 2, df) for df in degrees]
    return np.asarray(np.array(quantiles) * std_error)
