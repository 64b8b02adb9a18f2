"""The model's outputs for a few rows, and what they tell: shapes, and how many values a row has."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, cast

import keras
import numpy as np

from keras_importance.data.arrays import mapped
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends.backend import Inference
from keras_importance.engine.backends.compiler import Compiler
from keras_importance.engine.cut.block_sizes import declared_batch
from keras_importance.engine.keras_internals import get_keras_mask
from keras_importance.statistics.arrays import Array, Integers

_FEW_ROWS = 16


class ModelOutputs:
    """Runs the model on a few rows.

    Args:
        compiler: compiles for the model.
        data: the rows.
    """

    def __init__(self, compiler: Compiler, data: ValidationData) -> None:
        self._compiler = compiler
        self._data = data

    @cached_property
    def few_rows(self) -> Integers:
        """Indices of 16 rows, or of as many as the model's inputs are fixed to."""
        return np.arange(declared_batch(self._compiler.model) or _FEW_ROWS) % self._data.n_rows

    @cached_property
    def few(self) -> Any:
        """The outputs for `few_rows`, as a nest of arrays."""
        return self.of([values[self.few_rows] for values in self._data.inputs])

    @cached_property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the outputs for all rows, `(n_rows, ...)`, in the order of the flattened nest."""
        return [(self._data.n_rows, *output.shape[1:]) for output in keras.tree.flatten(self.few)]

    @property
    def n_values(self) -> int:
        """How many values all outputs together have for a row."""
        return sum(math.prod(shape[1:]) for shape in self.shapes)

    def of_rows(self, rows: Integers) -> Any:
        """The outputs for the rows of these indices, as a nest of arrays `(n_rows, ...)`."""
        return self._in_chunks(rows)[0]

    @cached_property
    def masks(self) -> dict[str, Array]:
        """For each output with a Keras mask the `(n_rows, n_steps)` mask, by the output's index."""
        return self._in_chunks(np.arange(self._data.n_rows))[1] if self._masks_of_few else {}

    @cached_property
    def _masks_of_few(self) -> dict[str, Array]:
        """The masks for `few_rows`."""
        return self._in_chunks(self.few_rows)[1]

    def _in_chunks(self, rows: Integers) -> tuple[Any, dict[str, Array]]:
        """The outputs and the masks for some rows, in chunks of one static shape, that of `few_rows`."""
        size, parts = len(self.few_rows), []
        for start in range(0, len(rows), size):
            # The last chunk is padded with the last row.
            chunk = rows[np.minimum(np.arange(start, start + size), len(rows) - 1)]
            inputs = [self._compiler.on_device(values[chunk]) for values in self._data.inputs]
            parts.append(mapped(keras.ops.convert_to_numpy, self._with_masks(inputs)))
        return cast(
            "tuple[Any, dict[str, Array]]",
            mapped(lambda *leaves: np.concatenate(leaves)[: len(rows)], *parts),
        )

    def of(self, inputs: list[Array]) -> Any:
        """The outputs for some inputs, as a nest of arrays."""
        outputs, _ = self._with_masks([self._compiler.on_device(values) for values in inputs])
        return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)

    @cached_property
    def _with_masks(self) -> Callable[[list[Any]], Any]:
        # Compiled, as an eager call could draw from TensorFlow's global random state.
        def inference(call: Inference, inputs: list[Any]) -> tuple[Any, dict[str, Any]]:
            outputs = call(self._data.pack(inputs))
            masks = {str(i): get_keras_mask(leaf) for i, leaf in enumerate(keras.tree.flatten(outputs))}
            return outputs, {index: mask for index, mask in masks.items() if mask is not None}

        return self._compiler(inference, fuse=False)
