"""Restores the state that a model's inference or a user's metric may change."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_importance.engine.backends import backend
from keras_importance.engine.keras_internals import (
    forget_global_generator,
    global_generator,
    layers_of,
)


@contextmanager
def no_footprint(model: Any) -> Iterator[None]:
    """A context that restores the model's non-trainable state and the global random states at its end.

    Some layers draw random numbers, count calls or update statistics in inference mode too: a sampling
    layer, Monte Carlo dropout. Without this context they would change the running training. A metric
    may draw random numbers from any imported library, whichever is the backend.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    generator = global_generator()
    variables = _state(model)
    if generator is not None:
        variables.append(generator.state)
    snapshot = backend.current().snapshot
    values = [snapshot(variable) for variable in variables]
    put_back = [*_torch_states(), *_tensorflow_states()]
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        if generator is None:
            forget_global_generator()
        for restore in put_back:
            restore()
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


def _state(model: Any) -> list[Any]:
    """The variables that inference may change: non-trainable ones, metrics, states of recurrent layers.

    Keras lists the states of a stateful RNN under no variables of the model.
    """
    variables = [
        *getattr(model, "non_trainable_variables", ()),
        *getattr(model, "metrics_variables", ()),
        *(
            state
            for layer in layers_of(model)
            for state in keras.tree.flatten(getattr(layer, "states", None) or [])
        ),
    ]
    return list({id(variable): variable for variable in variables}.values())


def _torch_states() -> Iterator[Callable[[], None]]:
    """Functions that restore torch's global generators, from which Keras' dropout draws on torch."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    yield partial(torch.set_rng_state, torch.get_rng_state())
    if torch.cuda.is_initialized():  # each GPU has a generator of its own
        yield partial(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())


def _tensorflow_states() -> Iterator[Callable[[], None]]:
    """Functions that restore TensorFlow's global generator, if it exists.

    It is read from its private module, as the public function would create it. Random operations without
    a generator use a state that can't be restored. The engine runs such operations in compiled programs
    alone, which have random states of their own.
    """
    module = sys.modules.get("tensorflow.python.ops.stateful_random_ops")
    generator = getattr(module, "global_generator", None)
    if generator is not None:
        yield partial(generator.reset, generator.state.numpy())
