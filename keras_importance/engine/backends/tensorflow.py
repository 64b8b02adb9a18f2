"""The engine on TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_importance.engine.backends.placement import REPLICA, Placement

COMPILES = True
# Two calls keep the cores busy: XLA runs the small operations of a program on one core.
CALLS_AT_ONCE = 2

# Exceptions for a graph that XLA can't compile: one with strings, or shapes that depend on values.
_NOT_FOR_XLA = (
    tf.errors.InvalidArgumentError,
    tf.errors.UnimplementedError,
    tf.errors.NotFoundError,
    tf.errors.InternalError,
    tf.errors.FailedPreconditionError,
    TypeError,
    ValueError,
)


def compiled(model: Any, program: Callable[..., Any], fuse: bool) -> Callable[..., Any]:
    """`program(call, *arguments)` as one graph, where `call(x)` is the model's inference.

    On a replica, the values of the model's variables are arguments. Variables that aren't trained, such
    as the means of BatchNormalization, differ between replicas. All replicas use the first one's values,
    as these are saved with the model.
    """
    call = partial(model, training=False)
    as_it_is = jitted(partial(program, call), fuse)

    def stateless(values: list[Any], *arguments: Any) -> Any:
        with keras.StatelessScope(list(zip(model.variables, values, strict=True))):
            return program(call, *arguments)

    on_replica = jitted(stateless, fuse)

    def run(*arguments: Any) -> Any:
        replica = REPLICA.get()
        if replica is None:
            return as_it_is(*arguments)
        return on_replica(_values_on(model, replica), *arguments)

    return run


def _values_on(model: Any, replica: int) -> list[Any]:
    strategy = model.distribute_strategy
    values = []
    for variable in model.variables:
        copies = strategy.experimental_local_results(variable.value)
        is_shared = variable.trainable and len(copies) > replica
        values.append(tf.convert_to_tensor(copies[replica] if is_shared else variable.value))
    return values


def jitted(program: Callable[..., Any], fuse: bool) -> Callable[..., Any]:
    """The program as one graph; with `fuse` compiled by XLA, unless XLA refuses it."""
    plain: Callable[..., Any] = tf.function(program, autograph=False)
    if not fuse:
        return plain
    chosen = [tf.function(program, jit_compile=True, autograph=False)]

    def run(*arguments: Any) -> Any:
        try:
            return chosen[0](*arguments)
        except _NOT_FOR_XLA:
            if chosen[0] is plain:
                raise
            chosen[0] = plain
            return plain(*arguments)

    return run


def vectorised(function: Callable[[Any], Any], stacked: Any) -> Any:
    """Stacked results of the function for each entry of stacked tensors, all computed at once."""

    def own(entry: Any) -> Any:
        # A tensor of the caller, handed through as it is, becomes a placeholder that XLA refuses.
        return tf.nest.map_structure(tf.identity, function(entry))

    return tf.vectorized_map(own, stacked, fallback_to_while_loop=False)


def loss_and_gradients(
    function: Callable[[list[Any]], tuple[Any, Any]], leaves: Sequence[Any]
) -> tuple[Any, Any, list[Any | None]]:
    """`loss, extra = function(leaves)`, and the gradients of the loss; None where there is none."""
    leaves = list(leaves)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(leaves)
        loss, extra = function(leaves)
    slopes = tape.gradient(loss, leaves)
    # The gradient of an embedding is an `IndexedSlices`, which a program can't take or return.
    return loss, extra, [None if slope is None else tf.convert_to_tensor(slope) for slope in slopes]


def gradients(function: Callable[[list[Any]], Any], leaves: Sequence[Any]) -> list[Any | None]:
    """Gradients of the sum of `function(leaves)`; None for a leaf without a gradient."""
    leaves = list(leaves)
    differentiable = [leaf for leaf in leaves if leaf.dtype.is_floating]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(differentiable)
        total = tf.reduce_sum(function(leaves))
    wanted = iter(tape.gradient(total, differentiable))
    return [next(wanted) if leaf.dtype.is_floating else None for leaf in leaves]


def gather(values: Any, indices: Any) -> Any:
    """Entries of a tensor along its first axis, by indices that aren't negative."""
    return tf.gather(values, indices)


def on_device(values: NDArray[np.generic]) -> Any:
    """The values as a tensor."""
    return tf.constant(values)


def snapshot(variable: Any) -> Any:
    """The present value of a Keras variable; later changes of the variable don't affect it."""
    return tf.identity(variable.value)


def is_chief(model: Any) -> bool:
    """Whether this process writes logs and files, under the model's distribution strategy."""
    strategy = getattr(model, "distribute_strategy", None) or tf.distribute.get_strategy()
    return bool(strategy.extended.should_save_summary)


def placement(model: Any) -> Placement:
    """The replicas of a `MirroredStrategy`: the devices that each hold all weights."""
    strategy = getattr(model, "distribute_strategy", None)
    if not isinstance(strategy, tf.distribute.MirroredStrategy) or strategy.num_replicas_in_sync == 1:
        return Placement()
    return Placement(
        [
            partial(_on, *replica_and_device)
            for replica_and_device in enumerate(strategy.extended.worker_devices)
        ]
    )


@contextmanager
def _on(replica: int, device: str) -> Iterator[None]:
    token = REPLICA.set(replica)
    try:
        with tf.device(device):
            yield
    finally:
        REPLICA.reset(token)
