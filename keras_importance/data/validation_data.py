"""Validation data: anything `fit` accepts becomes one fixed, seeded sample of rows in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import keras
import numpy as np

from keras_importance.data.arrays import as_input, as_numpy, column_names, listed, mapped
from keras_importance.data.dependent_rows import (
    ROWS_TO_COMPARE,
    block_length,
    overlapping_window,
    repeated_rows,
)
from keras_importance.data.features import InputColumns
from keras_importance.data.loaders import ACCEPTED, Batch, batches
from keras_importance.data.reservoir import Reservoir
from keras_importance.data.spread import Spread, spread_of
from keras_importance.errors import InvalidArgumentError, reason_of
from keras_importance.statistics.arrays import Array, Floats, Integers, generator


@dataclass(frozen=True, eq=False)
class ValidationData:
    """A fixed sample of the validation rows.

    Attributes:
        inputs: one array `(n_rows, ..., n_columns)` or `(n_rows,)` for each input of the model.
        columns: the names of the inputs and of their columns.
        structure: the nest in which the model takes its inputs, with their numbers as leaves.
        targets: a nest of arrays of `n_rows` rows; None where the data hold none.
        weights: `(n_rows,)` sample weights; None where all rows weigh the same.
        blocks: `(n_rows,)` block numbers where rows of one block depend on one another: overlapping
            windows of one series, or rows that are there several times; None for separate rows.
        n_available: how many rows there were to sample from.
        in_written_order: whether the inputs stand in the order in which the user wrote them; Keras sorts
            the keys of a dict.
    """

    inputs: tuple[Array, ...]
    columns: tuple[InputColumns, ...]
    structure: Any
    targets: Any
    weights: Floats | None
    blocks: Integers | None
    n_available: int
    in_written_order: bool

    @classmethod
    def read(
        cls,
        source: Any,
        *,
        max_samples: int | None = None,
        steps: int | None = None,
        input_names: Sequence[str | None] = (),
        seed: int = 0,
    ) -> ValidationData:
        """Reads the source once and keeps at most `max_samples` of its rows, drawn at random.

        Args:
            source: what `fit` accepts as `validation_data`.
            max_samples: how many rows to keep; None keeps all.
            steps: how many batches to read of a dataset; None reads it to its end.
            input_names: names for the inputs of a list, None for those without; a dict brings its own.
            seed: seed of the sample.

        Raises:
            InvalidArgumentError: for generators, unknown types, no rows, rows that don't match, values
                that are not finite.
        """
        sample = Reservoir(max_samples, generator(seed, "sample"))
        names_of_columns: list[tuple[str, ...] | None] = []
        head: list[list[Array]] = []
        # Closed at once, whatever happens, so that random states are put back now, not some time later.
        with closing(batches(source, steps)) as stream:
            for x, y, weight in stream:
                if any(leaf is None for leaf in keras.tree.flatten(x)) or not keras.tree.flatten(x):
                    raise InvalidArgumentError(
                        f"got validation data whose inputs hold None or nothing at all. Pass {ACCEPTED}."
                    )
                if sample.n_seen == 0:
                    names_of_columns = [column_names(leaf) for leaf in keras.tree.flatten(x)]
                batch = _with_weight((mapped(as_input, x), *mapped(as_numpy, (y, weight))))
                if sample.n_seen < ROWS_TO_COMPARE:
                    head.append([leaf[:ROWS_TO_COMPARE] for leaf in keras.tree.flatten(batch[0])])
                sample.add(batch, batch[1], _n_rows(batch))
        if sample.n_seen == 0:
            raise InvalidArgumentError(
                "got validation data without a single row of weight above 0. Pass at least a few "
                "hundred rows."
            )
        (x, y, weight), positions = sample.rows()
        y = y if any(leaf is not None for leaf in keras.tree.flatten(y)) else None
        inputs = tuple(_in_float_type(leaf) for leaf in keras.tree.flatten(x))
        window = overlapping_window([np.concatenate(parts) for parts in zip(*head, strict=True)])
        if sample.n_seen <= window:
            raise InvalidArgumentError(
                f"got {sample.n_seen} validation rows that are overlapping windows of one series, with "
                f"more steps than rows: every row shares steps with every other, so no error can be "
                f"estimated. Pass more than {window} rows; several times as many are better."
            )
        names = _input_names(x, input_names)
        columns = tuple(
            InputColumns(name or f"input_{number}", given or _default_names(values, name))
            for number, (name, given, values) in enumerate(
                zip(names, names_of_columns, inputs, strict=True)
            )
        )
        _check_finite(inputs, columns, y)
        return cls(
            inputs=inputs,
            columns=columns,
            structure=keras.tree.pack_sequence_as(x, list(range(len(inputs)))),
            targets=y,
            weights=_row_weights(weight, len(positions)),
            blocks=(
                positions // block_length(window, sample.n_seen)
                if window
                else repeated_rows([*inputs, *([] if y is None else keras.tree.flatten(y))])
            ),
            n_available=sample.n_seen,
            in_written_order=not isinstance(x, dict) or list(x) == sorted(x),
        )

    @property
    def n_rows(self) -> int:
        """How many rows were kept."""
        return len(self.inputs[0])

    @property
    def n_units(self) -> int:
        """How many rows, or blocks of them, are independent of one another."""
        return self.n_rows if self.blocks is None else len(np.unique(self.blocks))

    @cached_property
    def spreads(self) -> tuple[Spread, ...]:
        """How the columns of each input spread; inputs that hold no numbers spread by nothing."""
        return tuple(spread_of(values, self.weights) for values in self.inputs)

    def only(self, rows: Integers) -> ValidationData:
        """The same data with only some of the rows."""
        taken = partial(mapped, lambda leaf: leaf[rows])
        return replace(
            self,
            inputs=tuple(leaf[rows] for leaf in self.inputs),
            targets=taken(self.targets),
            weights=taken(self.weights),
            blocks=taken(self.blocks),
        )

    def followed_by(self, other: ValidationData) -> ValidationData:
        """These rows, then those of another source with the same inputs.

        Raises:
            InvalidArgumentError: for a source of another form.
        """
        both = [(one.inputs, one.targets) for one in (self, other)]
        try:
            inputs, targets = mapped(lambda *parts: np.concatenate(parts), *both)
        except (ValueError, TypeError) as error:
            raise InvalidArgumentError(
                f"got validation data of another form than the training data ({reason_of(error)}). Pass "
                "rows of the same inputs and targets."
            ) from error
        weights = [np.ones(one.n_rows) if one.weights is None else one.weights for one in (self, other)]
        is_weighted = self.weights is not None or other.weights is not None
        return replace(
            self,
            inputs=inputs,
            targets=targets,
            weights=np.concatenate(weights) if is_weighted else None,
            blocks=_joined_blocks(self, other),
            n_available=self.n_available + other.n_available,
        )

    def with_inputs(self, inputs: tuple[Array, ...]) -> ValidationData:
        """The same rows with other values of the inputs."""
        return replace(self, inputs=inputs)

    def pack(self, leaves: Sequence[Any]) -> Any:
        """The nest that the model takes, filled with one value for each input."""
        return keras.tree.map_structure(lambda number: leaves[number], self.structure)


def _joined_blocks(first: ValidationData, second: ValidationData) -> Integers | None:
    """Blocks of both, none of which they share."""
    if first.blocks is None and second.blocks is None:
        return None
    parts = [np.arange(one.n_rows) if one.blocks is None else one.blocks for one in (first, second)]
    return np.concatenate([parts[0], parts[1] + int(parts[0].max()) + 1])


# --- normalising --------------------------------------------------------------------------------


def _in_float_type(values: Array) -> Array:
    """Floats as `fit` feeds them to the model: in Keras' own float type."""
    return values.astype(keras.config.floatx()) if values.dtype.kind == "f" else values


def _n_rows(batch: Batch) -> int:
    lengths = [
        (what, len(leaf))
        for what, part in zip(("x", "y", "sample_weight"), batch, strict=True)
        for leaf in keras.tree.flatten(part)
        if leaf is not None
    ]
    if not lengths:
        raise InvalidArgumentError(f"got no arrays as validation data. Pass {ACCEPTED}.")
    if len({length for _, length in lengths}) > 1:
        listing = ", ".join(f"{what} {length}" for what, length in lengths)
        raise InvalidArgumentError(
            f"got validation data with unequal numbers of rows ({listing}). Pass as many targets "
            "and weights as rows of inputs."
        )
    return lengths[0][1]


def _default_names(values: Array, input_name: str | None) -> tuple[str, ...]:
    n_columns = values.shape[-1] if values.ndim > 1 else 1
    if n_columns == 1 and input_name:
        return (input_name,)
    return tuple(f"x{number}" for number in range(n_columns))


def _input_names(x: Any, given: Sequence[str | None]) -> list[str | None]:
    paths = [path for path, _ in keras.tree.flatten_with_path(x)]
    if all(path and all(isinstance(key, str) for key in path) for path in paths):
        return ["/".join(path) for path in paths]
    return list(given) if len(given) == len(paths) else [None] * len(paths)


def _with_weight(batch: Batch) -> Batch:
    """The rows with a weight above 0: the others are as good as absent, often padding."""
    weight = batch[2]
    if weight is None or not isinstance(weight, np.ndarray) or weight.size != len(weight):
        return batch
    rows = weight.reshape(-1) != 0
    n_rows = len(rows)
    if rows.all() or any(len(leaf) != n_rows for leaf in keras.tree.flatten(batch) if leaf is not None):
        return batch
    kept: Batch = mapped(lambda leaf: leaf[rows], batch)
    return kept


def _row_weights(weight: Any, n_rows: int) -> Floats | None:
    if weight is None:
        return None
    leaves = keras.tree.flatten(weight)
    values = np.asarray(leaves[0] if leaves else [], np.float64)
    if len(leaves) > 1 or values.size != n_rows:
        shapes = ", ".join(str(np.shape(leaf)) for leaf in leaves)
        raise InvalidArgumentError(
            f"got sample weights of shape {shapes}. Importance needs one weight per row: pass "
            f"validation_data= with weights of shape ({n_rows},)."
        )
    values = values.reshape(n_rows)
    if not np.all(np.isfinite(values)) or np.any(values < 0):
        raise InvalidArgumentError(
            "got sample weights that are negative or not finite. Pass weights of 0 or more."
        )
    return values


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
