"""How much two sets of importances differ: NumPy alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from keras_importance.statistics.arrays import Floats, Integers


def ranks(values: Floats) -> Floats:
    """Ranks along the last axis from 1 for the smallest; equal values share the mean of their ranks."""
    order = np.argsort(values, axis=-1)
    ordered = np.take_along_axis(values, order, axis=-1)
    is_tied = (ordered[..., 1:] == ordered[..., :-1]) | np.isnan(ordered[..., :-1])
    places = np.arange(1.0, values.shape[-1] + 1)
    found = np.empty(values.shape)
    in_order = _shared(places, is_tied) if is_tied.any() else np.broadcast_to(places, values.shape)
    np.put_along_axis(found, order, in_order, axis=-1)
    return found


def _shared(places: Floats, is_tied: NDArray[np.bool_]) -> Floats:
    """The places, of which those that are tied with the one before share the mean."""
    edge = np.zeros((*is_tied.shape[:-1], 1), bool)
    first = np.where(np.concatenate([edge, is_tied], axis=-1), 0.0, places)
    last = np.where(np.concatenate([is_tied, edge], axis=-1), math.inf, places)
    last = np.minimum.accumulate(last[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray((np.maximum.accumulate(first, axis=-1) + last) / 2)


def spearman(first: Floats, second: Floats, counts: NDArray[np.bool_] | None = None) -> Floats:
    """`(...)` rank correlations in [-1, 1] of values `(..., n)`.

    NaN for fewer than three values or a constant side.

    Args:
        first: values of one side.
        second: values of the other side.
        counts: `(..., n)` which of them count; None for all.
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
    """Ranks among those that count, less their mean; 0 for the others."""
    if not counts.all():
        # Below all that counts, and no two alike: ranking ties takes twice as long.
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

    They are compared as shares of their sums, negative ones as 0: 0 for equal shares, 1 for disjoint
    ones, NaN where one side has no positive importance.
    """
    p, q = _shares(first), _shares(second)
    divergence = 1 + (_entropy(p + q) - _entropy(p) - _entropy(q)) / 2
    return np.clip(divergence, 0.0, 1.0)


def _shares(importances: Floats) -> Floats:
    positive = np.fmax(importances, 0.0)
    total = positive.sum(axis=-1, keepdims=True)
    total[total == 0] = math.nan
    positive /= total
    return positive


def _entropy(shares: Floats) -> Floats:
    """Minus the sums of `x log2(x)`, also of what is no share of one."""
    # The logarithm of 1 where 0 is multiplied with it: that of tiny numbers takes six times as long.
    return -_products(shares, np.log2(np.where(shares > 0, shares, 1.0)))


def top_k_overlap(first: Floats, second: Floats, k: int) -> Floats:
    """`(...)` shares of the `k` largest of `(..., n)` values that both sides have in common."""
    in_both = np.count_nonzero(_is_top(first, k) & _is_top(second, k), axis=-1)
    return np.asarray(np.minimum(in_both / k, 1.0))


def _is_top(values: Floats, k: int) -> NDArray[np.bool_]:
    """Which values are among the `k` largest, ties with the last of them included; an unknown never."""
    known = np.where(np.isnan(values), -math.inf, values)
    return np.asarray(values >= np.partition(known, -k, axis=-1)[..., -k, None])
