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
    def n_not_finite(self) -> int:
        """Of how many rows with a missing value some output is NaN or infinite."""
        inputs = self._data.inputs
        is_incomplete = np.zeros(self._data.n_rows, bool)
        for values in inputs:
            if values.dtype.kind == "f":
                is_incomplete |= ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
        rows = np.flatnonzero(is_incomplete)
        n_at_once = len(self.few_rows)
        n_not_finite = 0
        for start in range(0, len(rows), n_at_once):
            block = rows[start : start + n_at_once]
            outputs = keras.tree.flatten(
                self.of([values[np.resize(block, n_at_once)] for values in inputs])
            )
            are_finite = [
                np.isfinite(output).reshape(n_at_once, -1).all(axis=1)
                for output in outputs
                if output.dtype.kind == "f"
            ]
            n_not_finite += int(np.sum(~np.all(are_finite, axis=0)[: len(block)])) if are_finite else 0
        return n_not_finite

    @cached_property
    def differ_with_padding(self) -> bool:
        """Whether the outputs for a short row differ when it is padded to the longest row.

        False if all rows have the same number of steps, or if the model takes no shorter row.
        """
        data = self._data
        shortest = [int(np.argmin(steps)) for steps in data.steps if steps is not None]
        if not shortest:
            return False
        row = [values[shortest[:1]] for values in data.inputs]
        own = [
            values if steps is None else _ends(values, int(steps[shortest[0]]), data.is_padded_before)
            for values, steps in zip(row, data.steps, strict=True)
        ]
        try:
            pairs = zip(*map(keras.tree.flatten, (self.of(row), self.of(own))), strict=True)
        except Exception:  # noqa: BLE001 (the model takes rows of one length)
            return False
        return any(
            not np.allclose(
                padded if padded.ndim < 2 else _ends(padded, alone.shape[1], data.is_padded_before),
                alone,
                rtol=1e-3,
                atol=1e-4 * max(1.0, float(np.abs(alone).max(initial=0))),
                equal_nan=True,
            )
            for padded, alone in pairs
        )

    @cached_property
    def _inference(self) -> Callable[[list[Any]], Any]:
        # Compiled, as an eager call could draw from TensorFlow's global random state.
        def inference(call: Inference, inputs: list[Any]) -> Any:
            return call(self._data.pack(inputs))

        return self._compiler(inference, fuse=False)


def _ends(values: Array, n_steps: int, at_the_end: bool) -> Array:
    """The first steps of rows, or the last ones."""
    return values[:, -n_steps:] if at_the_end else values[:, :n_steps]
