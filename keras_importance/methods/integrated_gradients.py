"""Integrated gradients: how much of the output each feature accounts for, on the way from the mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_importance.arguments import whole_number
from keras_importance.data.hidden_columns import usual_values
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.gradients.differentiator import Scalars
from keras_importance.errors import speaking_as
from keras_importance.methods.differentiation import DifferentiatingMethod, Of, PartScorer
from keras_importance.methods.feature_parts import (
    FeaturePart,
    Members,
    PartShape,
    columns_of_parts,
)
from keras_importance.statistics.arrays import Array, Floats, unit_weights, weighted_mean

Gradients = list[list[Array | None]]
"""For each scalar that is differentiated, the gradients with respect to each input; None for none."""


class IntegratedGradients(DifferentiatingMethod):
    """Mean size of what each feature adds to the output, on the way from its mean to its value.

        importance_j = mean_{i,t} |a_itj|,
        a_itj = (x_itj - m_j) mean_s g_itj(m + (s - 1/2) / n_steps · (x_i - m)),    s = 1..n_steps

    over rows `i` and time steps `t`, with `g` the gradient of the output, `m` the means of the columns
    and the way taken in `n_steps` equal steps. The attributions `a` of a row add up to its output less
    the output at `m`, as closely as the steps follow the curve. In units of the output (or of the
    log-probability, see `of`). For a linear model it is `|b_j| mean |x_j - m_j|`, 0 for a feature that
    the network ignores. A group gets the sum of its columns' attributions, before the size is taken.

    Plain gradients see what a small step does at the row; these see what the feature did all the way,
    also where the network is saturated. Rows on the way are mixtures of a row and the mean, which the
    network may never have seen. Integers stay as they are in each row; they have no gradient, and get
    NaN and a note.

    `direction` is the signed mean of the gradients on the way, times the standard deviation.

    The standard error is that of the rows; that the means are estimated, it leaves out.

    Costs `n_steps` times as much as gradient importance.

    Source: Sundararajan, Taly & Yan (2017), ICML 70.

    Args:
        n_steps: how many points of the way are differentiated at.
        of: `"output"`, `"loss"`, or `"auto"`: the loss for categorical cross-entropy, else the output.
        output: name of the output to differentiate, where there are several; None for all.
        name: name in results and tags.
    """

    name = "integrated_gradients"

    def __init__(
        self,
        n_steps: int = 20,
        *,
        of: Of = "auto",
        output: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(of, output=output, name=name)
        with speaking_as(type(self).__name__):
            self.n_steps = whole_number("n_steps", n_steps, at_least=1)

    def part_scorer(self, evaluator: Evaluator, data: ValidationData, scalars: Scalars) -> PartScorer:
        """A forward and backward pass for each step of the way, for each output or for the loss."""
        origin = _origin(evaluator.data)
        gradients = self._on_the_way(evaluator, data, scalars, origin)
        attributions: Gradients = [
            [
                None if gradient is None else gradient * (values - usual)
                for gradient, values, usual in zip(of_scalar, data.inputs, origin, strict=True)
            ]
            for of_scalar in gradients
        ]
        return _Attributions(data, attributions, gradients)

    def _on_the_way(
        self,
        evaluator: Evaluator,
        data: ValidationData,
        scalars: Scalars,
        origin: Sequence[Array],
    ) -> Gradients:
        """Mean gradients over the steps of the way."""
        totals: Gradients = [[None] * len(data.inputs) for _ in range(len(scalars))]
        for fraction in (np.arange(self.n_steps) + 0.5) / self.n_steps:
            moved = data.with_inputs(_mixed(data, origin, fraction))
            for total, scalar in zip(totals, scalars, strict=True):
                for index, gradient in enumerate(evaluator.gradients(scalar, moved).arrays):
                    if gradient is not None:
                        mean = gradient.astype(np.float64) / self.n_steps
                        before = total[index]
                        total[index] = mean if before is None else before + mean
        return totals


def _origin(data: ValidationData) -> list[Array]:
    """Where the way begins: the means of floats; of other inputs anything, as they stay."""
    return [usual_values(values) if values.dtype.kind == "f" else np.zeros(1) for values in data.inputs]


def _mixed(data: ValidationData, origin: Sequence[Array], fraction: float) -> tuple[Array, ...]:
    """The inputs at a fraction of the way from the origin to the rows; what is no float stays."""
    return tuple(
        (usual + fraction * (values - usual)).astype(values.dtype)
        if values.dtype.kind == "f"
        else values
        for values, usual in zip(data.inputs, origin, strict=True)
    )


@dataclass(frozen=True, eq=False)
class _Attributions:
    """Scores parts by the attributions of their columns; several scalars count by their length.

    Attributes:
        data: the rows.
        attributions: what each value adds to each scalar.
        gradients: the mean gradients that they are made of.
    """

    data: ValidationData
    attributions: Gradients
    gradients: Gradients

    @property
    def has_gradient(self) -> Sequence[bool]:
        """For each input whether there is a gradient with respect to it."""
        return [gradient is not None for gradient in self.gradients[0]]

    def scored(self, shape: PartShape, members: Members) -> FeaturePart:
        """The scores of parts of one shape."""
        added = (self._added_up(leaves, shape, members) for leaves in self.attributions)
        sizes = np.sqrt(sum(map(np.square, added)))
        by_step = weighted_mean(sizes, self.data.weights, axis=0)
        score = by_step.mean(axis=0)
        return FeaturePart(
            features=[feature for feature, _ in members],
            score=score,
            influence=unit_weights(self.data.weights, self.data.n_rows)[:, None]
            * (sizes.mean(axis=1) - score),
            by_step=by_step,
            direction=self._direction(shape, members),
        )

    def _added_up(self, leaves: Sequence[Array | None], shape: PartShape, members: Members) -> Array:
        """`(n_rows, n_steps, n_parts)` sums over the columns of each part."""
        columns = columns_of_parts(leaves, members, self.data.n_rows, shape.n_steps)
        return np.asarray(sum(np.moveaxis(columns, -1, 0)))

    def _direction(self, shape: PartShape, members: Members) -> Floats:
        """`(n_parts,)` mean gradients times the spread; NaN for several columns."""
        if shape.width > 1:
            return np.full(len(members), math.nan)
        gradients = self._added_up(self.gradients[0], shape, members).mean(axis=1)
        slope = weighted_mean(gradients, self.data.weights, axis=0)
        variance = [self.data.spreads[index].variance[column] for _, ((index, column),) in members]
        return np.asarray(np.sqrt(variance) * slope)
