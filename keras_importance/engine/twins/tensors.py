"""What the programs of twins take and return: named groups of tensors, nests for every backend."""

from __future__ import annotations

from typing import Any, NamedTuple

Tensors = list[Any]


class State(NamedTuple):
    """What twins have come to: values of the variables of the model and of its optimizer.

    Attributes:
        own: values that each twin has of its own, stacked along a first axis of `n_twins`.
        shared: values that are the same for all twins: seeds of dropout, the optimizer's count of steps,
            the learning rate.
    """

    own: Tensors
    shared: Tensors


class Hidden(NamedTuple):
    """What twins don't see, with one tensor for each input.

    Attributes:
        columns: `(n_twins, n_columns)` whether a twin doesn't see a column.
        fill: `(n_columns,)` what it sees there.
    """

    columns: Tensors
    fill: Tensors


class Rows(NamedTuple):
    """Rows that are trained on, or scored.

    Attributes:
        inputs: one tensor `(n_rows, ...)` for each input.
        targets: a nest of tensors `(n_rows, ...)`.
        weights: `(n_rows,)` sample weights; None for equal ones.
    """

    inputs: Tensors
    targets: Any
    weights: Any = None


class Batches(NamedTuple):
    """Which rows each step of an epoch takes, as indices.

    Attributes:
        full: `(n_steps, batch_size)` rows of the steps.
        last: rows of a last, smaller step; None where there is none.
    """

    full: Any
    last: Any
