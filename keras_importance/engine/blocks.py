"""How much goes through the model at once: sizes of blocks, from a limit on memory."""

from __future__ import annotations

import math
from typing import Any

from keras_importance.data import ValidationData
from keras_importance.engine.graph import Graph

# A block's widest layer takes 16 MB: enough to keep the cores busy, little enough to stay near them.
_MAX_VALUES = 1 << 22
_MAX_ROWS = 1 << 15
# Replaced values of a block of rows, for all repeats.
_MAX_PREPARED_VALUES = 1 << 23
_FEW_ROWS = 512


def declared_batch(model: Any) -> int | None:
    """The number of rows that the model's inputs are fixed to, as for a stateful RNN; usually None."""
    inputs = getattr(model, "inputs", None) or []
    return next((int(one.shape[0]) for one in inputs if one.shape[0] is not None), None)


def rows_at_once(model: Any, data: ValidationData, n_rows: int) -> int:
    """How many of `n_rows` rows go through the model at once; the number it declares, if any."""
    declared = declared_batch(model)
    if declared is not None:
        return declared
    return evenly(n_rows, max(1, min(_MAX_ROWS, _MAX_VALUES // widest_layer(model, data))))


def block_shape(model: Any, data: ValidationData, n_slots: int, n_repeats: int) -> tuple[int, int]:
    """`(n_slots, n_rows)` of a block: pairs of feature and repeat x rows.

    Args:
        model: the model.
        data: the rows.
        n_slots: pairs of feature and repeat in all.
        n_repeats: repeats whose replaced values are held for each row.
    """
    declared = declared_batch(model)
    if declared is not None:
        return 1, declared
    most = rows_at_once(model, data, n_slots * data.n_rows)
    held = n_repeats * sum(leaf[0].size for leaf in data.inputs)
    rows = max(1, min(data.n_rows, most, max(_FEW_ROWS, most // n_slots), _MAX_PREPARED_VALUES // held))
    rows = evenly(data.n_rows, rows)
    return evenly(n_slots, max(1, most // rows)), rows


def evenly(total: int, at_most: int) -> int:
    """The size of equal parts that `total` falls into, each of `at_most`."""
    return math.ceil(total / math.ceil(total / at_most))


def widest_layer(model: Any, data: ValidationData) -> int:
    """Values of a row in the widest layer; of a model written in Python a guess from its variables."""
    in_row = sum(leaf[0].size for leaf in data.inputs)
    graph = Graph.of(model)
    if graph is None:
        n_steps = max((math.prod(leaf.shape[1:-1]) for leaf in data.inputs), default=1)
        units = max((variable.shape[-1] for variable in model.variables if variable.shape), default=1)
        return max(in_row, n_steps * units)
    open_length = max((leaf.shape[1] for leaf in data.inputs if leaf.ndim > 2), default=1)
    sizes = (
        math.prod(size or open_length for size in output.shape[1:])
        for call in graph.calls
        for output in call.outputs
    )
    return max(in_row, *sizes, 1)
