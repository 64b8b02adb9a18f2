"""Scores of each row whose weighted mean over rows is the score of all rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_importance.data.truth import Truth


class RowValues(NamedTuple):
    """A score of each row as a fraction; the score of all rows is `sum numerator / sum denominator`.

    Attributes:
        numerator: `(n_rows,)` tensor.
        denominator: `(n_rows,)` tensor; None for ones.
    """

    numerator: Any
    denominator: Any = None


Term = Callable[[Truth, Any], RowValues]
"""A part of a loss, or a metric: from truth and outputs to the values of each row."""


@dataclass(frozen=True)
class RowForm:
    """Scores of rows and how much each row counts, from the terms of a loss or a metric.

        score = sum_k scale_k · sum_i numerator_ki / sum_i denominator_ki = sum_i w_i s_i / sum_i w_i

    Steps that are masked, or have weights of their own, give rows different denominators. With `D_k` the
    mean of a term's denominators over all rows,

        w_i = mean_k denominator_ki / D_k,      s_i = sum_k scale_k numerator_ki / D_k / w_i

    Attributes:
        terms: the terms.
        scales: the factor of each term; None for 1.
        sizes: `D_k` of each term; None where every denominator is 1.
    """

    terms: Sequence[Term]
    scales: Sequence[Any]
    sizes: Sequence[float | None]

    @property
    def has_weights(self) -> bool:
        """Whether rows count differently."""
        return any(size is not None for size in self.sizes)

    def scores(self, truth: Truth, y_pred: Any) -> Any:
        """`(n_rows,)` tensor of the scores `s_i`; 0 for a row that counts nothing."""
        values = [term(truth, y_pred) for term in self.terms]
        summed = 0.0
        for (numerator, _), scale, size in zip(values, self.scales, self.sizes, strict=True):
            part = numerator if scale is None else scale * numerator
            summed = summed + (part if size is None else part / size)
        if not self.has_weights:
            return summed
        weight = self._weights(values)
        return ops.where(weight > 0, summed / ops.where(weight > 0, weight, 1.0), 0.0)

    def weights(self, truth: Truth, y_pred: Any) -> Any:
        """`(n_rows,)` tensor of the weights `w_i`."""
        return self._weights([term(truth, y_pred) for term in self.terms])

    def _weights(self, values: Sequence[RowValues]) -> Any:
        parts = [
            ops.ones_like(numerator) if size is None else denominator / size
            for (numerator, denominator), size in zip(values, self.sizes, strict=True)
        ]
        return sum(parts[1:], parts[0]) / len(parts)


def row_values(
    values: Any, weights: Any = None, mask: Any = None, *, are_counted: bool = False
) -> RowValues:
    """The mean of each row over its steps, from unreduced values; masked steps don't count.

    Args:
        values: `(n_rows, ...)` tensor.
        weights: weights of rows or steps, `(n_rows,)` or `(n_rows, n_steps)`; None for equal ones.
        mask: `(n_rows, n_steps)` tensor, False where a step doesn't count; None where all do. One with
            more axes than the values is ignored, as the values can't tell its steps apart.
        are_counted: whether the sum is divided by the sum of the weights, as in metrics. In losses it is
            divided by the number of the steps that count.
    """
    weighted, counted = values, None
    if mask is not None and len(mask.shape) <= len(values.shape):
        counted = ops.broadcast_to(_of_rank(ops.cast(mask, values.dtype), values), values.shape)
        weighted = values * counted
    if weights is not None:
        weight = ops.broadcast_to(_of_rank(ops.cast(weights, values.dtype), values), values.shape)
        weighted = weighted * weight
        if are_counted:
            counted = weight if counted is None else weight * counted
    return RowValues(_mean_of_rows(weighted), None if counted is None else _mean_of_rows(counted))


def _mean_of_rows(values: Any) -> Any:
    axes = tuple(range(1, len(values.shape)))
    return ops.mean(values, axis=axes) if axes else values


def _of_rank(count: Any, values: Any) -> Any:
    """A weight or mask with as many axes as the values: axes of length 1 are added or dropped."""
    while len(count.shape) > len(values.shape) and count.shape[-1] == 1:
        count = ops.squeeze(count, -1)
    missing = len(values.shape) - len(count.shape)
    return ops.reshape(count, (*count.shape, *[1] * missing)) if missing > 0 else count


def number(value: Any) -> float:
    """A result of a loss or metric as one number; the mean of several."""
    leaves = [np.asarray(ops.convert_to_numpy(leaf), np.float64) for leaf in keras.tree.flatten(value)]
    return float(np.mean([leaf.mean() for leaf in leaves]))
