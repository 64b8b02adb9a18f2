"""Which inputs a model takes with channels first, as its layers say."""

from __future__ import annotations

from typing import Any

import keras

from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.cut.graph import Graph, inputs_in_order
from keras_importance.engine.keras_internals import is_of_keras

# They leave every axis where it is.
_LEAVES_AXES = frozenset((
    "Activation", "ActivityRegularization", "BatchNormalization", "Cast", "Dropout", "GaussianDropout",
    "GaussianNoise", "Identity", "LayerNormalization", "Normalization", "ReLU", "Rescaling",
))  # fmt: skip


def channels_first(data: ValidationData, model: Any) -> list[int]:
    """Indices of the inputs whose channels lie along axis 1, as the layers that they reach say.

    These layers have `data_format="channels_first"`. An input that other layers take too, and any input
    of a model written in Python, isn't among them.
    """
    graph = Graph.of(model) if isinstance(model, keras.Model) and model.built else None
    inputs = None if graph is None else inputs_in_order(graph, data)
    if graph is None or inputs is None:
        return []
    return [
        index for index, tensor in enumerate(inputs) if _formats(graph, tensor) == {"channels_first"}
    ]


def _formats(graph: Graph, tensor: Any) -> set[str | None]:
    """The data formats of the layers that a tensor reaches first; None for a layer without one."""
    formats: set[str | None] = set()
    pending = [tensor]
    while pending:
        given = id(pending.pop())
        for call in graph.calls:
            if given not in map(id, call.inputs):
                continue
            kind = type(call.operation)
            if is_of_keras(kind) and kind.__name__ in _LEAVES_AXES:
                pending += call.outputs
            else:
                formats.add(getattr(call.operation, "data_format", None))
    return formats
