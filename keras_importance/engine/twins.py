"""Twins: copies of one model, each of which doesn't see some columns, trained as one program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance.data import ValidationData
from keras_importance.engine import backend
from keras_importance.engine.blocks import evenly
from keras_importance.engine.held_out_scores import finished_scores
from keras_importance.engine.metrics import Metric
from keras_importance.engine.twin_step import Start, TwinStep
from keras_importance.errors import reason_of, warn
from keras_importance.masks import Masks
from keras_importance.statistics import Floats, Integers

ops = keras.ops
Array = NDArray[Any]

# Weights, slots of the optimizer, gradients and layers of the twins that are trained at once: 256 MB.
_MAX_VALUES = 1 << 26
# A layer of all twins for some of the rows that are scored: 32 MB.
_MAX_SCORED_VALUES = 1 << 23


class Twins:
    """Copies of one model, each of which doesn't see some columns, trained as one program.

    All start with the same weights and see the same batches in the same order, with the same random
    draws of dropout: what sets them apart is what they don't see. A step of the training is the model's
    own forward pass, loss and optimizer, vectorised over the twins; where a layer can't be vectorised it
    is a loop over them, which is said once. The model itself is only read.

    Args:
        model: compiled and built.
        data: the rows to train on.
        masks: what each twin doesn't see.
        batch_size: rows in a step.
        start: what the twins begin with.
        metrics: what they are scored with, tried out.

    Attributes:
        is_vectorised: whether all twins of a block are trained at once.
    """

    def __init__(
        self,
        model: Any,
        data: ValidationData,
        masks: Masks,
        batch_size: int,
        start: Start,
        metrics: Sequence[Metric],
    ) -> None:
        self._step = TwinStep(model, data, metrics)
        self._backend = backend.current()
        self._metrics = tuple(metrics)
        self._masks, self._batch_size, self._start = masks, batch_size, start
        self._rows = self._on_device([list(data.inputs), data.targets, _in_float_type(data.weights)])
        self._fill = self._on_device(list(masks.fill))
        self._n_twins = len(masks.hidden[0])
        self._states: list[tuple[list[Any], list[Any]]] = []
        self.is_vectorised = True
        in_turn = -(-self._n_twins // self._backend.CALLS_AT_ONCE)
        fitting = max(1, _MAX_VALUES // self._step.values_of_twin(batch_size))
        self._arrange(min(in_turn, fitting))

    def train(self, order: Integers) -> None:
        """One epoch over the rows in an order."""
        n_full = len(order) // self._batch_size
        steps, rest = np.split(order.astype(np.int32), [n_full * self._batch_size])
        steps = steps.reshape(n_full, self._batch_size)
        given = (*self._rows, self._on_device(steps), self._on_device(rest) if len(rest) else None)
        try:
            self._train(given)
        except Exception as error:
            if not self.is_vectorised or self._has_trained:
                raise
            warn(
                "the twins of LOFO are trained one after the other, which takes longer: the model can't "
                f"be vectorised. Reason: {reason_of(error)}"
            )
            self.is_vectorised = False
            self._arrange(1)
            self._train(given)

    def set_learning_rate(self, value: float) -> None:
        """Sets what the optimizers learn with from now on; where a schedule does, it stays."""
        self._states = [self._step.with_learning_rate(one, value) for one in self._states]

    def scores(self, data: ValidationData) -> list[list[Floats]]:
        """For each twin and metric the scores of some rows: `(n_rows,)`, or one number."""
        most = max(1, _MAX_SCORED_VALUES // (self._size * self._step.widest))
        n_at_once = evenly(data.n_rows, most)
        # The last part is padded with the last row: one static shape.
        parts = [
            data.only(np.minimum(np.arange(first, first + n_at_once), data.n_rows - 1))
            for first in range(0, data.n_rows, n_at_once)
        ]
        found = []
        for number in range(len(self._states)):
            pieces = [self._scored(number, part) for part in parts]
            of_block = keras.tree.map_structure(
                lambda *leaves: np.concatenate(leaves, axis=1)[:, : data.n_rows], *pieces
            )
            for twin in range(len(self._twins_of(number))):
                mine = keras.tree.map_structure(lambda leaf: leaf[twin], of_block)  # noqa: B023
                found.append(finished_scores(mine, data, self._metrics))
        return found

    # --- blocks of twins ----------------------------------------------------------------------------

    def _arrange(self, at_most: int) -> None:
        """Puts the twins into blocks of one size, as they are at first; the last one is padded."""
        self._size = evenly(self._n_twins, at_most)
        self._has_trained = False
        vectorise = self._backend.vectorised if self.is_vectorised else _alone
        self._epoch = self._backend.jitted(partial(self._step.epoch, vectorise), fuse=True)
        self._score = self._backend.jitted(partial(self._step.scores, vectorise), fuse=True)
        n_blocks = -(-self._n_twins // self._size)
        self._states = [self._step.state(self._start, self._size) for _ in range(n_blocks)]
        self._hidden = [
            self._on_device([one[self._padded(number)] for one in self._masks.hidden])
            for number in range(n_blocks)
        ]

    def _train(self, given: tuple[Any, ...]) -> None:
        def train(number: int) -> None:
            state, hidden = self._states[number], self._hidden[number]
            self._states[number] = self._epoch(state, hidden, self._fill, *given)

        with self._traced(), ThreadPoolExecutor(self._backend.CALLS_AT_ONCE) as pool:
            numbers = range(len(self._states))
            if not self._has_trained:
                train(0)  # alone, as it compiles what serves all
                self._has_trained, numbers = True, numbers[1:]
            list(pool.map(train, numbers))

    def _scored(self, number: int, data: ValidationData) -> Any:
        rows = self._on_device([list(data.inputs), data.targets])
        with self._traced():
            found = self._score(self._states[number], self._hidden[number], self._fill, *rows)
        return keras.tree.map_structure(ops.convert_to_numpy, found)

    def _traced(self) -> Any:
        return self._step.as_vectorisable() if self.is_vectorised else nullcontext()

    def _twins_of(self, number: int) -> Integers:
        return np.arange(number * self._size, min((number + 1) * self._size, self._n_twins))

    def _padded(self, number: int) -> Integers:
        twins = self._twins_of(number)
        return twins[np.minimum(np.arange(self._size), len(twins) - 1)]

    def _on_device(self, nest: Any) -> Any:
        return keras.tree.map_structure(self._backend.on_device, nest, none_is_leaf=False)


def _alone(function: Callable[[Any], Any], stacked: Any) -> Any:
    """The function of the only entry of stacked tensors."""
    found = function(keras.tree.map_structure(lambda leaf: leaf[0], stacked))
    return keras.tree.map_structure(lambda leaf: ops.expand_dims(leaf, 0), found)


def _in_float_type(values: Array | None) -> Array | None:
    return None if values is None else values.astype(keras.config.floatx())
