"""Which steps of the inputs a model masks, found by listening to its masking layers while it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_importance.data.padding import (
    Valid,
    padding_of_inputs,
    steps_unlike,
    valid_or_none,
)
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends.backend import Inference
from keras_importance.engine.backends.compiler import Compiler
from keras_importance.engine.cut.block_sizes import declared_batch
from keras_importance.engine.keras_internals import get_keras_mask, is_of_keras, layers_of
from keras_importance.statistics.arrays import Array

_FEW_ROWS = 32
_ROWS_AT_ONCE = 1024


def with_valid_steps(data: ValidationData, model: Any, mask_value: Any = None) -> ValidationData:
    """The same rows, with the steps that count: those that the model doesn't mask.

    Args:
        data: the rows.
        model: the model. If it isn't built yet, its layers tell what it masks, where there is no doubt.
        mask_value: the user's argument; an input that it names has padding where all its columns equal
            the number, whatever the model masks.

    Raises:
        InvalidArgumentError: for a `mask_value` that doesn't fit the inputs.
    """
    paddings = padding_of_inputs(mask_value, data.inputs, data.columns)
    if not any(values.ndim > 1 for values in data.inputs):
        return data
    masked: tuple[Valid | None, ...] = (None,) * len(data.inputs)
    if any(padding is None for padding in paddings):
        masked = _masked_steps(model, data)
    valid = tuple(
        of_model if padding is None else steps_unlike(values, padding)
        for values, padding, of_model in zip(data.inputs, paddings, masked, strict=True)
    )
    return replace(data, valid=valid)


def _masked_steps(model: Any, data: ValidationData) -> tuple[Valid | None, ...]:
    """For each input the steps that a model counts; None where it counts all, or masks none."""
    layers = layers_of(model)
    masking, masked = list(filter(_makes_masks, layers)), list(filter(_takes_mask, layers))
    if not masking and not masked:
        return (None,) * len(data.inputs)
    if not model.built:
        return _by_layers(masking, layers, data)
    try:
        return _Listener(model, data, masking, masked).valid_steps()
    except Exception:  # noqa: BLE001 (a model that can't be listened to is judged by its layers)
        return _by_layers(masking, layers, data)


def _makes_masks(layer: Any) -> bool:
    """Whether a layer makes a mask from values: Masking, Embedding with mask_zero, or a user's own."""
    if isinstance(layer, keras.layers.Masking) or getattr(layer, "mask_zero", False):
        return True
    compute_mask = getattr(type(layer), "compute_mask", None)
    return compute_mask is not None and not is_of_keras(compute_mask)


def _takes_mask(layer: Any) -> bool:
    """Whether a layer is called with masks. Models hand theirs on; BatchNormalization uses none here."""
    if isinstance(layer, (keras.Model, keras.layers.BatchNormalization)):
        return False
    return any(name.endswith("mask") for name in inspect.signature(layer.call).parameters)


@dataclass(frozen=True, eq=False)
class _Heard:
    """What a layer was called with.

    Attributes:
        values: `(n_rows, n_steps, ...)` its argument.
        mask: `(n_rows, n_steps)` which steps it counts.
    """

    values: Any
    mask: Any


class _Listener:
    """Runs a model on rows, and listens to what its layers are called with.

    Args:
        model: a built model.
        data: the rows.
        masking: the layers that make masks.
        masked: the layers that may be given a mask.
    """

    def __init__(
        self, model: Any, data: ValidationData, masking: Sequence[Any], masked: Sequence[Any]
    ) -> None:
        self._data, self._compiler = data, Compiler(model)
        self._batch = declared_batch(model)
        self._n_made = 0
        self._used_lengths: set[int] = set()
        packing = data.packing

        def heard(call: Inference, inputs: list[Any]) -> tuple[list[tuple[Any, Any]], int, list[int]]:
            made: list[_Heard] = []
            given: list[_Heard] = []
            with _listening(masking, _own_mask, made), _listening(masked, _given_mask, given):
                outputs = call(packing(inputs))
            of_outputs = list(map(get_keras_mask, keras.tree.flatten(outputs)))
            used = [*(each.mask for each in given), *_of_steps(of_outputs)]
            calls = [(each.values, each.mask) for each in (*made, *given)]
            return calls, len(made), [mask.shape[1] for mask in used]

        def masks(call: Inference, inputs: list[Any]) -> list[Any]:
            return [mask for _, mask in heard(call, inputs)[0]]

        # Compiled, so that only what leads to the masks is run.
        self._heard, self._masks = (self._compiler(program, fuse=False) for program in (heard, masks))

    def valid_steps(self) -> tuple[Valid | None, ...]:
        """For each input the steps that count in a layer; None where all count."""
        few = [values[self._rows(0, _FEW_ROWS)] for values in self._data.inputs]
        calls = self._calls(few)
        fed = [self._feeding_inputs(index, call, few) for index, call in enumerate(calls)]
        if not any(fed):
            return (None,) * len(self._data.inputs)
        masks = self._masks_of_all_rows()
        valid = []
        for index in range(len(self._data.inputs)):
            of_input = [mask for mask, inputs in zip(masks, fed, strict=True) if index in inputs]
            valid.append(valid_or_none(np.any(of_input, axis=0)) if of_input else None)
        return tuple(valid)

    def _rows(self, start: int, at_most: int) -> Array:
        """Indices of rows to run at once; beyond the last row it is repeated."""
        size = self._batch or min(at_most, self._data.n_rows)
        return np.minimum(np.arange(start, start + size), self._data.n_rows - 1)

    def _calls(self, inputs: list[Array]) -> list[_Heard]:
        heard, n_made, lengths = self._heard([self._compiler.on_device(values) for values in inputs])
        to_numpy = keras.ops.convert_to_numpy
        self._n_made = int(to_numpy(n_made))
        self._used_lengths = {int(to_numpy(length)) for length in lengths}
        return [_Heard(np.asarray(to_numpy(values)), to_numpy(mask)) for values, mask in heard]

    def _masks_of_all_rows(self) -> list[Array]:
        parts, n_rows = [], self._data.n_rows
        size = len(self._rows(0, _ROWS_AT_ONCE))
        for start in range(0, n_rows, size):
            rows = self._rows(start, _ROWS_AT_ONCE)
            masks = self._masks([self._compiler.on_device(values[rows]) for values in self._data.inputs])
            parts.append([keras.ops.convert_to_numpy(mask) for mask in masks])
        return [np.concatenate(of_call)[:n_rows] for of_call in zip(*parts, strict=True)]

    def _feeding_inputs(self, index: int, call: _Heard, few: list[Array]) -> list[int]:
        """Indices of the inputs whose steps a call's mask is about.

        The input's values are the call's argument; or each step of the argument is made from the same
        step of the input, and perhaps of further inputs. A mask that no layer takes, and that no output
        carries to the loss, masks nothing.
        """
        if call.mask.shape[1] not in self._used_lengths:
            return []
        candidates = [
            i for i, values in enumerate(few) if values.ndim > 1 and values.shape[:2] == call.mask.shape
        ]
        same = [i for i in candidates if _is_same(call.values, few[i])]
        if same or (self._n_made and index >= self._n_made):
            # A mask given to a later layer is one that was made before.
            return same
        return [i for i in candidates if self._goes_step_by_step(index, call, few, i)]

    def _goes_step_by_step(self, index: int, call: _Heard, few: list[Array], moved: int) -> bool:
        """Whether early steps of an input, traded between rows, change just the same steps of a call."""
        n_steps = call.mask.shape[1]
        early = slice(0, max(1, n_steps // 2))
        inputs = list(few)
        inputs[moved] = few[moved].copy()
        inputs[moved][:, early] = np.roll(few[moved][:, early], 1, axis=0)
        differs = self._calls(inputs)[index].values != call.values
        of_steps = differs.reshape(*differs.shape[:2], -1).any(axis=(0, 2))
        return bool(of_steps[early].any() and not of_steps[early.stop :].any())


def _is_same(values: Array, given: Array) -> bool:
    """Whether the argument of a layer holds the values of an input."""
    if values.size != given.size or given.dtype.kind not in "fiub":
        return False
    return np.array_equal(values.reshape(given.shape), given.astype(values.dtype), equal_nan=True)


@contextmanager
def _listening(layers: Sequence[Any], hear: Callable[..., Any], calls: list[_Heard]) -> Iterator[None]:
    """A context in which calls of layers are noted, with the masks that `hear` returns for them."""

    def called(layer: Any, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        values = args[0] if args else next(iter(kwargs.values()), None)
        first = keras.tree.flatten(values)[0]  # of a layer of several tensors, such as attention
        if hasattr(first, "shape"):
            for mask in hear(layer, first, kwargs):
                axes = tuple(range(2, len(mask.shape)))
                is_valid = keras.ops.cast(mask, "bool")
                calls.append(_Heard(first, keras.ops.any(is_valid, axis=axes) if axes else is_valid))
        return call(*args, **kwargs)

    with ExitStack() as stack:
        for layer in layers:
            # Beside the class, and past the layer's own tracking of attributes: so it leaves no trace.
            layer.__dict__["call"] = partial(called, layer, layer.call)
            stack.callback(layer.__dict__.pop, "call")
        yield


def _own_mask(layer: Any, values: Any, arguments: Mapping[str, Any]) -> list[Any]:  # noqa: ARG001
    """The mask that a layer makes."""
    return _of_steps([layer.compute_mask(values, get_keras_mask(values))])


def _given_mask(layer: Any, values: Any, arguments: Mapping[str, Any]) -> list[Any]:  # noqa: ARG001
    """The masks that a layer is called with."""
    return _of_steps([value for name, value in arguments.items() if name.endswith("mask")])


def _of_steps(masks: Any) -> list[Any]:
    """The masks of steps among some arguments."""
    leaves = keras.tree.flatten(masks)
    return [mask for mask in leaves if len(getattr(mask, "shape", ())) >= 2]


def _by_layers(
    masking: Sequence[Any], layers: Sequence[Any], data: ValidationData
) -> tuple[Valid | None, ...]:
    """For each input the steps that layers would count, where there is no doubt which layer gets it.

    Masking gets the only input of `(n_rows, n_steps, n_columns)`. Embeddings, if all of them mask zeros,
    get all whole numbers of `(n_rows, n_steps)`.
    """
    of_masking = {
        float(layer.mask_value) for layer in masking if isinstance(layer, keras.layers.Masking)
    }
    embeddings = [layer for layer in layers if isinstance(layer, keras.layers.Embedding)]
    with_columns = [i for i, values in enumerate(data.inputs) if values.ndim > 2]
    tokens = [
        i
        for i, values in enumerate(data.inputs)
        if values.ndim == 2 and (values.dtype.kind in "iu" or len(data.inputs) == 1)
    ]
    valid: list[Valid | None] = [None] * len(data.inputs)
    if len(of_masking) == 1 and len(with_columns) == 1:
        valid[with_columns[0]] = steps_unlike(data.inputs[with_columns[0]], of_masking.pop())
    if embeddings and all(layer.mask_zero for layer in embeddings):
        for index in tokens:
            valid[index] = steps_unlike(data.inputs[index], 0)
    return tuple(valid)
