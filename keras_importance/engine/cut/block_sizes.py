"""Sizes of the blocks that go through the model at once, from a limit on memory."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import keras

from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.cut.graph import Graph

# Values of a block in the widest layer, 32 MB: less leaves cores idle, more exceeds their caches.
_MAX_VALUES = 1 << 23
_MAX_ROWS = 1 << 16
# If the widest layer is narrower than this, the overhead of a call takes most time, not its rows.
_NARROW = 16
_MAX_NARROW_ROWS = 1 << 18
# Replaced values of a block of rows, for all repeats.
_MAX_PREPARED_VALUES = 1 << 23
_FEW_ROWS = 500
# How many calls at once the sizes above are for.
_CALLS = 2


def declared_batch(model: Any) -> int | None:
    """The batch size that the model's inputs are fixed to, as for a stateful RNN; usually None."""
    if isinstance(model, keras.Sequential) and not any(
        getattr(layer, "stateful", False) for layer in model.layers
    ):
        return None  # a model built by calling it declares the batch that it was called with
    inputs = getattr(model, "inputs", None) or []
    return next((int(tensor.shape[0]) for tensor in inputs if tensor.shape[0] is not None), None)


def rows_at_once(model: Any, data: ValidationData, fraction: float = 1.0) -> int:
    """How many rows are differentiated at once; the batch size of the model's inputs, if it is fixed.

    Args:
        model: the model.
        data: the rows.
        fraction: fraction of the usual size; below 1 after memory ran out.
    """
    fitting = _rows_that_fit(widest_layer(model, data))
    fitting = max(1, int(fraction * min(fitting, data.n_rows)))
    return declared_batch(model) or evenly(data.n_rows, fitting)


def block_shape(
    n_rows: int,
    n_slots: int,
    *,
    widest: int,
    held: int,
    declared: int | None,
    calls_at_once: int,
    fraction: float = 1.0,
) -> tuple[int, int]:
    """`(n_slots, n_rows)` of a block; a slot is a pair of a feature and a repeat.

    Args:
        n_rows: rows in all.
        n_slots: slots in all.
        widest: how many values a row has in the widest layer that is run.
        held: how many replacing values are held for a row, for all repeats together.
        declared: the batch size that the model's inputs are fixed to; None for any.
        calls_at_once: how many blocks are computed at once; with 1, smaller blocks are faster.
        fraction: fraction of the usual size; below 1 after memory ran out.
    """
    if declared is not None:
        return 1, declared
    most = max(1, _rows_that_fit(widest) * calls_at_once // _CALLS)
    most = max(1, int(fraction * min(most, n_slots * n_rows)))
    prepared = max(1, int(fraction * _MAX_PREPARED_VALUES) // held)
    rows = min(most, max(_FEW_ROWS, most // n_slots), prepared)
    rows = evenly(n_rows, rows)
    return evenly(n_slots, max(1, most // rows)), rows


def _rows_that_fit(widest: int) -> int:
    most = _MAX_ROWS if widest >= _NARROW else _MAX_NARROW_ROWS
    return max(1, min(most, _MAX_VALUES // widest))


def evenly(total: int, at_most: int) -> int:
    """The size of the fewest equal parts that `total` divides into, none larger than `at_most`."""
    return math.ceil(total / math.ceil(total / at_most))


def widest_layer(model: Any, data: ValidationData) -> int:
    """How many values a row has in the widest layer; estimated for a model written in Python."""
    in_row = sum(math.prod(leaf.shape[1:]) for leaf in data.inputs)
    graph = Graph.of(model)
    if graph is None:
        n_steps = max((int(math.prod(leaf.shape[1:-1])) for leaf in data.inputs), default=1)
        units = max(
            (int(variable.shape[-1]) for variable in model.variables if variable.shape), default=1
        )
        return max(in_row, n_steps * units)
    return max(in_row, values_in_row([tensor for call in graph.calls for tensor in call.outputs], data))


def values_in_row(tensors: Iterable[Any], data: ValidationData) -> int:
    """How many values a row has in the largest symbolic tensor; unknown lengths are the data's."""
    length = max((leaf.shape[1] for leaf in data.inputs if leaf.ndim > 2), default=1)
    sizes = (math.prod(size or length for size in tensor.shape[1:]) for tensor in tensors)
    return max(map(int, sizes), default=1)
