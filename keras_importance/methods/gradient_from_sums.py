"""Gradient importance of single columns, from sums over rows. The gradients are never held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_importance.data.columns import Column
from keras_importance.data.spread import Spread
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.gradients.moments import Moments
from keras_importance.methods.differentiation import PartScorer
from keras_importance.methods.feature_parts import FeaturePart, Members, PartShape
from keras_importance.statistics.arrays import Floats, Integers


@dataclass(frozen=True, eq=False)
class ScorerFromSums:
    """Scores features of a single column from sums over rows, and all others with another scorer.

    For row `i`, `r_i` is the length of the gradients, averaged over steps, and `q_i` is the mean square
    of the centred values. With row weights `w` of mean 1, `r = mean(w r_i)` and `s² = mean(w q_i)`,

        score     = s r                                                                         (1)
        influence = w_i [s (r_i - r) + b (q_i - s²)],      b = r / (2 s)                        (2)
        variance  = s² V(r, r) + 2 s b V(r, q) + b² V(q, q)                                     (3)
        V(u, v)   = mean(w² u_i v_i) - u mean(w² v_i) - v mean(w² u_i) + u v mean(w²)           (4)

    with `q = s²` in (4). The square root of variance / (n_rows - 1) is the standard error. It equals the
    one of `ScorerFromRows`.

    Attributes:
        data: the rows.
        moments: for each input the sums over rows; None for an input without a gradient.
        shapes: the shapes of the parts that are scored from sums.
        others: scores the parts of all other shapes.
    """

    data: ValidationData
    moments: Sequence[Moments | None]
    shapes: set[PartShape]
    others: PartScorer

    @property
    def has_gradient(self) -> Sequence[bool]:
        """For each input whether there is a gradient with respect to it."""
        return [moments is not None for moments in self.moments]

    def scored(self, shape: PartShape, members: Members) -> FeaturePart:
        """The scores of parts of one shape."""
        if shape not in self.shapes:
            return self.others.scored(shape, members)
        columns = [columns[0] for _, columns in members]
        inputs = sorted({input_index for input_index, _ in columns})
        spread = Spread.joined([self.data.spreads[index] for index in inputs])
        means = self._means(inputs, shape.n_steps)
        std, length = np.sqrt(spread.variance), means.length_by_step.mean(axis=0)
        variance = np.maximum(_variance_of_influence(means, length, spread), 0.0)
        error = np.sqrt(variance / max(self.data.n_rows - 1, 1))
        kept = self._positions(inputs, columns)
        return FeaturePart(
            features=[feature for feature, _ in members],
            score=(std * length)[kept],
            influence=None,
            by_step=(std * means.length_by_step)[:, kept],
            direction=(std * means.gradient)[kept],
            std_error=error[kept],
        )

    def _means(self, inputs: Sequence[int], n_steps: int) -> Moments:
        """Means over rows, for all columns of the inputs; zeros for an input that the model ignores."""
        sums = [
            self.moments[index] or Moments.zero(n_steps, len(self.data.spreads[index].mean))
            for index in inputs
        ]
        return Moments(Moments.joined(sums).sums / self.data.n_rows)

    def _positions(self, inputs: Sequence[int], columns: Sequence[Column]) -> Integers:
        """`(n_columns,)` positions of the columns, when all columns of the inputs are side by side."""
        widths = [len(self.data.spreads[index].mean) for index in inputs]
        first = dict(zip(inputs, np.cumsum([0, *widths]).tolist(), strict=False))
        return np.array([first[input_index] + column for input_index, column in columns])


def _variance_of_influence(means: Moments, length: Floats, spread: Spread) -> Floats:
    """`(n_columns,)` variance by formulas (3) and (4) of `ScorerFromSums`; `length` is `r` there."""
    std, square, weight_squared = np.sqrt(spread.variance), spread.variance, spread.weight_squared
    slope = np.divide(length / 2, std, out=np.zeros_like(std), where=std > 0)
    of_length = means.length_squared - 2 * length * means.length + length**2 * weight_squared
    of_both = (
        means.length_times_square
        - square * means.length
        - length * spread.q
        + length * square * weight_squared
    )
    of_square = spread.q_squared - 2 * square * spread.q + square**2 * weight_squared
    return np.asarray(std**2 * of_length + 2 * std * slope * of_both + slope**2 * of_square)
