"""How much two sets of importances differ: rank correlation, divergence, overlap."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from keras_importance.statistics.arrays import Floats, Integers


def ranks(values: Floats) -> Floats:
    """`(..., n)` ranks along the last axis, 1 for the smallest; equal values have their mean rank."""
    order = np.argsort(values, axis=-1)
    ordered = np.take_along_axis(values, order, axis=-1)
    is_tied = (ordered[..., 1:] == ordered[..., :-1]) | np.isnan(ordered[..., :-1])
    untied = np.arange(1.0, values.shape[-1] + 1)
    in_order = _tied_ranks(untied, is_tied) if is_tied.any() else np.broadcast_to(untied, values.shape)
    ranked = np.empty(values.shape)
    np.put_along_axis(ranked, order, in_order, axis=-1)
    return ranked


def _tied_ranks(untied: Floats, is_tied: NDArray[np.bool_]) -> Floats:
    """`(..., n)` ranks in ascending order, where each run of equal values has its mean rank.

    Args:
        untied: `(n,)` ranks `1 ... n`.
        is_tied: `(..., n - 1)` whether a value equals the next one.
    """
    edge = np.zeros((*is_tied.shape[:-1], 1), bool)
    first = np.where(np.concatenate([edge, is_tied], axis=-1), 0.0, untied)
    last = np.where(np.concatenate([is_tied, edge], axis=-1), math.inf, untied)
    last = np.minimum.accumulate(last[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray((np.maximum.accumulate(first, axis=-1) + last) / 2)


def spearman(first: Floats, second: Floats, counts: NDArray[np.bool_] | None = None) -> Floats:
    """`(...)` rank correlations of values `(..., n)`, from -1 to 1.

    NaN for fewer than three values, or where all values of a side are equal.

    Args:
        first: values of one side.
        second: values of the other side.
        counts: `(..., n)` which values are compared; None for all.
    """
    if counts is None:
        counts = np.ones(np.broadcast_shapes(first.shape, second.shape), bool)
    n_values = counts.sum(axis=-1, keepdims=True)
    a, b = (_centred_ranks(side, counts, n_values) for side in (first, second))
    scale = np.sqrt(_products(a, a) * _products(b, b))
    is_known = (scale > 0) & (n_values[..., 0] >= 3)
    return np.asarray(
        np.divide(_products(a, b), scale, out=np.full(scale.shape, math.nan), where=is_known)
    )


def _centred_ranks(values: Floats, counts: NDArray[np.bool_], n_values: Integers) -> Floats:
    """`(..., n)` ranks among the values that are compared, minus the mean rank; 0 for other values."""
    if not counts.all():
        # The others get distinct values below all that are compared: ranking ties takes twice as long.
        n_others = counts.shape[-1] - n_values
        beneath = np.min(values, initial=0.0) - np.arange(1.0, counts.shape[-1] + 1)
        ranked = ranks(np.where(counts, values, beneath)) - n_others
        return np.asarray(np.where(counts, ranked - (n_values + 1) / 2, 0.0))
    return ranks(values) - (n_values + 1) / 2


def _products(first: Floats, second: Floats) -> Floats:
    """Inner products along the last axis."""
    return np.asarray(np.einsum("...f,...f->...", first, second))


def jensen_shannon(first: Floats, second: Floats) -> Floats:
    """`(...)` Jensen-Shannon divergences, in bits, of importances `(..., n)`.

    Negative importances count as 0, and each side is divided by its sum. The divergence is 0 for equal
    fractions, 1 for disjoint ones, and NaN where a side has no positive importance.
    """
    p, q = _fractions(first), _fractions(second)
    divergence = 1 + (_entropy(p + q) - _entropy(p) - _entropy(q)) / 2
    return np.clip(divergence, 0.0, 1.0)


def _fractions(importances: Floats) -> Floats:
    """Positive importances divided by their sum."""
    positive = np.fmax(importances, 0.0)
    total = positive.sum(axis=-1, keepdims=True)
    total[total == 0] = math.nan
    positive /= total
    return positive


def _entropy(values: Floats) -> Floats:
    """Minus the sums of `x log2(x)` along the last axis, with 0 for `x = 0`."""
    # Zeros take the logarithm of 1: that of tiny numbers takes six times as long.
    return -_products(values, np.log2(np.where(values > 0, values, 1.0)))


def top_k_overlap(first: Floats, second: Floats, k: int) -> Floats:
    """`(...)` fraction of the `k` largest of `(..., n)` values that both sides have in common."""
    in_both = np.count_nonzero(_is_top(first, k) & _is_top(second, k), axis=-1)
    return np.asarray(np.minimum(in_both / k, 1.0))


def _is_top(values: Floats, k: int) -> NDArray[np.bool_]:
    """`(..., n)` which values are among the `k` largest; ties with the last included, NaN excluded."""
    known = np.where(np.isnan(values), -math.inf, values)
    return np.asarray(values >= np.partition(known, -k, axis=-1)[..., -k, None])
