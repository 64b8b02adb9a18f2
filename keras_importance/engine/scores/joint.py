"""Scores of rows in which several features are replaced at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_importance.engine.backends.backend import Inference, gather
from keras_importance.engine.cut.block_sizes import declared_batch, rows_at_once
from keras_importance.engine.cut.cut import whole_model
from keras_importance.engine.scores.context import ScoringContext
from keras_importance.engine.scores.programs import prepared, row_scores
from keras_importance.engine.scores.sample import Block, FeatureScores, Sample, Values, rows_of
from keras_importance.statistics.arrays import Array, Integers


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

    The whole model is run, uncut: few sets are ever asked for.

    Args:
        context: the model, rows, features and metric.
    """

    def __init__(self, context: ScoringContext) -> None:
        compiler, data = context.compiler, context.data
        self._on_device = compiler.on_device
        self._replicas = compiler.replicas
        self._targets, self._data = context.device_data.targets, data
        self._cut = whole_model(compiler.model, data, context.features)
        self._metric = context.metric
        self._n_features = len(context.features)
        self._n_at_once = rows_at_once(compiler.model, data, in_parts=False, fraction=compiler.fraction)
        if declared_batch(compiler.model) is None:
            self._n_at_once = self._replicas.block_of(data.n_rows, self._n_at_once)
        self._program = compiler(self._score)

    def perturbed(self, sample: Sample, sets: Sequence[Integers]) -> FeatureScores:
        """Scores `(n_sets, n_repeats, n_rows)`, and the baseline `(n_rows,)`, from the same program.

        Args:
            sample: the rows, donors and tensors.
            sets: for each set the indices of its features.

        Returns:
            The scores; their `indices` are positions in `sets`.
        """
        n_repeats, n_rows = sample.donors.shape
        scores = np.reshape(
            [[self._row_scores(sample, members, k) for k in range(n_repeats)] for members in sets],
            (len(sets), n_repeats, n_rows),
        )
        nothing = np.empty(0, np.int64)
        return FeatureScores(np.arange(len(sets)), scores, self._row_scores(sample, nothing, 0))

    def _row_scores(self, sample: Sample, members: Integers, repeat: int) -> Array:
        """`(n_rows,)` scores with the members replaced by the donors of one repeat."""
        is_member = np.zeros(self._n_features, bool)
        is_member[members] = True
        # If rows keep the same values in each repeat, one repeat is passed: its shape serves any number.
        values: Values = sample.tensors
        donors, index = (sample.donors[[repeat]], 0) if values.kept is None else (sample.donors, repeat)
        joint = _Set(self._on_device(is_member), self._on_device(np.array([index], np.int32)))

        def score(start: int) -> Any:
            # The last block is padded with the last row: one static shape.
            rows = np.minimum(np.arange(start, start + self._n_at_once), len(sample.rows) - 1)
            block = Block(
                self._on_device(sample.rows[rows].astype(np.int32)),
                self._on_device(donors[:, rows].astype(np.int32)),
            )
            scores = self._program(values, self._targets, joint, block)
            return keras.tree.map_structure(ops.convert_to_numpy, scores)

        starts = range(0, len(sample.rows), self._n_at_once)
        owners = self._replicas.owners(len(starts))
        joined = keras.tree.map_structure(
            lambda *parts: np.concatenate(parts, axis=1)[0, : len(sample.rows)],
            *self._replicas.brought(self._replicas.map(score, starts, owners), owners),
        )
        if self._metric.row_scores is not None:
            return np.asarray(joined)
        return np.asarray(self._scored(joined, sample))

    def _scored(self, outputs: Any, sample: Sample) -> Array:
        targets = rows_of(self._data.targets, sample.rows)
        return self._metric.checked_score(targets, outputs, None)

    def _score(self, call: Inference, values: Values, targets: Any, joint: _Set, block: Block) -> Any:
        given = prepared(self._cut, call, values, block)
        of_entries = []
        for entry, parts in zip(self._cut.entries, given, strict=True):
            if entry.is_fixed:
                of_entries.append(parts[0])
                continue
            own, replaced = parts
            # A row of a flat column has no axis, its dependence has the one of the column.
            labels = np.reshape(np.maximum(entry.dependence, 0), tuple(own.shape[1:]))
            is_member = gather(joint.is_member, ops.convert_to_tensor(labels.astype(np.int32)))
            is_replaced = is_member[None]
            of_entries.append(ops.where(is_replaced, gather(replaced, joint.repeat)[0], own))
        outputs = self._cut.tail(call, of_entries)
        return row_scores(self._metric, targets, outputs, block.row, 1)
