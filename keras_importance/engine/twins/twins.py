"""Twins: copies of one model, each of which doesn't see some columns, trained as one program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_importance.data.arrays import mapped
from keras_importance.data.hidden_columns import HiddenColumns
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends import backend
from keras_importance.engine.cut.block_sizes import evenly
from keras_importance.engine.metrics.metric import Metric
from keras_importance.engine.twins.held_out_scores import finished_scores
from keras_importance.engine.twins.step import Start, TwinStep
from keras_importance.engine.twins.tensors import Batches, Hidden, Rows, State
from keras_importance.errors import reason_of, warn
from keras_importance.statistics.arrays import Floats, Integers

MAX_KEPT_VALUES = 1 << 29
"""Most values of twins that are kept from epoch to epoch, weights and optimizer slots: 2 GB."""

# Weights, slots of the optimizer, gradients and layers of the twins that are trained at once: 256 MB.
_MAX_VALUES = 1 << 26
# A layer of all twins for some of the rows that are scored: 32 MB.
_MAX_SCORED_VALUES = 1 << 23


class TwinPrograms:
    """The compiled training and scoring of copies of a model; they serve any number of `Twins`.

    Args:
        model: the compiled and built model; it is read, never changed.
        data: rows like those that are trained on.
        metrics: the resolved metrics that twins are scored with.

    Attributes:
        step: the training and the scoring, not compiled.
        metrics: the metrics.
        is_vectorised: whether a program trains several twins at once, not one after the other.
        calls_at_once: how many programs are best run concurrently.
        epoch: `TwinStep.epoch`, compiled.
        scores: `TwinStep.scores`, compiled.
    """

    def __init__(self, model: Any, data: ValidationData, metrics: Sequence[Metric]) -> None:
        self._backend = backend.current()
        self.step = TwinStep(model, data, metrics)
        self.metrics = tuple(metrics)
        self.calls_at_once = self._backend.CALLS_AT_ONCE
        self._compile(is_vectorised=True)

    @property
    def n_kept(self) -> int:
        """How many twins can be kept in memory at once."""
        return max(1, MAX_KEPT_VALUES // max(1, self.step.values_kept))

    def train_one_by_one(self, reason: str) -> None:
        """Compiles programs for one twin at a time, and warns with the reason."""
        warn(
            "the twins of LOFO are trained one after the other, which takes longer: the model can't be "
            f"vectorised. Reason: {reason}"
        )
        self._compile(is_vectorised=False)

    def traced(self) -> AbstractContextManager[None]:
        """The context in which programs must be called: their first call traces them."""
        return self.step.as_vectorisable() if self.is_vectorised else nullcontext()

    def on_device(self, nest: Any) -> Any:
        """The arrays of a nest as tensors."""
        return mapped(self._backend.on_device, nest)

    def _compile(self, *, is_vectorised: bool) -> None:
        self.is_vectorised = is_vectorised
        vectorise = self._backend.vectorised if is_vectorised else _alone
        self.epoch = self._backend.jitted(partial(self.step.epoch, vectorise), fuse=True)
        self.scores = self._backend.jitted(partial(self.step.scores, vectorise), fuse=True)


@dataclass(eq=False)
class _Block:
    """Some twins of one start; the last block of a start is padded to the size of the others.

    Attributes:
        start: index of the start.
        twins: `(n_twins,)` indices of the twins, without the padding.
        hidden: the columns that they don't see.
        state: their current state.
    """

    start: int
    twins: Integers
    hidden: Hidden
    state: State


class Twins:
    """Copies of one model, each of which doesn't see some columns, trained as one program.

    All twins of a start begin with the same weights. They see the same batches in the same order, with
    the same random draws of dropout. They differ only in the columns that they don't see.

    A step of the training is the model's own forward pass, loss and optimizer, vectorised over twins. If
    a layer can't be vectorised, twins are trained one after the other, and a warning says so once.

    Args:
        programs: the compiled training of the model.
        data: the rows to train on.
        hidden_columns: the columns that each twin doesn't see.
        batch_size: how many rows a step takes.
        starts: the values from which training begins; each start has its own set of twins.
    """

    def __init__(
        self,
        programs: TwinPrograms,
        data: ValidationData,
        hidden_columns: HiddenColumns,
        batch_size: int,
        starts: Sequence[Start],
    ) -> None:
        self._programs = programs
        self._hidden_columns, self._batch_size = hidden_columns, batch_size
        self._starts = tuple(starts)
        weights = data.weights if data.value_weights is None else data.value_weights
        weights = mapped(lambda leaf: leaf.astype(keras.config.floatx()), weights)
        self._rows = Rows(*programs.on_device([list(data.inputs), data.targets, weights]))
        self._n_twins = len(hidden_columns.hidden[0])
        self._has_trained = False
        self._blocks = self._arranged()

    def train(self, orders: Sequence[Integers]) -> None:
        """Trains for one epoch.

        Args:
            orders: for each start `(n_rows,)` indices of the rows in the order in which they are taken.
        """
        try:
            self._train(orders)
        except Exception as error:
            if not self._programs.is_vectorised or self._has_trained:
                raise
            self._programs.train_one_by_one(reason_of(error))
            self._blocks = self._arranged()
            self._train(orders)

    def set_learning_rate(self, value: float) -> None:
        """Sets the learning rate of all twins; without effect if a schedule sets it."""
        for block in self._blocks:
            block.state = self._programs.step.with_learning_rate(block.state, value)

    def scores(self, data: ValidationData) -> list[list[list[Floats]]]:
        """For each start, twin and metric `(n_rows,)` scores, or one number `()` for all rows."""
        size = len(self._blocks[0].twins)
        most = max(1, _MAX_SCORED_VALUES // (size * self._programs.step.widest))
        n_at_once = evenly(data.n_rows, most)
        # The last part is padded with the last row: one static shape.
        parts = [
            data.only(np.minimum(np.arange(first, first + n_at_once), data.n_rows - 1))
            for first in range(0, data.n_rows, n_at_once)
        ]
        scores: list[list[list[Floats]]] = [[] for _ in self._starts]
        for block in self._blocks:
            pieces = [self._scored(block, part) for part in parts]
            of_block = keras.tree.map_structure(
                lambda *leaves: np.concatenate(leaves, axis=1)[:, : data.n_rows], *pieces
            )
            for index in range(len(block.twins)):
                of_twin = keras.tree.map_structure(lambda leaf: leaf[index], of_block)  # noqa: B023
                scores[block.start].append(finished_scores(of_twin, data, self._programs.metrics))
        return scores

    # --- blocks of twins --------------------------------------------------------------------------

    def _arranged(self) -> list[_Block]:
        """All twins in their first state, in blocks of equal size."""
        programs = self._programs
        fitting = max(1, _MAX_VALUES // programs.step.values_of_twin(self._batch_size))
        at_once = max(1, -(-self._n_twins * len(self._starts) // programs.calls_at_once))
        size = evenly(self._n_twins, min(fitting, at_once)) if programs.is_vectorised else 1
        fill = programs.on_device(list(self._hidden_columns.fill))
        blocks = []
        for index, start in enumerate(self._starts):
            for first in range(0, self._n_twins, size):
                twins = np.arange(first, min(first + size, self._n_twins))
                padded = twins[np.minimum(np.arange(size), len(twins) - 1)]
                columns = programs.on_device([hidden[padded] for hidden in self._hidden_columns.hidden])
                state = programs.step.state(start, size)
                blocks.append(_Block(index, twins, Hidden(columns, fill), state))
        return blocks

    def _train(self, orders: Sequence[Integers]) -> None:
        batches = [self._batches(order) for order in orders]

        def train(block: _Block) -> None:
            block.state = self._programs.epoch(
                block.state, block.hidden, self._rows, batches[block.start]
            )

        blocks = self._blocks
        with self._programs.traced(), ThreadPoolExecutor(self._programs.calls_at_once) as pool:
            if not self._has_trained:
                train(blocks[0])  # alone, as it compiles what serves all
                self._has_trained, blocks = True, blocks[1:]
            list(pool.map(train, blocks))

    def _batches(self, order: Integers) -> Batches:
        n_full = len(order) // self._batch_size
        full, last = np.split(order.astype(np.int32), [n_full * self._batch_size])
        on_device = self._programs.on_device
        return Batches(
            on_device(full.reshape(n_full, self._batch_size)), on_device(last) if len(last) else None
        )

    def _scored(self, block: _Block, data: ValidationData) -> Any:
        """For each metric, scores `(n_twins, n_rows)` or outputs, of a block with its padding."""
        rows = Rows(*self._programs.on_device([list(data.inputs), data.truth]))
        with self._programs.traced():
            computed = self._programs.scores(block.state, block.hidden, rows)
        return keras.tree.map_structure(ops.convert_to_numpy, computed)


def _alone(function: Callable[[Any], Any], stacked: Any) -> Any:
    """The function's result for the only entry of stacked tensors, stacked again."""
    result = function(keras.tree.map_structure(lambda leaf: leaf[0], stacked))
    return keras.tree.map_structure(lambda leaf: ops.expand_dims(leaf, 0), result)
