"""The training and the scoring of twins, as functions of tensors alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_importance.data.arrays import mapped
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends import backend
from keras_importance.engine.cut.block_sizes import widest_layer
from keras_importance.engine.keras_internals import (
    get_keras_mask,
    is_overridden,
    layers_of,
    set_keras_mask,
)
from keras_importance.engine.metrics.metric import Metric
from keras_importance.engine.twins.stateless_optimizer import stateless, why_not_stateless
from keras_importance.engine.twins.tensors import Batches, Hidden, Rows, State, Tensors
from keras_importance.engine.twins.vectorisable_layers import vectorisable
from keras_importance.errors import reason_of
from keras_importance.statistics.arrays import Array

Vectorise = Callable[[Callable[[Any], Any], Any], Any]
"""`vectorise(function, stacked)`: results of the function for each entry of stacked tensors, stacked."""

# How many times the values of all layers are held for the backward pass, gradients included.
_COPIES_OF_LAYERS = 4


@dataclass(frozen=True, eq=False)
class Start:
    """Where training begins: values of the variables of a model, and of its optimizer.

    Attributes:
        of_model: values of the trainable variables, then of the others.
        of_optimizer: values of the optimizer's variables; None for a new optimizer.
    """

    of_model: tuple[Array, ...]
    of_optimizer: tuple[Array, ...] | None = None

    @classmethod
    def of(cls, model: Any) -> Start:
        """The weights of a compiled model, and the state of its optimizer."""
        optimizer = model.optimizer
        of_optimizer = tuple(map(_value, optimizer.variables)) if optimizer.built else None
        return cls(cls.of_new(model).of_model, of_optimizer)

    @classmethod
    def of_new(cls, model: Any) -> Start:
        """The weights of a model, with a new optimizer."""
        return cls(tuple(map(_value, variables_of(model))))


def variables_of(model: Any) -> list[Any]:
    """The trainable variables of a model, then the others."""
    return [*model.trainable_variables, *model.non_trainable_variables]


def why_no_twins(model: Any) -> str | None:
    """Why copies of a model can't be trained as one program; None where nothing is known against it."""
    for name in ("fit", "train_step"):
        if is_overridden(model, name):
            return f"{type(model).__name__} has a {name} of its own"
    for layer in layers_of(model):
        if getattr(layer, "stateful", False):
            return f"the layer {layer.name!r} is stateful"
    try:
        reason = why_not_stateless(model.optimizer)
        if reason is None:
            stateless(model.optimizer, list(model.trainable_variables))
    except Exception as error:  # noqa: BLE001 (an optimizer of the user's own may raise anything)
        return f"its optimizer can't be copied ({reason_of(error)})"
    return reason


class TwinStep:
    """The training and the scoring of copies of one model, as functions of tensors alone.

    Args:
        model: the compiled and built model; it is read, never changed.
        data: rows like those that are trained on.
        metrics: the resolved metrics that twins are scored with.

    Attributes:
        widest: how many values a row has in the widest layer.
    """

    def __init__(self, model: Any, data: ValidationData, metrics: Sequence[Metric]) -> None:
        self._model, self._data, self._metrics = model, data, tuple(metrics)
        self._n_trainable = len(model.trainable_variables)
        self._optimizer = stateless(model.optimizer, list(model.trainable_variables))
        self._variables = [*variables_of(model), *self._optimizer.variables]
        learning_rate = self._optimizer.learning_rate
        self._is_shared = [
            keras.backend.is_int_dtype(variable.dtype) or variable is learning_rate
            for variable in self._variables
        ]
        self._learning_rate = next(
            (i for i, variable in enumerate(self._variables) if variable is learning_rate), None
        )
        self.widest = widest_layer(model, data)

    def state(self, start: Start, n_twins: int) -> State:
        """The state in which `n_twins` twins begin.

        The optimizer is new if the start has no values for it, or values of other shapes.
        """
        new = tuple(map(_value, self._optimizer.variables))
        of_optimizer = start.of_optimizer
        if of_optimizer is None or _shapes(of_optimizer) != _shapes(new):
            of_optimizer = new
        on_device = backend.current().on_device
        state = self._split((*start.of_model, *of_optimizer))
        return State(
            [on_device(np.repeat(value[None], n_twins, axis=0)) for value in state.own],
            [on_device(value) for value in state.shared],
        )

    def with_learning_rate(self, state: State, value: float) -> State:
        """The state with another learning rate; unchanged if a schedule sets the learning rate."""
        if self._learning_rate is None:
            return state
        shared = list(state.shared)
        index = sum(self._is_shared[: self._learning_rate])
        shared[index] = backend.current().on_device(np.asarray(value, "float32"))
        return state._replace(shared=shared)

    @property
    def values_kept(self) -> int:
        """How many values a twin keeps: weights, slots of the optimizer, statistics."""
        return int(sum(math.prod(variable.shape) for variable in self._variables))

    def values_of_twin(self, batch_size: int) -> int:
        """An estimate of how many values are held for a twin while it is trained."""
        weights = self.values_kept
        layers = batch_size * self.widest * max(1, len(layers_of(self._model)))
        return int(2 * weights + _COPIES_OF_LAYERS * layers)

    def epoch(
        self, vectorise: Vectorise, state: State, hidden: Hidden, rows: Rows, batches: Batches
    ) -> State:
        """The state after one epoch.

        Args:
            vectorise: runs a function for all twins.
            state: the state before the epoch.
            hidden: the columns that twins don't see.
            rows: all rows that are trained on.
            batches: indices of the rows of each step.
        """
        n_own = len(state.own)

        def step(indices: Any, values: Tensors) -> Tensors:
            own, shared = values[:n_own], values[n_own:]
            batch: Rows = mapped(lambda leaf: backend.gather(leaf, indices), rows)

            def of_twin(own_and_columns: tuple[Tensors, Tensors]) -> State:
                own_of_twin, columns = own_and_columns
                seen = self._seen(batch.inputs, Hidden(columns, hidden.fill))
                return self._trained(State(own_of_twin, shared), batch._replace(inputs=seen))

            own, stacked = vectorise(of_twin, (own, hidden.columns))
            return [*own, *(of_twins[0] for of_twins in stacked)]

        values = [*state.own, *state.shared]
        n_steps = batches.full.shape[0]
        if n_steps:
            values = ops.fori_loop(
                0, n_steps, lambda i, values: step(backend.gather(batches.full, i), values), values
            )
        if batches.last is not None:
            values = step(batches.last, values)
        return State(list(values[:n_own]), list(values[n_own:]))

    def scores(self, vectorise: Vectorise, state: State, hidden: Hidden, rows: Rows) -> list[Any]:
        """For each metric `(n_twins, n_rows)` scores, or else the outputs `(n_twins, n_rows, ...)`.

        Outputs are returned for a metric that needs all rows at once.
        """

        def of_twin(own_and_columns: tuple[Tensors, Tensors]) -> tuple[Any, dict[str, Any]]:
            own, columns = own_and_columns
            mapping = self._mapping(State(own, state.shared))
            with keras.StatelessScope(mapping):
                x = self._data.pack(self._seen(rows.inputs, Hidden(columns, hidden.fill)))
                outputs = self._model(x, training=False)
            masks = {str(i): get_keras_mask(leaf) for i, leaf in enumerate(keras.tree.flatten(outputs))}
            return outputs, {index: mask for index, mask in masks.items() if mask is not None}

        outputs, masks = vectorise(of_twin, (state.own, hidden.columns))
        return [
            outputs if metric.row_scores is None else _row_scores(metric, rows.targets, outputs, masks)
            for metric in self._metrics
        ]

    def as_vectorisable(self) -> AbstractContextManager[None]:
        """A context for tracing programs: in it, layers have a form that can be vectorised."""
        n_steps = max((leaf.shape[1] for leaf in self._data.inputs if leaf.ndim > 2), default=1)
        return vectorisable(self._model, n_steps)

    # --- one twin -----------------------------------------------------------------------------------

    def _trained(self, state: State, rows: Rows) -> State:
        """The state of one twin after a step of training, on rows as the twin sees them."""
        values = self._merged(state)
        n_trainable, n_model = self._n_trainable, len(variables_of(self._model))
        of_model = self._variables[:n_model]

        def loss(trainable: Tensors) -> tuple[Any, Tensors]:
            given = [*trainable, *values[n_trainable:n_model]]
            mapping = [*zip(of_model, given, strict=True), *self._metric_states()]
            with keras.StatelessScope(mapping, collect_losses=True) as scope:
                x = self._data.pack(rows.inputs)
                outputs = self._model(x, training=True)
                loss = self._model.compute_loss(x, rows.targets, outputs, rows.weights, training=True)
                return loss, [scope.get_current_value(variable) for variable in of_model[n_trainable:]]

        _, others, gradients = backend.current().loss_and_gradients(loss, values[:n_trainable])
        trainable, slots = self._optimizer.stateless_apply(
            values[n_model:], gradients, values[:n_trainable]
        )
        return self._split([*trainable, *others, *slots])

    def _seen(self, inputs: Tensors, hidden: Hidden) -> Tensors:
        """The inputs `(n_rows, ...)` as one twin sees them: hidden columns have their fill value."""
        seen = []
        for leaf, columns, fill in zip(inputs, hidden.columns, hidden.fill, strict=True):
            is_flat = len(leaf.shape) == 1
            seen.append(
                ops.where(columns[0], fill[0], leaf) if is_flat else ops.where(columns, fill, leaf)
            )
        return seen

    def _mapping(self, state: State) -> list[tuple[Any, Any]]:
        """The model's variables with their values in one twin."""
        values = self._merged(state)[: len(variables_of(self._model))]
        return list(zip(variables_of(self._model), values, strict=True))

    def _merged(self, state: State) -> Tensors:
        """Values of all variables of one twin, in their order."""
        own, shared = iter(state.own), iter(state.shared)
        return [next(shared if is_shared else own) for is_shared in self._is_shared]

    def _split(self, values: Sequence[Any]) -> State:
        """The state of one twin from the values of all variables: the reverse of `_merged`."""
        pairs = list(zip(values, self._is_shared, strict=True))
        return State(
            [value for value, is_shared in pairs if not is_shared],
            [value for value, is_shared in pairs if is_shared],
        )

    def _metric_states(self) -> list[tuple[Any, Any]]:
        """The variables of metrics, with zeros: losses update them, and JAX's `fit` frees the values."""
        return [
            (variable, ops.zeros(variable.shape, variable.dtype))
            for variable in self._model.metrics_variables
        ]


def _row_scores(metric: Metric, truth: Any, outputs: Any, masks: Mapping[str, Any]) -> Any:
    """`(n_twins, n_rows)` scores; the rows of all twins are scored together.

    Some metrics can't be vectorised over twins.

    Args:
        metric: a metric with row scores.
        truth: what the outputs for the rows are scored against.
        outputs: nest of `(n_twins, n_rows, ...)` outputs.
        masks: `(n_twins, n_rows, ...)` Keras masks, by the index of the output.
    """
    n_twins, n_rows = keras.tree.flatten(outputs)[0].shape[:2]

    def as_rows(leaf: Any) -> Any:
        return ops.reshape(leaf, (n_twins * n_rows, *leaf.shape[2:]))

    def repeated(leaf: Any) -> Any:
        return as_rows(ops.broadcast_to(leaf[None], (n_twins, *leaf.shape)))

    rows = keras.tree.map_structure(as_rows, outputs)
    leaves = keras.tree.flatten(rows)
    for index, mask in masks.items():
        set_keras_mask(leaves[int(index)], as_rows(mask))
    scores = metric.row_scores(mapped(repeated, truth), rows) if metric.row_scores else None
    return ops.reshape(scores, (n_twins, n_rows))


def _value(variable: Any) -> Array:
    return np.asarray(ops.convert_to_numpy(variable.value))


def _shapes(values: Sequence[Array]) -> list[tuple[int, ...]]:
    return [value.shape for value in values]
