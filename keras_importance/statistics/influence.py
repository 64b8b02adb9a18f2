"""Standard errors of importance scores from what each row adds to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_importance.statistics.arrays import (
    Floats,
    Integers,
    group_sums,
    label_indices,
    sums_of_squares,
    unit_weights,
    weighted_mean,
)
from keras_importance.statistics.donors import Donors

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Influence:
    """The influence of each row on the means of differences, as the row that is scored and as a donor.

    The difference `d[k, i]` in repeat `k` depends on two rows: `i`, whose score it is, and its donor.
    Differences that share a row are correlated. So the influence of a row has two terms:

        psi_i = mean_k d[k, i] + mean_k d[k, recipient of i],        d centred

    Without donors there is only the first term.

    Attributes:
        psi: `(..., n_rows)` influences, centred; the mean moves by `psi_i / n` with the row's weight.
        received: `(..., n_rows)` the first term: the influence as the row that is scored.
        centred: `(..., n_repeats, n_rows)` the differences, centred and weighted.
        donors: the donors of the differences; None where each depends on one row alone.
        weights: `(n_rows,)` weights of mean 1; None for equal ones.
        blocks: `(n_rows,)` block of each row, where rows of a block depend on one another; None for
            independent rows.
    """

    psi: NDArray[Any]
    received: NDArray[Any]
    centred: NDArray[Any]
    donors: Donors | None
    weights: Floats | None = None
    blocks: Integers | None = None

    @classmethod
    def of(
        cls,
        differences: NDArray[Any],
        donors: Donors | None,
        weights: Floats | None = None,
        blocks: Integers | None = None,
    ) -> Influence:
        """The influences on the means of `(..., n_repeats, n_rows)` differences.

        Args:
            differences: perturbed minus baseline scores.
            donors: the donors of the differences; None where each depends on one row alone. With
                `orders`, these are those of the differences' features.
            weights: `(n_rows,)` weights of the rows, of any mean; None for equal ones.
            blocks: `(n_rows,)` blocks of rows that depend on one another; None for independent rows.
        """
        mean = weighted_mean(differences, weights).mean(axis=-1)
        centred = differences - mean[..., None, None].astype(differences.dtype)
        if weights is not None:
            weights = unit_weights(weights, len(weights))
            centred = centred * weights
        received = centred.mean(axis=-2)
        if donors is None:
            return cls(received, received, centred, donors, weights, blocks)
        given = np.zeros_like(received)
        n_repeats = differences.shape[-2]
        for k in range(n_repeats):
            given += np.take(centred[..., k, :], donors.recipients[k], axis=-1)
        if donors.orders is not None:  # given is by position
            by_position, given = given, np.empty_like(given)
            np.put_along_axis(given, donors.orders, by_position, axis=-1)
        return cls(received + given / n_repeats, received, centred, donors, weights, blocks)

    def standard_error(self) -> Floats:
        """`(...)` standard errors of the means.

            variance = (sum over blocks (sum_{i in block} psi_i)²
                        - sum over cells (sum_{d in cell} d)² / K²) / n²

        `K` is the number of repeats. A cell holds the differences whose recipient is in one block and
        whose donor is in another, which the squares count twice; without donors there are no cells.
        With blocks of one row the variance is `(var(psi) - mean(d²) / K) / n`, right also for `K = 1`.
        It is the variance of dyadic data that are clustered by both members. If it isn't positive, for
        lack of rows, the error from the first term of `psi` alone is used. NaN for three blocks or
        fewer; without donors, for a single block.

        Source: Aronow, Samii & Assenova (2015), Political Analysis 23(4); Cameron & Miller (2014).
        """
        return self._standard_error

    @cached_property
    def _standard_error(self) -> Floats:
        n_repeats, n_rows = self.centred.shape[-2:]
        psi = self.psi.reshape(-1, n_rows)
        if self.donors is None:
            return influence_standard_error(psi.T, self.blocks).reshape(self.psi.shape[:-1])
        centred = self.centred.reshape(len(psi), -1)
        if self.blocks is None:
            n_blocks = n_rows
            twice = sums_of_squares(centred) / n_repeats**2
        else:
            block, n_blocks = label_indices(self.blocks)
            psi = group_sums(psi, block, n_blocks)
            twice = _squares_of_cells(centred, self.donors, block, n_blocks) / n_repeats**2
        # Centring by the estimate takes (2 error)² from each psi_i² and error²/K from the cells.
        lost = 4 - 1 / n_repeats
        if n_blocks <= lost:
            return np.full(self.psi.shape[:-1], math.nan)
        variance = (sums_of_squares(psi) - twice) / n_rows**2 * n_blocks / (n_blocks - lost)
        error: Floats = np.sqrt(np.maximum(variance, 0.0))
        not_positive = variance <= 0
        if not_positive.any():
            received = self.received.reshape(-1, n_rows)
            error[not_positive] = influence_standard_error(received[not_positive].T, self.blocks)
        return error.reshape(self.psi.shape[:-1])

    def degrees_of_freedom(self) -> Floats:
        """`(...)` degrees of freedom of the standard errors, for Student's t.

            degrees = 2 n / (kurtosis of psi - 1)

        by Satterthwaite's approximation, from the variance of the variance. Heavy tails give fewer
        degrees than `n`. With blocks, `psi` is summed over each block, `n` is the number of blocks, and
        the degrees are at most `n - 2`.

        Source: Satterthwaite (1946), Biometrics Bulletin 2(6).
        """
        psi = self.psi.reshape(-1, self.psi.shape[-1])
        n_units, most = psi.shape[1], math.inf
        if self.blocks is not None:
            block, n_units = label_indices(self.blocks)
            psi, most = group_sums(psi, block, n_units), n_units - 2
        squares = np.square(psi)
        second, fourth = squares.mean(axis=1, dtype=np.float64), sums_of_squares(squares) / n_units
        kurtosis = np.divide(fourth, second**2, out=np.full(len(psi), 3.0), where=second > 0)
        degrees = 2 * n_units / np.maximum(kurtosis - 1, 1e-9)
        return np.asarray(np.clip(degrees, 1, most)).reshape(self.psi.shape[:-1])

    def moments_with(self, other: Floats) -> tuple[Floats, Floats]:
        """Mixed moments of the errors of the means with the error of another mean over the rows.

        Args:
            other: `(n_rows,)` influences on that mean, centred and weighted.

        Returns:
            `(...)` covariances `E m o`, and `(..., 4)` third moments `E m³, E m² o, E m o², E o³`, of
            the centred mean `m` and the other centred mean `o`.
        """
        n_rows = self.psi.shape[-1]
        psi = self.psi.reshape(-1, n_rows)
        other = np.asarray(other, psi.dtype)  # in one type: a mixed product would copy all influences
        if self.blocks is not None:
            block, n_blocks = label_indices(self.blocks)
            psi = group_sums(psi, block, n_blocks)
            other = np.bincount(block, other, n_blocks).astype(psi.dtype)
        squares = np.square(psi)
        third = [
            np.einsum("fn,fn->f", squares, psi),
            squares @ other,
            psi @ other**2,
            np.full(len(psi), np.sum(other**3)),
        ]
        shape = self.psi.shape[:-1]
        covariance = np.asarray(psi @ other / n_rows**2).reshape(shape)
        return covariance, np.stack(third, axis=-1).reshape(*shape, 4) / n_rows**3

    def draws(self, multipliers: NDArray[np.int8]) -> NDArray[np.float32]:
        """`(..., n_draws)` joint random draws of the errors of the means.

            draw = sum_i multiplier_i psi_i / n,        scaled to the standard error

        If two evaluations use the same multipliers for the same rows, their draws are correlated like
        the evaluations. So the spread of their difference is the error of a paired comparison.

        Args:
            multipliers: `(n_rows, n_draws)` of -1 and 1; rows of a block have the same.
        """
        n_rows = self.psi.shape[-1]
        psi, error = self.psi.reshape(-1, n_rows), self.standard_error().ravel()
        draws = multiplier_draws(psi, multipliers, error, self.blocks)
        return draws.reshape(*self.psi.shape[:-1], multipliers.shape[1])


def _squares_of_cells(
    differences: NDArray[Any], donors: Donors, block: Integers, n_blocks: int
) -> Floats:
    """`(f,)` sums of the squares of the sums over the cells of `(f, n_repeats * n_rows)` differences.

    Args:
        differences: the differences of each feature.
        donors: their donors.
        block: `(n_rows,)` the block of each row.
        n_blocks: how many blocks there are.
    """
    if donors.orders is None:
        cell, n_cells = label_indices(block * n_blocks + block[donors.rows])
        return sums_of_squares(group_sums(differences, cell, n_cells))
    squares = np.empty(len(differences))
    for index, of_feature in enumerate(differences):
        cell, n_cells = label_indices(block * n_blocks + block[donors.rows_for(index)])
        squares[index] = sums_of_squares(group_sums(of_feature[None], cell, n_cells))[0]
    return squares


def multiplier_draws(
    psi: NDArray[Any],
    multipliers: NDArray[np.int8],
    std_error: Floats,
    blocks: Integers | None = None,
) -> NDArray[np.float32]:
    """`(n, n_draws)` draws of the errors of `n` means; see `Influence.draws`.

    Args:
        psi: `(n, n_rows)` influence of each row on each mean, centred and weighted.
        multipliers: `(n_rows, n_draws)` of -1 and 1; rows of a block have the same.
        std_error: `(n,)` standard errors of the means.
        blocks: `(n_rows,)` blocks of rows that depend on one another; None for independent rows.
    """
    drawn = np.zeros((len(psi), multipliers.shape[1]), np.float32)
    for start in range(0, psi.shape[1], _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        drawn += psi[:, rows].astype(np.float32) @ multipliers[rows].astype(np.float32)
    if blocks is not None:
        block, n_blocks = label_indices(blocks)
        psi = group_sums(psi, block, n_blocks)
    size = np.sqrt(sums_of_squares(psi))
    scale = np.divide(std_error, size, out=np.zeros_like(size), where=size > 0)
    scale[np.isnan(std_error)] = math.nan
    return drawn * scale[:, None].astype(np.float32)


def influence_standard_error(influence: Floats, blocks: Integers | None = None) -> Floats:
    """`(...)` standard errors of means over independent rows, or over blocks of rows.

        variance = sum over blocks (sum_{i in block} (x_i - mean))² / n² · B / (B - 1)

    for `n` rows in `B` blocks; without blocks each row is a block. NaN for a single block.

    Args:
        influence: `(n_rows, ...)` values `x` whose means are the estimates.
        blocks: `(n_rows,)` blocks of rows that depend on one another; None for independent rows.
    """
    centred = influence - influence.mean(axis=0)
    n_rows = len(centred)
    if blocks is not None:
        _, block = np.unique(blocks, return_inverse=True)
        sums = np.zeros((int(block.max()) + 1, *centred.shape[1:]))
        np.add.at(sums, block, centred)
        centred = sums
    n_blocks = len(centred)
    if n_blocks < 2:
        return np.full(influence.shape[1:], math.nan)
    variance = np.sum(centred**2, axis=0) / n_rows**2 * n_blocks / (n_blocks - 1)
    return np.asarray(np.sqrt(variance))


def repeats_standard_error(importances: Floats) -> Floats:
    """`(...)` standard errors of means over `(..., n_repeats)` repeats; NaN for a single repeat.

    It is the noise of the shuffling, without the noise of the rows. No other error is known for a metric
    that is no mean over rows, such as AUC.
    """
    n_repeats = importances.shape[-1]
    if n_repeats < 2:
        return np.full(importances.shape[:-1], math.nan)
    return np.asarray(importances.std(axis=-1, ddof=1) / math.sqrt(n_repeats))
