"""Integrated gradients: how much of the output each feature accounts for, on the way from the mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from keras_importance.arguments import whole_number
from keras_importance.data.hidden_columns import usual_values
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.evaluator import Evaluator
from keras_importance.errors import speaking_as
from keras_importance.methods.base import Scores
from keras_importance.methods.differentiation import (
    DifferentiatingMethod,
    FeaturePart,
    Members,
    Of,
    PartKey,
    column_of,
    notes_of,
    parts_of,
)
from keras_importance.statistics.arrays import Array, weighted_mean

Gradients = list[list[Array | None]]
"""For each scalar that is differentiated, for each input the gradients; None where there are none."""


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
        n_steps: how many points of the way are looked at.
        of: `"output"`, `"loss"`, or `"auto"`: the loss for categorical cross-entropy, else the output.
        output: name of the one output to differentiate, of several; None for all.
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

    def compute(self, evaluator: Evaluator) -> Scores:
        """A forward and backward pass for each step of the way, for each output or for the loss."""
        started = evaluator.clock()
        data = evaluator.affordable_data(self.name)
        origin = _origin(evaluator.data)
        gradients, notes = self._on_the_way(evaluator, data, origin)
        attributions: Gradients = [
            [
                None if one is None else one * (values - usual)
                for one, values, usual in zip(of_scalar, data.inputs, origin, strict=True)
            ]
            for of_scalar in gradients
        ]
        parts = [
            _part(data, key, members, attributions, gradients)
            for key, members in parts_of(evaluator, notes).items()
        ]
        scores = self.scores(evaluator, data, parts, notes, n_scalars=len(gradients))
        evaluator.learn_rate(self.name, started, data.n_rows)
        return scores

    def _on_the_way(
        self, evaluator: Evaluator, data: ValidationData, origin: Sequence[Array]
    ) -> tuple[Gradients, dict[str, str]]:
        """Mean gradients over the steps of the way, and why features have none."""
        scalars = self.scalars(evaluator, data)
        total: Gradients = [[None] * len(data.inputs) for _ in range(len(scalars))]
        notes: dict[str, str] = {}
        for share in (np.arange(self.n_steps) + 0.5) / self.n_steps:
            moved = data.with_inputs(_mixed(data, origin, share))
            found = [evaluator.gradients(scalar, moved).arrays for scalar in scalars]
            notes = notes_of(evaluator, found[0])
            for sums, arrays in zip(total, found, strict=True):
                for number, one in enumerate(arrays):
                    if one is not None:
                        mean = one.astype(np.float64) / self.n_steps
                        before = sums[number]
                        sums[number] = mean if before is None else before + mean
        return total, notes


def _origin(data: ValidationData) -> list[Array]:
    """Where the way begins: the means of numbers; of other inputs anything, as they stay."""
    return [usual_values(values) if values.dtype.kind == "f" else np.zeros(1) for values in data.inputs]


def _mixed(data: ValidationData, origin: Sequence[Array], share: float) -> tuple[Array, ...]:
    """The rows, brought nearer to the origin; what isn't a number stays."""
    return tuple(
        (usual + share * (values - usual)).astype(values.dtype) if values.dtype.kind == "f" else values
        for values, usual in zip(data.inputs, origin, strict=True)
    )


def _part(
    data: ValidationData,
    key: PartKey,
    members: Members,
    attributions: Gradients,
    gradients: Gradients,
) -> FeaturePart:
    """Scores of features of as many steps and columns; several scalars count by their length."""
    n_steps, width, _ = key

    def gathered(leaves: Sequence[Array | None]) -> Array:
        """Sums over the columns of each part, `(n_rows, n_steps, n_parts)`."""
        taken = [
            sum(column_of(leaves[number], column, data.n_rows, n_steps) for number, column in columns)
            for _, columns in members
        ]
        return np.stack(taken, axis=-1)

    sizes = np.sqrt(sum(np.square(gathered(leaves)) for leaves in attributions))
    by_step = weighted_mean(sizes, data.weights, axis=0)
    weights = np.ones(data.n_rows) if data.weights is None else data.weights / data.weights.mean()
    rows = sizes.mean(axis=1)
    direction = np.full(len(members), math.nan)
    if width == 1:
        slope = weighted_mean(gathered(gradients[0]).mean(axis=1), data.weights, axis=0)
        variance = [data.spreads[number].variance[column] for _, ((number, column),) in members]
        direction = np.sqrt(variance) * slope
    score = by_step.mean(axis=0)
    return FeaturePart(
        features=[number for number, _ in members],
        score=score,
        influence=weights[:, None] * (rows - score),
        by_step=by_step,
        direction=direction,
    )
