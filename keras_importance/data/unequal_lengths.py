"""Rows of unequal lengths in one array: the shorter ones are padded, as `padded_batch` pads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_importance.data.arrays import leaves_of, mapped, packed
from keras_importance.errors import NotEvaluableError
from keras_importance.statistics.arrays import Array, Integers

PaddingValues = Sequence[float] | float
"""The value of padded steps for each input of the model, or one for all inputs."""


class Padding:
    """How rows of unequal lengths are padded: the values of padded steps, and the side they are put on.

    Steps are put behind those of a row, or before them if most padded rows of the batches begin with
    padding. A target of a padded step has the value that targets of padded steps have in the batches,
    else 0.

    Args:
        values: the value of a padded step.
    """

    def __init__(self, values: PaddingValues) -> None:
        self._values = values
        self._n_before = 0
        self._of_target: dict[int, Any] = {}

    @property
    def is_before(self) -> bool:
        """Whether padded steps come before the steps of a row."""
        return self._n_before > 0

    def of_inputs(self, n_inputs: int) -> list[float]:
        """The value of a padded step in each input; 0 if the values are for other inputs."""
        if isinstance(self._values, (int, float)):
            return [float(self._values)] * n_inputs
        return list(self._values) if len(self._values) == n_inputs else [0.0] * n_inputs

    def note(self, x: Any, y: Any) -> None:
        """Looks where the rows of a batch are padded already, and with which targets."""
        leaves = leaves_of(x)
        for values, fill in zip(leaves, self.of_inputs(len(leaves)), strict=True):
            # Floats of two axes are columns, not steps.
            is_sequence = values.ndim > (2 if values.dtype.kind == "f" else 1) and values.shape[1] > 1
            if not is_sequence or values.dtype.kind not in "fiu" or not values.size:
                continue
            is_padded = np.all(values.reshape(*values.shape[:2], -1) == fill, axis=2)
            is_partly = ~is_padded.all(axis=1)
            first, last = is_padded[is_partly, 0], is_padded[is_partly, -1]
            self._n_before += int(np.sum(first & ~last)) - int(np.sum(last & ~first))
            self._note_targets(y, is_padded)

    def nest(self, batch: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        """The value of a padded step for each leaf of a batch."""
        x, y, weight = batch
        of_inputs = self.of_inputs(len(leaves_of(x)))
        of_targets = [
            self._of_target.get(index, 0)
            for index, target in enumerate(leaves_of(y))
            if target is not None
        ]
        return (
            packed(x, of_inputs),
            packed(y, of_targets),
            mapped(lambda _: 0.0, weight),
        )

    def _note_targets(self, y: Any, is_padded: Array) -> None:
        for index, target in enumerate(leaves_of(y)):
            if target is None or target.shape[:2] != is_padded.shape or not is_padded.any():
                continue
            of_padded = np.unique(target[is_padded])
            if len(of_padded) == 1:
                self._of_target[index] = of_padded[0]


def padded(values: Array, shape: tuple[int, ...], fill: Any, *, is_before: bool) -> Array:
    """The rows, padded to a shape.

    Args:
        values: `(n_rows, ...)` the rows.
        shape: the shape of a row afterwards, nowhere shorter.
        fill: the value of padded elements; texts are padded with "".
        is_before: whether padding comes before the row's own elements.
    """
    if values.shape[1:] == shape:
        return values
    whole = np.full((len(values), *shape), "" if values.dtype.kind in "OSU" else fill, values.dtype)
    own = (slice(-n or None, None) if is_before else slice(n) for n in values.shape[1:])
    whole[(slice(None), *own)] = values
    return whole


def common_shape(leaves: Sequence[Array]) -> tuple[int, ...]:
    """The smallest shape of a row that the rows of all arrays fit into.

    Raises:
        NotEvaluableError: for rows of different ranks.
    """
    shapes = sorted({leaf.shape[1:] for leaf in leaves})
    if len({len(shape) for shape in shapes}) > 1:
        raise NotEvaluableError(
            f"got validation data whose batches differ in the shape of a row "
            f"({', '.join(map(str, shapes[:5]))}). Pass rows of one rank."
        )
    return tuple(map(max, zip(*shapes, strict=True)))


def steps_of(leaf: Any, values: Array) -> Integers:
    """`(n_rows,)` how many steps each row has; 1 for an input without steps.

    Args:
        leaf: the input as it was read; a ragged tensor knows the lengths of its rows.
        values: the input as an array.
    """
    if hasattr(leaf, "row_lengths"):
        return np.asarray(leaf.row_lengths(), np.int64)
    return np.full(len(values), values.shape[1] if values.ndim > 1 else 1, np.int64)
