"""The two programs of a cut model: prepare a block of rows, score it with features replaced."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_importance.engine.backends.backend import Inference, gather
from keras_importance.engine.cut.cut import Cut, Entry
from keras_importance.engine.metrics.metric import Metric
from keras_importance.statistics.arrays import Integers

# Up to here the elements of a feature are added one after another, beyond by a matrix product.
_FEW_ELEMENTS = 4

Prepared = list[tuple[Any, ...]]
"""For each entry of a cut its value for the rows, and what replaces it, for each repeat."""


def prepared(
    cut: Cut,
    call: Inference,
    inputs: list[Any],
    donated: list[Any],
    kept: list[Any] | None,
    row: Any,
    donor: Any,
) -> Prepared:
    """What the features of a block of rows need, computed once for all of them.

    Args:
        cut: where the model is cut.
        call: the model's inference.
        inputs: the inputs of all rows.
        donated: what donors give, for all rows; None for nothing.
        kept: what rows keep of their own, for all repeats or for each; None for nothing.
        row: `(n,)` the rows of the block.
        donor: `(n_repeats, n)` their donors.
    """
    n_repeats, n_rows = donor.shape
    given = [
        ops.reshape(one, (n_repeats * n_rows, *one.shape[2:]))
        for one in replacing(inputs, donated, kept, row, donor)
    ]
    moving = [entry for entry in cut.entries if not entry.is_fixed]
    of_rows = cut.head(call, [gather(leaf, row) for leaf in inputs], cut.entries)
    of_donors = iter(cut.head(call, given, moving))
    found: Prepared = []
    for entry, value in zip(cut.entries, of_rows, strict=True):
        if entry.is_fixed:
            found.append((value,))
            continue
        replaced = next(of_donors)
        if entry.form is None:
            found.append((value, ops.reshape(replaced, (n_repeats, n_rows, *replaced.shape[1:]))))
            continue
        z, new = entry.form.elements(value), entry.form.elements(replaced)
        difference = ops.reshape(new, (n_repeats, n_rows, *new.shape[1:])) - z
        found.append((ops.matmul(z, entry.form.kernel()), by_element(difference)))
    return found


def replacing(
    inputs: list[Any], donated: list[Any], kept: list[Any] | None, row: Any, donor: Any
) -> list[Any]:
    """For each input `(n_repeats, n_rows, ...)`, what takes the place of a block of its rows."""
    leaves = zip(inputs, donated, kept or [None] * len(inputs), strict=True)
    found = []
    for own, given, held in leaves:
        parts = [] if given is None else [gather(given, donor)]
        if held is not None:
            has_draws = len(held.shape) > len(own.shape)
            parts.append(_draws(held, row, donor.shape[0]) if has_draws else gather(held, row)[None])
        value = sum(parts[1:], parts[0])
        found.append(ops.broadcast_to(value, (*donor.shape, *own.shape[1:])))
    return found


def _draws(held: Any, row: Any, n_repeats: int) -> Any:
    """`(n_repeats, n_rows, ...)` of `(n_draws, all rows, ...)`; padding repeats the last draw."""
    n_draws, n_all = held.shape[:2]
    first = np.minimum(np.arange(n_repeats), n_draws - 1).astype(np.int32) * n_all
    flat = ops.reshape(held, (n_draws * n_all, *held.shape[2:]))
    return gather(flat, ops.convert_to_tensor(first)[:, None] + row)


def by_element(difference: Any) -> Any:
    """`(n_repeats, n_rows, ..., n_elements)` as `(n_repeats * n_elements, n_rows, ...)`."""
    moved = ops.moveaxis(difference, -1, 1)
    return ops.reshape(moved, (moved.shape[0] * moved.shape[1], *moved.shape[2:]))


@dataclass(frozen=True, eq=False)
class Columns:
    """Which elements of a linear entry belong to a feature.

    Attributes:
        elements: `(n_features + 1, width)` numbers of elements; the last row stands for no feature.
        is_real: the same shape, 1.0 for elements and 0.0 for padding.
    """

    elements: Integers
    is_real: Any

    @classmethod
    def of(cls, entry: Entry, numbers: Iterable[int], n_features: int) -> Columns:
        """The elements of the given features, padded to as many as the widest has."""
        found = {number: np.flatnonzero(entry.dependence == number) for number in numbers}
        width = max([1, *map(len, found.values())])
        elements = np.zeros((n_features + 1, width), np.int64)
        is_real = np.zeros((n_features + 1, width), np.float32)
        for number, one in found.items():
            elements[number, : len(one)] = one
            is_real[number, : len(one)] = 1
        return cls(elements, is_real)


def columns_of(cut: Cut, numbers: Iterable[int], n_features: int) -> list[Columns | None]:
    """For each linear entry the elements of the features; None for the other entries."""
    return [
        None if entry.form is None else Columns.of(entry, numbers, n_features) for entry in cut.entries
    ]


def outputs(
    cut: Cut,
    columns: Sequence[Columns | None],
    call: Inference,
    given: Prepared,
    feature: Any,
    repeat: Any,
) -> Any:
    """The model's outputs for pairs of feature and repeat x rows, flat.

    Args:
        cut: where the model is cut.
        columns: for linear entries, the elements of each feature.
        call: the model's inference.
        given: what `prepared` returned for the rows.
        feature: `(n_slots,)` features to replace; the number of features itself for none.
        repeat: `(n_slots,)` repeats that the replaced values come from.
    """
    values = []
    for entry, parts, one in zip(cut.entries, given, columns, strict=True):
        if entry.is_fixed:
            value = ops.broadcast_to(parts[0][None], (feature.shape[0], *parts[0].shape))
        elif entry.form is None or one is None:
            own, replaced = parts
            value = _replaced(entry, own, replaced, feature, repeat)
        else:
            own, difference = parts
            value = _updated(entry.form.kernel(), one, own, difference, feature, repeat)
        value = ops.reshape(value, (-1, *value.shape[2:]))
        values.append(value if entry.form is None else entry.form.finish(value))
    return cut.tail(call, values)


def _replaced(entry: Entry, own: Any, replaced: Any, feature: Any, repeat: Any) -> Any:
    """The rows' own values, with the elements of the feature replaced."""
    rank = len(own.shape) - 1
    labels = ops.convert_to_tensor(entry.dependence.astype(np.int32))
    is_of_feature = labels == ops.reshape(feature, (-1, *[1] * rank))
    return ops.where(is_of_feature[:, None], gather(replaced, repeat), own[None])


def _updated(kernel: Any, columns: Columns, own: Any, difference: Any, feature: Any, repeat: Any) -> Any:
    """The linear layer's own result, moved by what the elements of the feature changed."""
    n_elements, n_units = kernel.shape
    elements = gather(ops.convert_to_tensor(columns.elements.astype(np.int32)), feature)
    is_real = ops.cast(gather(ops.convert_to_tensor(columns.is_real), feature), kernel.dtype)
    weights = gather(kernel, elements) * is_real[..., None]
    changed = gather(difference, repeat[:, None] * n_elements + elements)
    positions = tuple(own.shape[:-1])
    width = columns.elements.shape[1]
    if width > _FEW_ELEMENTS:
        changed = ops.reshape(changed, (changed.shape[0], width, -1))
        moved = ops.matmul(ops.transpose(changed, (0, 2, 1)), weights)
        return own[None] + ops.reshape(moved, (-1, *positions, n_units))
    value = own[None]
    for number in range(width):
        weight = ops.reshape(weights[:, number], (-1, *[1] * len(positions), n_units))
        value = value + changed[:, number][..., None] * weight
    return value


def row_scores(metric: Metric, targets: Any, found: Any, row: Any, n_slots: int) -> Any:
    """Scores `(n_slots, n_rows)` of outputs, or outputs `(n_slots, n_rows, ...)` to be scored later."""
    if metric.row_scores is None:
        return keras.tree.map_structure(
            lambda leaf: ops.reshape(leaf, (n_slots, row.shape[0], *leaf.shape[1:])), found
        )

    def repeated(leaf: Any) -> Any:
        rows = gather(leaf, row)[None]
        rows = ops.broadcast_to(rows, (n_slots, *rows.shape[1:]))
        return ops.reshape(rows, (-1, *rows.shape[2:]))

    scores = metric.row_scores(keras.tree.map_structure(repeated, targets), found)
    return ops.reshape(scores, (n_slots, row.shape[0]))
