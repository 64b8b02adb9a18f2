"""How much goes through the model at once: sizes of blocks, from a limit on memory."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import keras

from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.cut.graph import Graph

# The widest layer of a block takes 32 MB: less keeps the cores waiting, more falls out of their caches.
_MAX_VALUES = 1 << 23
_MAX_ROWS = 1 << 16
# A part still keeps the cores busy.
_MAX_PART = 1 << 19
# Where next to nothing is computed for a row, the call itself is what costs.
_NARROW = 16
_MAX_NARROW_ROWS = 1 << 18
# Replaced values of a block of rows, for all repeats.
_MAX_PREPARED_VALUES = 1 << 23
_FEW_ROWS = 500
# The sizes above are for as many calls at once.
_CALLS = 2


def declared_batch(model: Any) -> int | None:
    """The number of rows that the model's inputs are fixed to, as for a stateful RNN; usually None."""
    if isinstance(model, keras.Sequential) and not any(
        getattr(layer, "stateful", False) for layer in model.layers
    ):
        return None  # one built by calling it declares the batch that it was called with
    inputs = getattr(model, "inputs", None) or []
    return next((int(one.shape[0]) for one in inputs if one.shape[0] is not None), None)


def rows_at_once(model: Any, data: ValidationData, *, in_parts: bool, share: float = 1.0) -> int:
    """How many rows are differentiated at once; the number that the model declares, if any.

    Args:
        model: the model.
        data: the rows.
        in_parts: whether parts of the rows may be asked for, so that smaller chunks save work.
        share: how much of that, where memory ran out.
    """
    widest = widest_layer(model, data)
    fitting = max(1, min(_MAX_ROWS, _MAX_PART // widest)) if in_parts else _rows_that_fit(widest)
    fitting = max(1, int(share * min(fitting, data.n_rows)))
    return declared_batch(model) or evenly(data.n_rows, fitting)


def block_shape(
    n_rows: int,
    n_slots: int,
    *,
    widest: int,
    held: int,
    declared: int | None,
    calls_at_once: int,
    share: float = 1.0,
) -> tuple[int, int]:
    """`(n_slots, n_rows)` of a block: pairs of feature and repeat x rows.

    Args:
        n_rows: rows in all.
        n_slots: pairs of feature and repeat in all.
        widest: values of a row in the widest layer that is run.
        held: values of a row that replace its own, for all repeats.
        declared: the number of rows that the model's inputs are fixed to; None for any.
        calls_at_once: how many blocks are in work at once; where it is one, smaller ones are faster.
        share: how much of that, where memory ran out.
    """
    if declared is not None:
        return 1, declared
    most = max(1, _rows_that_fit(widest) * calls_at_once // _CALLS)
    most = max(1, int(share * min(most, n_slots * n_rows)))
    prepared = max(1, int(share * _MAX_PREPARED_VALUES) // held)
    rows = min(most, max(_FEW_ROWS, most // n_slots), prepared)
    rows = evenly(n_rows, rows)
    return evenly(n_slots, max(1, most // rows)), rows


def _rows_that_fit(widest: int) -> int:
    most = _MAX_ROWS if widest >= _NARROW else _MAX_NARROW_ROWS
    return max(1, min(most, _MAX_VALUES // widest))


def evenly(total: int, at_most: int) -> int:
    """The size of equal parts that `total` falls into, each of `at_most`."""
    return math.ceil(total / math.ceil(total / at_most))


def widest_layer(model: Any, data: ValidationData) -> int:
    """Values of a row in the widest layer; of a model written in Python a guess from its variables."""
    in_row = sum(math.prod(leaf.shape[1:]) for leaf in data.inputs)
    graph = Graph.of(model)
    if graph is None:
        n_steps = max((int(math.prod(leaf.shape[1:-1])) for leaf in data.inputs), default=1)
        units = max(
            (int(variable.shape[-1]) for variable in model.variables if variable.shape), default=1
        )
        return max(in_row, n_steps * units)
    return max(in_row, values_in_row([one for call in graph.calls for one in call.outputs], data))


def values_in_row(tensors: Iterable[Any], data: ValidationData) -> int:
    """Values of a row in the largest of some symbolic tensors; open lengths are those of the data."""
    length = max((leaf.shape[1] for leaf in data.inputs if leaf.ndim > 2), default=1)
    return max((int(math.prod(size or length for size in one.shape[1:])) for one in tensors), default=1)
