"""Gives layers a form that can be vectorised over their weights, while programs of twins are traced."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import keras
from keras import ops

from keras_importance.engine.keras_internals import layers_of

# A recurrent layer of more steps would take minutes to compile step by step.
_MAX_UNROLLED = 64


@contextmanager
def vectorisable(model: Any, n_steps: int) -> Iterator[None]:
    """A context in which layers compute the same results by operations that can be vectorised fast.

    A convolution with different weights for each twin would become a grouped convolution, which
    TensorFlow refuses and XLA runs slowly. It is computed as a sum of matrix products, one for each
    position in the kernel. TensorFlow can't vectorise the loop of a recurrent layer: it is unrolled.

    Args:
        model: the model; its layers are restored at the end.
        n_steps: how many steps its sequences have.
    """
    unrolls = keras.backend.backend() == "tensorflow" and n_steps <= _MAX_UNROLLED
    with ExitStack() as stack:
        for layer in layers_of(model):
            if type(layer) in _CONVOLUTIONS and layer.groups == 1 and _is_channels_last(layer):
                stack.enter_context(_attribute(layer, "call", partial(_convolution, layer)))
            elif isinstance(layer, keras.layers.RNN) and unrolls:
                stack.enter_context(_attribute(layer, "unroll", True))
        yield


_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


@contextmanager
def _attribute(layer: Any, name: str, value: Any) -> Iterator[None]:
    """A context in which an attribute has another value; Keras' tracking doesn't notice."""
    missing = object()
    before = layer.__dict__.get(name, missing)
    layer.__dict__[name] = value
    try:
        yield
    finally:
        if before is missing:
            del layer.__dict__[name]
        else:
            layer.__dict__[name] = before


def _is_channels_last(layer: Any) -> bool:
    return bool(layer.data_format == "channels_last")


def _convolution(layer: Any, inputs: Any) -> Any:
    """The output of a convolution, as a sum of matrix products over the positions in its kernel."""
    inputs = ops.pad(inputs, [(0, 0), *_padding(layer, inputs.shape[1:-1]), (0, 0)])
    reaches = [
        (size - 1) * dilation + 1
        for size, dilation in zip(layer.kernel_size, layer.dilation_rate, strict=True)
    ]
    kernel, total = layer.kernel, None
    for position in itertools.product(*map(range, layer.kernel_size)):
        window = tuple(
            slice(at * dilation, length - reach + at * dilation + 1, stride)
            for at, dilation, length, reach, stride in zip(
                position, layer.dilation_rate, inputs.shape[1:-1], reaches, layer.strides, strict=True
            )
        )
        product = ops.matmul(inputs[(slice(None), *window)], kernel[position])
        total = product if total is None else total + product
    if layer.use_bias:
        total = total + layer.bias
    return total if layer.activation is None else layer.activation(total)


def _padding(layer: Any, lengths: tuple[int, ...]) -> list[tuple[int, int]]:
    """For each axis how many zeros "valid", "same" or "causal" padding adds before and after it."""
    padding = []
    for length, size, dilation, stride in zip(
        lengths, layer.kernel_size, layer.dilation_rate, layer.strides, strict=True
    ):
        reach = (size - 1) * dilation
        if layer.padding == "valid":
            padding.append((0, 0))
        elif layer.padding == "causal":
            padding.append((reach, 0))
        else:
            needed = max((-(-length // stride) - 1) * stride + reach + 1 - length, 0)
            padding.append((needed // 2, needed - needed // 2))
    return padding
