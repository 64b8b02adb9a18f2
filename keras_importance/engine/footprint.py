"""Leaves no trace: what a model's inference or a user's metric may change is put back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from keras_importance.engine import backend

try:  # Keras has no public name for its global generator.
    from keras.src.backend.common import global_state
except ImportError:
    global_state = None

_GLOBAL_GENERATOR = "global_seed_generator"


@contextmanager
def no_footprint(model: Any) -> Iterator[None]:
    """Puts back the model's non-trainable state and all global random states that Keras may draw from.

    Layers that draw random numbers, count calls or update statistics in inference mode too (a sampling
    layer, Monte Carlo dropout) would otherwise change the training that goes on.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    generator = _global_generator()
    variables = _state(model)
    if generator is not None:
        variables.append(generator.state)
    snapshot = backend.current().snapshot
    values = [snapshot(variable) for variable in variables]
    backend_state = backend.current().random_state()
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        if generator is None:
            _forget_global_generator()
        backend.current().set_random_state(backend_state)
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


def _state(model: Any) -> list[Any]:
    """What inference may change: non-trainable variables, metrics, and states of recurrent layers.

    Keras counts the states of a stateful RNN among no variables of the model.
    """
    found = [
        *getattr(model, "non_trainable_variables", ()),
        *getattr(model, "metrics_variables", ()),
        *(
            state
            for layer in getattr(model, "_flatten_layers", list)()
            for state in keras.tree.flatten(getattr(layer, "states", None) or [])
        ),
    ]
    return list({id(variable): variable for variable in found}.values())


def _global_generator() -> Any:
    """The generator behind `keras.random` functions without a seed; None before its first use."""
    return None if global_state is None else global_state.get_global_attribute(_GLOBAL_GENERATOR)


def _forget_global_generator() -> None:
    if global_state is not None:
        global_state.set_global_attribute(_GLOBAL_GENERATOR, None)
