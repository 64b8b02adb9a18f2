"""Validation data: anything `fit` accepts becomes one fixed, seeded sample of rows in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import keras
import numpy as np

from keras_importance.data.arrays import mapped
from keras_importance.data.dependent_rows import block_length, overlapping_window, repeated_rows
from keras_importance.data.features import InputColumns
from keras_importance.data.frames import listed
from keras_importance.data.reservoir import Reservoir
from keras_importance.data.sampled_rows import SampledRows, sampled_rows
from keras_importance.data.spread import Spread, spread_of
from keras_importance.data.truth import Truth
from keras_importance.data.value_weights import of_mean_one, split_weights
from keras_importance.errors import InvalidArgumentError, reason_of
from keras_importance.statistics.arrays import Array, Floats, Integers, generator, n_blocks


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
        n_available: how many rows there were to sample from.
        in_written_order: whether the inputs stand in the order in which the user wrote them; Keras sorts
            the keys of a dict.
        batch_size: how many rows a batch has in which `fit` validates, or the source comes.
        value_weights: sample weights that are more than one number a row: an array `(n_rows, n_steps)`,
            or a nest with an array for each output. None where there are none.
        output_masks: the Keras masks of the model's outputs for these rows; see `Truth`.
    """

    inputs: tuple[Array, ...]
    columns: tuple[InputColumns, ...]
    structure: Any
    targets: Any
    weights: Floats | None
    blocks: Integers | None
    n_available: int
    in_written_order: bool
    batch_size: int = 32
    value_weights: Any = None
    output_masks: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        source: Any,
        *,
        max_samples: int | None = None,
        steps: int | None = None,
        input_names: Sequence[str | None] = (),
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
            seed: seed of the sample.
            keeps_batches: whether rows stay in their order, also those of weight 0, and the first
                `max_samples` rows are the sample: for models that mix the rows of a batch.

        Raises:
            InvalidArgumentError: for generators, unknown types, no rows, rows that don't match, values
                that are not finite.
        """
        reservoir = Reservoir(None if keeps_batches else max_samples, generator(seed, "sample"))
        rows = sampled_rows(source, steps, reservoir, keeps_weightless=keeps_batches)
        inputs = tuple(_in_float_type(leaf) for leaf in keras.tree.flatten(rows.x))
        targets = rows.y if any(leaf is not None for leaf in keras.tree.flatten(rows.y)) else None
        window = _window(rows)
        columns = _named_columns(rows, inputs, input_names)
        _check_finite(inputs, columns, None)
        weights, value_weights = split_weights(rows.sample_weight, len(rows.positions))
        return cls(
            inputs=inputs,
            columns=columns,
            structure=keras.tree.pack_sequence_as(rows.x, list(range(len(inputs)))),
            targets=targets,
            weights=weights,
            blocks=_blocks(rows, window, [*inputs, *keras.tree.flatten(targets)]),
            n_available=rows.n_seen,
            in_written_order=not isinstance(rows.x, dict) or list(rows.x) == sorted(rows.x),
            batch_size=rows.batch_size,
            value_weights=value_weights,
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
        return Truth(targets, mapped(of_mean_one, self.value_weights), self.output_masks)

    @cached_property
    def spreads(self) -> tuple[Spread, ...]:
        """The spread of the columns of each input; zeros for inputs that hold no numbers."""
        return tuple(spread_of(values, self.weights) for values in self.inputs)

    def only(self, rows: Integers) -> ValidationData:
        """The same data with only some of the rows."""
        names = ("inputs", "targets", "weights", "blocks", "value_weights", "output_masks")
        nests = {name: getattr(self, name) for name in names}
        return replace(self, **mapped(lambda leaf: leaf[rows], nests))

    def followed_by(self, other: ValidationData) -> ValidationData:
        """These rows, then the rows of `other`, which must have the same inputs and targets.

        Raises:
            InvalidArgumentError: for rows of another shape or structure.
        """
        sources = (self, other)
        nests = [(data.inputs, data.targets, data.value_weights) for data in sources]
        try:
            inputs, targets, value_weights = mapped(lambda *parts: np.concatenate(parts), *nests)
        except (ValueError, TypeError) as error:
            raise InvalidArgumentError(
                f"got validation data of another form than the training data ({reason_of(error)}). Pass "
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
            n_available=self.n_available + other.n_available,
        )

    def with_inputs(self, inputs: tuple[Array, ...]) -> ValidationData:
        """The same rows with other values of the inputs."""
        return replace(self, inputs=inputs)

    def pack(self, leaves: Sequence[Any]) -> Any:
        """The nest in which the model takes its inputs, filled with one value for each input."""
        return keras.tree.map_structure(lambda index: leaves[index], self.structure)


def _in_float_type(values: Array) -> Array:
    """Floats as `fit` feeds them to the model: in Keras' own float type."""
    return values.astype(keras.config.floatx()) if values.dtype.kind == "f" else values


def _window(rows: SampledRows) -> int:
    """How many consecutive rows share time steps; 0 unless the rows are windows of one series.

    Raises:
        InvalidArgumentError: where every row shares steps with every other.
    """
    window = overlapping_window(rows.first_rows)
    if rows.n_seen <= window:
        raise InvalidArgumentError(
            f"got {rows.n_seen} validation rows that are overlapping windows of one series, with "
            f"more steps than rows: every row shares steps with every other, so no error can be "
            f"estimated. Pass more than {window} rows; several times as many are better."
        )
    return window


def _named_columns(
    rows: SampledRows, inputs: Sequence[Array], input_names: Sequence[str | None]
) -> tuple[InputColumns, ...]:
    """The names of each input and of its columns; by default `input_<index>` and `x<index>`."""
    names = _input_names(rows.x, input_names)
    return tuple(
        InputColumns(name or f"input_{index}", columns or _default_names(values, name))
        for index, (name, columns, values) in enumerate(
            zip(names, rows.column_names, inputs, strict=True)
        )
    )


def _input_names(x: Any, given: Sequence[str | None]) -> list[str | None]:
    """The keys of a dict of inputs, joined by `/`; else the given names, if there is one per input."""
    paths = [path for path, _ in keras.tree.flatten_with_path(x)]
    if all(path and all(isinstance(key, str) for key in path) for path in paths):
        return ["/".join(path) for path in paths]
    return list(given) if len(given) == len(paths) else [None] * len(paths)


def _default_names(values: Array, input_name: str | None) -> tuple[str, ...]:
    n_columns = values.shape[-1] if values.ndim > 1 else 1
    if n_columns == 1 and input_name:
        return (input_name,)
    return tuple(f"x{index}" for index in range(n_columns))


def _check_finite(inputs: Iterable[Array], columns: Sequence[InputColumns], targets: Any) -> None:
    for values, names in zip(inputs, columns, strict=True):
        if values.dtype.kind == "f" and not np.all(np.isfinite(values)):
            bad = ~np.isfinite(values.reshape(-1, len(names.columns)))
            names_of_bad = [names.columns[c] for c in np.flatnonzero(bad.any(axis=0))]
            raise InvalidArgumentError(
                f"got NaN or infinite values in the validation data, in "
                f"{listed(names_of_bad)} ({int(bad.sum())} values). Impute or drop them."
            )
    for values in keras.tree.flatten(targets):
        if values is not None and values.dtype.kind == "f" and not np.all(np.isfinite(values)):
            raise InvalidArgumentError(
                "got NaN or infinite values in the targets of the validation data. Drop those rows."
            )


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


def _joined_blocks(first: ValidationData, second: ValidationData) -> Integers | None:
    """The blocks of both, numbered so that no block of one is a block of the other."""
    if first.blocks is None and second.blocks is None:
        return None
    parts = [np.arange(data.n_rows) if data.blocks is None else data.blocks for data in (first, second)]
    return np.concatenate([parts[0], parts[1] + int(parts[0].max()) + 1])
