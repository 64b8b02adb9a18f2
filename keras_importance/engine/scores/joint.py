"""Scores of inputs in which several features were replaced at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_importance.data.features import FeatureSet
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends.backend import Inference, gather
from keras_importance.engine.backends.compiler import Compiler
from keras_importance.engine.cut.block_sizes import declared_batch, rows_at_once
from keras_importance.engine.cut.cut import whole_model
from keras_importance.engine.metrics.metric import Metric
from keras_importance.engine.scores.programs import prepared, row_scores
from keras_importance.engine.scores.sample import DeviceData, FeatureScores, Sample
from keras_importance.statistics.arrays import Array, Integers


class JointScorer:
    """Scores rows with sets of features replaced, through one program whatever the sets.

    The whole model is run: few sets are ever asked for.

    Args:
        compiler: compiles for the model.
        data: the rows.
        on_device: the same rows as tensors.
        features: the features.
        metric: the metric, tried out; it must be a mean over rows.
    """

    def __init__(
        self,
        compiler: Compiler,
        data: ValidationData,
        on_device: DeviceData,
        features: FeatureSet,
        metric: Metric,
    ) -> None:
        self._on_device = compiler.on_device
        self._replicas = compiler.replicas
        self._targets, self._data = on_device.targets, data
        self._cut = whole_model(compiler.model, data, features)
        self._metric = metric
        self._n_features = len(features)
        self._n_at_once = rows_at_once(compiler.model, data, in_parts=False, fraction=compiler.share)
        if declared_batch(compiler.model) is None:
            self._n_at_once = self._replicas.block_of(data.n_rows, self._n_at_once)
        self._program = compiler(self._score)

    def perturbed(self, sample: Sample, sets: Sequence[Integers]) -> FeatureScores:
        """Scores `(n_sets, n_repeats, n_rows)`, and the baseline, from the same program."""
        n_repeats, n_rows = sample.donors.shape
        found = np.reshape(
            [[self._row_scores(sample, one, repeat) for repeat in range(n_repeats)] for one in sets],
            (len(sets), n_repeats, n_rows),
        )
        nothing = np.empty(0, np.int64)
        return FeatureScores(np.arange(len(sets)), found, self._row_scores(sample, nothing, 0))

    def _row_scores(self, sample: Sample, members: Integers, repeat: int) -> Array:
        """`(n_rows,)` scores with the members replaced by the donors of one repeat."""
        is_member = np.zeros(self._n_features, bool)
        is_member[members] = True
        # One shape for any number of repeats, where rows keep the same in each.
        _, _, kept = sample.tensors
        donors, place = (sample.donors[[repeat]], 0) if kept is None else (sample.donors, repeat)
        flags, number = self._on_device(is_member), self._on_device(np.array([place], np.int32))

        def score(start: int) -> Any:
            # The last block is padded with the last row: one static shape.
            rows = np.minimum(np.arange(start, start + self._n_at_once), len(sample.rows) - 1)
            row, donor = sample.rows[rows], donors[:, rows]
            arrays = (self._on_device(one.astype(np.int32)) for one in (row, donor))
            found = self._program(*sample.tensors, self._targets, flags, number, *arrays)
            return keras.tree.map_structure(ops.convert_to_numpy, found)

        starts = range(0, len(sample.rows), self._n_at_once)
        places = self._replicas.places(len(starts))
        found = keras.tree.map_structure(
            lambda *parts: np.concatenate(parts, axis=1)[0, : len(sample.rows)],
            *self._replicas.brought(self._replicas.map(score, starts, places), places),
        )
        return np.asarray(found if self._metric.row_scores is not None else self._scored(found, sample))

    def _scored(self, outputs: Any, sample: Sample) -> Array:
        targets = keras.tree.map_structure(
            lambda leaf: leaf[sample.rows], self._data.targets, none_is_leaf=False
        )
        return self._metric.checked_score(targets, outputs, None)

    def _score(
        self,
        call: Inference,
        inputs: list[Any],
        donated: list[Any],
        kept: list[Any] | None,
        targets: Any,
        is_member: Any,
        repeat: Any,
        row: Any,
        donor: Any,
    ) -> Any:
        given = prepared(self._cut, call, inputs, donated, kept, row, donor)
        values = []
        for entry, parts in zip(self._cut.entries, given, strict=True):
            if entry.is_fixed:
                values.append(parts[0])
                continue
            own, replaced = parts
            labels = ops.convert_to_tensor(np.maximum(entry.dependence, 0).astype(np.int32))
            is_replaced = gather(is_member, labels)[None]
            values.append(ops.where(is_replaced, gather(replaced, repeat)[0], own))
        return row_scores(self._metric, targets, self._cut.tail(call, values), row, 1)
