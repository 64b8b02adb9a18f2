"""The engine on torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import torch
from numpy.typing import NDArray

from keras_importance.engine.backends.placement import Placement

COMPILES = False
CALLS_AT_ONCE = 1


def compiled(model: Any, program: Callable[..., Any], fuse: bool) -> Callable[..., Any]:  # noqa: ARG001
    """`program(call, *arguments)`, where `call(x)` is the model's inference.

    It isn't compiled: `torch.compile` takes many times longer than it saves on such programs.
    """
    call = partial(model, training=False)

    def run(*arguments: Any) -> Any:
        with torch.no_grad():
            return program(call, *arguments)

    return run


def jitted(program: Callable[..., Any], fuse: bool) -> Callable[..., Any]:  # noqa: ARG001
    """The program as it is."""

    def run(*arguments: Any) -> Any:
        with torch.no_grad():
            return program(*arguments)

    return run


def vectorised(function: Callable[[Any], Any], stacked: Any) -> Any:
    """Stacked results of the function for each entry of stacked tensors, all computed at once."""
    return torch.func.vmap(function, randomness="same")(stacked)


def loss_and_gradients(
    function: Callable[[list[Any]], tuple[Any, Any]], leaves: Sequence[Any]
) -> tuple[Any, Any, list[Any | None]]:
    """`loss, extra = function(leaves)`, and the gradients of the loss."""
    slopes, (loss, extra) = torch.func.grad_and_value(function, has_aux=True)(list(leaves))
    return loss, extra, slopes


def gradients(function: Callable[[list[Any]], Any], leaves: Sequence[Any]) -> list[Any | None]:
    """Gradients of the sum of `function(leaves)`; None for a leaf without a gradient."""
    with torch.enable_grad():
        watched = [
            leaf.detach().requires_grad_() if leaf.is_floating_point() else leaf for leaf in leaves
        ]
        with keras.StatelessScope():  # assignments of a layer in place couldn't be differentiated
            total = torch.sum(function(watched))
        differentiable = [leaf for leaf in watched if leaf.requires_grad]
        if not total.requires_grad or not differentiable:
            return [None] * len(watched)
        # Never `backward`, which would fill the `.grad` of the model's parameters.
        wanted = iter(torch.autograd.grad(total, differentiable, allow_unused=True))
        return [next(wanted) if leaf.requires_grad else None for leaf in watched]


def gather(values: Any, indices: Any) -> Any:
    """Entries of a tensor along its first axis, by indices that aren't negative."""
    return keras.ops.take(values, indices, axis=0)


def on_device(values: NDArray[np.generic]) -> Any:
    """The values as a tensor on Keras' device."""
    return keras.ops.convert_to_tensor(values)


def snapshot(variable: Any) -> Any:
    """A copy of the value of a Keras variable."""
    return variable.value.detach().clone()


def is_chief(model: Any) -> bool:  # noqa: ARG001 (other backends ask the model)
    """Whether this process is the one that writes logs and files."""
    return not torch.distributed.is_initialized() or bool(torch.distributed.get_rank() == 0)


def placement(model: Any) -> Placement:  # noqa: ARG001 (other backends ask the model)
    """A single copy in this process: torch's processes don't train a Keras model together."""
    return Placement()
