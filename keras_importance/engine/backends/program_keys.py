"""Keys of programs: programs with equal keys are traced to the same operations on the same weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Set
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import keras
import numpy as np

from keras_importance.engine.keras_internals import compiled_loss_object, is_of_keras, layers_of

_OURS = __name__.partition(".")[0]
_PLAIN = (bool, int, str, bytes, complex, type(None), type(...), Enum, np.dtype, type)
# What Keras changes as it trains and predicts; no inference reads it.
_OF_TRAINING = {
    "_compiled_trainable_state",
    "_called",
    "_eval_epoch_iterator",
    "_lock",
    "_trainable",
    "built",
    "predict_function",
    "stop_evaluating",
    "stop_predicting",
    "stop_training",
    "test_function",
    "train_function",
}
# TensorFlow's records of what is to be saved, and the state of a running `fit` on JAX.
_RECORDS = ("_self_", "_jax_state")
# Attributes of a layer that are nests hold no more levels than this, or count as one thing.
_MAX_DEPTH = 4


@dataclass(frozen=True, eq=False)
class Same:
    """An object that is equal to itself alone. It is kept alive, so that no other gets its `id`."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def key_of(value: Any, within: tuple[int, ...] = ()) -> Hashable:
    """A key of what a program is traced from: the program itself, or a value that it closes over.

    Functions of Keras and of this package count by their code and by what they close over, arrays and
    plain values by their content, and all else by identity.

    Args:
        value: the program, or a part of it.
        within: the `id`s of the values that it is a part of.
    """
    if isinstance(value, _PLAIN):
        return type(value), value
    if isinstance(value, (float, np.generic)):
        return type(value), repr(value)  # NaN is not equal to itself
    if id(value) in within:
        return "again", within.index(id(value))

    def parts(*values: Any) -> tuple[Hashable, ...]:
        return tuple(key_of(part, (*within, id(value))) for part in values)

    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return _of_array(value)
    if isinstance(value, partial):
        return partial, parts(value.func, value.args, value.keywords)
    if isinstance(value, MethodType):
        return MethodType, parts(value.__func__, value.__self__)
    if isinstance(value, FunctionType) and _is_known(value):
        return value.__code__, parts(*_closed_over(value), value.__defaults__, value.__kwdefaults__)
    if isinstance(value, Mapping):
        return type(value), parts(*value.keys(), *value.values())
    if isinstance(value, (list, tuple)):
        return type(value), parts(*value)
    if isinstance(value, Set):
        return type(value), frozenset(parts(*value))
    if is_dataclass(value) and _is_known(type(value)):
        return type(value), parts(*(getattr(value, field.name) for field in fields(value)))
    if isinstance(value, keras.losses.Loss) and _is_known(type(value)):
        # Keras numbers the names of losses.
        own = {name: part for name, part in vars(value).items() if name != "name"}
        return type(value), parts(own)
    if isinstance(value, keras.dtype_policies.DTypePolicy):
        return type(value), value.name
    return Same(value)


def key_of_model(model: Any) -> Hashable:
    """A key of what every program of a model is traced from: its layers, weights, types, compiled loss.

    Of a layer's attributes plain values, functions and arrays count; other objects, such as its
    sublayers, its initializers and its variables, are told apart elsewhere or leave inference alone.
    """
    config = keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format()
    layers = list({id(layer): layer for layer in (model, *layers_of(model))}.values())
    variables = tuple(map(Same, getattr(model, "variables", ())))
    loss = Same(compiled_loss_object(model))
    return config, loss, variables, tuple((Same(layer), _of_attributes(layer)) for layer in layers)


def _of_attributes(layer: Any) -> Hashable:
    # Layers make some attributes, as None, when they are first called: None counts as missing.
    return tuple(
        (name, _of_attribute(value))
        for name, value in sorted(vars(layer).items())
        if value is not None and name not in _OF_TRAINING and not name.startswith(_RECORDS)
    )


def _of_attribute(value: Any, depth: int = 0) -> Hashable:
    if isinstance(value, (*_PLAIN, float, np.generic, keras.dtype_policies.DTypePolicy)):
        return key_of(value)
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return _of_array(value)
    if isinstance(value, keras.Variable):
        return None
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        return tuple((str(name), _of_attribute(part, depth + 1)) for name, part in value.items())
    if depth < _MAX_DEPTH and isinstance(value, (list, tuple)):
        return tuple(_of_attribute(part, depth + 1) for part in value)
    return Same(value) if callable(value) and not isinstance(value, keras.Layer) else None


def _of_array(array: np.ndarray[Any, Any]) -> Hashable:
    content = np.ascontiguousarray(array)
    return array.shape, array.dtype.str, hashlib.sha256(content.view(np.uint8).data).digest()


def _closed_over(function: Callable[..., Any]) -> list[Any]:
    values = []
    for cell in getattr(function, "__closure__", None) or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            values.append(None)
    return values


def _is_known(thing: Any) -> bool:
    """Whether a class or function is of Keras or of this package, whose code doesn't change."""
    return is_of_keras(thing) or str(thing.__module__).partition(".")[0] == _OURS
