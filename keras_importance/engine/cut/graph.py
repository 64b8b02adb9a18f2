"""The layers of a Sequential or Functional model as a graph of calls between tensors."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.keras_internals import inbound_call, is_overridden


@dataclass(frozen=True, eq=False)
class LayerCall:
    """A call of a layer or operation; a shared layer is called more than once.

    Attributes:
        operation: what is called.
        inputs: the symbolic tensors among its arguments.
        outputs: the symbolic tensors that it returns.
        arguments: Keras' record of how it was called.
    """

    operation: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    arguments: Any

    def __call__(self, values: Mapping[int, Any]) -> list[Any]:
        """Values of the outputs in inference mode.

        Args:
            values: values of the input tensors, by the `id` of the symbolic tensor.
        """
        args, kwargs = self.arguments.fill_in(values)
        if _takes_training(self.operation):
            kwargs = {**kwargs, "training": False}
        return list(keras.tree.flatten(self.operation(*args, **kwargs)))


@dataclass(frozen=True, eq=False)
class Graph:
    """The calls of a model, in an order in which they can be run.

    The public way to run some layers of a model is a sub-model between two tensors. It records another
    call in each layer, so the user's layers would grow with each `fit`. The calls are therefore run one
    by one, as a Functional model runs them itself.

    Attributes:
        inputs: symbolic inputs, in the order of the model's own.
        outputs: symbolic outputs, flat.
        calls: the calls between them.
        nest: the nest of the inputs.
    """

    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    calls: tuple[LayerCall, ...]
    nest: Any = None

    @classmethod
    def of(cls, model: Any) -> Graph | None:
        """The graph of a model; None for a model that is Python code, or whose calls can't be read."""
        if is_overridden(model, "call"):
            return None
        try:
            inputs, outputs = tuple(model.inputs), tuple(model.outputs)
            nest = getattr(model, "input", None)
            return cls(inputs, outputs, tuple(_sorted_calls(inputs, outputs)), nest)
        except (AttributeError, TypeError, IndexError):
            # Keras keeps the calls in private attributes: where they change, models are run whole.
            return None

    def run(self, values: Mapping[int, Any], wanted: Iterable[Any]) -> dict[int, Any]:
        """Values of the wanted tensors, by their `id`; only the calls that lead to them are run.

        Args:
            values: the known values of other tensors, by their `id`.
            wanted: the symbolic tensors.
        """
        known, wanted = dict(values), list(wanted)
        for call in self.needed(known, wanted):
            for tensor, value in zip(call.outputs, call(known), strict=True):
                known.setdefault(id(tensor), value)
        return {id(tensor): known[id(tensor)] for tensor in wanted}

    def needed(self, given: Iterable[int], wanted: Iterable[Any]) -> list[LayerCall]:
        """The calls that lead from tensors with the given `id`s to the wanted tensors, in order."""
        given = set(given)
        missing = {id(tensor) for tensor in wanted} - given
        needed = []
        for call in reversed(self.calls):
            if any(id(tensor) in missing for tensor in call.outputs):
                needed.append(call)
                missing |= {id(tensor) for tensor in call.inputs} - given
        return needed[::-1]


def inputs_in_order(graph: Graph, data: ValidationData) -> list[Any] | None:
    """The symbolic input for each input of the data; None where they can't be matched."""
    inputs: list[Any] = list(graph.inputs)
    if isinstance(data.structure, dict):
        names = [tensor.name for tensor in inputs]
        nest = graph.nest
        if sorted(data.structure) == sorted(names):
            inputs = [inputs[names.index(name)] for name in sorted(data.structure)]
        elif not isinstance(nest, dict) or sorted(nest) != sorted(data.structure):
            return None
    if len(inputs) != len(data.inputs):
        return None
    for index, (tensor, values) in enumerate(zip(inputs, data.inputs, strict=True)):
        shape = values.shape[1:] or (1,)
        if index in data.columns_first:
            shape = (shape[-1], *shape[:-1])
        if len(tensor.shape) != len(shape) + 1:
            return None
        if any(known not in (None, size) for known, size in zip(tensor.shape[1:], shape, strict=True)):
            return None
    return inputs


def _sorted_calls(inputs: Iterable[Any], outputs: Iterable[Any]) -> list[LayerCall]:
    """The calls between the inputs and the outputs, each after the calls that it depends on."""
    done = {id(tensor) for tensor in inputs}
    calls: list[LayerCall] = []
    pending = [(tensor, False) for tensor in outputs]
    while pending:
        tensor, is_ready = pending.pop()
        if id(tensor) in done:
            continue
        call = inbound_call(tensor)
        inputs_of_call = tuple(call.arguments.keras_tensors)
        if is_ready:
            done |= {id(output) for output in call.outputs}
            calls.append(LayerCall(call.operation, inputs_of_call, call.outputs, call.arguments))
        else:
            pending.append((tensor, True))
            pending += [(needed, False) for needed in inputs_of_call]
    return calls


def _takes_training(operation: Any) -> bool:
    return (
        isinstance(operation, keras.Layer) and "training" in inspect.signature(operation.call).parameters
    )
