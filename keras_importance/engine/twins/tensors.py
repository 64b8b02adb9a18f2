"""Named groups of tensors that programs of twins take and return; each is a nest on every backend."""

from __future__ import annotations

from typing import Any, NamedTuple

Tensors = list[Any]


class State(NamedTuple):
    """The current values of the model's and the optimizer's variables, for some twins.

    Attributes:
        own: values that differ between twins: `(n_twins, ...)`, or `(...)` in the state of one twin.
        shared: values that all twins share: seeds of dropout, the optimizer's count of steps, the
            learning rate.
    """

    own: Tensors
    shared: Tensors


class Hidden(NamedTuple):
    """The columns that twins don't see, with one tensor for each input.

    Attributes:
        columns: `(n_twins, n_columns)` booleans, True for a column that a twin doesn't see; or
            `(n_columns,)` for one twin.
        fill: `(n_columns,)` values that a twin sees instead.
    """

    columns: Tensors
    fill: Tensors


class Rows(NamedTuple):
    """Rows that are trained on, or scored.

    Attributes:
        inputs: one tensor `(n_rows, ...)` for each input.
        targets: a nest of tensors `(n_rows, ...)`; for rows that are scored their `Truth`.
        weights: sample weights of rows, or a nest of those of steps or outputs; None for equal ones.
    """

    inputs: Tensors
    targets: Any
    weights: Any = None


class Batches(NamedTuple):
    """The indices of the rows of each step of an epoch.

    Attributes:
        full: `(n_steps, batch_size)` indices of the rows of full steps.
        last: indices of the rows of a last, smaller step; None if there is none.
    """

    full: Any
    last: Any
