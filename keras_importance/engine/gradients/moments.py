"""Sums over rows of the lengths of gradients, computed in the program that differentiates."""

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
    """Weighted sums over rows of the lengths of gradients, for each column of an input.

    The length `L_it` of the gradient in row `i` at step `t` is the absolute value of the derivative; of
    several scalars, the root of the sum of their squared derivatives. In the formulas below,
    `r_i = mean_t L_it`, `q_i = mean_t (x_it - mean)²`, and the weights `w_i` have mean 1.

    Attributes:
        sums: `(n_steps + 4, n_columns)` values of the properties below, in their order, stacked.
    """

    sums: Floats

    @property
    def length_by_step(self) -> Floats:
        """`(n_steps, n_columns)` sums of `w L` at each step."""
        return self.sums[:-4]

    @property
    def gradient(self) -> Floats:
        """`(n_columns,)` sums of `w · mean_t derivative`; of several scalars, for the first alone."""
        return np.asarray(self.sums[-4])

    @property
    def length_squared(self) -> Floats:
        """`(n_columns,)` sums of `w² r²`."""
        return np.asarray(self.sums[-3])

    @property
    def length_times_square(self) -> Floats:
        """`(n_columns,)` sums of `w² r q`."""
        return np.asarray(self.sums[-2])

    @property
    def length(self) -> Floats:
        """`(n_columns,)` sums of `w² r`."""
        return np.asarray(self.sums[-1])

    @staticmethod
    def zero(n_steps: int, n_columns: int) -> Moments:
        """The moments of an input that the model ignores: all 0."""
        return Moments(np.zeros((n_steps + 4, n_columns)))

    @staticmethod
    def joined(parts: Sequence[Moments]) -> Moments:
        """Joins the moments of inputs with equal numbers of steps, along columns."""
        return Moments(np.concatenate([moments.sums for moments in parts], axis=1))


def moments_of(
    _call: Inference,
    passes: list[list[Any | None]],
    inputs: list[Any],
    means: Any,
    weights: Any,
) -> list[Any | None]:
    """For each input `Moments.sums` over a chunk of rows; None for an input without a gradient.

    Args:
        passes: for each scalar, the gradients with respect to each input.
        inputs: the rows of the chunk, for each input.
        means: `(n_columns,)` means of the columns of all inputs, one input after another.
        weights: `(n_rows,)` weights of mean 1; 0 for padding.
    """
    widths = [x.shape[-1] if len(x.shape) > 1 else 1 for x in inputs]
    first = np.cumsum([0, *widths])
    # Inputs with equal numbers of steps side by side: a small program serves all of them.
    by_steps: dict[int, list[int]] = {}
    for index, (x, gradient) in enumerate(zip(inputs, passes[0], strict=True)):
        if gradient is not None:
            by_steps.setdefault(math.prod(x.shape[1:-1]), []).append(index)
    moments: list[Any | None] = [None] * len(inputs)
    for n_steps, indices in by_steps.items():

        def side_by_side(leaves: Sequence[Any], n_steps: int = n_steps) -> Any:
            tables = [ops.reshape(leaf, (leaf.shape[0], n_steps, -1)) for leaf in leaves]
            return _concatenated(tables)

        mean = _concatenated([means[first[index] : first[index + 1]] for index in indices])
        gradients = [side_by_side([of_inputs[index] for index in indices]) for of_inputs in passes]
        sums = _sums(gradients, side_by_side([inputs[index] for index in indices]), mean, weights)
        ends = np.cumsum([widths[index] for index in indices])
        for index, end in zip(indices, ends, strict=True):
            moments[index] = sums[:, end - widths[index] : end]
    return moments


def _sums(gradients: list[Any], x: Any, mean: Any, weights: Any) -> Any:
    """`Moments.sums`, from gradients and values of shape `(n_rows, n_steps, n_columns)`."""
    n_rows, _, n_columns = x.shape
    first = gradients[0]
    length = ops.abs(first) if len(gradients) == 1 else ops.sqrt(sum(map(ops.square, gradients)))
    r, q = ops.mean(length, axis=1), ops.mean(ops.square(x - mean), axis=1)

    # A product with two rows of weights is several times faster than a sum over rows, and than a product
    # with a single row. Rows of weight 0 add nothing.
    both = ops.stack([weights, ops.square(weights)])
    by_step = ops.matmul(both, ops.reshape(length, (n_rows, -1)))[0]
    signed = ops.matmul(both, ops.mean(first, axis=1))[0]
    squares = (ops.matmul(both, values)[1] for values in (r * r, r * q, r))
    return ops.concatenate([ops.reshape(by_step, (-1, n_columns)), ops.stack([signed, *squares])])


def _concatenated(tensors: list[Any]) -> Any:
    """The tensors side by side along the last axis."""
    return tensors[0] if len(tensors) == 1 else ops.concatenate(tensors, axis=-1)
