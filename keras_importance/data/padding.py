"""Padding: which steps of sequences count, and how rows of unequal lengths lend one another values.

A step is valid if it counts, and padded if the model masks it. The steps of an input lie along its
second axis. Those of `(n_rows, n_steps, n_columns)` have columns, those of `(n_rows, n_steps)` are
columns themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_importance.data.columns import InputColumns
from keras_importance.errors import InvalidArgumentError
from keras_importance.statistics.arrays import Array, Floats, Integers

Valid = NDArray[np.bool_]
"""`(n_rows, n_steps)` True for the steps that count."""

# A valid value that equals the padding is moved by this fraction of the input's spread.
_NEAR = 1e-5


@dataclass(frozen=True, eq=False)
class Steps:
    """The valid steps of an input, and which of them a row lends to others.

    Rows differ in length. The `k`-th valid step of a row gets the value of its donor's valid step
    `k mod (number of the donor's valid steps)`. A row without a valid step lends nothing.

    Attributes:
        valid: `(n_rows, n_steps)` True for the steps that count.
    """

    valid: Valid

    @cached_property
    def rank(self) -> Integers:
        """`(n_rows, n_steps)` how many valid steps the row has before this one."""
        return np.cumsum(self.valid, axis=1) - self.valid

    @cached_property
    def lending(self) -> Integers:
        """`(n_rows, n_steps)` the step that a row lends to a step of rank `k`; -1 for none."""
        n_valid = self.valid.sum(axis=1, keepdims=True)
        valid_first = np.argsort(~self.valid, axis=1, kind="stable")
        nth = np.arange(self.valid.shape[1]) % np.maximum(n_valid, 1)
        return np.where(n_valid > 0, np.take_along_axis(valid_first, nth, axis=1), -1)

    def lent(self, values: Array, donors: Integers, step: int | None = None) -> Array:
        """The rows with the values of their donors at valid steps; `(*donors.shape, n_steps, ...)`.

        Args:
            values: `(n_rows, n_steps, ...)`.
            donors: `(..., n_rows)` indices of the donors of the rows.
            step: the only step to return, without its axis; None for all steps.
        """
        every = slice(None) if step is None else slice(step, step + 1)
        rank = np.broadcast_to(self.rank[:, every], (*donors.shape, len(self.rank[0, every])))
        lending = np.take_along_axis(self.lending[donors], rank, axis=-1)
        is_lent = over_columns(self.valid[:, every] & (lending >= 0), values.ndim + donors.ndim - 1)
        new = np.where(is_lent, values[donors[..., None], lending], values[:, every])
        return new if step is None else new[(slice(None),) * donors.ndim + (0,)]


def lent(values: Array, valid: Valid | None, donors: Integers) -> Array:
    """The rows of an input with the values of their donors, at valid steps.

    Args:
        values: the input.
        valid: its steps that count; None if all count.
        donors: `(n_rows,)` indices of the donors.
    """
    if valid is None:
        return values[donors]
    return Steps(valid).lent(awake(values, values, valid), donors)


def over_columns(valid: Array, n_axes: int) -> Array:
    """The steps with further axes of length 1, up to `n_axes` axes, to go with values of an input."""
    return valid.reshape(*valid.shape, *[1] * (n_axes - valid.ndim))


def of_values(values: Array, valid: Valid | None) -> Valid:
    """For each value of an input whether its step counts, in the shape of the values."""
    if valid is None:
        return np.ones(values.shape, bool)
    return np.broadcast_to(over_columns(valid, values.ndim), values.shape)


def valid_or_none(valid: Any) -> Valid | None:
    """The steps that count; None if all count."""
    return None if np.all(valid) else np.asarray(valid, bool)


def valid_values(values: Array, valid: Valid | None) -> list[Array]:
    """For each column of an input its values at valid steps, of all rows, as one axis.

    A column without a valid step has the valid values of all columns, or all values if there are none.
    """
    n_columns = values.shape[-1] if values.ndim > 1 else 1
    columns = values.reshape(-1, n_columns)
    if valid is None:
        return list(columns.T)
    counts = of_values(values, valid).reshape(columns.shape)
    others = columns[counts] if counts.any() else columns.ravel()
    pairs = zip(columns.T, counts.T, strict=True)
    return [column[of_column] if of_column.any() else others for column, of_column in pairs]


def filled(values: Array, valid: Valid, weights: Floats | None) -> Floats:
    """The values of one column, with the mean over the valid rows of a step at its padded rows.

    So a padded value says nothing in a regression at its step.

    Args:
        values: `(n_rows, n_steps)`.
        valid: `(n_rows, n_steps)` the steps that count.
        weights: `(n_rows,)` weights of the rows; None for equal ones.
    """
    if valid.all():
        return values
    heights = valid * (np.ones(len(values)) if weights is None else weights)[:, None]
    sums = np.sum(heights * np.where(valid, values, 0), axis=0, dtype=np.float64)
    totals = heights.sum(axis=0)
    means = np.divide(sums, totals, out=np.zeros_like(sums), where=totals > 0)
    return np.where(valid, values, means)


# --- the value of padded steps --------------------------------------------------------------------


def padding_value(values: Array, valid: Valid | None) -> Any:
    """The value that all padded steps hold in all their columns; None if there is no such value."""
    if valid is None:
        return None
    padded = values[~valid]
    is_one_value = padded.size > 0 and bool(np.all(_equal(padded, padded.flat[0])))
    return padded.flat[0] if is_one_value else None


def awake(replacing: Array, values: Array, valid: Valid | None) -> Array:
    """Values that replace others at valid steps, none of which equals the padding.

    A step whose columns all hold the value of padding is masked, also if that value was lent to it by
    a valid step. So this value is moved by 1e-5 of the input's spread, which keeps the step valid.

    Args:
        replacing: the values, of any shape.
        values: the input that they go into.
        valid: the steps of the input that count; None if all count.
    """
    padding = padding_value(values, valid) if values.dtype.kind == "f" else None
    if padding is None or valid is None:
        return replacing
    equal = _equal(replacing, padding)
    if replacing.shape == values.shape:
        equal = equal & of_values(values, valid)
    if not np.any(equal):
        return replacing
    near = padding + _NEAR * max(abs(padding), float(np.std(values[valid])))
    return np.where(equal, np.asarray(near, values.dtype), replacing)


def padded_alike(
    inputs: Sequence[Array], others: Sequence[Array], valid: Sequence[Valid | None]
) -> tuple[Valid | None, ...]:
    """The valid steps of inputs, told by the values that padded steps of other rows hold.

    Args:
        inputs: the inputs whose valid steps are returned.
        others: the same inputs of the other rows.
        valid: the valid steps of the other rows.
    """
    paddings = map(padding_value, others, valid)
    return tuple(
        None if padding is None else steps_unlike(values, padding)
        for values, padding in zip(inputs, paddings, strict=True)
    )


def steps_unlike(values: Array, padding: Any) -> Valid | None:
    """The steps with a column that isn't equal to a value; None if these are all steps."""
    differs = ~_equal(values, padding)
    return valid_or_none(np.any(differs.reshape(*values.shape[:2], -1), axis=-1))


def _equal(values: Array, padding: Any) -> Array:
    """Whether values equal the padding, in their own type; NaN equals NaN."""
    padding = np.asarray(padding, values.dtype)
    if values.dtype.kind != "f":
        return np.asarray(values == padding)
    return np.asarray((values == padding) | (np.isnan(values) & np.isnan(padding)))


# --- the user's argument --------------------------------------------------------------------------


def padding_of_inputs(
    mask_value: Any, inputs: Sequence[Array], columns: Sequence[InputColumns]
) -> list[float | None]:
    """For each input the value that its padded steps hold by the user's argument; None if it names none.

    A number is meant for the inputs with steps and columns; if there are none, for inputs of
    `(n_rows, n_steps)`.

    Args:
        mask_value: None, a number, or a dict `{input name: number}`.
        inputs: the inputs.
        columns: their names.

    Raises:
        InvalidArgumentError: for inputs that don't exist, and inputs without steps.
    """
    if mask_value is None:
        return [None] * len(inputs)
    names = [model_input.name for model_input in columns]
    most_axes = max(values.ndim for values in inputs)
    if not isinstance(mask_value, Mapping):
        meant = {
            name: mask_value
            for name, values in zip(names, inputs, strict=True)
            if values.ndim >= min(3, most_axes)
        }
    else:
        meant = dict(mask_value)
    known = ", ".join(map(repr, names))
    for name in meant:
        if name not in names:
            raise InvalidArgumentError(
                f"got mask_value for the input {name!r}, which the model doesn't have. Pass a number, "
                f"or a dict of numbers by input: {known}."
            )
        if inputs[names.index(name)].ndim < 2:
            raise InvalidArgumentError(
                f"got mask_value for the input {name!r} of shape {inputs[names.index(name)].shape}, "
                "which has no steps. Pass a dict that names sequences alone, such as {'series': 0}."
            )
    return [meant.get(name) for name in names]
