"""The interface between the engine and a backend, and the active backend."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance.engine.backends.placement import Placement
from keras_importance.errors import InvalidArgumentError

SUPPORTED = ("tensorflow", "jax", "torch")

Inference = Callable[[Any], Any]
"""A model in inference mode: from the nest of inputs to the nest of outputs."""


class Backend(Protocol):
    """The constants and functions that each backend's module defines.

    Attributes:
        COMPILES: whether a program is compiled when it is first called with arguments of a shape.
        CALLS_AT_ONCE: how many threads should call compiled programs at once.
    """

    COMPILES: bool
    CALLS_AT_ONCE: int

    def compiled(self, model: Any, program: Callable[..., Any], fuse: bool) -> Callable[..., Any]:
        """`program(call, *arguments)` compiled, where `call(x)` is the model's inference.

        With `fuse`, the backend's optimising compiler is used, if there is one that accepts the program.
        """

    def jitted(self, program: Callable[..., Any], fuse: bool) -> Callable[..., Any]:
        """`program(*arguments)` compiled; it may read Keras variables only in a `StatelessScope`."""

    def vectorised(self, function: Callable[[Any], Any], stacked: Any) -> Any:
        """Stacked results of `function` for each entry of `stacked`, all computed at once.

        The entries lie along the first axis of each tensor of the nest.
        """

    def loss_and_gradients(
        self, function: Callable[[list[Any]], tuple[Any, Any]], leaves: Sequence[Any]
    ) -> tuple[Any, Any, list[Any | None]]:
        """`loss, extra = function(leaves)`, and the gradients of the loss; None where there is none."""

    def gradients(self, function: Callable[[list[Any]], Any], leaves: Sequence[Any]) -> list[Any | None]:
        """Gradients of the sum of `function(leaves)`; None for a leaf without a gradient."""

    def gather(self, values: Any, indices: Any) -> Any:
        """Entries of a tensor along its first axis, by indices that aren't negative."""

    def on_device(self, values: NDArray[np.generic]) -> Any:
        """The values as a tensor that stays where the model computes."""

    def snapshot(self, variable: Any) -> Any:
        """The present value of a Keras variable; later changes of the variable don't affect it."""

    def is_chief(self, model: Any) -> bool:
        """Whether this process is the one that writes logs and files."""

    def placement(self, model: Any) -> Placement:
        """The devices and processes that hold copies of the model's weights.

        Raises:
            InvalidArgumentError: if no process holds all weights.
        """


def current() -> Backend:
    """The module for the active backend.

    Raises:
        InvalidArgumentError: if the backend isn't supported.
    """
    name = keras.backend.backend()
    if name not in SUPPORTED:
        raise InvalidArgumentError(
            f"got the Keras backend {name!r}. It runs on {', '.join(SUPPORTED)}: set "
            "KERAS_BACKEND=tensorflow before importing keras."
        )
    # Only the active backend may be imported: the others need not be installed.
    return cast("Backend", importlib.import_module(f"keras_importance.engine.backends.{name}"))


def gather(values: Any, indices: Any) -> Any:
    """Entries of a tensor or Keras variable along its first axis, by indices that aren't negative.

    It is faster than `keras.ops.take`, which spends four more operations on negative indices.
    """
    return current().gather(keras.ops.convert_to_tensor(values), indices)


def is_chief(model: Any) -> bool:
    """Whether this process is the one that writes logs and files."""
    return current().is_chief(model)


def why_no_fit() -> str | None:
    """Why Keras' `fit` can't train in this process; None if nothing is known against it.

    Under `MultiWorkerMirroredStrategy`, `fit` of Keras 3.15 fails before it calls any callback, with
    "Attempt to convert a value (PerReplica...) to a Tensor". The only sign before that is `TF_CONFIG`,
    the environment variable that lists the workers.
    """
    if keras.backend.backend() != "tensorflow":
        return None
    try:
        workers = json.loads(os.environ.get("TF_CONFIG", "{}"))["cluster"]["worker"]
    except (ValueError, KeyError, TypeError):
        return None
    if len(workers) < 2:
        return None
    return (
        f"TF_CONFIG names {len(workers)} workers, and fit of Keras 3.15 can't train under "
        "MultiWorkerMirroredStrategy: it fails with a PerReplica that it can't convert. Train over "
        "several machines with KERAS_BACKEND=jax and keras.distribution.DataParallel, on one machine "
        "with tf.distribute.MirroredStrategy."
    )
