"""Donors, standard errors, intervals and distances of importance scores: NumPy alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A stream of its own for each purpose, which nobody's `default_rng(seed)` draws from.

    A sample drawn from the stream that also made the user's data would depend on the data.
    """
    return np.random.default_rng([seed, *purpose.encode()])


# --- donors -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Donors:
    """Which row lends its value of a feature to which other row.

    The rows are shuffled once and then shifted cyclically by `n_repeats` distinct shifts. So no row
    is its own donor, and within a repeat each row donates exactly once.

    Attributes:
        rows: `(n_repeats, n_rows)`; `rows[k, i]` is the donor of row `i` in repeat `k`.
        recipients: `(n_repeats, n_rows)`; `recipients[k, i]` is the row that `i` donates to.
    """

    rows: Integers
    recipients: Integers

    @classmethod
    def draw(cls, n_rows: int, n_repeats: int, rng: np.random.Generator) -> Donors:
        """Donors for `n_repeats < n_rows` repeats."""
        if not 1 <= n_repeats < n_rows:
            raise ValueError(f"{n_repeats} repeats need at least {n_repeats + 1} rows, got {n_rows}.")
        order = rng.permutation(n_rows)
        shifts = 1 + rng.choice(n_rows - 1, size=n_repeats, replace=False)
        rows = np.empty((n_repeats, n_rows), np.int64)
        recipients = np.empty_like(rows)
        for k, shift in enumerate(shifts):
            rows[k, order] = np.roll(order, -shift)
            recipients[k, order] = np.roll(order, shift)
        return cls(rows, recipients)


# --- standard errors ----------------------------------------------------------------------------


def weighted_mean(values: NDArray[Any], weights: Floats | None, axis: int = -1) -> Floats:
    """Mean over the rows, accumulated in float64."""
    if weights is None:
        return np.asarray(np.mean(values, axis=axis, dtype=np.float64))
    return np.asarray(np.average(np.asarray(values, np.float64), axis=axis, weights=weights))


def donor_standard_error(
    differences: NDArray[Any],
    donors: Donors,
    weights: Floats | None = None,
    blocks: Integers | None = None,
) -> Floats:
    """Standard errors of means of `differences`, counting that rows also act as donors.

    The difference `d[k, i]` depends on two rows: `i`, whose score it is, and its donor. Two
    differences that share a row are correlated, so both memberships of a row are added up before
    squaring, and the differences that two rows share, which this counts twice, are taken off once:

        psi_i = mean_k d[k, i] + mean_k d[k, recipient of i],        d centred
        variance = (sum over blocks (sum_{i in block} psi_i)²
                    - sum over cells (sum_{d in cell} d)² / K²) / n²

    where a cell holds the differences with the recipient in one block and the donor in another. With
    blocks of one row this is `(var(psi) - mean(d²) / K) / n`, right also for `K = 1`. It is the
    variance of dyadic data clustered by both members. Where too few rows leave no positive variance, the
    error of the mean of independent rows stands in; NaN for three blocks or fewer.

    Args:
        differences: `(..., n_repeats, n_rows)`, perturbed minus baseline score of each row.
        donors: the donors that made the differences.
        weights: `(n_rows,)` weights of the rows; None for equal ones.
        blocks: `(n_rows,)` number of the block a row belongs to, where rows of a block depend on
            one another; None for independent rows.

    Returns:
        `(...)` standard errors.

    Source: Aronow, Samii & Assenova (2015), Political Analysis 23(4); Cameron & Miller (2014).
    """
    n_repeats, n_rows = differences.shape[-2:]
    flat = differences.reshape(-1, n_repeats, n_rows)
    mean = weighted_mean(flat, weights).mean(axis=-1)
    centred = flat - mean[:, None, None].astype(flat.dtype)
    if weights is not None:
        centred = centred * (weights / np.mean(weights))
    received = centred.mean(axis=1)
    given = np.zeros_like(received)
    for k in range(n_repeats):
        given += np.take(centred[:, k], donors.recipients[k], axis=-1)
    psi = received + given / n_repeats
    if blocks is None:
        n_blocks = n_rows
        twice = _sum_of_squares(centred.reshape(len(flat), -1)) / n_repeats**2
    else:
        block, n_blocks = _numbered(blocks)
        cell, n_cells = _numbered(block * n_blocks + block[donors.rows])
        psi = _sums(psi, block, n_blocks)
        twice = _sum_of_squares(_sums(centred.reshape(len(flat), -1), cell, n_cells)) / n_repeats**2
    # Centring by the estimate takes (2 error)² from each psi_i² and error²/K from the cells.
    lost = 4 - 1 / n_repeats
    if n_blocks <= lost:
        return np.full(differences.shape[:-2], math.nan)
    variance = (_sum_of_squares(psi) - twice) / n_rows**2 * n_blocks / (n_blocks - lost)
    error: Floats = np.sqrt(np.maximum(variance, 0.0))
    few = variance <= 0
    if few.any():
        error[few] = influence_standard_error(received[few].T, blocks)
    return error.reshape(differences.shape[:-2])


def _sum_of_squares(values: NDArray[Any]) -> Floats:
    return np.asarray(np.einsum("fn,fn->f", values, values, dtype=np.float64))


def _numbered(labels: Integers) -> tuple[Integers, int]:
    """The labels as numbers from 0, flat, and how many there are."""
    found, numbers = np.unique(labels, return_inverse=True)
    return numbers.ravel(), len(found)


def _sums(values: NDArray[Any], group: Integers, n_groups: int) -> Floats:
    """`(f, n_groups)` sums of `(f, n)` values."""
    return np.stack([np.bincount(group, one, n_groups) for one in values])


def influence_standard_error(influence: Floats, blocks: Integers | None = None) -> Floats:
    """Standard error of a mean of independent rows, or blocks of rows, given their influences.

    Args:
        influence: `(n_rows, ...)` what each row adds to the estimate; the estimate is their mean.
        blocks: `(n_rows,)` number of the block a row belongs to; None for independent rows.
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
    """Standard error of the mean over repeats: the shuffling's own noise, not that of the rows.

    The only error there is for a metric that isn't a mean over rows, such as AUC.
    """
    n_repeats = importances.shape[-1]
    if n_repeats < 2:
        return np.full(importances.shape[:-1], math.nan)
    return np.asarray(importances.std(axis=-1, ddof=1) / math.sqrt(n_repeats))


# --- quantiles ----------------------------------------------------------------------------------


def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(probability)


@lru_cache(maxsize=256)
def student_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t for a whole number of degrees of freedom and `probability >= 0.5`.

    Inverts the finite series of Abramowitz & Stegun, 26.7.3 and 26.7.4, by bisection.
    """
    low, high = 0.0, 1.0
    while _student_cdf(high, degrees) < probability:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_cdf(middle, degrees) < probability else (low, middle)
    return (low + high) / 2


def _student_cdf(t: float, degrees: int) -> float:
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    series = 0.0
    for power in range(1 + odd, degrees, 2):
        series += term
        term *= cosine**2 * power / (power + 1)
    two_sided = 2 / math.pi * (angle + sine * series) if odd else sine * series
    return 0.5 + two_sided / 2


# --- how much two evaluations differ ------------------------------------------------------------


def ranks(values: Floats) -> Floats:
    """Ranks from 1 for the smallest; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse])


def spearman(first: Floats, second: Floats) -> float:
    """Rank correlation in [-1, 1]; NaN for fewer than three values or a constant side."""
    if len(first) < 3:
        return math.nan
    a, b = ranks(first), ranks(second)
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else math.nan


def jensen_shannon(first: Floats, second: Floats) -> float:
    """Jensen-Shannon divergence, in bits, of two importances as shares of their sums.

    Negative importances count as 0. 0 for equal shares, 1 for disjoint ones, NaN where one side
    has no positive importance.
    """
    p, q = (np.maximum(np.nan_to_num(side), 0.0) for side in (first, second))
    if p.sum() == 0 or q.sum() == 0:
        return math.nan
    p, q = p / p.sum(), q / q.sum()
    divergence = _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2
    return min(max(divergence, 0.0), 1.0)


def _entropy(shares: Floats) -> float:
    positive = shares[shares > 0]
    return -float(np.sum(positive * np.log2(positive)))


def top_k_overlap(first: Floats, second: Floats, k: int) -> float:
    """Share of the `k` largest values that both sides have in common."""
    # NaN sorts last: an unknown importance is in no top.
    top = (set(np.argsort(-side, kind="stable")[:k]) for side in (first, second))
    return len(set.intersection(*top)) / k
