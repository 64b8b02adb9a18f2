"""Validation data: anything `fit` accepts becomes one fixed, seeded sample of rows in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance.data.arrays import leaves_of, mapped
from keras_importance.data.columns import Column, InputColumns
from keras_importance.data.dependent_rows import block_length, overlapping_window, repeated_rows
from keras_importance.data.input_names import named_columns
from keras_importance.data.packing import packed
from keras_importance.data.padding import Valid
from keras_importance.data.reservoir import Reservoir
from keras_importance.data.sampled_rows import SampledRows, sampled_rows
from keras_importance.data.spread import Spread, spread_of
from keras_importance.data.truth import Truth
from keras_importance.data.unequal_lengths import PaddingValues, steps_of
from keras_importance.data.value_weights import of_mean_one, split_weights
from keras_importance.errors import NotEvaluableRowsError, reason_of
from keras_importance.statistics.arrays import (
    Array,
    Floats,
    Integers,
    filled_columns,
    generator,
    n_blocks,
)

_OF_ROWS = ("inputs", "targets", "weights", "blocks", "steps", "valid", "value_weights", "output_masks")


@dataclass(frozen=True, eq=False)
class ValidationData:
    """A fixed sample of the validation rows.

    Attributes:
        inputs: one array `(n_rows, ..., n_columns)` or `(n_rows,)` for each input of the model.
        columns: the names of the inputs and of their columns.
        structure: the nest in which the model takes its inputs, with the index of each input as leaf.
        targets: a nest of arrays of `n_rows` rows; None without targets.
        weights: `(n_rows,)` sample weights; None where all rows weigh the same.
        blocks: `(n_rows,)` the block of each row, where rows of one block depend on one another:
            overlapping windows of one series, or copies of one row; None for independent rows.
        steps: for each input `(n_rows,)` how many steps a row had before it was padded to the longest
            row; None where all rows have the same number.
        is_padded_before: whether rows are padded before their steps.
        is_ragged: whether an input was given as a ragged tensor.
        n_available: how many rows there were to sample from.
        codes: the columns of floats that the model uses as codes of categories.
        columns_first: indices of the inputs whose columns the model takes along axis 1, not along the
            last axis.
        in_written_order: whether the inputs stand in the order in which the user wrote them; Keras sorts
            the keys of a dict.
        batch_size: how many rows a batch has in which `fit` validates, or the source comes.
        value_weights: sample weights that are more than one number a row: an array `(n_rows, n_steps)`,
            or a nest with an array for each output. None where there are none.
        output_masks: the Keras masks of the model's outputs for these rows; see `Truth`.
        valid: for each input `(n_rows, n_steps)`, True for the steps that count; None where all count.
            Read data have no padding: the model says later what it masks.
    """

    inputs: tuple[Array, ...]
    columns: tuple[InputColumns, ...]
    structure: Any
    targets: Any
    weights: Floats | None
    blocks: Integers | None
    steps: tuple[Integers | None, ...]
    is_padded_before: bool
    is_ragged: bool
    valid: tuple[Valid | None, ...]
    n_available: int
    in_written_order: bool
    batch_size: int = 32
    value_weights: Any = None
    output_masks: Mapping[str, Array] = field(default_factory=dict)
    codes: frozenset[Column] = frozenset()
    columns_first: frozenset[int] = frozenset()

    @classmethod
    def read(
        cls,
        source: Any,
        *,
        max_samples: int | None = None,
        steps: int | None = None,
        input_names: Sequence[str | None] = (),
        padding: PaddingValues = 0.0,
        seed: int = 0,
        keeps_batches: bool = False,
    ) -> ValidationData:
        """Reads the source once and keeps at most `max_samples` of its rows, drawn at random.

        Args:
            source: what `fit` accepts as `validation_data`.
            max_samples: how many rows to keep; None keeps all.
            steps: how many batches to read of a dataset; None reads it to its end.
            input_names: names for the inputs of a list, None for an input without a name. The inputs of
                a dict are named by its keys.
            padding: the value of the steps that a row gets if it is shorter than others.
            seed: seed of the sample.
            keeps_batches: whether rows stay in their order, also those of weight 0, and the first
                `max_samples` rows are the sample: for models that mix the rows of a batch.

        Raises:
            InvalidArgumentError: for generators, unknown types, and rows that don't match.
            NotEvaluableError: for no rows, weights that are negative or not finite, and other rows that
                can't be evaluated.
        """
        size = None if keeps_batches else max_samples
        reservoir = Reservoir(size, generator(seed, "sample"), padding)
        rows = sampled_rows(source, steps, reservoir, keeps_weightless=keeps_batches)
        inputs = tuple(_in_float_type(leaf) for leaf in keras.tree.flatten(rows.x))
        y = mapped(_in_numpy_type, rows.y)
        targets = y if any(leaf is not None for leaf in keras.tree.flatten(y)) else None
        window = _window(rows)
        columns = named_columns(rows.x, inputs, rows.column_labels, input_names)
        weights, value_weights = split_weights(rows.sample_weight, len(rows.positions))
        return cls(
            inputs=inputs,
            columns=columns,
            structure=keras.tree.pack_sequence_as(rows.x, list(range(len(inputs)))),
            targets=targets,
            weights=weights,
            blocks=_blocks(rows, window, [*inputs, *keras.tree.flatten(targets)]),
            steps=rows.steps,
            is_padded_before=rows.is_padded_before,
            is_ragged=rows.is_ragged,
            n_available=rows.n_seen,
            in_written_order=not isinstance(rows.x, dict) or list(rows.x) == sorted(rows.x),
            batch_size=rows.batch_size,
            value_weights=value_weights,
            valid=(None,) * len(inputs),
        )

    @property
    def n_rows(self) -> int:
        """How many rows were kept."""
        return len(self.inputs[0])

    @property
    def n_units(self) -> int:
        """How many independent units the rows make: blocks, or rows where there are none."""
        return n_blocks(self.blocks) or self.n_rows

    @property
    def row_weights(self) -> Floats | None:
        """`(n_rows,)` weights of the rows in a metric, beside `value_weights`; None for equal ones."""
        return self.weights if self.value_weights is None else None

    @cached_property
    def truth(self) -> Truth:
        """What predictions for the rows are scored against, in the types in which `fit` feeds it.

        Weights of steps and outputs have mean 1.
        """
        targets = mapped(_in_float_type, self.targets)
        return Truth(targets, of_mean_one(self.value_weights), self.output_masks)

    @cached_property
    def spreads(self) -> tuple[Spread, ...]:
        """The spread of the columns of each input; zeros for inputs that hold no numbers."""
        pairs = zip(self.inputs, self.valid, strict=True)
        return tuple(spread_of(values, self.weights, valid) for values, valid in pairs)

    @cached_property
    def filled(self) -> tuple[Array, ...]:
        """The inputs, with missing numbers (NaN or infinite) replaced by the mean of their column."""
        return tuple(
            filled_columns(values, self.weights) if values.dtype.kind == "f" else values
            for values in self.inputs
        )

    @property
    def missing(self) -> dict[Column, int]:
        """How many values each column lacks (NaN or infinite), for columns that lack some."""
        return {
            (index, int(column)): int(n_missing[column])
            for index, values in enumerate(self.inputs)
            if values.dtype.kind == "f" and not np.isfinite(values).all()
            for n_missing in [
                (~np.isfinite(values)).reshape(-1, len(self.columns[index].columns)).sum(axis=0)
            ]
            for column in np.flatnonzero(n_missing)
        }

    @cached_property
    def are_categories(self) -> tuple[NDArray[np.bool_], ...]:
        """For each input `(n_columns,)` whether a column holds categories, not numbers.

        Integers, booleans and texts are categories, and so are `codes` among floats.
        """
        found = [
            np.full(len(names.columns), values.dtype.kind != "f")
            for values, names in zip(self.inputs, self.columns, strict=True)
        ]
        for input_index, column in self.codes:
            found[input_index][column] = True
        return tuple(found)

    def only(self, rows: Integers) -> ValidationData:
        """The same data with only some of the rows."""
        parts = {name: getattr(self, name) for name in _OF_ROWS}
        return replace(self, **mapped(lambda leaf: leaf[rows], parts))

    def has_rows_of(self, other: ValidationData) -> bool:
        """Whether both hold the same rows: inputs, targets, weights, valid steps, and batches."""
        ours, theirs = (
            leaves_of((data.inputs, data.targets, data.weights, data.value_weights, data.valid))
            for data in (self, other)
        )
        return (
            self.batch_size == other.batch_size
            and len(ours) == len(theirs)
            and all(map(_are_equal, ours, theirs))
        )

    def followed_by(self, other: ValidationData) -> ValidationData:
        """These rows, then the rows of `other`, which must have the same inputs and targets.

        Raises:
            NotEvaluableError: for rows of another shape or structure.
        """
        sources = (self, other)
        nests = [(data.inputs, data.targets, data.value_weights) for data in sources]
        try:
            inputs, targets, value_weights = mapped(lambda *parts: np.concatenate(parts), *nests)
        except (ValueError, TypeError) as error:
            raise NotEvaluableRowsError(
                f"got {{rows}} of another form than the training data ({reason_of(error)}). Pass "
                "rows of the same inputs and targets."
            ) from error
        weights = [np.ones(data.n_rows) if data.weights is None else data.weights for data in sources]
        is_weighted = self.weights is not None or other.weights is not None
        return replace(
            self,
            inputs=inputs,
            targets=targets,
            value_weights=value_weights,
            weights=np.concatenate(weights) if is_weighted else None,
            blocks=_joined_blocks(self, other),
            steps=_joined_steps(self, other),
            valid=_joined_valid(self, other),
            n_available=self.n_available + other.n_available,
        )

    def with_inputs(self, inputs: tuple[Array, ...]) -> ValidationData:
        """The same rows with other values of the inputs."""
        return replace(self, inputs=inputs)

    def pack(self, leaves: Sequence[Any]) -> Any:
        """The nest in which the model takes its inputs, filled with one value for each input."""
        return self.packing(leaves)

    @property
    def packing(self) -> Callable[[Sequence[Any]], Any]:
        """`pack` for programs, which outlive the rows: it holds none of them."""
        return partial(packed, self.structure, self.columns_first)


def _are_equal(ours: Any, theirs: Any) -> bool:
    """Whether two arrays are equal; a missing value equals another one."""
    if ours is None or theirs is None:
        return ours is theirs
    return ours.dtype == theirs.dtype and np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f")


def _in_float_type(values: Array) -> Array:
    """Floats as `fit` feeds them to the model: in Keras' own float type."""
    is_float = values.dtype.kind == "f" or values.dtype.name == "bfloat16"
    return values.astype(keras.config.floatx()) if is_float else values


def _in_numpy_type(values: Array) -> Array:
    """Targets in a type that NumPy computes with, which bfloat16 isn't."""
    return values.astype(np.float32) if values.dtype.name == "bfloat16" else values


def _window(rows: SampledRows) -> int:
    """How many consecutive rows share time steps; 0 unless the rows are windows of one series.

    Raises:
        InvalidArgumentError: where every row shares steps with every other.
    """
    window = overlapping_window(rows.first_rows)
    if rows.n_seen <= window:
        raise NotEvaluableRowsError(
            f"got {rows.n_seen} rows of {{rows}} that are overlapping windows of one series, with "
            f"more steps than rows: every row shares steps with every other, so no error can be "
            f"estimated. Pass more than {window} rows; several times as many are better."
        )
    return window


def _blocks(rows: SampledRows, window: int, leaves: Sequence[Array | None]) -> Integers | None:
    """`(n_rows,)` the block of each row; None where all rows are independent.

    Args:
        rows: the sampled rows.
        window: how many consecutive rows share time steps; 0 for rows that are no windows.
        leaves: inputs and targets, which tell copies of a row.
    """
    if window:
        return rows.positions // block_length(window, rows.n_seen)
    return repeated_rows(leaves)


def _joined_steps(first: ValidationData, second: ValidationData) -> tuple[Integers | None, ...]:
    """For each input the steps of the rows of both."""

    def of_rows(data: ValidationData, index: int) -> Integers:
        values, steps = data.inputs[index], data.steps[index]
        return steps_of(None, values) if steps is None else steps

    return tuple(
        None
        if first.steps[index] is None and second.steps[index] is None
        else np.concatenate([of_rows(first, index), of_rows(second, index)])
        for index in range(len(first.inputs))
    )


def _joined_blocks(first: ValidationData, second: ValidationData) -> Integers | None:
    """The blocks of both, numbered so that no block of one is a block of the other."""
    if first.blocks is None and second.blocks is None:
        return None
    parts = [np.arange(data.n_rows) if data.blocks is None else data.blocks for data in (first, second)]
    return np.concatenate([parts[0], parts[1] + int(parts[0].max()) + 1])


def _joined_valid(first: ValidationData, second: ValidationData) -> tuple[Valid | None, ...]:
    """For each input the valid steps of both, one after the other."""
    joined = []
    for index, pair in enumerate(zip(first.valid, second.valid, strict=True)):
        leaves = [data.inputs[index] for data in (first, second)]
        of_both = [
            np.ones(leaf.shape[:2], bool) if valid is None else valid
            for leaf, valid in zip(leaves, pair, strict=True)
        ]
        joined.append(None if pair == (None, None) else np.concatenate(of_both))
    return tuple(joined)
