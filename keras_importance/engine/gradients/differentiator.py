"""Gradients of a model's outputs, or of its loss, with respect to the inputs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from keras_importance.data.arrays import mapped
from keras_importance.data.truth import Truth
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends.backend import Inference, current, gather
from keras_importance.engine.backends.compiler import Compiler
from keras_importance.engine.backends.replicas import Replicas
from keras_importance.engine.cut.block_sizes import declared_batch, evenly, rows_at_once
from keras_importance.engine.cut.products import products_of_model
from keras_importance.engine.gradients.moments import Moments, moments_of
from keras_importance.engine.meter import (
    PASSES_TO_DIFFERENTIATE,
    SECONDS_A_PRODUCT,
    Meter,
)
from keras_importance.statistics.arrays import Array, Integers, unit_weights

RowScores = Callable[[Any, Any], Any]
"""A loss of each row: `(truth, outputs) -> (n_rows,)`."""

Differentiated = Callable[[Inference, list[Any], Any], list[Any | None]]
"""From `(call, inputs, given)` to the gradients; see `_gradients`."""

Scalar = Array | RowScores
"""The scalar of each row `i` that is differentiated: a loss of each row, or a sum of outputs.

The sum is `sum_m directions[i, m] · output_m(x_i)`, given as the array of directions of shape
`(n_rows, n_outputs)`; directions of shape `(1, n_outputs)` serve all rows.
"""


class Scalars(Protocol):
    """Several scalars of each row; each may be made only when the iteration reaches it."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Scalar]: ...


@dataclass(frozen=True, eq=False)
class InputGradients:
    """Gradients of a scalar of each row with respect to the inputs.

    Attributes:
        chunks: for each chunk of rows a list with the gradients with respect to each input, in the
            input's shape; None for an input without a gradient. A chunk of another process is None.
        n_rows: how many rows there are, without padding.
        replicas: the replicas that hold the chunks.
    """

    chunks: list[list[Any | None] | None]
    n_rows: int
    replicas: Replicas

    def has(self, input_index: int) -> bool:
        """Whether there is a gradient with respect to an input."""
        return self._own[input_index] is not None

    @property
    def _own(self) -> list[Any | None]:
        """A chunk of this process."""
        return next(chunk for chunk in self.chunks if chunk is not None)

    def tensor(self, input_index: int) -> Any:
        """The gradients of all rows with respect to an input, in its shape `(n_rows, ...)`."""
        own = [None if chunk is None else chunk[input_index] for chunk in self.chunks]
        return _joined(own, self.n_rows, self.replicas)

    @cached_property
    def arrays(self) -> list[Array | None]:
        """For each input the gradients as an array of its shape; None for one without a gradient."""
        return [
            ops.convert_to_numpy(self.tensor(index)) if self.has(index) else None
            for index in range(len(self._own))
        ]


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Rows on the device that go through the model together."""

    inputs: list[Any]
    truth: Truth
    weights: Any
    rows: Any


class Differentiator:
    """Computes gradients of each row's scalar, through compiled programs of one static shape.

    In inference mode rows don't influence one another. So the gradient of a sum over rows contains the
    gradient of each row's scalar.

    Args:
        compiler: compiles programs that run the model.
        data: the rows.
        meter: counts the work.
        transform: applied to the outputs, `(n_rows, n_outputs)`, before they are differentiated; None
            for nothing. It must hold no rows.
        batch_size: how many rows a model that mixes the rows of a batch must get at once; None for any.

    Attributes:
        rows_at_once: how many rows a chunk has, at most.
        seconds_per_row: planned seconds for a gradient of one row.
    """

    def __init__(
        self,
        compiler: Compiler,
        data: ValidationData,
        meter: Meter,
        transform: Callable[[Any], Any] | None = None,
        *,
        batch_size: int | None = None,
    ) -> None:
        self._data = data
        self._meter = meter
        self._compiler = compiler
        self._on_device = compiler.on_device
        self._replicas = compiler.replicas
        self._warm: dict[Callable[..., Any], set[int]] = defaultdict(set)
        self._batch_size = batch_size or declared_batch(compiler.model)
        self.rows_at_once = self._batch_size or self._replicas.block_of(
            data.n_rows, rows_at_once(compiler.model, data, compiler.fraction)
        )
        n_products = products_of_model(compiler.model, data)
        self.seconds_per_row = SECONDS_A_PRODUCT * PASSES_TO_DIFFERENTIATE * n_products
        # Programs close over no rows, as they outlive them.
        self._flat_outputs = partial(_values, data.packing, transform)
        self._values = compiler(self._flat_outputs)
        self._of_moments = compiler(moments_of)
        self._programs: dict[tuple[str, RowScores | None], Callable[..., Any]] = {}
        self._chunked: tuple[ValidationData, list[_Chunk]] = (data, self._chunks_of(data))

    def values(self, data: ValidationData) -> Any:
        """The transformed outputs `(n_rows, n_outputs)`, which `gradients` differentiates."""
        values = self._each(self._values, [(chunk.inputs,) for chunk in self._chunks(data)])
        return _joined(values, data.n_rows, self._replicas)

    def gradients(self, scalar: Scalar, data: ValidationData) -> InputGradients:
        """Gradients of each row's scalar with respect to the inputs."""
        program, given = self._differentiated(_gradient_program, scalar, data)
        return InputGradients(self._each(program, given), data.n_rows, self._replicas)

    def moments(
        self, scalars: Scalars, data: ValidationData, passes: Sequence[InputGradients] = ()
    ) -> list[Moments | None]:
        """For each input the `Moments` of its gradients; None for an input without a gradient.

        For a single scalar, one program computes the gradients and the moments. This saves a call, and
        holds no gradients in memory.

        Args:
            scalars: the scalars of each row that are differentiated.
            data: the rows.
            passes: the gradients of each scalar, if they are known already.
        """
        means = np.concatenate([spread.mean for spread in data.spreads])
        means = self._on_device(means.astype(keras.config.floatx()))
        if len(scalars) == 1 and not passes:
            program, given = self._differentiated(_moment_program, next(iter(scalars)), data)
        else:
            passes = passes or [self.gradients(scalar, data) for scalar in scalars]
            program = self._of_moments
            given = [
                (of_chunk, chunk.inputs)
                for chunk, *of_chunk in zip(
                    self._chunks(data), *(gradients.chunks for gradients in passes), strict=True
                )
            ]
        chunks = [
            (*arguments, means, chunk.weights)
            for arguments, chunk in zip(given, self._chunks(data), strict=True)
        ]
        of_chunks = self._replicas.gathered(_arrays(self._each(program, chunks)))
        return [
            None if sums[0] is None else Moments(np.sum(sums, axis=0, dtype=np.float64))
            for sums in zip(*of_chunks, strict=True)
        ]

    # --- chunks ---------------------------------------------------------------------------------

    def _chunks(self, data: ValidationData) -> list[_Chunk]:
        """Chunks of equal size on the device, kept until other rows are asked for."""
        if data is not self._chunked[0]:
            self._chunked = data, self._chunks_of(data)
        return self._chunked[1]

    def _chunks_of(self, data: ValidationData) -> list[_Chunk]:
        """Chunks of equal size; the last one is padded with rows of weight 0."""
        n_rows = data.n_rows
        size = self._batch_size or evenly(n_rows, self.rows_at_once)
        weights = unit_weights(data.weights, n_rows)
        inputs = data.inputs
        chunks = []
        for start in range(0, n_rows, size):
            padded = np.arange(start, start + size)
            rows = np.minimum(padded, n_rows - 1)
            rows_on_device = partial(self._rows_on_device, rows=rows)
            weight = np.where(padded < n_rows, weights[rows], 0.0).astype(keras.config.floatx())
            chunks.append(
                _Chunk(
                    inputs=[rows_on_device(leaf) for leaf in inputs],
                    truth=mapped(rows_on_device, data.truth),
                    weights=self._on_device(weight),
                    rows=self._on_device(rows.astype(np.int32)),
                )
            )
        return chunks

    def _each(self, program: Callable[..., Any], chunks: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The program's result for each chunk, on the replicas in turn; None for another process's."""

        def run(chunk: tuple[Any, ...]) -> Any:
            return program(*chunk)

        if self._replicas.n == 1:
            return list(map(run, chunks))
        with self._replicas.pool() as pool:
            return list(self._replicas.map(run, chunks, pool=pool, warm=self._warm[program]))

    def _rows_on_device(self, leaf: Array, rows: Integers) -> Any:
        return self._on_device(leaf[rows])

    # --- programs -------------------------------------------------------------------------------

    def _program(self, program: Callable[..., Any], row_scores: RowScores | None) -> Callable[..., Any]:
        """A program compiled once for each loss; `row_scores` is None for a program of the outputs."""
        key = program.__name__, row_scores
        if key not in self._programs:
            differentiated = partial(_gradients, self._data.packing, self._flat_outputs, row_scores)
            self._programs[key] = self._compiler(partial(program, differentiated))
        return self._programs[key]

    def _differentiated(
        self, program: Callable[..., Any], scalar: Scalar, data: ValidationData
    ) -> tuple[Callable[..., Any], list[tuple[Any, ...]]]:
        """A compiled program that differentiates a scalar, and its arguments for each chunk."""
        chunks = self._chunks(data)
        self._meter.count(data.n_rows * self.seconds_per_row)
        if callable(scalar):
            return self._program(program, scalar), [(chunk.inputs, chunk.truth) for chunk in chunks]
        directions = self._on_device(np.asarray(scalar, keras.config.floatx()))
        given = [(chunk.inputs, (directions, chunk.rows)) for chunk in chunks]
        return self._program(program, None), given


def _gradient_program(
    differentiated: Differentiated, call: Inference, inputs: list[Any], given: Any
) -> list[Any | None]:
    return differentiated(call, inputs, given)


def _moment_program(
    differentiated: Differentiated,
    call: Inference,
    inputs: list[Any],
    given: Any,
    means: Any,
    weights: Any,
) -> list[Any | None]:
    return moments_of(call, [differentiated(call, inputs, given)], inputs, means, weights)


def _gradients(
    packing: Callable[[list[Any]], Any],
    flat_outputs: Callable[[Inference, list[Any]], Any],
    row_scores: RowScores | None,
    call: Inference,
    inputs: list[Any],
    given: Any,
) -> list[Any | None]:
    """For each input its gradient, in its shape; None for an input without a gradient.

    Args:
        packing: puts the inputs into the model's nest.
        flat_outputs: from `(call, inputs)` to the outputs, `(n_rows, n_outputs)`.
        row_scores: the loss that is differentiated; None for a sum of outputs.
        call: the model's inference.
        inputs: the rows of a chunk.
        given: the truth that the loss takes; or for outputs the directions, and the indices of the rows.
    """

    def scalar(leaves: list[Any]) -> Any:
        if row_scores is not None:
            return row_scores(given, call(packing(leaves)))
        directions, rows = given
        if directions.shape[0] != 1:
            directions = gather(directions, rows)
        return ops.sum(flat_outputs(call, leaves) * directions, axis=-1)

    return current().gradients(scalar, inputs)


def _values(
    packing: Callable[[list[Any]], Any],
    transform: Callable[[Any], Any] | None,
    call: Inference,
    inputs: list[Any],
) -> Any:
    """The transformed outputs `(n_rows, n_outputs)`."""
    outputs = keras.tree.flatten(call(packing(inputs)))
    flat = [ops.reshape(output, (-1, math.prod(output.shape[1:]))) for output in outputs]
    joined = flat[0] if len(flat) == 1 else ops.concatenate(flat, axis=-1)
    values = ops.cast(joined, keras.config.floatx())
    return values if transform is None else transform(values)


def _joined(chunks: Sequence[Any], n_rows: int, replicas: Replicas) -> Any:
    """The rows of all chunks in one tensor, gathered from all replicas."""
    if replicas.n > 1:
        return ops.convert_to_tensor(np.concatenate(replicas.gathered(_arrays(list(chunks))))[:n_rows])
    return ops.concatenate(list(chunks))[:n_rows]


def _arrays(nest: Any) -> Any:
    return keras.tree.map_structure(ops.convert_to_numpy, nest, none_is_leaf=False)
