"""Groups of the features of one cut, which share a program."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from keras_importance.engine.cut.cut import Cut
from keras_importance.statistics.arrays import Integers


def by_width(cut: Cut) -> list[Integers]:
    """Groups features whose element counts at every linear entry round up to the same power of two."""
    members = np.array(cut.features, np.int64)
    n_features = members.max(initial=0) + 1
    widths = [
        np.bincount(entry.dependence[entry.dependence >= 0].ravel(), minlength=n_features)[members]
        for entry in cut.entries
        if entry.form is not None
    ]
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for position, feature in enumerate(cut.features):
        groups[tuple(int(width[position] - 1).bit_length() for width in widths)].append(feature)
    return [np.array(features, np.int64) for features in groups.values()]
