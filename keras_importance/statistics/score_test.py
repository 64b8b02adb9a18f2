"""A score test: do the gradients of a loss depend on functions of a feature?"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_importance.statistics.arrays import Integers, label_indices

_FEW_VALUES = 32


class ScoreTest:
    """Tests whether gradients of the loss depend on functions of a feature.

        S = ||sum_i basis_i gradients_i'||² / n,        both centred

    If the two are independent, `S` has mean `tr(C_b) tr(C_g)` and variance `2 ||C_b||² ||C_g||²`, with
    `C_b` and `C_g` the covariance matrices. The p-value is the upper tail of the gamma distribution
    with these moments, by Wilson & Hilferty's approximation: its cube root is nearly normal. Where rows
    depend within blocks, the moments come from the sums of `basis_i gradients_i'` over blocks.

    What depends on the functions alone is computed once. All products have the type of the functions:
    in float32 the p-value is right to about 1e-7.

    Args:
        basis: `(n_rows, n_functions)` functions of the feature, minus their prediction from the others.
        blocks: `(n_rows,)` blocks of rows that depend on one another; None for independent rows.

    Attributes:
        basis: the functions, centred.
        blocks: the blocks.
        trace: `tr(C_b)`.
        square: `||C_b||²`.

    Source: Gretton et al. (2007), NeurIPS 20, for the moments; Wilson & Hilferty (1931).
    """

    def __init__(self, basis: NDArray[Any], blocks: Integers | None = None) -> None:
        self.basis = _centred(basis)
        self.blocks = blocks
        self.trace, self.square = _trace_and_square(self.basis)

    def p_value(self, gradients: NDArray[Any]) -> float:
        """The p-value; 1 where the functions or the gradients are constant.

        Args:
            gradients: `(n_rows, n_values)`.
        """
        n_rows = len(self.basis)
        centred = _centred(gradients.astype(self.basis.dtype, copy=False))
        statistic = _sum_of_squares(self.basis.T @ centred) / n_rows
        if self.blocks is None:
            trace, square = _trace_and_square(centred)
            mean, variance = self.trace * trace, 2 * self.square * square
        else:
            between = _between_blocks(self.basis, centred, self.blocks) / n_rows
            of_each = np.diag(between).astype(np.float64)
            mean = float(of_each.sum())
            variance = 2 * (_sum_of_squares(between) - float(of_each @ of_each))
        return upper_tail(statistic, mean, variance)


def score_test(basis: NDArray[Any], gradients: NDArray[Any], blocks: Integers | None = None) -> float:
    """p-value of "the gradients of the loss don't depend on these functions"; see `ScoreTest`."""
    return ScoreTest(basis, blocks).p_value(gradients)


def upper_tail(statistic: float, mean: float, variance: float) -> float:
    """The upper tail of the gamma distribution with this mean and variance; 1 where either is 0."""
    if not (mean > 0 and variance > 0):
        return 1.0
    shape = 2 * mean**2 / variance
    normal = ((statistic / mean) ** (1 / 3) - (1 - 2 / (9 * shape))) / math.sqrt(2 / (9 * shape))
    return 1 - NormalDist().cdf(normal)


def _centred(values: NDArray[Any]) -> NDArray[Any]:
    mean = values.mean(axis=0, dtype=np.float64).astype(values.dtype)
    return np.asarray(values - mean)


def _trace_and_square(values: NDArray[Any]) -> tuple[float, float]:
    """`tr(C)` and `||C||²` of the covariance matrix `C` of centred `(n_rows, n_values)` values."""
    n_rows, n_values = values.shape
    if n_values <= _FEW_VALUES:  # the errors of many sums in float32 cancel, those of few don't
        values = values.astype(np.float64)
    # Both products have the same sum of squares.
    gram = values.T @ values if n_values <= n_rows else values @ values.T
    return _sum_of_squares(values) / n_rows, _sum_of_squares(gram) / n_rows**2


def _sum_of_squares(values: NDArray[Any]) -> float:
    return float(np.einsum("ij,ij->", values, values, dtype=np.float64))


def _between_blocks(basis: NDArray[Any], gradients: NDArray[Any], blocks: Integers) -> NDArray[Any]:
    """`(n_blocks, n_blocks)` inner products of the blocks' sums of `basis_i gradients_i'`.

    The inner product of two rows' `basis_i gradients_i'` is that of their functions times that of their
    gradients.
    """
    block, _ = label_indices(blocks)
    in_order = np.argsort(block, kind="stable")
    starts = np.flatnonzero(np.diff(block[in_order], prepend=-1))
    basis, gradients = basis[in_order], gradients[in_order]
    of_rows = (basis @ basis.T) * (gradients @ gradients.T)
    return np.asarray(np.add.reduceat(np.add.reduceat(of_rows, starts, axis=0), starts, axis=1))
