"""Derivatives of the loss with respect to the model's outputs, with one feature replaced at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_importance.data.truth import Truth
from keras_importance.engine.backends.backend import Inference, current
from keras_importance.engine.cut.cut import Cut
from keras_importance.engine.scores.context import ScoringContext
from keras_importance.engine.scores.cut_scorer import CutScorer, Group, OfBlock, values_in_outputs
from keras_importance.engine.scores.programs import Prepared, RowScores, row_scores
from keras_importance.engine.scores.sample import Block, Sample
from keras_importance.statistics.arrays import Array

# Few features are asked for at once, in most evaluations eight, beside the baseline.
_FEW_SLOTS = 9


class SlopeScorer(CutScorer):
    """Differentiates each row's loss with respect to the outputs, in place of scoring them.

    The metric of the context is the loss, a mean over rows. The `scores` of a piece are derivatives
    `(n_features, n_repeats, n_rows, n_outputs)`. For outputs that are probabilities, they are with
    respect to their logits.
    """

    def __init__(
        self, context: ScoringContext, cut: Cut, prepare: Callable[[Inference, Any, Block], Prepared]
    ) -> None:
        super().__init__(context, cut, prepare)
        self._values_a_score = 2 * values_in_outputs(context.outputs)

    def _block_shape(self, sample: Sample, group: Group) -> tuple[int, int]:
        n_slots, n_rows = super()._block_shape(sample, group)
        return min(n_slots, _FEW_SLOTS), n_rows

    @property
    def _of_block(self) -> OfBlock:
        """For each output its slopes and its values, both `(n_slots, n_rows, ...)`."""
        return partial(_slopes, self._metric.row_scores)

    def _finished(self, scores: list[tuple[Array, Array]], sample: Sample) -> Array:  # noqa: ARG002
        """`(n_slots, n_rows, n_outputs)` slopes."""
        n_slots = len(scores[0][0])
        return np.stack(
            [
                np.concatenate([_in_logits(slopes[i], outputs[i]) for slopes, outputs in scores], axis=1)
                for i in range(n_slots)
            ]
        )


def _slopes(
    scores_of: RowScores | None, truth: Truth, outputs: Any, row: Any, n_slots: int
) -> list[tuple[Any, Any]]:
    """For each output its slopes and its values; the arguments are those of `OfBlock`."""
    # Copies without the logits that Keras attaches to probabilities, and its losses use instead.
    leaves = [ops.multiply(leaf, 1) for leaf in keras.tree.flatten(outputs)]

    def scalar(leaves: list[Any]) -> Any:
        nest = keras.tree.pack_sequence_as(outputs, leaves)
        return row_scores(scores_of, truth, nest, row, n_slots)

    def of_slots(leaf: Any) -> Any:
        return ops.reshape(leaf, (n_slots, row.shape[0], *leaf.shape[1:]))

    slopes = current().gradients(scalar, leaves)
    return [
        (of_slots(ops.zeros_like(leaf) if slope is None else slope), of_slots(leaf))
        for slope, leaf in zip(slopes, leaves, strict=True)
    ]


def _in_logits(slopes: Array, outputs: Array) -> Array:
    """`(n_rows, n_values)` derivatives; for probabilities, with respect to their logits.

    The derivative with respect to a small probability is huge: a few rows would dominate all others.
    """
    if outputs.min() >= 0 and outputs.max() <= 1:
        if outputs.shape[-1] > 1 and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3):
            slopes = outputs * (slopes - np.sum(outputs * slopes, axis=-1, keepdims=True))
        else:
            slopes = outputs * (1 - outputs) * slopes
    return slopes.reshape(len(slopes), -1)
