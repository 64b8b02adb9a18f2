"""A score test: do the gradients of a loss depend on functions of a feature?"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from keras_importance.statistics.arrays import Floats, Integers, group_sums, label_indices


def score_test(basis: Floats, gradients: Floats, blocks: Integers | None = None) -> float:
    """p-value of "the gradients of the loss don't depend on these functions of a feature".

        S = ||sum_i basis_i gradients_i'||² / n,        both centred

    If the two are independent, `S` has mean `tr(C_b) tr(C_g)` and variance `2 ||C_b||² ||C_g||²`, with
    `C_b` and `C_g` the covariance matrices. The p-value is the upper tail of the gamma distribution
    with these moments, by Wilson & Hilferty's approximation: its cube root is nearly normal. Where rows
    depend within blocks, the moments come from the sums of `basis_i gradients_i'` over blocks.

    Args:
        basis: `(n_rows, n_functions)` functions of the feature, minus their prediction from the others.
        gradients: `(n_rows, n_values)`.
        blocks: `(n_rows,)` blocks of rows that depend on one another; None for independent rows.

    Returns:
        The p-value; 1 where the functions or the gradients are constant.

    Source: Gretton et al. (2007), NeurIPS 20, for the moments; Wilson & Hilferty (1931).
    """
    n_rows = len(basis)
    basis, gradients = basis - basis.mean(axis=0), gradients - gradients.mean(axis=0)
    statistic = float(np.sum((basis.T @ gradients) ** 2)) / n_rows
    if blocks is None:
        of_basis, of_gradients = basis.T @ basis / n_rows, gradients.T @ gradients / n_rows
        mean = float(np.trace(of_basis) * np.trace(of_gradients))
        variance = 2 * float(np.sum(of_basis**2) * np.sum(of_gradients**2))
    else:
        products = (basis[:, :, None] * gradients[:, None]).reshape(n_rows, -1)
        block, n_blocks = label_indices(blocks)
        sums = group_sums(products.T, block, n_blocks)
        between = sums.T @ sums / n_rows
        mean = float(np.trace(between))
        variance = 2 * float(np.sum(between**2) - np.sum(np.diag(between) ** 2))
    if not (mean > 0 and variance > 0):
        return 1.0
    shape = 2 * mean**2 / variance
    normal = ((statistic / mean) ** (1 / 3) - (1 - 2 / (9 * shape))) / math.sqrt(2 / (9 * shape))
    return 1 - NormalDist().cdf(normal)
