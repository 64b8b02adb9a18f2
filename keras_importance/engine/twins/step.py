"""One step of the training of twins, and their scores, as functions of tensors alone."""

from __future__ import annotations

import inspect
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
from keras_importance.engine.keras_internals import get_keras_mask, set_keras_mask
from keras_importance.engine.metrics.metric import Metric
from keras_importance.engine.twins.stateless_optimizer import stateless
from keras_importance.engine.twins.vectorisable_layers import vectorisable
from keras_importance.errors import InvalidArgumentError, reason_of
from keras_importance.statistics.arrays import Array

Tensors = list[Any]
Vectorise = Callable[[Callable[[Any], Any], Any], Any]
"""`vectorise(function, stacked)`: the function of each entry of stacked tensors."""

# Layers and their gradients, held for the backward pass.
_COPIES_OF_LAYERS = 4


@dataclass(frozen=True, eq=False)
class Start:
    """What training begins with: values of the variables of a model, and of its optimizer.

    Attributes:
        of_model: values of the trainable, then of the other variables.
        of_optimizer: values of the optimizer's variables; None for a new optimizer.
    """

    of_model: tuple[Array, ...]
    of_optimizer: tuple[Array, ...] | None = None

    @classmethod
    def of(cls, model: Any) -> Start:
        """What a compiled model has come to, its optimizer included."""
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
        if not inspect.unwrap(getattr(type(model), name)).__module__.startswith("keras."):
            return f"{type(model).__name__} has a {name} of its own"
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False):
            return f"the layer {layer.name!r} is stateful"
    try:
        stateless(model.optimizer, list(model.trainable_variables))
    except InvalidArgumentError as error:
        return str(error).removeprefix("got ")
    except Exception as error:  # noqa: BLE001 (one of the user's own, whatever its constructor takes)
        return f"its optimizer can't be copied ({reason_of(error)})"
    return None


class TwinStep:
    """The training and the scores of copies of one model, as functions of tensors alone.

    A state is two lists: values that each twin has of its own, stacked along the first axis, and values
    that are the same for all: seeds of dropout, the optimizer's count of steps, the learning rate.

    Args:
        model: compiled and built; it is read, never changed.
        data: rows like those that are trained on.
        metrics: what twins are scored with.
    """

    def __init__(self, model: Any, data: ValidationData, metrics: Sequence[Metric]) -> None:
        self._model, self._data, self._metrics = model, data, tuple(metrics)
        self._n_trainable = len(model.trainable_variables)
        self._optimizer = stateless(model.optimizer, list(model.trainable_variables))
        self._variables = [*variables_of(model), *self._optimizer.variables]
        learning_rate = self._optimizer.learning_rate
        self._is_shared = [
            keras.backend.is_int_dtype(one.dtype) or one is learning_rate for one in self._variables
        ]
        self._learning_rate = next(
            (i for i, one in enumerate(self._variables) if one is learning_rate), None
        )
        self.widest = widest_layer(model, data)

    def state(self, start: Start, n_twins: int) -> tuple[Tensors, Tensors]:
        """The state in which all twins begin."""
        of_optimizer = start.of_optimizer
        fresh = [_value(one) for one in self._optimizer.variables]
        if of_optimizer is None or [one.shape for one in of_optimizer] != [one.shape for one in fresh]:
            of_optimizer = tuple(fresh)
        on_device = backend.current().on_device
        own: Tensors = []
        shared: Tensors = []
        for value, is_shared in zip((*start.of_model, *of_optimizer), self._is_shared, strict=True):
            stacked = value if is_shared else np.repeat(value[None], n_twins, axis=0)
            (shared if is_shared else own).append(on_device(stacked))
        return own, shared

    def with_learning_rate(
        self, state: tuple[Tensors, Tensors], value: float
    ) -> tuple[Tensors, Tensors]:
        """The state with another learning rate; the same where a schedule sets it."""
        if self._learning_rate is None:
            return state
        own, shared = state[0], list(state[1])
        place = sum(self._is_shared[: self._learning_rate])
        shared[place] = backend.current().on_device(np.asarray(value, "float32"))
        return own, shared

    @property
    def values_kept(self) -> int:
        """How many values a twin is: weights, slots of the optimizer, statistics."""
        return int(sum(math.prod(one.shape) for one in self._variables))

    def values_of_twin(self, batch_size: int) -> int:
        """How many values are held for a twin while it is trained."""
        weights = self.values_kept
        layers = batch_size * self.widest * max(1, len(self._model._flatten_layers()))
        return int(2 * weights + _COPIES_OF_LAYERS * layers)

    def epoch(
        self,
        vectorise: Vectorise,
        state: tuple[Tensors, Tensors],
        hidden: Tensors,
        fill: Tensors,
        inputs: Tensors,
        targets: Any,
        weights: Any,
        steps: Any,
        tail: Any,
    ) -> tuple[Tensors, Tensors]:
        """The state after one epoch.

        Args:
            vectorise: runs a function for all twins.
            state: the state before.
            hidden: for each input, which columns each twin doesn't see.
            fill: for each input, what it sees there.
            inputs: inputs of all rows.
            targets: their targets.
            weights: their sample weights, or None.
            steps: `(n_steps, batch_size)` rows of each step.
            tail: rows of a last, smaller step, or None.
        """
        n_own = len(state[0])

        def step(rows: Any, values: Tensors) -> Tensors:
            own, shared = values[:n_own], values[n_own:]
            batch = [backend.gather(leaf, rows) for leaf in inputs]
            y, w = (mapped(lambda leaf: backend.gather(leaf, rows), one) for one in (targets, weights))

            def of_twin(given: Any) -> Any:
                return self._trained(given[0], shared, self._seen(batch, given[1], fill), y, w)

            own, stacked = vectorise(of_twin, (own, hidden))
            return [*own, *(one[0] for one in stacked)]

        values = [*state[0], *state[1]]
        if steps.shape[0]:
            values = ops.fori_loop(
                0, steps.shape[0], lambda i, values: step(backend.gather(steps, i), values), values
            )
        if tail is not None:
            values = step(tail, values)
        return list(values[:n_own]), list(values[n_own:])

    def scores(
        self,
        vectorise: Vectorise,
        state: tuple[Tensors, Tensors],
        hidden: Tensors,
        fill: Tensors,
        inputs: Tensors,
        targets: Any,
    ) -> list[Any]:
        """For each metric, stacked over twins: scores of the rows, else what the metric is given."""
        own, shared = state

        def of_twin(given: Any) -> tuple[Any, dict[str, Any]]:
            mapping = self._mapping(given[0], shared)
            with keras.StatelessScope(mapping):
                x = self._data.pack(self._seen(inputs, given[1], fill))
                outputs = self._model(x, training=False)
            masks = {str(i): get_keras_mask(leaf) for i, leaf in enumerate(keras.tree.flatten(outputs))}
            return outputs, {name: mask for name, mask in masks.items() if mask is not None}

        outputs, masks = vectorise(of_twin, (own, hidden))
        return [
            outputs if one.row_scores is None else _row_scores(one, targets, outputs, masks)
            for one in self._metrics
        ]

    def as_vectorisable(self) -> AbstractContextManager[None]:
        """While programs are traced: layers in a form that can be vectorised."""
        n_steps = max((leaf.shape[1] for leaf in self._data.inputs if leaf.ndim > 2), default=1)
        return vectorisable(self._model, n_steps)

    # --- one twin -----------------------------------------------------------------------------------

    def _trained(
        self, own: Tensors, shared: Tensors, inputs: Tensors, targets: Any, weights: Any
    ) -> tuple[Tensors, Tensors]:
        """What a twin has of its own, and what all share, after one step."""
        values = self._merged(own, shared)
        n_trainable, n_model = self._n_trainable, len(variables_of(self._model))
        of_model = self._variables[:n_model]

        def loss(trainable: Tensors) -> tuple[Any, Tensors]:
            given = [*trainable, *values[n_trainable:n_model]]
            mapping = [*zip(of_model, given, strict=True), *self._metric_states()]
            with keras.StatelessScope(mapping, collect_losses=True) as scope:
                x = self._data.pack(inputs)
                outputs = self._model(x, training=True)
                loss = self._model.compute_loss(x, targets, outputs, weights, training=True)
                return loss, [scope.get_current_value(one) for one in of_model[n_trainable:]]

        _, others, gradients = backend.current().loss_and_gradients(loss, values[:n_trainable])
        trainable, slots = self._optimizer.stateless_apply(
            values[n_model:], gradients, values[:n_trainable]
        )
        after = [*trainable, *others, *slots]
        pairs = list(zip(after, self._is_shared, strict=True))
        return [one for one, is_shared in pairs if not is_shared], [
            one for one, is_shared in pairs if is_shared
        ]

    def _seen(self, batch: Sequence[Any], hidden: Sequence[Any], fill: Sequence[Any]) -> Tensors:
        """The inputs as one twin sees them."""
        seen = []
        for leaf, columns, value in zip(batch, hidden, fill, strict=True):
            flat = len(leaf.shape) == 1
            seen.append(
                ops.where(columns[0], value[0], leaf) if flat else ops.where(columns, value, leaf)
            )
        return seen

    def _mapping(self, own: Tensors, shared: Tensors) -> list[tuple[Any, Any]]:
        values = self._merged(own, shared)[: len(variables_of(self._model))]
        return list(zip(variables_of(self._model), values, strict=True))

    def _merged(self, own: Tensors, shared: Tensors) -> Tensors:
        """Values of all variables, in their order."""
        of_own, of_all = iter(own), iter(shared)
        return [next(of_all if is_shared else of_own) for is_shared in self._is_shared]

    def _metric_states(self) -> list[tuple[Any, Any]]:
        """Zeros for the states of metrics, which losses count in: in `fit` JAX takes them away."""
        return [(one, ops.zeros(one.shape, one.dtype)) for one in self._model.metrics_variables]


def _row_scores(metric: Metric, targets: Any, outputs: Any, masks: Mapping[str, Any]) -> Any:
    """`(n_twins, n_rows)` scores: twins as further rows, as some metrics can't be vectorised."""
    n_twins, n_rows = keras.tree.flatten(outputs)[0].shape[:2]

    def as_rows(leaf: Any) -> Any:
        return ops.reshape(leaf, (n_twins * n_rows, *leaf.shape[2:]))

    def repeated(leaf: Any) -> Any:
        return as_rows(ops.broadcast_to(leaf[None], (n_twins, *leaf.shape)))

    rows = keras.tree.map_structure(as_rows, outputs)
    leaves = keras.tree.flatten(rows)
    for name, mask in masks.items():
        set_keras_mask(leaves[int(name)], as_rows(mask))
    scores = metric.row_scores(mapped(repeated, targets), rows) if metric.row_scores else None
    return ops.reshape(scores, (n_twins, n_rows))


def _value(variable: Any) -> Array:
    return np.asarray(ops.convert_to_numpy(variable.value))
