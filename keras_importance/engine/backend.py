"""Picks the module that knows the active Keras backend: compile, gradient, placement."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance.errors import InvalidArgumentError

SUPPORTED = ("tensorflow",)

Call = Callable[[Any], Any]


class Backend(Protocol):
    """What a backend's module must know."""

    def compiled(self, model: Any, program: Callable[..., Any]) -> Callable[..., Any]:
        """`program(call, *arguments)` compiled, where `call(x)` is the model's inference."""

    def gradients(self, function: Callable[[list[Any]], Any], leaves: Sequence[Any]) -> list[Any | None]:
        """Gradients of the sum of `function(leaves)`; None for a leaf it doesn't depend on."""

    def on_device(self, values: NDArray[np.generic]) -> Any:
        """The values as a tensor that stays where the model computes."""

    def snapshot(self, variable: Any) -> Any:
        """The value of a Keras variable, which stays as it is when the variable changes."""

    def is_chief(self, model: Any) -> bool:
        """Whether this process is the one that writes."""


def current() -> Backend:
    """The module for the active backend."""
    name = keras.backend.backend()
    if name not in SUPPORTED:
        raise InvalidArgumentError(
            f"got the Keras backend {name!r}. It runs on {', '.join(SUPPORTED)}: set "
            "KERAS_BACKEND=tensorflow before importing keras."
        )
    # Only the active backend may be imported: the others need not be installed.
    return cast("Backend", importlib.import_module(f"keras_importance.engine.{name}"))


def is_chief(model: Any) -> bool:
    """Whether this process is the one that writes."""
    return current().is_chief(model)
