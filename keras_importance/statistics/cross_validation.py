"""Importances and their standard errors, from the scores of held-out rows with and without a feature."""

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
    """How much worse each held-out row of a fold is scored without each feature.

    Attributes:
        rows: `(n_rows,)` indices of the held-out rows.
        values: `(n_features, n_seeds, n_rows)` score without the feature minus score with it, in the
            unit of the metric, with the sign that makes worse larger; NaN where a training failed.
    """

    rows: Integers
    values: Floats


@dataclass(frozen=True, eq=False)
class HeldOutEstimate:
    """Importances by leaving features out, estimated on held-out rows.

    Attributes:
        importances: `(n_features, n_folds * n_seeds)` mean worsening in each fold, for each seed, in the
            unit of the metric.
        std_error: `(n_features,)` standard errors of the means over folds and seeds.
        degrees: `(n_features,)` degrees of freedom of the standard errors.
    """

    importances: Floats
    std_error: Floats
    degrees: Floats


def left_out(
    folds: Sequence[FoldDifferences], weights: Floats | None = None, blocks: Integers | None = None
) -> HeldOutEstimate:
    """Importances and their standard errors, for metrics that are means over rows.

        variance = variance over rows + variance over trainings

    The variance over rows is that of the mean over folds of paired differences. They are paired because
    the scores of a row with and without the feature come from models trained alike. A row that several
    folds hold out counts once, with the sum of its contributions.

    The variance over trainings is how much the trainings differ beyond what their rows explain. It is
    taken between the seeds of a fold where there are several, else between folds. For one fold and one
    seed it is unknown, and taken as 0.

    Degrees of freedom are Satterthwaite's. Where trainings differ less than their rows explain, that is
    partly chance: the variance between trainings then counts with the square of its degrees of freedom.
    So 95% intervals cover .93 to .98 for three trainings or more, whatever their noise. For two
    trainings that differ much more than their rows do, they cover only .88 to .91.

    The error is for new rows and new trainings on these training rows. The effect of other training rows
    shows only as far as the folds differ.

    Args:
        folds: the differences of each fold.
        weights: `(n_data,)` weights of all rows; None for equal ones.
        blocks: `(n_data,)` blocks of rows that depend on one another; None for separate rows.
    """
    sums = [_FoldSums.of(fold, weights, blocks) for fold in folds]
    means = np.stack([of_fold.means for of_fold in sums], axis=1)  # (n_features, n_folds, n_seeds)
    n_features, n_folds, n_seeds = means.shape
    units = np.unique(np.concatenate([of_fold.units for of_fold in sums]))
    by_rows, explained = _variances_by_rows(sums, units, means.mean(axis=(1, 2)))
    between, degrees_of_training = np.zeros(n_features), 1
    if n_seeds > 1:
        between = means.var(axis=2, ddof=1).sum(axis=1) / (n_folds**2 * n_seeds)
        explained = sum(of_fold.between_seeds() for of_fold in sums) / (n_folds**2 * n_seeds)
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
    """Importances and their standard errors, for a metric that is one number for all held-out rows.

    With several folds the standard error is that of a mean over folds, as the seeds of a fold share its
    rows. With one fold it is that of a mean over seeds.

    Args:
        worsening: `(n_features, n_folds * n_seeds)` how much worse the metric is without the feature,
            fold by fold.
        n_folds: how many folds there are.
    """
    repeats = worsening
    if n_folds > 1:
        repeats = worsening.reshape(len(worsening), n_folds, -1).mean(axis=2)
    degrees = np.full(len(repeats), max(repeats.shape[1] - 1, 1))
    return HeldOutEstimate(worsening, repeats_standard_error(repeats), degrees)


@dataclass(frozen=True, eq=False)
class _FoldSums:
    """The contribution of each unit, a row or a block of rows, to the mean differences in one fold.

    Attributes:
        units: `(n_units,)` labels of the units, in ascending order.
        sums: `(n_features, n_seeds, n_units)` contributions of the units; their sum over the units is
            the mean difference of a training.
        fractions: `(n_units,)` fraction of the fold's weight that each unit has.
    """

    units: Integers
    sums: Floats
    fractions: Floats

    @classmethod
    def of(cls, fold: FoldDifferences, weights: Floats | None, blocks: Integers | None) -> _FoldSums:
        """The contributions in a fold; see `left_out` for the weights and blocks."""
        fractions = np.ones(len(fold.rows)) if weights is None else weights[fold.rows]
        fractions = fractions / fractions.sum()
        labels = fold.rows if blocks is None else blocks[fold.rows]
        order = np.argsort(labels, kind="stable")
        units, first = np.unique(labels[order], return_index=True)
        sums = np.add.reduceat(fold.values[..., order] * fractions[order], first, axis=-1)
        return cls(units, sums, np.add.reduceat(fractions[order], first))

    @property
    def means(self) -> Floats:
        """`(n_features, n_seeds)` mean difference of each training."""
        return np.asarray(self.sums.sum(axis=-1))

    def around(self, centre: Floats) -> Floats:
        """`(n_features, n_seeds, n_units)` contributions minus `fraction · centre`.

        Args:
            centre: `(n_features, n_seeds)`, or a shape that broadcasts to it.
        """
        return np.asarray(self.sums - centre[..., None] * self.fractions)

    def between_seeds(self) -> Floats:
        """`(n_features,)` the variance of the mean between seeds that is explained by the rows.

            sum over units of (variance of the contribution between seeds) · n / (n - 1)

        with `n` the number of units.
        """
        n_units = len(self.units)
        varying = self.around(self.means).var(axis=1, ddof=1).sum(axis=-1)
        return np.asarray(varying * n_units / max(n_units - 1, 1))


def _variances_by_rows(
    sums: Sequence[_FoldSums], units: Integers, centre: Floats
) -> tuple[Floats, Floats]:
    """Two variances due to rows, `(n_features,)` each.

    The first is the variance of the mean of all trainings. The second is the variance between folds that
    rows explain, divided by the number of folds. The two are equal where no row is held out twice.

    Args:
        sums: the contributions in each fold.
        units: `(n_units,)` labels of all rows or blocks that any fold holds out.
        centre: `(n_features,)` means of all trainings.
    """
    n_folds, n_units = len(sums), len(units)
    if n_units < 2:
        return np.full(len(centre), math.nan), np.full(len(centre), math.nan)
    added, squares = np.zeros((len(centre), n_units)), np.zeros(len(centre))
    for of_fold in sums:
        of_units = of_fold.around(centre[:, None]).mean(axis=1)
        added[:, np.searchsorted(units, of_fold.units)] += of_units / n_folds
        squares += np.sum(of_units**2, axis=1)
    few = n_units / (n_units - 1)
    of_mean = np.sum(added**2, axis=1)
    between = (squares - n_folds * of_mean) / (n_folds * max(n_folds - 1, 1))
    return few * of_mean, few * between
