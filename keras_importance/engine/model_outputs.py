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
from keras_importance.engine.keras_internals import collected_losses, get_keras_mask, layers_of
from keras_importance.statistics.arrays import Array, Integers

_FEW_ROWS = 16
_ALIKE = 1e-3


class ModelOutputs:
    """Runs the model on a few rows.

    Args:
        compiler: compiles for the model.
        data: the rows.
        batch_size: how many rows the model must get at once, in their order; None for any.
    """

    def __init__(self, compiler: Compiler, data: ValidationData, batch_size: int | None = None) -> None:
        self._compiler = compiler
        self._data = data
        self._batch_size = batch_size

    @cached_property
    def few_rows(self) -> Integers:
        """Indices of 16 rows, or of as many as the model must get at once."""
        n_rows = self._batch_size or declared_batch(self._compiler.model) or _FEW_ROWS
        return np.arange(n_rows) % self._data.n_rows

    @cached_property
    def mix_rows(self) -> bool:
        """Whether the outputs for a row depend on the other rows of its batch.

        The same rows are run beside other rows. A model that draws random numbers in inference differs
        from itself, which is something else.
        """
        rows = self.few_rows
        half = len(rows) // 2
        if half == 0 or self._data.n_rows <= half:
            return False
        others = (half + 1 + np.arange(len(rows) - half)[::-1] * 3) % self._data.n_rows
        beside = np.concatenate([rows[:half], others])
        first, again, moved = (self._first(chosen, half) for chosen in (rows, rows, beside))
        return _are_alike(first, again) and not _are_alike(first, moved)

    def _first(self, rows: Integers, n_rows: int) -> list[Array]:
        """The outputs for the first of some rows."""
        outputs = self.of([values[rows] for values in self._data.inputs])
        return [leaf[:n_rows] for leaf in keras.tree.flatten(outputs)]

    @cached_property
    def add_losses(self) -> bool:
        """Whether the model adds losses of its own that depend on the rows, by `add_loss`.

        Regularisation of activities doesn't count: it says nothing of the predictions.
        """
        own = self._added(self.few_rows)
        regularised = [
            layer
            for layer in layers_of(self._compiler.model)
            if getattr(layer, "activity_regularizer", None) is not None
        ]
        if len(own) <= len(regularised):
            return False
        return not np.array_equal(own, self._added(np.zeros_like(self.few_rows)))

    def _added(self, rows: Integers) -> Array:
        """The losses that layers add for some rows."""
        inputs = [self._compiler.on_device(values[rows]) for values in self._data.inputs]
        return np.array([keras.ops.convert_to_numpy(loss) for loss in self._losses(inputs)])

    @cached_property
    def _losses(self) -> Callable[[list[Any]], Any]:
        packing = self._data.packing

        def losses(call: Inference, inputs: list[Any]) -> list[Any]:
            with collected_losses() as added:
                call(packing(inputs))
                return list(added)

        return self._compiler(losses, fuse=False)

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
    def _with_masks(self) -> Callable[[list[Any]], Any]:
        packing = self._data.packing

        # Compiled, as an eager call could draw from TensorFlow's global random state.
        def inference(call: Inference, inputs: list[Any]) -> tuple[Any, dict[str, Any]]:
            outputs = call(packing(inputs))
            masks = {str(i): get_keras_mask(leaf) for i, leaf in enumerate(keras.tree.flatten(outputs))}
            return outputs, {index: mask for index, mask in masks.items() if mask is not None}

        return self._compiler(inference, fuse=False)


def _are_alike(ours: list[Array], theirs: list[Array]) -> bool:
    """Whether two lists of outputs agree up to rounding."""
    for own, other in zip(ours, theirs, strict=True):
        least = _ALIKE * np.max(np.abs(other), initial=0.0)
        if own.shape != other.shape or not np.allclose(own, other, _ALIKE, least, equal_nan=True):
            return False
    return True


def _ends(values: Array, n_steps: int, at_the_end: bool) -> Array:
    """The first steps of rows, or the last ones."""
    return values[:, -n_steps:] if at_the_end else values[:, :n_steps]
