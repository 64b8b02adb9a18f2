"""Validation data: anything `fit` accepts becomes one fixed, seeded sample of rows in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance.data.arrays import as_input, as_numpy, column_names, listed
from keras_importance.data.features import InputColumns
from keras_importance.data.loaders import ACCEPTED, Batch, batches
from keras_importance.data.reservoir import Reservoir
from keras_importance.errors import InvalidArgumentError, reason_of
from keras_importance.statistics.influence import Floats, Integers, generator

Array = NDArray[Any]

# Enough consecutive rows to tell windows that overlap from windows that look alike by chance.
_ROWS_TO_COMPARE = 16

_MIN_BLOCKS = 20

# Share of distinct rows with a value of their own in a column, for which equal rows are copies.
_TELLING = 0.9


@dataclass(frozen=True, eq=False)
class Spread:
    """Weighted means over rows of `q_i`, the mean square over steps of a row's centred values.

    Attributes:
        mean: `(n_columns,)` mean of the values, with weights `w` of mean 1.
        variance: `(n_columns,)` mean of `w q`.
        q: mean of `w² q`.
        q_squared: mean of `w² q²`.
        weight_squared: mean of `w²`.
    """

    mean: Floats
    variance: Floats
    q: Floats
    q_squared: Floats
    weight_squared: float

    @staticmethod
    def joined(parts: Sequence[Spread]) -> Spread:
        """That of the columns of several inputs."""
        names = ("mean", "variance", "q", "q_squared")
        columns = {name: np.concatenate([getattr(one, name) for one in parts]) for name in names}
        return Spread(**columns, weight_squared=parts[0].weight_squared)


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
                batch = _with_weight((_mapped(as_input, x), *_mapped(as_numpy, (y, weight))))
                if sample.n_seen < _ROWS_TO_COMPARE:
                    head.append([leaf[:_ROWS_TO_COMPARE] for leaf in keras.tree.flatten(batch[0])])
                sample.add(batch, batch[1], _n_rows(batch))
        if sample.n_seen == 0:
            raise InvalidArgumentError(
                "got validation data without a single row of weight above 0. Pass at least a few "
                "hundred rows."
            )
        (x, y, weight), positions = sample.rows()
        y = y if any(leaf is not None for leaf in keras.tree.flatten(y)) else None
        inputs = tuple(_in_float_type(leaf) for leaf in keras.tree.flatten(x))
        window = _overlapping_window([np.concatenate(parts) for parts in zip(*head, strict=True)])
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
                positions // _block_length(window, sample.n_seen)
                if window
                else _repeated_rows([*inputs, *([] if y is None else keras.tree.flatten(y))])
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
        return tuple(_spread(values, self.weights) for values in self.inputs)

    def only(self, rows: Integers) -> ValidationData:
        """The same data with only some of the rows."""
        taken = partial(_mapped, lambda leaf: leaf[rows])
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
            inputs, targets = _mapped(lambda *parts: np.concatenate(parts), *both)
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


def _spread(values: Array, weights: Floats | None) -> Spread:
    n_rows, n_columns = len(values), values.shape[-1] if values.ndim > 1 else 1
    if values.dtype.kind not in "fiub":
        zeros = np.zeros(n_columns)
        return Spread(zeros, zeros, zeros, zeros, weight_squared=1.0)
    w = np.ones(n_rows) if weights is None else weights / weights.mean()
    x = values.reshape(n_rows, -1, n_columns).astype(np.float64)
    mean = np.einsum("n,nsc->c", w, x) / x[..., 0].size
    q = np.square(x - mean).mean(axis=1)
    return Spread(mean, w @ q / n_rows, w**2 @ q / n_rows, w**2 @ q**2 / n_rows, float(np.mean(w**2)))


def _repeated_rows(leaves: Sequence[Array]) -> Integers | None:
    """Numbers of the distinct rows, where some are there several times; None where none is.

    Rows of few categories agree by chance. So copies count as such only beside values that tell all
    distinct rows apart.
    """
    known = [leaf for leaf in leaves if leaf is not None and leaf.dtype.kind in "fiub"]
    flat = [leaf.reshape(len(leaf), -1) for leaf in known]
    if not flat:
        return None
    keys = [b"".join(parts) for parts in zip(*(map(bytes, leaf) for leaf in flat), strict=True)]
    numbers = dict(zip(dict.fromkeys(keys), range(len(keys)), strict=False))
    if len(numbers) == len(keys) or len(numbers) < _MIN_BLOCKS:
        return None
    first = {number: row for row, number in reversed(list(enumerate(numbers[key] for key in keys)))}
    rows = list(first.values())
    tells_apart = any(
        len(np.unique(leaf[rows, column])) >= _TELLING * len(rows)
        for leaf in flat
        if leaf.dtype.kind == "f"
        for column in range(leaf.shape[1])
    )
    return np.array([numbers[key] for key in keys]) if tells_apart else None


# --- normalising --------------------------------------------------------------------------------


def _mapped(function: Callable[..., Any], *nests: Any) -> Any:
    return keras.tree.map_structure(function, *nests, none_is_leaf=False)


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
    kept: Batch = _mapped(lambda leaf: leaf[rows], batch)
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


def _block_length(window: int, n_rows: int) -> int:
    """Rows that count as one block: four windows, or two where that would leave fewer than 20 blocks.

    Neighbouring windows share steps across the border of a block, and a series remembers longer than a
    window: long blocks keep what that hides small, many blocks keep the error itself exact.
    """
    return max(2 * window, min(4 * window, n_rows // _MIN_BLOCKS))


def _overlapping_window(inputs: Sequence[Array]) -> int:
    """How many consecutive rows share time steps; 0 unless the rows are windows of one series.

    Row `i + 1` is row `i` moved on by `stride` steps, as a sliding window makes them.
    """
    for values in inputs:
        if values.ndim != 3 or len(values) <= 2 or values.dtype.kind not in "fiu":
            continue
        rows = values[:_ROWS_TO_COMPARE]
        n_steps = int(rows.shape[1])
        for stride in range(1, n_steps // 2 + 1):
            earlier, later = rows[:-1, stride:], rows[1:, :-stride]
            if np.array_equal(earlier, later) and not np.array_equal(earlier, rows[:-1, :-stride]):
                return -(-n_steps // stride)
    return 0
