"""How many multiplications a model takes for a row, counted from the shapes of its layers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import keras

from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.cut.graph import Graph, LayerCall
from keras_importance.engine.keras_internals import layers_of

# An element of a layer's output is written, activated and read: it takes as long as so many products.
_PRODUCTS_AN_ELEMENT = 8

_STEP_BY_STEP = (keras.layers.RNN, keras.layers.Bidirectional, keras.layers.TimeDistributed)
_ATTENTION = (
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
    keras.layers.Attention,
    keras.layers.AdditiveAttention,
)


def products_of_model(model: Any, data: ValidationData) -> float:
    """Multiplications of a forward pass of one row; a rough count for a model written in Python."""
    graph = Graph.of(model)
    if graph is not None:
        return products_of_calls(graph.calls, data)
    n_positions = max((math.prod(leaf.shape[1:-1]) for leaf in data.inputs), default=1)
    n_elements = sum(math.prod(leaf.shape[1:]) for leaf in data.inputs)
    looked_up = sum(map(_in_kernels, (layer for layer in layers_of(model) if _looks_up(layer))))
    n_products = n_positions * (_in_kernels(model) - looked_up)
    return float(n_products + _PRODUCTS_AN_ELEMENT * n_elements)


def turns_of_model(model: Any, data: ValidationData) -> int:
    """Steps of sequences that the recurrent layers of a model take, one after another."""
    n_layers = sum(isinstance(layer, keras.layers.RNN) for layer in layers_of(model))
    return n_layers * _longest(data)


def products_of_calls(calls: Iterable[LayerCall], data: ValidationData) -> float:
    """Multiplications of some layers of a model for one row; unknown lengths are the data's."""
    length = _longest(data)
    return float(sum(_of_call(call, length) for call in calls))


def products_of_elements(tensors: Iterable[Any], data: ValidationData) -> float:
    """What writing some tensors takes for one row, in multiplications."""
    length = _longest(data)
    return float(_PRODUCTS_AN_ELEMENT * sum(_elements(tensor, length) for tensor in tensors))


def _longest(data: ValidationData) -> int:
    return max((leaf.shape[1] for leaf in data.inputs if leaf.ndim > 2), default=1)


def _of_call(call: LayerCall, length: int) -> float:
    """Products with the weights, at each position, and the elements that are written."""
    layer = call.operation
    inner = Graph.of(layer) if isinstance(layer, keras.Model) else None
    if inner is not None:
        return sum(_of_call(of_inner, length) for of_inner in inner.calls)
    taken = max((_positions(tensor, length) for tensor in call.inputs), default=1)
    given = max((_positions(tensor, length) for tensor in call.outputs), default=1)
    n_positions = taken if isinstance(layer, _STEP_BY_STEP) else min(taken, given)
    n_products = n_positions * _in_weights(layer)
    if isinstance(layer, _ATTENTION):
        n_products += 2 * n_positions * sum(_elements(tensor, length) for tensor in call.outputs)
    return n_products + _PRODUCTS_AN_ELEMENT * sum(_elements(tensor, length) for tensor in call.outputs)


def _in_weights(layer: Any) -> int:
    """Products with the weights of a layer at one position; those of an embedding are looked up."""
    return 0 if not isinstance(layer, keras.Layer) or _looks_up(layer) else _in_kernels(layer)


def _looks_up(layer: Any) -> bool:
    return isinstance(layer, keras.layers.Embedding)


def _in_kernels(layer: Any) -> int:
    """Values of the weights of a layer or model that are no vectors."""
    return sum(math.prod(weight.shape) for weight in layer.weights if len(weight.shape) > 1)


def _positions(tensor: Any, length: int) -> int:
    """At how many positions a layer is applied, such as steps of a sequence or pixels."""
    return math.prod(size or length for size in tensor.shape[1:-1])


def _elements(tensor: Any, length: int) -> int:
    return math.prod(size or length for size in tensor.shape[1:])
