"""Layers that are linear in their input, in the form `finish(elements(z) @ kernel)`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

_EQUATION = re.compile(r"(\.\.\.|)([a-zA-Z]+),([a-zA-Z]+)->(\.\.\.|)([a-zA-Z]+)")


@dataclass(frozen=True, eq=False)
class LinearForm:
    """A layer as `finish(elements(z) @ kernel())`: a changed element adds a multiple of its kernel row.

    Attributes:
        elements: brings the layer's input into the shape `(n_rows, ..., n_elements)`.
        kernel: the current `(n_elements, n_units)` kernel.
        finish: from `(n_rows, ..., n_units)` to the layer's output.
    """

    elements: Callable[[Any], Any]
    kernel: Callable[[], Any]
    finish: Callable[[Any], Any]


def linear_form(layer: Any) -> LinearForm | None:
    """The linear form of a Dense, EinsumDense or Conv1D layer; None for others.

    None also for subclasses, which may compute anything, and for quantised layers, which round.
    """
    if getattr(layer, "quantization_mode", None) is not None:
        return None
    form = _FORMS.get(type(layer))
    return None if form is None else form(layer)


def _dense(layer: Any) -> LinearForm:
    return LinearForm(
        elements=lambda z: z,
        kernel=lambda: layer.kernel,
        finish=lambda h: _activated(layer, h if layer.bias is None else h + layer.bias),
    )


def _einsum_dense(layer: Any) -> LinearForm | None:
    """The form of a layer that contracts the last axes of its input and adds new axes in their place."""
    match = _EQUATION.fullmatch(layer.equation.replace(" ", ""))
    if match is None or match[1] != match[4]:
        return None
    given, kernel, returned = match[2], match[3], match[5]
    contracted = "".join(letter for letter in kernel if letter in given)
    units = kernel[len(contracted) :]
    kept = given[: len(given) - len(contracted)]
    # The first letter is the batch, unless "..." stands for it.
    if kernel != contracted + units or given != kept + contracted or returned != kept + units:
        return None
    if not contracted or not (kept or match[1]):
        return None

    shape = tuple(layer.kernel.shape)
    n_axes = len(contracted)
    n_elements, n_units = math.prod(shape[:n_axes]), math.prod(shape[n_axes:])

    def finish(h: Any) -> Any:
        h = keras.ops.reshape(h, (-1, *h.shape[1:-1], *shape[n_axes:]))
        return _activated(layer, h if layer.bias is None else h + layer.bias)

    return LinearForm(
        elements=lambda z: keras.ops.reshape(z, (-1, *z.shape[1:-n_axes], n_elements)),
        kernel=lambda: keras.ops.reshape(layer.kernel, (n_elements, n_units)),
        finish=finish,
    )


def _conv1d(layer: Any) -> LinearForm | None:
    """A convolution is a dense layer on windows: the steps that an output step depends on."""
    if layer.data_format != "channels_last" or layer.groups != 1:
        return None
    (width,), (stride,), (dilation,) = layer.kernel_size, layer.strides, layer.dilation_rate
    reach = (width - 1) * dilation

    def elements(z: Any) -> Any:
        n_steps = int(z.shape[1])
        if layer.padding == "valid":
            left = right = 0
        elif layer.padding == "causal":
            left, right = reach, 0
        else:
            n_outputs = -(-n_steps // stride)
            missing = max((n_outputs - 1) * stride + reach + 1 - n_steps, 0)
            left, right = missing // 2, missing - missing // 2
        last = n_steps + left + right - reach
        padded = keras.ops.pad(z, [(0, 0), (left, right), (0, 0)])
        windows = [padded[:, t * dilation : t * dilation + last : stride] for t in range(width)]
        return keras.ops.concatenate(windows, axis=-1)

    return LinearForm(
        elements=elements,
        kernel=lambda: keras.ops.reshape(layer.kernel, (-1, layer.filters)),
        finish=lambda h: _activated(layer, h + layer.bias if layer.use_bias else h),
    )


def _activated(layer: Any, values: Any) -> Any:
    return values if layer.activation is None else layer.activation(values)


_FORMS: dict[type, Callable[[Any], LinearForm | None]] = {
    keras.layers.Conv1D: _conv1d,
    keras.layers.Dense: _dense,
    keras.layers.EinsumDense: _einsum_dense,
}
