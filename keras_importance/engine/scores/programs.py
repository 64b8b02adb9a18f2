"""The two programs of a cut model: prepare a block of rows, score it with features replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_importance.data.arrays import mapped
from keras_importance.data.truth import Truth
from keras_importance.engine.backends.backend import Inference, gather
from keras_importance.engine.cut.cut import Cut, Entry
from keras_importance.engine.scores.sample import Block, Slots, ValidSteps, Values
from keras_importance.statistics.arrays import Integers

# Up to so many elements of a feature are added one after another, more by a matrix product.
_FEW_ELEMENTS = 4

RowScores = Callable[[Truth, Any], Any]
"""`(truth, outputs) -> (n_rows,)` scores."""

Prepared = list[tuple[Any, ...]]
"""For each entry of a cut its values for the rows, and what replaces them, for each repeat.

- Fixed entry: `(own,)`, with `own` of shape `(n_rows, ...)`.
- Replaced entry: `(own, replaced)`, with `replaced` of shape `(n_repeats, n_rows, ...)`.
- Linear entry: `(own @ kernel, difference)`, where `by_element` gives the shape of the difference.
"""


def prepared(cut: Cut, call: Inference, values: Values, block: Block) -> Prepared:
    """The values at the cut's entries for a block of rows, computed once for all features.

    Args:
        cut: where the model is cut.
        call: the model's inference.
        values: the inputs of all rows, and what replaces them.
        block: indices of the rows and their donors.
    """
    n_repeats, n_rows = block.donor.shape
    given = [
        ops.reshape(value, (n_repeats * n_rows, *value.shape[2:])) for value in replacing(values, block)
    ]
    moving = [entry for entry in cut.entries if not entry.is_fixed]
    of_rows = cut.head(call, [gather(leaf, block.row) for leaf in values.inputs], cut.entries)
    of_donors = iter(cut.head(call, given, moving))
    of_entries: Prepared = []
    for entry, value in zip(cut.entries, of_rows, strict=True):
        if entry.is_fixed:
            of_entries.append((value,))
            continue
        replaced = next(of_donors)
        if entry.form is None:
            of_entries.append((value, ops.reshape(replaced, (n_repeats, n_rows, *replaced.shape[1:]))))
            continue
        z, new = entry.form.elements(value), entry.form.elements(replaced)
        difference = ops.reshape(new, (n_repeats, n_rows, *new.shape[1:])) - z
        of_entries.append((ops.matmul(z, entry.form.kernel()), by_element(difference)))
    return of_entries


def replacing(values: Values, block: Block) -> list[Any]:
    """For each input `(n_repeats, n_rows, ...)` replacing values of a block: `kept + donated`.

    Padded steps have the row's own values.
    """
    n_inputs = len(values.inputs)
    every_kept, every_steps = values.kept or [None] * n_inputs, values.steps or [None] * n_inputs
    new = []
    for own, donated, kept, steps in zip(
        values.inputs, values.donated, every_kept, every_steps, strict=True
    ):
        lending: Any = None if steps is None else _lending_steps(steps, block)
        parts = [] if donated is None else [_lent(donated, lending, block)]
        if kept is not None:
            has_draws = len(kept.shape) > len(own.shape)
            parts.append(_draws(kept, block) if has_draws else gather(kept, block.row)[None])
        value = sum(parts[1:], parts[0])
        if steps is not None:
            is_replaced = gather(steps.valid, block.row)[None]
            if donated is not None:  # a donor without a valid step lends nothing
                is_replaced = ops.logical_and(is_replaced, lending >= 0)
            shape = (*is_replaced.shape, *[1] * (len(own.shape) - 2))
            value = ops.where(ops.reshape(is_replaced, shape), value, gather(own, block.row)[None])
        new.append(ops.broadcast_to(value, (*block.donor.shape, *own.shape[1:])))
    return new


def _lending_steps(steps: ValidSteps, block: Block) -> Any:
    """`(n_repeats, n_rows, n_steps)` the step of the donor that lends its value; -1 for no step."""
    n_steps = steps.valid.shape[1]
    position = block.donor[:, :, None] * n_steps + gather(steps.rank, block.row)[None]
    return gather(ops.reshape(steps.lending, (-1,)), position)


def _lent(donated: Any, lending: Any, block: Block) -> Any:
    """`(n_repeats, n_rows, ...)` values of the donors, at the lending steps if there is padding."""
    if lending is None:
        return gather(donated, block.donor)
    n_rows, n_steps = donated.shape[:2]
    flat = ops.reshape(donated, (n_rows * n_steps, *donated.shape[2:]))
    return gather(flat, block.donor[:, :, None] * n_steps + ops.maximum(lending, 0))


def _draws(kept: Any, block: Block) -> Any:
    """The block's `(n_repeats, n_rows, ...)` values of `kept`: draw `k` for repeat `k`.

    Args:
        kept: `(n_draws, n_all_rows, ...)` values; the last draw also serves as padding.
        block: indices of the rows.
    """
    n_draws, n_all = kept.shape[:2]
    first = np.minimum(np.arange(block.donor.shape[0]), n_draws - 1).astype(np.int32) * n_all
    flat = ops.reshape(kept, (n_draws * n_all, *kept.shape[2:]))
    return gather(flat, ops.convert_to_tensor(first)[:, None] + block.row)


def by_element(difference: Any) -> Any:
    """`(n_repeats, n_rows, ..., n_elements)` as `(n_repeats * n_elements, n_rows, ...)`."""
    moved = ops.moveaxis(difference, -1, 1)
    return ops.reshape(moved, (moved.shape[0] * moved.shape[1], *moved.shape[2:]))


@dataclass(frozen=True, eq=False)
class Columns:
    """Which elements of a linear entry belong to a feature.

    Attributes:
        elements: `(n_features + 1, width)` indices of each feature's elements; the last row stands for
            no feature.
        is_real: `(n_features + 1, width)` values, 1.0 for elements and 0.0 for padding.
    """

    elements: Integers
    is_real: Any

    @classmethod
    def of(cls, entry: Entry, features: Iterable[int], n_features: int) -> Columns:
        """The elements of the given features, padded to as many as the widest has."""
        is_given = np.zeros(n_features, bool)
        is_given[list(features)] = True
        element = np.flatnonzero(entry.dependence >= 0)
        element = element[is_given[entry.dependence[element]]]
        element = element[np.argsort(entry.dependence[element], kind="stable")]
        owner = entry.dependence[element]
        counts = np.bincount(owner, minlength=n_features)
        at = np.arange(len(element)) - (np.cumsum(counts) - counts)[owner]
        width = max(1, int(counts.max(initial=0)))
        elements = np.zeros((n_features + 1, width), np.int64)
        is_real = np.zeros((n_features + 1, width), np.float32)
        elements[owner, at] = element
        is_real[owner, at] = 1
        return cls(elements, is_real)


def columns_of(cut: Cut, features: Iterable[int], n_features: int) -> list[Columns | None]:
    """For each linear entry the elements of the features; None for the other entries."""
    return [
        None if entry.form is None else Columns.of(entry, features, n_features) for entry in cut.entries
    ]


def outputs(
    cut: Cut,
    columns: Sequence[Columns | None],
    call: Inference,
    given: Prepared,
    slots: Slots,
) -> Any:
    """The model's outputs `(n_slots * n_rows, ...)`, with the feature of each slot replaced.

    Args:
        cut: where the model is cut.
        columns: for each linear entry the elements of each feature; None for another entry.
        call: the model's inference.
        given: the result of `prepared` for the rows.
        slots: which features are replaced, by the values of which repeats.
    """
    values = []
    for entry, parts, of_entry in zip(cut.entries, given, columns, strict=True):
        if entry.is_fixed:
            value = ops.broadcast_to(parts[0][None], (slots.feature.shape[0], *parts[0].shape))
        elif entry.form is None or of_entry is None:
            own, replaced = parts
            value = _replaced(entry, own, replaced, slots)
        else:
            own, difference = parts
            value = _updated(entry.form.kernel(), of_entry, own, difference, slots)
        value = ops.reshape(value, (-1, *value.shape[2:]))
        values.append(value if entry.form is None else entry.form.finish(value))
    return cut.tail(call, values)


def _replaced(entry: Entry, own: Any, replaced: Any, slots: Slots) -> Any:
    """`(n_slots, n_rows, ...)`: the rows' values, with the elements of the slot's feature replaced."""
    rank = len(own.shape) - 1
    labels = ops.convert_to_tensor(entry.dependence.astype(np.int32))
    is_of_feature = labels == ops.reshape(slots.feature, (-1, *[1] * rank))
    return ops.where(is_of_feature[:, None], gather(replaced, slots.repeat), own[None])


def _updated(kernel: Any, columns: Columns, own: Any, difference: Any, slots: Slots) -> Any:
    """`(n_slots, n_rows, ..., n_units)`: `own + sum_e difference_e · kernel[e]`.

    The sum is over the elements `e` of the slot's feature, and `own` is the layer's result for the rows.
    """
    n_elements, n_units = kernel.shape
    elements = gather(ops.convert_to_tensor(columns.elements.astype(np.int32)), slots.feature)
    is_real = ops.cast(gather(ops.convert_to_tensor(columns.is_real), slots.feature), kernel.dtype)
    weights = gather(kernel, elements) * is_real[..., None]
    changed = gather(difference, slots.repeat[:, None] * n_elements + elements)
    positions = tuple(own.shape[:-1])
    width = columns.elements.shape[1]
    if width > _FEW_ELEMENTS:
        changed = ops.reshape(changed, (changed.shape[0], width, -1))
        moved = ops.matmul(ops.transpose(changed, (0, 2, 1)), weights)
        return own[None] + ops.reshape(moved, (-1, *positions, n_units))
    value = own[None]
    for index in range(width):
        weight = ops.reshape(weights[:, index], (-1, *[1] * len(positions), n_units))
        value = value + changed[:, index][..., None] * weight
    return value


def row_scores(scores_of: RowScores | None, truth: Truth, outputs: Any, row: Any, n_slots: int) -> Any:
    """`(n_slots, n_rows)` row scores; without a row metric the outputs `(n_slots, n_rows, ...)`.

    Args:
        scores_of: `Metric.row_scores`.
        truth: what the predictions for all rows are scored against.
        outputs: `(n_slots * n_rows, ...)` outputs of the model.
        row: `(n_rows,)` indices of the rows.
        n_slots: how many slots there are.
    """
    if scores_of is None:
        return keras.tree.map_structure(
            lambda leaf: ops.reshape(leaf, (n_slots, row.shape[0], *leaf.shape[1:])), outputs
        )

    def repeated(leaf: Any) -> Any:
        rows = gather(leaf, row)[None]
        rows = ops.broadcast_to(rows, (n_slots, *rows.shape[1:]))
        return ops.reshape(rows, (-1, *rows.shape[2:]))

    scores = scores_of(mapped(repeated, truth), outputs)
    return ops.reshape(scores, (n_slots, row.shape[0]))
