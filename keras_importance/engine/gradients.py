"""Gradients of the model's outputs, or of its loss, with respect to the inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance.data import ValidationData
from keras_importance.engine import backend
from keras_importance.engine.metrics import Metric
from keras_importance.engine.scoring import chunk_rows

Array = NDArray[Any]
InputGradients = list[Array | None]
"""For each input an array of its shape; None where the outputs have no gradient there."""


class Differentiator:
    """Gradients of every row's own scalar, through compiled programs of one static shape.

    In inference mode the rows don't touch one another, so the gradient of a sum over rows holds the
    gradient of each row's scalar.
    """

    def __init__(self, model: Any, data: ValidationData, loss: Metric | None) -> None:
        engine = backend.current()
        self._model = model
        self._data = data
        self._loss = loss
        self._gradients = engine.gradients
        self._on_device = engine.on_device
        self._inputs = [engine.on_device(values) for values in _in_types_of(model, data.inputs)]
        self._targets = keras.tree.map_structure(engine.on_device, data.targets, none_is_leaf=False)
        self._chunk_rows = min(chunk_rows(data), data.n_rows)
        self._of_outputs = engine.compiled(model, self._output_program)
        self._of_loss = engine.compiled(model, self._loss_program)

    @property
    def n_outputs(self) -> int:
        """How many numbers the model returns for a row."""
        one_row = self._data.pack([leaf[:1] for leaf in self._inputs])
        outputs = keras.tree.flatten(self._model(one_row, training=False))
        return sum(math.prod(output.shape[1:]) for output in outputs)

    def of_outputs(self, directions: Array) -> InputGradients:
        """Gradients of `sum_m directions[i, m] · output_m(x_i)`; directions `(n_rows, n_outputs)`."""
        weights = self._on_device(directions.astype(keras.config.floatx()))
        return self._joined(self._of_outputs, weights)

    def of_loss(self) -> InputGradients:
        """Gradients of the compiled loss of each row."""
        if self._loss is None:
            raise ValueError("the gradient of the loss needs a model compiled with a loss.")
        return self._joined(self._of_loss, self._targets)

    def depends_on(self, number: int) -> bool:
        """Whether the outputs change when the rows of an input trade places."""
        leaves = [leaf[: self._chunk_rows] for leaf in self._inputs]
        moved = list(leaves)
        moved[number] = keras.ops.roll(leaves[number], 1, axis=0)
        before, after = (
            keras.tree.flatten(self._model(self._data.pack(each), training=False))
            for each in (leaves, moved)
        )
        return any(
            not np.array_equal(*map(keras.ops.convert_to_numpy, pair))
            for pair in zip(before, after, strict=True)
        )

    def _joined(self, program: Any, extra: Any) -> InputGradients:
        chunks = [
            [None if part is None else keras.ops.convert_to_numpy(part)[:n_real] for part in parts]
            for parts, n_real in self._chunks(program, extra)
        ]
        return [
            None if parts[0] is None else np.concatenate(parts) for parts in zip(*chunks, strict=True)
        ]

    def _chunks(self, program: Any, extra: Any) -> Iterator[tuple[list[Any], int]]:
        n_rows, size = self._data.n_rows, self._chunk_rows
        for start in range(0, n_rows, size):
            rows = np.minimum(np.arange(start, start + size), n_rows - 1)
            parts = program(self._inputs, extra, self._on_device(rows.astype(np.int32)))
            yield parts, min(size, n_rows - start)

    def _output_program(
        self, call: backend.Call, inputs: list[Any], directions: Any, row: Any
    ) -> list[Any | None]:
        directions = keras.ops.take(directions, row, axis=0)

        def scalar(leaves: list[Any]) -> Any:
            outputs = keras.tree.flatten(call(self._data.pack(leaves)))
            flat = [keras.ops.reshape(output, (-1, math.prod(output.shape[1:]))) for output in outputs]
            outputs = keras.ops.cast(keras.ops.concatenate(flat, axis=-1), directions.dtype)
            return keras.ops.sum(outputs * directions, axis=-1)

        return self._gradients(scalar, [keras.ops.take(leaf, row, axis=0) for leaf in inputs])

    def _loss_program(
        self, call: backend.Call, inputs: list[Any], targets: Any, row: Any
    ) -> list[Any | None]:
        y_true = keras.tree.map_structure(lambda leaf: keras.ops.take(leaf, row, axis=0), targets)
        loss = self._loss
        assert loss is not None  # noqa: S101 (of_loss has checked)
        assert loss.row_scores is not None  # noqa: S101 (the compiled loss has them)
        row_scores = loss.row_scores

        def scalar(leaves: list[Any]) -> Any:
            return row_scores(y_true, call(self._data.pack(leaves)))

        return self._gradients(scalar, [keras.ops.take(leaf, row, axis=0) for leaf in inputs])


def _in_types_of(model: Any, leaves: Sequence[Array]) -> list[Array]:
    """Whole numbers as floats where the model declares a float input: it would cast them itself."""
    declared = getattr(model, "inputs", None) or []
    if len(declared) != len(leaves):
        return list(leaves)
    float_type = keras.config.floatx()
    return [
        leaf.astype(float_type) if leaf.dtype.kind in "iub" and "float" in str(one.dtype) else leaf
        for leaf, one in zip(leaves, declared, strict=True)
    ]
