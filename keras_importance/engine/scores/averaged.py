"""Scores of the mean prediction over all values that may replace a feature: the model without it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_importance.data.truth import Truth
from keras_importance.engine.backends.backend import Inference
from keras_importance.engine.cut.block_sizes import evenly
from keras_importance.engine.cut.cut import Cut
from keras_importance.engine.scores.context import ScoringContext
from keras_importance.engine.scores.cut_scorer import CutScorer, OfBlock, values_in_outputs
from keras_importance.engine.scores.programs import Prepared, RowScores, row_scores
from keras_importance.engine.scores.sample import Block, Sample, rows_of
from keras_importance.statistics.arrays import Array, Integers

MAX_HELD_VALUES = 1 << 27
"""Most output values of one feature, for all rows and repeats, that are held in memory: half a GB."""

# Values that the program computes at once, for few rows of many features: 8 MB.
_MAX_VALUES = 1 << 21
_FEW_ROWS = 500


class AveragedScorer(CutScorer):
    """Scores the mean of a feature's predictions over the repeats, not each of them.

    The predictions of a piece of the features are collected first. Another program then averages and
    scores them. Its static shape stays the same for fewer rows, repeats or features.
    """

    def __init__(
        self, context: ScoringContext, cut: Cut, prepare: Callable[[Inference, Any, Block], Prepared]
    ) -> None:
        super().__init__(context, cut, prepare)
        self._values_a_score = values_in_outputs(context.outputs)
        self._on_device = self._compiler.on_device
        self._score_means = self._compiler(partial(_scores_of_means, self._metric.row_scores))
        self._warm: set[int] = set()

    @property
    def _of_block(self) -> OfBlock:
        """Outputs `(n_slots, n_rows, ...)`."""
        return partial(row_scores, None)

    def _finished(self, outputs: Any, sample: Sample) -> Array:
        """`(n_slots, n_rows)` pseudo-values, or `(n_slots,)` where the metric needs all rows at once."""
        n_repeats, n_slots = len(sample.donors), len(keras.tree.flatten(outputs)[0])
        n_features, n_untouched = divmod(n_slots, n_repeats)
        slots = np.arange(n_features * n_repeats).reshape(n_features, n_repeats)
        # Untouched rows serve as every repeat: so a feature that the model ignores differs by 0.
        slots = np.concatenate([slots, np.full((n_untouched, n_repeats), n_slots - 1)])
        scored = self._scored_together if self._metric.row_scores is None else self._scored_by_row
        values = scored(outputs, slots, sample)
        return values.reshape(-1, *values.shape[2:])[:n_slots]

    def _scored_together(self, outputs: Any, slots: Integers, sample: Sample) -> Array:
        """`(n_features, n_repeats, ...)` pseudo-values of a metric of all rows at once."""
        truth, weights = rows_of((self._data.truth, self._data.row_weights), sample.rows)
        n_repeats = slots.shape[1]
        fraction, of_features = np.full(n_repeats, 1 / n_repeats, keras.config.floatx()), []
        for repeats in slots:
            moved = _moved_means(rows_of(outputs, repeats[None]), fraction, [math.sqrt(1 / n_repeats)])
            means = keras.tree.map_structure(ops.convert_to_numpy, moved)
            of_means = [
                self._metric.score(truth, rows_of(means, (0, mean)), weights)
                for mean in range(1 + n_repeats)
            ]
            of_features.append(np.asarray(of_means))
        scored = ops.convert_to_tensor(np.asarray(of_features, fraction.dtype))
        score, towards = scored[:, :1], scored[:, 1:]
        # The same steps serve the bias and the effects: a metric of all rows needs no finer steps.
        effects = (towards - score) * math.sqrt(n_repeats)
        values = pseudo_values(score, towards, effects, ops.convert_to_tensor(fraction))
        return np.asarray(ops.convert_to_numpy(values))

    def _scored_by_row(self, outputs: Any, slots: Integers, sample: Sample) -> Array:
        """`(n_features, n_repeats, n_rows)` pseudo-values, block by block through the program."""
        (n_features, n_repeats), n_rows = slots.shape, len(sample.rows)
        values = np.empty((n_features, n_repeats, n_rows), keras.config.floatx())
        repeat = np.minimum(np.arange(self._most_repeats), n_repeats - 1)
        is_real = np.arange(self._most_repeats) < n_repeats
        fraction = self._on_device((is_real / n_repeats).astype(values.dtype))
        n_at_once, size = self._means_shape()

        def score(block: tuple[int, int]) -> Array:
            start, first = block
            position = np.minimum(np.arange(start, start + size), n_rows - 1)
            index = np.minimum(np.arange(first, first + n_at_once), n_features - 1)
            slot = slots[np.ix_(index, repeat)][..., None], position
            given = keras.tree.map_structure(self._on_device, rows_of(outputs, slot))
            row = self._on_device(sample.rows[position].astype(np.int32))
            scores = self._score_means(given, self._truth, fraction, row)
            return np.asarray(ops.convert_to_numpy(scores))

        starts, firsts = range(0, n_rows, size), range(0, n_features, n_at_once)
        blocks = [(start, first) for start in starts for first in firsts]
        owners = self._replicas.owners(len(blocks))
        with self._replicas.pool() as pool:
            scored = self._replicas.map(score, blocks, owners, pool, self._warm)
            of_blocks = self._replicas.brought(scored, owners)
            for (start, first), of_block in zip(blocks, of_blocks, strict=True):
                part = values[first : first + n_at_once, :, start : start + size]
                part[...] = of_block[: len(part), :n_repeats, : part.shape[2]]
        return values

    def _means_shape(self) -> tuple[int, int]:
        """`(n_features, n_rows)` that are averaged at once, the same in every evaluation."""
        held = (1 + 2 * self._most_repeats) * self._values_a_score
        n_rows = evenly(self._data.n_rows, max(1, min(_FEW_ROWS, _MAX_VALUES // held)))
        n_features = 1 + max(len(group.features) for group in self._groups)
        return evenly(n_features, max(1, _MAX_VALUES // (held * n_rows))), n_rows


def _scores_of_means(
    scores_of: RowScores | None, _call: Any, outputs: Any, truth: Truth, fraction: Any, row: Any
) -> Any:
    """`(n_features, n_repeats, n_rows)` pseudo-values.

    Args:
        scores_of: `Metric.row_scores`.
        outputs: `(n_features, n_repeats, n_rows, ...)` predictions.
        truth: what the predictions for all rows are scored against.
        fraction: `(n_repeats,)` 1 over the number of repeats; 0 for padding.
        row: `(n_rows,)` indices of the rows.
    """
    left_out = fraction[0] / (1 - fraction[0])
    moved = _moved_means(outputs, fraction, [ops.sqrt(fraction[0]), -left_out])
    n_features, n_means = keras.tree.flatten(moved)[0].shape[:2]
    means = keras.tree.map_structure(lambda leaf: ops.reshape(leaf, (-1, *leaf.shape[3:])), moved)
    scores = row_scores(scores_of, truth, means, row, n_features * n_means)
    scores = ops.reshape(scores, (n_features, n_means, row.shape[0]))
    score, towards, without = ops.split(scores, [1, 1 + fraction.shape[0]], axis=1)
    return pseudo_values(score, towards, (score - without) / left_out, fraction)


def _moved_means(outputs: Any, fraction: Any, steps: Sequence[Any]) -> Any:
    """`(n, 1 + n_steps * n_repeats, ...)`: the mean `m` of the outputs, then `m + step · (output - m)`.

    Args:
        outputs: nest of `(n, n_repeats, ...)` outputs.
        fraction: `(n_repeats,)` weights of the repeats in the mean.
        steps: the steps; each is taken towards every repeat.
    """

    def means(leaf: Any) -> Any:
        values = ops.cast(leaf, fraction.dtype)
        fractions = ops.reshape(fraction, (-1, *[1] * (len(values.shape) - 2)))
        mean = ops.sum(fractions * values, axis=1, keepdims=True)
        return ops.concatenate([mean, *(mean + step * (values - mean) for step in steps)], axis=1)

    return keras.tree.map_structure(means, outputs)


def pseudo_values(score: Any, towards: Any, effects: Any, fraction: Any) -> Any:
    """One value for each repeat; their mean `S` estimates the score of the mean over infinitely many.

    The mean `m` of `K` predictions `f_k` has a random error, which adds a bias to its score. To measure
    the bias, `m` is moved towards each prediction, on average by the size of its error. The change `D_k`
    of the score is then subtracted:

        S = score(m) - K / (K - 1) mean_k D_k,      D_k = score(m + (f_k - m) / sqrt(K)) - score(m)

    For squared error `S` is unbiased, whatever the predictions. So is the jackknife, which takes steps
    of `-1 / (K - 1)` instead. But it may move a probability to 0, where the log loss is infinite; and
    for accuracy its small steps change either nothing or everything. The value of repeat `k` is

        S + effect_k - mean effect,     effect_k ~ d score(m) / dm (f_k - m)

    In standard errors it takes the part of a score with donor `k`.

    Source: Efron & Tibshirani (1993), 10.6 and 11.5; Efron & Stein (1981), Annals of Statistics 9(3).

    Args:
        score: `(n, 1, ...)` scores of the mean.
        towards: `(n, n_repeats, ...)` scores of the mean moved towards each repeat.
        effects: `(n, n_repeats, ...)` effect of each repeat on the score, to first order.
        fraction: `(n_repeats,)` 1 over the number of repeats; 0 for padding, at the end.

    Returns:
        `(n, n_repeats, ...)` values.
    """
    fractions = ops.reshape(fraction, (-1, *[1] * (len(score.shape) - 2)))
    bias = ops.sum(fractions * (towards - score), axis=1, keepdims=True) / (1 - fraction[0])
    return score - bias + effects - ops.sum(fractions * effects, axis=1, keepdims=True)
