"""What the model uses a column as: a number, or a code of a category."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_importance.data.columns import Column
from keras_importance.data.columns_first import with_columns_last
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends.compiler import Compiler
from keras_importance.engine.cut.graph import Graph, inputs_in_order
from keras_importance.engine.keras_internals import is_of_keras
from keras_importance.engine.model_outputs import ModelOutputs
from keras_importance.engine.response import Response
from keras_importance.statistics.arrays import Array

# How often the model is asked at most. Columns that it isn't asked about are what their type says.
_MOST_QUESTIONS = 200
# Larger whole numbers change when they become float32.
_MOST_WHOLE = 2**24
# Layers and operations that pass a gradient: no codes are looked up.
_SMOOTH = frozenset((
    "ActivityRegularization", "Add", "AlphaDropout", "Average", "AveragePooling1D", "AveragePooling2D",
    "BatchNormalization", "Bidirectional", "Concatenate", "Conv1D", "Conv2D", "Cropping1D", "Cropping2D",
    "Dense", "Divide", "Dot", "Dropout", "ELU", "ExpandDims", "Flatten", "GRU", "GaussianDropout",
    "GaussianNoise", "GetItem", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "Identity", "InputLayer", "LSTM", "LayerNormalization", "LeakyReLU", "Maximum",
    "MaxPooling1D", "MaxPooling2D", "Minimum", "MultiHeadAttention", "Multiply", "Normalization",
    "PReLU", "Permute", "ReLU", "RepeatVector", "Rescaling", "Reshape", "SeparableConv1D", "SimpleRNN",
    "Softmax", "SpatialDropout1D", "SpatialDropout2D", "Squeeze", "Subtract", "Transpose",
    "ZeroPadding1D", "ZeroPadding2D",
))  # fmt: skip


def with_column_use(data: ValidationData, model: Any) -> ValidationData:
    """The rows, with whole numbers as floats where the model uses them as numbers, and with `codes`.

    Whole numbers become floats where a Functional or Sequential model declares a float input: it would
    cast them itself. For an input that isn't declared they become floats if the model's outputs for a
    few rows stay the same, and change with the fractions of the values.

    A column of floats holds codes if it holds whole numbers alone, if all fractions are the same to the
    model for a few rows, and if another whole number isn't. A model whose layers all pass gradients
    isn't asked. Where the model can't be asked, as before it is built, the type says what a column is:
    integers and texts are categories, floats are numbers.
    """
    if not isinstance(model, keras.Model) or not model.built:
        return data
    graph = Graph.of(model)
    if graph is not None:
        data = _as_declared(data, graph)
        if _is_smooth(graph):
            return data
    try:
        data = data if graph is not None else _with_undeclared_numbers(data, model)
        return replace(data, codes=_codes(data, model))
    except Exception:  # noqa: BLE001 (rows that the model can't take are reported by the evaluator)
        return data


def in_form_of(data: ValidationData, other: ValidationData) -> ValidationData:
    """The rows with the types, the axes and the `codes` of other rows of the same inputs."""
    if len(data.inputs) != len(other.inputs):
        return data
    data = with_columns_last(data, other.columns_first)
    inputs = tuple(
        values.astype(like.dtype) if values.dtype.kind in "iub" and like.dtype.kind == "f" else values
        for values, like in zip(data.inputs, other.inputs, strict=True)
    )
    return replace(data, inputs=inputs, codes=other.codes)


def _as_declared(data: ValidationData, graph: Graph) -> ValidationData:
    """The rows, with whole numbers as floats where the model declares floats."""
    declared = inputs_in_order(graph, data)
    if declared is None:
        return data
    return data.with_inputs(
        tuple(
            values.astype(keras.config.floatx())
            if values.dtype.kind in "iub" and "float" in str(tensor.dtype)
            else values
            for values, tensor in zip(data.inputs, declared, strict=True)
        )
    )


def _is_smooth(graph: Graph) -> bool:
    """Whether every layer and operation is known to pass a gradient."""
    return all(
        is_of_keras(type(call.operation)) and type(call.operation).__name__ in _SMOOTH
        for call in graph.calls
    )


def _with_undeclared_numbers(data: ValidationData, model: Any) -> ValidationData:
    """The rows, with those inputs of whole numbers as floats that the model uses as numbers."""
    whole = [
        index
        for index, values in enumerate(data.inputs)
        if values.dtype.kind in "iub" and np.max(np.abs(values.astype(np.float64))) < _MOST_WHOLE
    ]
    if not whole:
        return data
    before = _outputs(data, model)
    few = before.few
    together = _with_floats(data, whole)
    if _agree(few, together, model):
        candidates = [(together, whole)]
    else:
        candidates = [
            (alone, [index])
            for index in whole[: _MOST_QUESTIONS // 10]
            if _agree(few, alone := _with_floats(data, [index]), model)
        ]
    numbers = [
        index
        for floats, indices in candidates
        for index in indices
        if _response(floats, model).responds(_columns_of(floats, index))
    ]
    return _with_floats(data, numbers)


def _with_floats(data: ValidationData, indices: Sequence[int]) -> ValidationData:
    inputs = list(data.inputs)
    for index in indices:
        inputs[index] = inputs[index].astype(keras.config.floatx())
    return data.with_inputs(tuple(inputs))


def _agree(few: Any, data: ValidationData, model: Any) -> bool:
    """Whether the model takes the rows, and its outputs for a few of them are the same as before."""
    try:
        pairs = zip(keras.tree.flatten(few), keras.tree.flatten(_outputs(data, model).few), strict=True)
        return all(np.allclose(*pair, rtol=1e-5, atol=1e-6) for pair in pairs)
    except Exception:  # noqa: BLE001 (a model may take whole numbers alone)
        return False


def _outputs(data: ValidationData, model: Any) -> ModelOutputs:
    return ModelOutputs(Compiler(model), data)


def _response(data: ValidationData, model: Any) -> Response:
    outputs = _outputs(data, model)
    return Response(data, outputs.few_rows, outputs.of)


def _columns_of(data: ValidationData, index: int) -> list[Column]:
    return [(index, column) for column in range(len(data.columns[index].columns))]


# --- codes among floats ---------------------------------------------------------------------------


def _codes(data: ValidationData, model: Any) -> frozenset[Column]:
    """The columns of floats that the model uses as codes of categories."""
    whole = [
        column
        for index, values in enumerate(data.inputs)
        if values.dtype.kind == "f"
        for column in _whole_columns(data, index, values)
    ]
    if not whole:
        return frozenset()
    response = _response(data, model)
    insensitive = _parts(whole, lambda columns: not response.responds(columns))
    return frozenset(_parts(insensitive, response.takes_as_whole_numbers, by_one=True))


def _whole_columns(data: ValidationData, index: int, values: Array) -> list[Column]:
    """The columns of an input that hold whole numbers alone."""
    first = values.reshape(-1, len(data.columns[index].columns))[:64]
    is_whole = np.all(first == np.rint(first), axis=0)
    return [
        (index, int(column))
        for column in np.flatnonzero(is_whole)
        if _is_whole(values if values.ndim == 1 else values[..., column])
    ]


def _is_whole(values: Array) -> bool:
    return bool(np.all(values == np.rint(values)))


def _parts(
    columns: list[Column], holds: Callable[[list[Column]], bool], *, by_one: bool = False
) -> list[Column]:
    """The columns for which a question is answered yes, which is asked for many columns at once.

    Args:
        columns: the columns.
        holds: the question. Yes for several columns is yes for each of them.
        by_one: whether columns are asked about one by one; if there are too many, all together.
    """
    if by_one:
        if len(columns) > _MOST_QUESTIONS:
            return columns if holds(columns) else []
        return [column for column in columns if holds([column])]
    found: list[Column] = []
    pending, n_asked = [columns], 0
    while pending and n_asked < _MOST_QUESTIONS:
        part = pending.pop()
        n_asked += 1
        if holds(part):
            found += part
        elif len(part) > 1:
            middle = len(part) // 2
            pending += [part[middle:], part[:middle]]
    return found
