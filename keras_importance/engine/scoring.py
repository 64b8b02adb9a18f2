"""Scores, in the chosen metric, of inputs in which one feature was replaced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance.data import ValidationData
from keras_importance.engine import backend
from keras_importance.engine.metrics import Metric
from keras_importance.features import FeatureSet
from keras_importance.statistics import Donors, Floats, Integers, weighted_mean

Array = NDArray[Any]

# Large enough to keep the cores busy, small enough that a layer's activations stay in tens of MB.
_MAX_CHUNK_VALUES = 1 << 21
_MAX_CHUNK_ROWS = 8192


@dataclass(frozen=True, eq=False)
class Replacement:
    """What a row gets in place of a feature: what it keeps of its own plus what its donor gives.

    Attributes:
        kept: for each input, an array like the input; None to keep nothing.
        donated: for each input, an array like the input.
    """

    donated: tuple[Array, ...]
    kept: tuple[Array, ...] | None = None


class Scorer:
    """Scores rows with one feature replaced, through one compiled program of one static shape.

    The work is a list of (feature, row, donor) triples, cut into chunks of equal size that cross the
    borders of features and repeats; the last one is padded. So a backend compiles once, whatever the
    numbers of rows, features and repeats.
    """

    def __init__(self, model: Any, data: ValidationData, features: FeatureSet, metric: Metric) -> None:
        engine = backend.current()
        self.metric = metric
        self._data = data
        self._features = features
        # No longer than one repeat of all features: a small sample is not padded to a long chunk.
        self._chunk_rows = chunk_rows(model, data, len(features) * data.n_rows)
        self._inputs = [engine.on_device(values) for values in data.inputs]
        self._masks = [engine.on_device(mask) for mask in features.masks()]
        self._targets = keras.tree.map_structure(engine.on_device, data.targets, none_is_leaf=False)
        self._on_device = engine.on_device
        self._program = engine.compiled(model, self._scores_of_chunk)

    def baseline(self) -> Array:
        """What `perturbed` yields for an untouched feature: `(n_rows,)` row scores or `()`."""
        rows = np.arange(self._data.n_rows)
        itself = Donors(rows[None], rows[None])
        replacement = Replacement(self._data.inputs)
        return np.asarray(next(self._scores(replacement, itself, n_features=1))[0])

    def perturbed(self, replacement: Replacement, donors: Donors) -> Iterator[Array]:
        """For each feature the scores of every repeat: `(n_repeats, n_rows)`, or `(n_repeats,)`.

        The latter where the metric is one number for all rows.
        """
        return self._scores(replacement, donors, n_features=len(self._features))

    def worsening(self, scores: Array, baseline: Array) -> Floats:
        """How much worse the scores are than the baseline, in the unit of the metric."""
        assert self.metric.worse_is is not None  # noqa: S101 (a resolved metric knows)
        return self.metric.worse_is * (np.asarray(scores, np.float64) - baseline)

    def mean(self, scores: Array) -> Floats:
        """The metric over all rows of row scores; a score of all rows as it is."""
        if scores.shape[-1:] != (self._data.n_rows,):
            return np.asarray(scores, np.float64)
        return weighted_mean(scores, self._data.weights)

    # --- the one loop ---------------------------------------------------------------------------

    def _scores(self, replacement: Replacement, donors: Donors, n_features: int) -> Iterator[Array]:
        """Cuts the stream of scored chunks into one piece per feature."""
        n_repeats, n_rows = donors.rows.shape
        piece = n_repeats * n_rows
        pending: list[Any] = []
        n_pending = 0
        for chunk in self._chunks(replacement, donors.rows, n_features):
            pending.append(chunk)
            n_pending += len(keras.tree.flatten(chunk)[0])
            if n_pending < piece:
                continue
            merged = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *pending)
            while n_pending >= piece:
                yield self._finished(_rows(merged, slice(piece)), n_repeats, n_rows)
                merged = _rows(merged, slice(piece, None))
                n_pending -= piece
            pending = [merged]

    def _chunks(self, replacement: Replacement, donors: Integers, n_features: int) -> Iterator[Any]:
        donated = self._leaves_on_device(replacement.donated)
        kept = None if replacement.kept is None else self._leaves_on_device(replacement.kept)
        n_repeats, n_rows = donors.shape
        n_items = n_features * n_repeats * n_rows
        size = self._chunk_rows
        for start in range(0, n_items, size):
            item = np.minimum(np.arange(start, start + size), n_items - 1)
            feature, rest = np.divmod(item, n_repeats * n_rows)
            repeat, row = np.divmod(rest, n_rows)
            triples = (feature, row, donors[repeat, row])
            indices = [self._on_device(part.astype(np.int32)) for part in triples]
            scores = self._program(self._inputs, donated, kept, self._targets, *indices)
            n_real = min(size, n_items - start)
            yield _rows(keras.tree.map_structure(keras.ops.convert_to_numpy, scores), slice(n_real))

    def _leaves_on_device(self, leaves: tuple[Array, ...]) -> list[Any]:
        """The leaves as tensors; those of the data are there already."""
        pairs = zip(leaves, self._data.inputs, self._inputs, strict=True)
        return [there if leaf is own else self._on_device(leaf) for leaf, own, there in pairs]

    def _scores_of_chunk(
        self,
        call: backend.Call,
        inputs: list[Any],
        donated: list[Any],
        kept: list[Any] | None,
        targets: Any,
        feature: Any,
        row: Any,
        donor: Any,
    ) -> Any:
        """Row scores of one chunk; the model's outputs where the metric needs all rows at once."""
        leaves = [
            _replaced(
                values,
                keras.ops.take(self._masks[number], feature, axis=0),
                keras.ops.take(donated[number], donor, axis=0),
                None if kept is None else keras.ops.take(kept[number], row, axis=0),
            )
            for number, values in enumerate(keras.ops.take(leaf, row, axis=0) for leaf in inputs)
        ]
        outputs = call(self._data.pack(leaves))
        if self.metric.row_scores is None:
            return outputs
        y_true = keras.tree.map_structure(lambda leaf: keras.ops.take(leaf, row, axis=0), targets)
        return self.metric.row_scores(y_true, outputs)

    def _finished(self, chunk: Any, n_repeats: int, n_rows: int) -> Array:
        """The scores of one feature, each repeat apart."""
        repeats = [_rows(chunk, slice(k * n_rows, (k + 1) * n_rows)) for k in range(n_repeats)]
        if self.metric.row_scores is not None:
            return np.stack(repeats).astype(np.float64)
        scores = [
            self.metric.checked_score(self._data.targets, outputs, self._data.weights)
            for outputs in repeats
        ]
        return np.stack(scores).astype(np.float64)


def _replaced(values: Any, mask: Any, donated: Any, kept: Any | None) -> Any:
    """The rows with the masked columns replaced; the columns are the last axis, if there is one."""
    replacement = donated if kept is None else kept + donated
    rank = len(values.shape)
    shape = (-1, *([1] * (rank - 2)), mask.shape[-1]) if rank > 1 else (-1,)
    return keras.ops.where(keras.ops.reshape(mask, shape), replacement, values)


def _rows(nest: Any, rows: slice) -> Any:
    return keras.tree.map_structure(lambda leaf: leaf[rows], nest)


def chunk_rows(model: Any, data: ValidationData, n_items: int) -> int:
    """How many of `n_items` rows go through the model at once; the number it declares, if any."""
    declared = declared_batch(model)
    if declared is not None:
        return declared
    values_per_row = sum(leaf[0].size for leaf in data.inputs)
    most = min(_MAX_CHUNK_ROWS, n_items)
    return int(np.clip(_MAX_CHUNK_VALUES // values_per_row, 1, most))


def declared_batch(model: Any) -> int | None:
    """The number of rows that the model's inputs are fixed to, as for a stateful RNN; usually None."""
    inputs = getattr(model, "inputs", None) or []
    return next((int(one.shape[0]) for one in inputs if one.shape[0] is not None), None)
