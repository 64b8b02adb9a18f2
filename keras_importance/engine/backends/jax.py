"""The engine on JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.experimental import multihost_utils
from numpy.typing import NDArray

from keras_importance.engine.backends.placement import REPLICA, Placement
from keras_importance.errors import NotEvaluableError

COMPILES = True
CALLS_AT_ONCE = 1


def compiled(model: Any, program: Callable[..., Any], fuse: bool) -> Callable[..., Any]:
    """`program(call, *arguments)` compiled, where `call(x)` is the model's inference.

    The values of the model's variables are arguments of the compiled function. As constants in it, they
    would keep the values of the first epoch.
    """
    call = partial(model, training=False)

    def stateless(values: list[Any], *arguments: Any) -> Any:
        with keras.StatelessScope(list(zip(model.variables, values, strict=True))):
            return program(call, *arguments)

    function = jax.jit(stateless) if fuse else stateless

    def run(*arguments: Any) -> Any:
        return function(_copies_here([variable.value for variable in model.variables]), *arguments)

    return run


def jitted(program: Callable[..., Any], fuse: bool) -> Callable[..., Any]:
    """The program compiled."""
    return jax.jit(program) if fuse else program


def vectorised(function: Callable[[Any], Any], stacked: Any) -> Any:
    """Stacked results of the function for each entry of stacked arrays, all computed at once."""
    return jax.vmap(function)(stacked)


def loss_and_gradients(
    function: Callable[[list[Any]], tuple[Any, Any]], leaves: Sequence[Any]
) -> tuple[Any, Any, list[Any | None]]:
    """`loss, extra = function(leaves)`, and the gradients of the loss."""
    (loss, extra), slopes = jax.value_and_grad(function, has_aux=True)(list(leaves))
    return loss, extra, slopes


def gradients(function: Callable[[list[Any]], Any], leaves: Sequence[Any]) -> list[Any | None]:
    """Gradients of the sum of `function(leaves)`; None for a leaf that doesn't hold floats."""
    leaves = list(leaves)
    indices = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]

    def total(differentiable: list[Any]) -> Any:
        given = list(leaves)
        for index, leaf in zip(indices, differentiable, strict=True):
            given[index] = leaf
        return jnp.sum(function(given))

    every: list[Any | None] = [None] * len(leaves)
    for index, gradient in zip(indices, jax.grad(total)([leaves[i] for i in indices]), strict=True):
        every[index] = gradient
    return every


def gather(values: Any, indices: Any) -> Any:
    """Entries of a tensor along its first axis, by indices that aren't negative."""
    return jnp.take(values, indices, axis=0, mode="clip")


def on_device(values: NDArray[np.generic]) -> Any:
    """The values as an array on the device."""
    return jnp.asarray(values)


def snapshot(variable: Any) -> Any:
    """A copy of the value of a Keras variable: training donates the variable's own buffer."""
    return jnp.copy(variable.value)


def is_chief(model: Any) -> bool:  # noqa: ARG001 (other backends ask the model)
    """Whether this process is the one that writes logs and files."""
    return bool(jax.process_index() == 0)


def placement(model: Any) -> Placement:
    """The devices that each hold all weights, as under `DataParallel`, and their processes.

    Raises:
        InvalidArgumentError: if the weights are split over processes.
    """
    values = [variable.value for variable in getattr(model, "variables", ())]
    meshes = [value.sharding.mesh for value in values if _is_spread(value)]
    if not meshes:
        return Placement()
    n_processes = len({device.process_index for device in meshes[0].devices.flat})
    if not all(value.is_fully_replicated for value in values):
        if n_processes > 1:
            raise NotEvaluableError(
                "got a model whose weights are split over processes (ModelParallel), none of which can "
                "run it alone. Use keras.distribution.DataParallel, or compute_importance on the saved "
                "model in one process."
            )
        return Placement()
    devices = [
        device for device in meshes[0].devices.flat if device.process_index == jax.process_index()
    ]
    return Placement(
        [partial(_on, *replica_and_device) for replica_and_device in enumerate(devices)],
        n_processes,
        jax.process_index() if n_processes > 1 else 0,
        _exchanged,
    )


def _is_spread(value: Any) -> bool:
    return isinstance(value.sharding, jax.sharding.NamedSharding) and len(value.sharding.device_set) > 1


def _copies_here(values: list[Any]) -> list[Any]:
    """The copies of all values on the replica in use; the values themselves if some are split."""
    if not all(value.is_fully_replicated for value in values):
        return values
    replica = REPLICA.get() or 0
    return [value.addressable_data(replica) if _is_spread(value) else value for value in values]


@contextmanager
def _on(replica: int, device: Any) -> Iterator[None]:
    token = REPLICA.set(replica)
    try:
        with jax.default_device(device):
            yield
    finally:
        REPLICA.reset(token)


def _exchanged(value: bytes) -> list[bytes]:
    """The bytes of all processes. Lengths are exchanged first: all processes must send equally many."""
    lengths = multihost_utils.process_allgather(np.array([len(value)], np.int32)).reshape(-1)
    padded = np.zeros(int(lengths.max()), np.uint8)
    padded[: len(value)] = np.frombuffer(value, np.uint8)
    received = np.asarray(multihost_utils.process_allgather(padded)).reshape(len(lengths), -1)
    return [row[:length].tobytes() for row, length in zip(received, lengths, strict=True)]
