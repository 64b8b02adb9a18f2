"""The donors that permutation importance draws, for tests that replace the values by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_importance.data.features import Feature
from keras_importance.methods.donor_tables import donation_orders
from keras_importance.statistics.arrays import Integers, generator
from keras_importance.statistics.donors import Donors, can_be_systematic


def donors_of(
    features: Sequence[Feature],
    inputs: Sequence[Any],
    n_repeats: int,
    seed: int = 0,
    *,
    is_padded: bool = False,
) -> list[Integers]:
    """For each feature `(n_repeats, n_rows)` the donors of all rows: random ones where steps are padded."""
    n_rows, rng = len(inputs[0]), generator(seed, "evaluation")
    if is_padded or not can_be_systematic(n_rows, n_repeats):
        return [Donors.draw(n_rows, n_repeats, rng).rows] * len(features)
    donors = Donors.systematic(donation_orders(features, inputs, n_rows), n_repeats, rng)
    return [donors.rows_for(feature) for feature in range(len(features))]


def donors_of_columns(x: Any, n_repeats: int, seed: int = 0) -> list[Integers]:
    """For each column of an input `(n_repeats, n_rows)` the donors of all rows."""
    x = np.asarray(x, np.float32)
    return donors_of([Feature(str(c), ((0, c),)) for c in range(x.shape[-1])], [x], n_repeats, seed)
