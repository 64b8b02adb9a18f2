"""The engine on JAX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

COMPILES = True
CALLS_AT_ONCE = 1


def compiled(model: Any, program: Callable[..., Any], fuse: bool) -> Callable[..., Any]:
    """`program(call, *arguments)` compiled, where `call(x)` is the model's inference.

    The model's variables are arguments of the compiled function: as constants in it, they would keep the
    values of the first epoch.
    """
    call = partial(model, training=False)

    def stateless(values: list[Any], *arguments: Any) -> Any:
        with keras.StatelessScope(list(zip(model.variables, values, strict=True))):
            return program(call, *arguments)

    function = jax.jit(stateless) if fuse else stateless

    def run(*arguments: Any) -> Any:
        return function([variable.value for variable in model.variables], *arguments)

    return run


def jitted(program: Callable[..., Any], fuse: bool) -> Callable[..., Any]:
    """The program compiled."""
    return jax.jit(program) if fuse else program


def vectorised(function: Callable[[Any], Any], stacked: Any) -> Any:
    """The function of each entry of stacked arrays, all at once."""
    return jax.vmap(function)(stacked)


def loss_and_gradients(
    function: Callable[[list[Any]], tuple[Any, Any]], leaves: Sequence[Any]
) -> tuple[Any, Any, list[Any | None]]:
    """`loss, extra = function(leaves)`, and the gradients of the loss."""
    (loss, extra), found = jax.value_and_grad(function, has_aux=True)(list(leaves))
    return loss, extra, found


def gradients(function: Callable[[list[Any]], Any], leaves: Sequence[Any]) -> list[Any | None]:
    """Gradients of the sum of `function(leaves)`; None for a leaf of whole numbers."""
    leaves = list(leaves)
    numbers = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]

    def total(differentiable: list[Any]) -> Any:
        given = list(leaves)
        for number, leaf in zip(numbers, differentiable, strict=True):
            given[number] = leaf
        return jnp.sum(function(given))

    found: list[Any | None] = [None] * len(leaves)
    for number, gradient in zip(numbers, jax.grad(total)([leaves[i] for i in numbers]), strict=True):
        found[number] = gradient
    return found


def on_device(values: NDArray[np.generic]) -> Any:
    """The values as an array on the device."""
    return jnp.asarray(values)


def random_state() -> Any:
    """Nothing: Keras draws with seeds of its own."""
    return None


def set_random_state(state: Any) -> None:
    """Nothing to put back."""


def snapshot(variable: Any) -> Any:
    """A copy of the value of a Keras variable: training gives its own buffers away."""
    return jnp.copy(variable.value)


def is_chief(model: Any) -> bool:  # noqa: ARG001 (other backends ask the model)
    """Whether this process is the one that writes."""
    return bool(jax.process_index() == 0)
