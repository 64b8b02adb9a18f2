"""Gradients of the model's outputs, or of its loss, with respect to the inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance.data import ValidationData
from keras_importance.engine.backend import Call, Compiler
from keras_importance.engine.blocks import rows_at_once

Array = NDArray[Any]
InputGradients = list[Array | None]
"""For each input an array of its shape; None where the outputs have no gradient there."""


class Differentiator:
    """Gradients of every row's own scalar, through compiled programs of one static shape.

    In inference mode the rows don't touch one another, so the gradient of a sum over rows holds the
    gradient of each row's scalar.
    """

    def __init__(self, compiler: Compiler, data: ValidationData) -> None:
        self._data = data
        self._compiler = compiler
        self._gradients = compiler.gradients
        self._on_device = compiler.on_device
        self._inputs = [self._on_device(values) for values in _in_types_of(compiler.model, data.inputs)]
        self._targets = keras.tree.map_structure(self._on_device, data.targets, none_is_leaf=False)
        self._chunk_rows = rows_at_once(compiler.model, data, data.n_rows)
        self._of_outputs = compiler(self._output_program)
        self._of_loss: Callable[..., Any] | None = None

    def of_outputs(self, directions: Array) -> InputGradients:
        """Gradients of `sum_m directions[i, m] · output_m(x_i)`; directions `(n_rows, n_outputs)`."""
        weights = self._on_device(directions.astype(keras.config.floatx()))
        return self._joined(self._of_outputs, weights)

    def of_loss(self, row_scores: Callable[[Any, Any], Any]) -> InputGradients:
        """Gradients of the row scores of a loss."""
        if self._of_loss is None:
            self._of_loss = self._compiler(partial(self._loss_program, row_scores))
        return self._joined(self._of_loss, self._targets)

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
        self, call: Call, inputs: list[Any], directions: Any, row: Any
    ) -> list[Any | None]:
        directions = keras.ops.take(directions, row, axis=0)

        def scalar(leaves: list[Any]) -> Any:
            outputs = keras.tree.flatten(call(self._data.pack(leaves)))
            flat = [keras.ops.reshape(output, (-1, math.prod(output.shape[1:]))) for output in outputs]
            outputs = keras.ops.cast(keras.ops.concatenate(flat, axis=-1), directions.dtype)
            return keras.ops.sum(outputs * directions, axis=-1)

        return self._gradients(scalar, [keras.ops.take(leaf, row, axis=0) for leaf in inputs])

    def _loss_program(
        self,
        row_scores: Callable[[Any, Any], Any],
        call: Call,
        inputs: list[Any],
        targets: Any,
        row: Any,
    ) -> list[Any | None]:
        y_true = keras.tree.map_structure(lambda leaf: keras.ops.take(leaf, row, axis=0), targets)

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
