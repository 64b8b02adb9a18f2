"""Integrated gradients: how much of the output each feature adds on a straight path from the mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_importance.arguments import whole_number
from keras_importance.data.hidden_columns import usual_values_of
from keras_importance.data.padding import Valid, awake, of_values
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
from keras_importance.methods.padded_steps import CountedSteps
from keras_importance.statistics.arrays import Array, Floats, unit_weights, weighted_mean

Gradients = list[list[Array | None]]
"""For each scalar and each input an array of the input's shape; None without a gradient."""


class IntegratedGradients(DifferentiatingMethod):
    """Mean size of what each feature adds to the output, on a path from its mean to its value.

        importance_j = mean_{i,t} |a_itj|,
        a_itj = (x_itj - m_j) mean_s g_itj(m + (s - 1/2) / n_steps · (x_i - m)),    s = 1..n_steps

    over rows `i` and time steps `t`. `g` is the gradient of the output and `m` holds the means of the
    columns. Padded steps count for nothing, and keep their values on the path. The path from `m` to the
    row is straight and has `n_steps` equal steps. The attributions `a` of a row sum to its output minus
    the output at `m`, up to the error of the finite steps. The importance is in units of the output (or
    of the log-probability, see `of`). For a linear model it is `|b_j| mean |x_j - m_j|`. It is 0 for a
    feature that the network ignores. The attributions of a group's columns are summed before the size is
    taken.

    Gradient importance measures the effect of a small step at the row. Integrated gradients measure the
    effect along the whole path, also where the network is saturated. Points on the path are mixtures of
    a row and the mean, which the network may never have seen. Categories keep their value along the
    path. They have no gradient; their features get NaN and a note.

    `direction` is the signed mean of the gradients along the path, times the standard deviation.

    The standard error covers the choice of the rows. It ignores that the means are estimated.

    The method costs `n_steps` times as much as gradient importance.

    Source: Sundararajan, Taly & Yan (2017), ICML 70.

    Args:
        n_steps: at how many points of the path the model is differentiated.
        of: `"output"`, `"loss"`, or `"auto"`: the loss for categorical cross-entropy, else the output.
        output: name of the output to differentiate, where there are several; None for all.
        name: name in results and tags.

    Raises:
        ValueError: unless `n_steps` is a whole number above 0.
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

    def n_gradients(self, evaluator: Evaluator) -> int:
        """How many gradients of each row are computed: one of each scalar at each step."""
        return self.n_steps * super().n_gradients(evaluator)

    def part_scorer(self, evaluator: Evaluator, data: ValidationData, scalars: Scalars) -> PartScorer:
        """Differentiates the model: a forward and backward pass for each step and each scalar."""
        origin = _origin(evaluator.data)
        gradients = self._on_the_way(evaluator, data, scalars, origin)
        attributions: Gradients = [
            [
                None if gradient is None else gradient * _moved(values, usual, valid)
                for gradient, values, usual, valid in zip(
                    of_scalar, data.inputs, origin, data.valid, strict=True
                )
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
        """The gradients, averaged over the steps of the path."""
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
    """For each input the start of the path: the means of numbers; for categories a value not used."""
    return [
        usual if usual.dtype.kind == "f" else np.zeros(1)  # texts can't be subtracted
        for usual in usual_values_of(data)
    ]


def _mixed(data: ValidationData, origin: Sequence[Array], fraction: float) -> tuple[Array, ...]:
    """The inputs at a fraction of the path from the origin to the rows; only numbers change.

    Padded steps keep their values. No valid step comes to hold the value of padding, which would mask
    it.
    """
    of_inputs = zip(data.inputs, origin, data.are_categories, data.valid, strict=True)
    return tuple(
        values
        if are_categories.all()
        else np.where(are_categories, values, _between(values, usual, valid, fraction))
        if are_categories.any()
        else _between(values, usual, valid, fraction)
        for values, usual, are_categories, valid in of_inputs
    )


def _between(values: Array, usual: Array, valid: Valid | None, fraction: float) -> Array:
    mixed: Array = (usual + fraction * (values - usual)).astype(values.dtype)
    if valid is None:
        return mixed
    return np.where(of_values(values, valid), awake(mixed, values, valid), values)


def _moved(values: Array, usual: Array, valid: Valid | None) -> Array:
    """How far the path moves the values: from the origin to the row, and nowhere at padded steps."""
    return values - usual if valid is None else np.where(of_values(values, valid), values - usual, 0)


@dataclass(frozen=True, eq=False)
class _Attributions:
    """Scores feature parts by the attributions of their columns.

    The attributions `a_m` of several scalars are combined into their length, `sqrt(sum_m a_m²)`.

    Attributes:
        data: the rows.
        attributions: for each scalar and each input the attribution of each value.
        gradients: for each scalar and each input the mean gradients along the path.
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
        if shape.is_padded:
            return self._scored_padded(shape, members, sizes)
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

    def _scored_padded(self, shape: PartShape, members: Members, sizes: Floats) -> FeaturePart:
        """The scores of parts of padded sequences, over valid steps.

        Args:
            shape: the shape of the parts.
            members: the parts.
            sizes: `(n_rows, n_steps, n_parts)` sizes of the attributions.
        """
        steps = CountedSteps.of(self.data, shape, members)
        of_rows = steps.row_means(sizes)
        score = steps.mean(of_rows)
        direction = np.full(len(members), math.nan)
        if shape.width == 1:
            slope = steps.mean(steps.row_means(self._added_up(self.gradients[0], shape, members)))
            direction = np.sqrt(self._variance(members)) * slope
        return FeaturePart(
            features=[feature for feature, _ in members],
            score=score,
            influence=steps.rows * (of_rows - score),
            by_step=steps.by_step(sizes),
            direction=direction,
        )

    def _added_up(self, leaves: Sequence[Array | None], shape: PartShape, members: Members) -> Array:
        """`(n_rows, n_steps, n_parts)` sums of `leaves` over the columns of each part."""
        columns = columns_of_parts(leaves, members, self.data.n_rows, shape.n_steps)
        return np.asarray(sum(np.moveaxis(columns, -1, 0)))

    def _direction(self, shape: PartShape, members: Members) -> Floats:
        """`(n_parts,)` mean gradient times standard deviation; NaN for several columns."""
        if shape.width > 1:
            return np.full(len(members), math.nan)
        gradients = self._added_up(self.gradients[0], shape, members).mean(axis=1)
        slope = weighted_mean(gradients, self.data.weights, axis=0)
        return np.asarray(np.sqrt(self._variance(members)) * slope)

    def _variance(self, members: Members) -> Floats:
        """`(n_parts,)` variances of the columns of parts of a single column."""
        columns = [column for _, (column,) in members]
        return np.array([self.data.spreads[index].variance[column] for index, column in columns])
