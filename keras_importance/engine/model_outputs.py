"""The model's outputs for a few rows, and what they tell: shapes, and how many values a row has."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import keras
import numpy as np

from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends.backend import Inference
from keras_importance.engine.backends.compiler import Compiler
from keras_importance.engine.cut.block_sizes import declared_batch
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

    def of(self, inputs: list[Array]) -> Any:
        """The outputs for some inputs, as a nest of arrays."""
        outputs = self._inference([self._compiler.on_device(values) for values in inputs])
        return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)

    @cached_property
    def _inference(self) -> Callable[[list[Any]], Any]:
        # Compiled, as an eager call could draw from TensorFlow's global random state.
        def inference(call: Inference, inputs: list[Any]) -> Any:
            return call(self._data.pack(inputs))

        return self._compiler(inference, fuse=False)
