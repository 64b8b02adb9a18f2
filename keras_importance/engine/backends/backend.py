"""What the engine needs of a backend, and which one runs."""

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


class Backend(Protocol):
    """What a backend's module must know.

    Attributes:
        COMPILES: whether a program is compiled when it is first called with arguments of a shape.
        CALLS_AT_ONCE: from how many threads compiled programs are best called.
    """

    COMPILES: bool
    CALLS_AT_ONCE: int

    def compiled(self, model: Any, program: Callable[..., Any], fuse: bool) -> Callable[..., Any]:
        """`program(call, *arguments)` compiled, where `call(x)` is the model's inference.

        With `fuse` by the backend's optimising compiler, where it has one and that takes the program.
        """

    def jitted(self, program: Callable[..., Any], fuse: bool) -> Callable[..., Any]:
        """`program(*arguments)` compiled; it may not read a Keras variable but through a scope."""

    def vectorised(self, function: Callable[[Any], Any], stacked: Any) -> Any:
        """`function` of each entry of a nest of tensors along their first axis, all at once."""

    def loss_and_gradients(
        self, function: Callable[[list[Any]], tuple[Any, Any]], leaves: Sequence[Any]
    ) -> tuple[Any, Any, list[Any | None]]:
        """`loss, extra = function(leaves)`, and the gradients of the loss; None where there is none."""

    def gradients(self, function: Callable[[list[Any]], Any], leaves: Sequence[Any]) -> list[Any | None]:
        """Gradients of the sum of `function(leaves)`; None for a leaf it doesn't depend on."""

    def gather(self, values: Any, indices: Any) -> Any:
        """Entries of a tensor along its first axis, by their indices from 0 on."""

    def on_device(self, values: NDArray[np.generic]) -> Any:
        """The values as a tensor that stays where the model computes."""

    def snapshot(self, variable: Any) -> Any:
        """The value of a Keras variable, which stays as it is when the variable changes."""

    def is_chief(self, model: Any) -> bool:
        """Whether this process is the one that writes."""

    def placement(self, model: Any) -> Placement:
        """Where copies of the model's weights are.

        Raises:
            InvalidArgumentError: where no process holds all of them.
        """


def current() -> Backend:
    """The module for the active backend."""
    name = keras.backend.backend()
    if name not in SUPPORTED:
        raise InvalidArgumentError(
            f"got the Keras backend {name!r}. It runs on {', '.join(SUPPORTED)}: set "
            "KERAS_BACKEND=tensorflow before importing keras."
        )
    # Only the active backend may be imported: the others need not be installed.
    return cast("Backend", importlib.import_module(f"keras_importance.engine.backends.{name}"))


def gather(values: Any, indices: Any) -> Any:
    """Entries of a tensor along its first axis, by their indices from 0 on.

    Also of a Keras variable. `keras.ops.take` counts negative indices from the end, which makes four
    operations more of each.
    """
    return current().gather(keras.ops.convert_to_tensor(values), indices)


def is_chief(model: Any) -> bool:
    """Whether this process is the one that writes."""
    return current().is_chief(model)


def why_no_fit() -> str | None:
    """Why Keras' own `fit` won't train as this process is set up; None where it may.

    Under `MultiWorkerMirroredStrategy` it fails before it calls any callback, in Keras 3.15 with
    "Attempt to convert a value (PerReplica...) to a Tensor". What can be seen before is how workers are
    told of one another.
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
