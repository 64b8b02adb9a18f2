"""Importances from how much worse held-out rows are predicted without a feature, and their errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_importance.statistics.arrays import Floats, Integers
from keras_importance.statistics.influence import repeats_standard_error

# Keeps rounding errors from taking degrees of freedom below a whole number.
_ROUNDING = 1 + 1e-9


@dataclass(frozen=True, eq=False)
class FoldDifferences:
    """How much worse the rows that a fold held out are scored without each feature.

    Attributes:
        rows: `(n_rows,)` their numbers.
        values: `(n_features, n_seeds, n_rows)` the score without the feature minus that with it, turned
            so that more is worse; NaN where a training failed.
    """

    rows: Integers
    values: Floats


@dataclass(frozen=True, eq=False)
class HeldOutEstimate:
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
    folds: Sequence[FoldDifferences], weights: Floats | None = None, blocks: Integers | None = None
) -> HeldOutEstimate:
    """Importances and their errors, for metrics that are means over rows.

        variance = variance over rows + variance over trainings

    The rows' part is that of a mean of means of folds, paired: the row's score without the feature and
    with it come from twins. A row that several folds hold out counts once, with all that it adds. The
    other part is how much the trainings differ beyond what their rows explain: between seeds of a fold
    where there are several, else between folds. It is unknown, and taken for 0, for one fold and one
    seed.

    Degrees of freedom are Satterthwaite's. Where trainings differ less than their rows explain, that is
    partly chance: the spread then counts with the square of its degrees. So 95% intervals cover .93 to
    .98 for three trainings or more, whatever their noise; for two that differ much more than their rows
    do, only .88 to .91.

    The error is for new rows and new trainings on these training rows; what other training rows would
    change is only seen in so far as the folds differ.

    Args:
        folds: how much worse the held-out rows of each fold are scored.
        weights: `(n_data,)` weights of all rows; None for equal ones.
        blocks: `(n_data,)` blocks of rows that depend on one another; None for separate rows.
    """
    parts = [_FoldSums.of(one, weights, blocks) for one in folds]
    means = np.stack([one.means for one in parts], axis=1)  # (features, folds, seeds)
    n_features, n_folds, n_seeds = means.shape
    units = np.unique(np.concatenate([one.units for one in parts]))
    by_rows, explained = _variances_by_rows(parts, units, means.mean(axis=(1, 2)))
    between, degrees_of_training = np.zeros(n_features), 1
    if n_seeds > 1:
        between = means.var(axis=2, ddof=1).sum(axis=1) / (n_folds**2 * n_seeds)
        explained = sum(one.between_seeds() for one in parts) / (n_folds**2 * n_seeds)
        degrees_of_training = n_folds * (n_seeds - 1)
    elif n_folds > 1:
        between = means[..., 0].var(axis=1, ddof=1) / n_folds
        degrees_of_training = n_folds - 1
    exceeds = between > explained
    of_rows = np.where(exceeds, by_rows - explained, by_rows)
    variance = np.where(exceeds, of_rows + between, by_rows)
    certainty = np.where(exceeds, degrees_of_training, degrees_of_training**2)
    spread = between**2 / certainty + of_rows**2 / max(len(units) - 1, 1)
    degrees = np.divide(variance**2, spread, out=np.full(n_features, math.inf), where=spread > 0)
    return HeldOutEstimate(
        means.reshape(n_features, -1), np.sqrt(variance), np.maximum(degrees * _ROUNDING, 1.0)
    )


def left_out_of_sets(worsening: Floats, n_folds: int = 1) -> HeldOutEstimate:
    """The same for a metric that is one number for all held-out rows: its error is that of the repeats.

    Between folds where there are several, as the seeds of a fold share its rows; else between seeds.

    Args:
        worsening: `(n_features, n_folds * n_seeds)`, fold by fold.
        n_folds: how many folds there are.
    """
    repeats = worsening
    if n_folds > 1:
        repeats = worsening.reshape(len(worsening), n_folds, -1).mean(axis=2)
    degrees = np.full(len(repeats), max(repeats.shape[1] - 1, 1))
    return HeldOutEstimate(worsening, repeats_standard_error(repeats), degrees)


@dataclass(frozen=True, eq=False)
class _FoldSums:
    """What each row, or block of rows, adds to the means of the trainings of one fold.

    Attributes:
        units: `(n_units,)` numbers of the rows or blocks, in order.
        sums: `(n_features, n_seeds, n_units)` what they add; their sum is the mean of a training.
        shares: `(n_units,)` their shares of the weight.
    """

    units: Integers
    sums: Floats
    shares: Floats

    @classmethod
    def of(cls, fold: FoldDifferences, weights: Floats | None, blocks: Integers | None) -> _FoldSums:
        """The parts of a fold's rows."""
        shares = np.ones(len(fold.rows)) if weights is None else weights[fold.rows]
        shares = shares / shares.sum()
        labels = fold.rows if blocks is None else blocks[fold.rows]
        order = np.argsort(labels, kind="stable")
        units, first = np.unique(labels[order], return_index=True)
        sums = np.add.reduceat(fold.values[..., order] * shares[order], first, axis=-1)
        return cls(units, sums, np.add.reduceat(shares[order], first))

    @property
    def means(self) -> Floats:
        """`(n_features, n_seeds)` mean of each training."""
        return np.asarray(self.sums.sum(axis=-1))

    def around(self, centre: Floats) -> Floats:
        """What the units add beyond a centre `(n_features, n_seeds)`."""
        return np.asarray(self.sums - centre[..., None] * self.shares)

    def between_seeds(self) -> Floats:
        """`(n_features,)` variance of the mean between seeds that rows explain, which vary with them."""
        n_units = len(self.units)
        varying = self.around(self.means).var(axis=1, ddof=1).sum(axis=-1)
        return np.asarray(varying * n_units / max(n_units - 1, 1))


def _variances_by_rows(
    parts: Sequence[_FoldSums], units: Integers, centre: Floats
) -> tuple[Floats, Floats]:
    """Variances by rows of the mean of all trainings, and of the mean of folds as their spread tells it.

    They are equal where no row is held out twice.
    """
    n_folds, n_units = len(parts), len(units)
    if n_units < 2:
        return np.full(len(centre), math.nan), np.full(len(centre), math.nan)
    added, squares = np.zeros((len(centre), n_units)), np.zeros(len(centre))
    for one in parts:
        of_fold = one.around(centre[:, None]).mean(axis=1)
        added[:, np.searchsorted(units, one.units)] += of_fold / n_folds
        squares += np.sum(of_fold**2, axis=1)
    few = n_units / (n_units - 1)
    of_mean = np.sum(added**2, axis=1)
    spread = (squares - n_folds * of_mean) / (n_folds * max(n_folds - 1, 1))
    return few * of_mean, few * spread
