"""Scores of rows in which several features are replaced at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_importance.data.arrays import mapped
from keras_importance.data.truth import Truth
from keras_importance.engine.backends.backend import Inference, gather
from keras_importance.engine.backends.compiler import Compiler
from keras_importance.engine.cut.block_sizes import declared_batch, evenly, rows_at_once
from keras_importance.engine.cut.cut import Cut, whole_model
from keras_importance.engine.meter import SECONDS_A_PRODUCT, SECONDS_A_SCORE
from keras_importance.engine.metrics.losses import loss_of_batch
from keras_importance.engine.scores.context import ScoringContext
from keras_importance.engine.scores.programs import RowScores, prepared, row_scores
from keras_importance.engine.scores.sample import Block, FeatureScores, Sample, Values, rows_of
from keras_importance.statistics.arrays import Array, Floats, Integers, unit_weights


class _Set(NamedTuple):
    """Tensors that say which features are replaced, and by which repeat.

    Attributes:
        is_member: `(n_features,)` whether a feature belongs to the set.
        repeat: `(1,)` the repeat that the replaced values come from.
    """

    is_member: Any
    repeat: Any


class JointScorer:
    """Scores rows with a set of features replaced, through one program for all sets.

    The whole model is run, uncut. A model that mixes the rows of a batch,
    or adds losses of its own, gets its rows in the batches in which `fit` validates.

    Args:
        context: the model, rows, features and metric.
    """

    def __init__(self, context: ScoringContext) -> None:
        compiler, data = context.compiler, context.data
        self._on_device = compiler.on_device
        self._replicas = compiler.replicas
        self._model = compiler.model
        self._data, self._truth = data, context.device_data.truth
        self._weights = mapped(self._on_device, _unit(data.row_weights))
        self._cut = whole_model(compiler.model, data, context.features)
        self._metric = context.metric
        self._n_features = len(context.features)
        self._is_padded = context.batch_size is None
        self.n_at_once = context.batch_size or self._block_of(compiler)
        loss = partial(_loss, compiler.model, data.packing) if context.metric.by_batch else None
        self._program = compiler(partial(_scored, self._cut, context.metric.row_scores, loss))
        # Of a model with a state, the results of calls at once would depend on their order.
        is_stateless = not compiler.model.non_trainable_variables and self._replicas.n == 1
        self._calls_at_once = max(1, compiler.calls_at_once) if is_stateless else 1
        self._meter = context.meter
        self._is_warm = False

    def _block_of(self, compiler: Compiler) -> int:
        n_at_once = rows_at_once(self._model, self._data, compiler.fraction)
        if declared_batch(self._model) is None:
            n_at_once = self._replicas.block_of(self._data.n_rows, n_at_once)
        return n_at_once

    def _size_for(self, n_rows: int) -> int:
        """How many rows a block has: all blocks as many, where any number of rows can be scored."""
        is_free = self._is_padded and declared_batch(self._model) is None and self._replicas.n == 1
        return evenly(n_rows, self.n_at_once) if is_free else self.n_at_once

    def perturbed(
        self, sample: Sample, sets: Sequence[Integers], baseline: Array | None = None
    ) -> FeatureScores:
        """Scores `(n_sets, n_repeats, n_rows)`, and the baseline `(n_rows,)`, from the same program.

        They are `(n_sets, n_repeats)` and `()` for a metric that needs all rows at once.

        Args:
            sample: the rows, donors and tensors.
            sets: for each set the indices of its features.
            baseline: the scores of the untouched rows, if they are known.

        Returns:
            The scores; their `indices` are positions in `sets`.
        """
        n_repeats = len(sample.donors)
        asked = [(members, repeat) for members in sets for repeat in range(n_repeats)]
        if baseline is None:
            asked.append((np.empty(0, np.int64), 0))
        # Not in the threads below, whose additions could get lost.
        self._meter.count(len(asked) * len(sample.rows) * self.seconds_per_score)
        # The very first call compiles the program, alone.
        n_alone = 0 if self._is_warm else 1
        scores = [self._scores_of_set(sample, *of_set) for of_set in asked[:n_alone]]
        self._is_warm = True
        with ThreadPoolExecutor(self._calls_at_once) as pool:
            scores += pool.map(lambda of_set: self._scores_of_set(sample, *of_set), asked[n_alone:])
        baseline = scores.pop() if baseline is None else baseline
        shaped = np.array(scores).reshape(len(sets), n_repeats, *np.shape(baseline))
        return FeatureScores(np.arange(len(sets)), shaped, baseline)

    @property
    def seconds_per_score(self) -> float:
        """Planned seconds for one row of one set and repeat."""
        return SECONDS_A_SCORE + SECONDS_A_PRODUCT * self._cut.products

    def baseline(self, sample: Sample) -> Array:
        """The scores of the untouched rows."""
        self._meter.count(len(sample.rows) * self.seconds_per_score)
        return self._scores_of_set(sample, np.empty(0, np.int64), 0)

    def _scores_of_set(self, sample: Sample, members: Integers, repeat: int) -> Array:
        """`(n_rows,)` scores with the members replaced by the donors of one repeat; or one number."""
        is_member = np.zeros(self._n_features, bool)
        is_member[members] = True
        # If rows keep the same values in each repeat, one repeat is passed: its shape serves any number.
        values: Values = sample.tensors
        donors, index = (sample.donors[[repeat]], 0) if values.kept is None else (sample.donors, repeat)
        joint = _Set(self._on_device(is_member), self._on_device(np.array([index], np.int32)))
        n_rows, size = len(sample.rows), self._size_for(len(sample.rows))

        def score(start: int) -> Any:
            rows = np.arange(start, start + size)
            # The last block is padded with the last row: one static shape.
            rows = np.minimum(rows, n_rows - 1) if self._is_padded else rows[rows < n_rows]
            block = Block(
                self._on_device(sample.rows[rows].astype(np.int32)),
                self._on_device(donors[:, rows].astype(np.int32)),
            )
            scores = self._program(values, self._truth, self._weights, joint, block)
            return keras.tree.map_structure(ops.convert_to_numpy, scores)

        starts = range(0, n_rows, size)
        owners = self._replicas.owners(len(starts))
        parts = list(self._replicas.brought(self._replicas.map(score, starts, owners), owners))
        if self._metric.by_batch:
            n_in_batches = [min(size, n_rows - start) for start in starts]
            return np.asarray(np.average(np.ravel(parts), weights=n_in_batches))
        joined = keras.tree.map_structure(
            lambda *leaves: np.concatenate(leaves, axis=1)[0, :n_rows], *parts
        )
        if self._metric.row_scores is not None:
            return np.asarray(joined)
        truth, weights = rows_of((self._data.truth, self._data.row_weights), sample.rows)
        return np.asarray(self._metric.score(truth, joined, weights))


def _scored(
    cut: Cut,
    scores_of: RowScores | None,
    loss: Callable[[Inference, list[Any], Truth, Any], Any] | None,
    call: Inference,
    values: Values,
    truth: Truth,
    weights: Any,
    joint: _Set,
    block: Block,
) -> Any:
    """The scores of a block of rows; the program closes over no rows, as it outlives them.

    Args:
        cut: the cut at the inputs.
        scores_of: `Metric.row_scores`.
        loss: the loss of the whole block as the model computes it, in place of scores of its rows.
        call: the model's inference.
        values: the inputs of all rows, and what replaces them.
        truth: what the predictions for all rows are scored against.
        weights: weights of all rows; None for equal ones.
        joint: which features are replaced.
        block: which rows.
    """
    given = prepared(cut, call, values, block)
    of_entries = []
    for entry, parts in zip(cut.entries, given, strict=True):
        if entry.is_fixed:
            of_entries.append(parts[0])
            continue
        own, replaced = parts
        # A row of a flat column has no axis, its dependence has the one of the column.
        labels = np.reshape(np.maximum(entry.dependence, 0), tuple(own.shape[1:]))
        is_member = gather(joint.is_member, ops.convert_to_tensor(labels.astype(np.int32)))
        is_replaced = is_member[None]
        of_entries.append(ops.where(is_replaced, gather(replaced, joint.repeat)[0], own))
    if loss is None:
        return row_scores(scores_of, truth, cut.tail(call, of_entries), block.row, 1)
    rows, weights = mapped(lambda leaf: gather(leaf, block.row), (truth, weights))
    return loss(call, of_entries, rows, weights)


def _loss(
    model: Any,
    packing: Callable[[list[Any]], Any],
    call: Inference,
    inputs: list[Any],
    truth: Truth,
    weights: Any,
) -> Any:
    return loss_of_batch(model, call, packing(inputs), truth, weights)


class EachAlone:
    """Scores one feature at a time as a set of its own, by `JointScorer`.

    Args:
        context: the model, rows, features and metric.
    """

    def __init__(self, context: ScoringContext) -> None:
        self._joint = JointScorer(context)

    def perturbed(self, sample: Sample, indices: Integers) -> Iterator[FeatureScores]:
        """Scores of the given features, one after another."""
        baseline = self._joint.baseline(sample)
        for index in indices:
            scores = self._joint.perturbed(sample, [np.array([index])], baseline)
            yield replace(scores, indices=np.array([index]))

    @property
    def seconds_per_score(self) -> float:
        """Planned seconds for one row of one (feature, repeat) pair."""
        return self._joint.seconds_per_score


def _unit(weights: Floats | None) -> Array | None:
    """The weights with mean 1, in Keras' float type."""
    if weights is None:
        return None
    return np.asarray(unit_weights(weights, len(weights)), keras.config.floatx())
