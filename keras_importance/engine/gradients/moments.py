"""Sums over rows of gradients, computed in the program that differentiates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from keras_importance.engine.backends.backend import Inference
from keras_importance.statistics.arrays import Floats


@dataclass(frozen=True, eq=False)
class Moments:
    """Weighted sums over rows `i`, of each column of one input, for gradients of length `L` at step `t`.

    With `r_i = mean_t L_it`, `q_i = mean_t (x_it - mean)²` and weights `w` of mean 1.

    Attributes:
        sums: `(n_steps + 4, n_columns)`: of `w L` at each step, of `w · mean_t gradient` (the first of
            several), of `w² r²`, of `w² r q` and of `w² r`.
    """

    sums: Floats

    @staticmethod
    def zero(n_steps: int, n_columns: int) -> Moments:
        """Those of an input that the model ignores."""
        return Moments(np.zeros((n_steps + 4, n_columns)))

    @staticmethod
    def joined(parts: Sequence[Moments]) -> Moments:
        """Those of the columns of several inputs of as many steps."""
        return Moments(np.concatenate([one.sums for one in parts], axis=1))


def moments_of(
    _call: Inference,
    passes: list[list[Any | None]],
    inputs: list[Any],
    means: Any,
    weights: Any,
) -> list[Any | None]:
    """The sums of `Moments` for a chunk of rows, for each input with a gradient.

    Args:
        passes: for each scalar, for each input the gradients.
        inputs: the rows.
        means: of the columns of all inputs.
        weights: `(n_rows,)` of mean 1.
    """
    widths = [x.shape[-1] if len(x.shape) > 1 else 1 for x in inputs]
    first = np.cumsum([0, *widths])
    # Inputs of as many steps side by side: one small program for all of them.
    by_steps: dict[int, list[int]] = {}
    for number, (x, gradient) in enumerate(zip(inputs, passes[0], strict=True)):
        if gradient is not None:
            by_steps.setdefault(math.prod(x.shape[1:-1]), []).append(number)
    found: list[Any | None] = [None] * len(inputs)
    for n_steps, numbers in by_steps.items():

        def side_by_side(leaves: Sequence[Any], n_steps: int = n_steps) -> Any:
            tables = [ops.reshape(leaf, (leaf.shape[0], n_steps, -1)) for leaf in leaves]
            return _concatenated(tables)

        mean = _concatenated([means[first[number] : first[number + 1]] for number in numbers])
        gradients = [side_by_side([one[number] for number in numbers]) for one in passes]
        sums = _sums(gradients, side_by_side([inputs[number] for number in numbers]), mean, weights)
        ends = np.cumsum([widths[number] for number in numbers])
        for number, end in zip(numbers, ends, strict=True):
            found[number] = sums[:, end - widths[number] : end]
    return found


def _sums(g: list[Any], x: Any, mean: Any, weights: Any) -> Any:
    """The sums of `Moments`, of gradients and values `(n_rows, n_steps, n_columns)`."""
    n_rows, _, n_columns = x.shape
    length = ops.abs(g[0]) if len(g) == 1 else ops.sqrt(sum(ops.square(one) for one in g))
    r, q = ops.mean(length, axis=1), ops.mean(ops.square(x - mean), axis=1)

    # Products with two rows of weights: several times faster than sums over rows, and than one row.
    # Rows of weight 0 add nothing.
    both = ops.stack([weights, ops.square(weights)])
    by_step = ops.matmul(both, ops.reshape(length, (n_rows, -1)))[0]
    signed = ops.matmul(both, ops.mean(g[0], axis=1))[0]
    squares = (ops.matmul(both, values)[1] for values in (r * r, r * q, r))
    return ops.concatenate([ops.reshape(by_step, (-1, n_columns)), ops.stack([signed, *squares])])


def _concatenated(tensors: list[Any]) -> Any:
    """Along the last axis."""
    return tensors[0] if len(tensors) == 1 else ops.concatenate(tensors, axis=-1)
