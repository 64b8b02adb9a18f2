"""Importances from how much worse held-out rows are predicted without a feature, and their errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_importance.statistics import (
    Floats,
    Integers,
    influence_standard_error,
    repeats_standard_error,
    weighted_mean,
)

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Worsening:
    """How much worse the rows that a fold held out are scored without each feature.

    Attributes:
        rows: `(n_rows,)` their numbers.
        values: `(n_features, n_seeds, n_rows)` the score without the feature minus that with it, turned
            so that more is worse; NaN where a training failed.
    """

    rows: Integers
    values: Floats


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Importances by leaving features out.

    Attributes:
        importances: `(n_features, n_folds * n_seeds)` mean worsening in each fold, for each seed.
        std_error: `(n_features,)` standard errors of their means.
        degrees: `(n_features,)` degrees of freedom of these.
    """

    importances: Floats
    std_error: Floats
    degrees: Floats


def left_out(
    folds: Sequence[Worsening], weights: Floats | None = None, blocks: Integers | None = None
) -> LeftOut:
    """Importances and their errors, for metrics that are means over rows.

        variance = variance over rows + variance over trainings

    The rows' part is that of a mean of means of folds, whose rows are independent, paired: the row's
    score without the feature and with it come from twins. The other part is how much the trainings
    differ beyond that: between seeds of a fold where there are several, else between folds. It is
    unknown, and taken for 0, for one fold and one seed. Degrees of freedom by Satterthwaite.

    The error is for new rows and new trainings on these training rows; what other training rows would
    change is only seen in so far as the folds differ.

    Args:
        folds: how much worse the held-out rows of each fold are scored.
        weights: `(n_data,)` weights of all rows; None for equal ones.
        blocks: `(n_data,)` blocks of rows that depend on one another; None for separate rows.
    """
    of_folds = np.stack([_means(one, weights) for one in folds], axis=1)  # (features, folds, seeds)
    n_features, n_folds, n_seeds = of_folds.shape
    by_rows, n_rows = _variance_over_rows(folds, of_folds, weights, blocks)
    if n_seeds > 1:
        by_training = of_folds.var(axis=2, ddof=1).mean(axis=1) / (n_folds * n_seeds)
        degrees_of_training = n_folds * (n_seeds - 1)
    elif n_folds > 1:
        between = of_folds.mean(axis=2).var(axis=1, ddof=1) / n_folds
        by_training = np.maximum(between - by_rows, 0.0)
        degrees_of_training = n_folds - 1
    else:
        by_training, degrees_of_training = np.zeros(n_features), 1
    variance = by_rows + by_training
    spread = by_training**2 / degrees_of_training + by_rows**2 / max(n_rows - 1, 1)
    degrees = np.divide(variance**2, spread, out=np.full(n_features, math.inf), where=spread > 0)
    return LeftOut(of_folds.reshape(n_features, -1), np.sqrt(variance), degrees)


def left_out_of_sets(worsening: Floats) -> LeftOut:
    """The same for a metric that is one number for all held-out rows: its error is that of the repeats.

    Args:
        worsening: `(n_features, n_folds * n_seeds)`.
    """
    n_features, n_repeats = worsening.shape
    return LeftOut(
        worsening, repeats_standard_error(worsening), np.full(n_features, max(n_repeats - 1, 1))
    )


def _means(fold: Worsening, weights: Floats | None) -> Floats:
    return weighted_mean(fold.values, None if weights is None else weights[fold.rows])


def _variance_over_rows(
    folds: Sequence[Worsening], of_folds: Floats, weights: Floats | None, blocks: Integers | None
) -> tuple[Floats, int]:
    """Variances of the means of folds, from the rows; and how many rows, or blocks, there are."""
    rows = np.unique(np.concatenate([one.rows for one in folds]))
    influence = np.zeros((len(rows), len(of_folds)))
    for number, fold in enumerate(folds):
        centred = fold.values.mean(axis=1) - of_folds[:, number].mean(axis=-1, keepdims=True)
        if weights is not None:
            of_rows = weights[fold.rows]
            centred = centred * (of_rows / of_rows.mean())
        scale = len(rows) / (len(folds) * len(fold.rows))
        influence[np.searchsorted(rows, fold.rows)] += scale * centred.T
    blocks = None if blocks is None else blocks[rows]
    n_units = len(rows) if blocks is None else len(np.unique(blocks))
    return influence_standard_error(influence, blocks) ** 2, n_units
