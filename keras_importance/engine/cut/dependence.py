"""Which feature each element of a tensor depends on, followed through the layers of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance.engine.cut.graph import LayerCall

Dependence = NDArray[np.int64]
"""For each element of a row the number of the one feature that it depends on."""

UNTOUCHED = -1
"""Label of an element that depends on no feature at all."""

OTHERS = -2
"""Label of an element that depends on features that are not looked at; they count as one."""

_layers = keras.layers

# What an element becomes depends in inference on this element alone.
_ELEMENTWISE = (
    _layers.ActivityRegularization, _layers.AlphaDropout, _layers.BatchNormalization, _layers.Dropout,
    _layers.ELU, _layers.GaussianDropout, _layers.GaussianNoise, _layers.Identity, _layers.LeakyReLU,
    _layers.Normalization, _layers.PReLU, _layers.ReLU, _layers.Rescaling, _layers.SpatialDropout1D,
    _layers.SpatialDropout2D, _layers.SpatialDropout3D,
)  # fmt: skip
_MERGING = (
    _layers.Add, _layers.Average, _layers.Maximum, _layers.Minimum, _layers.Multiply, _layers.Subtract,
)  # fmt: skip
# Elements move, are copied or left out, and keep their values.
_MOVING = (
    _layers.Concatenate, _layers.Cropping1D, _layers.Cropping2D, _layers.Flatten, _layers.Permute,
    _layers.RepeatVector, _layers.Reshape, _layers.UpSampling1D, _layers.ZeroPadding1D,
    _layers.ZeroPadding2D,
)  # fmt: skip
_ELEMENTWISE_OPERATIONS = (
    "Absolute", "Add", "Cast", "Clip", "Cos", "Divide", "Exp", "Expm1", "Log", "Log10", "Log1p", "Log2",
    "Maximum", "Minimum", "Multiply", "Negative", "Power", "Relu", "Sigmoid", "Sign", "Silu", "Sin",
    "Sqrt", "Square", "Subtract", "Tanh", "TrueDivide",
)  # fmt: skip
_MOVING_OPERATIONS = (
    "Concatenate", "ExpandDims", "Flip", "GetItem", "Reshape", "Squeeze", "Transpose",
)  # fmt: skip
_MIXING_ACTIVATIONS = ("softmax", "log_softmax", "sparsemax", "glu")


def labels_after(call: LayerCall, given: Sequence[Dependence]) -> list[Dependence] | None:
    """Labels of what a call returns; None where an element comes to depend on two features.

    Args:
        call: the call.
        given: labels of its inputs.
    """
    rule = _rule(call.operation)
    found = None if rule is None else rule(call, given)
    if found is None or not _fit(found, call.outputs):
        found = _of_one_feature(call, given)
    return found


def moved(
    move: Callable[[list[Any]], list[Any]], given: Sequence[Dependence]
) -> list[Dependence] | None:
    """Where elements go that are only moved, found by sending their labels through as rows.

    Args:
        move: from tensors to tensors; what it pads with 0 is untouched.
        given: labels of the tensors.
    """
    rows = [np.stack([labels] * 2) - UNTOUCHED for labels in given]
    values = move([keras.ops.convert_to_tensor(labels.astype("float32")) for labels in rows])
    found = [np.rint(keras.ops.convert_to_numpy(value)).astype(np.int64) for value in values]
    if any(len(labels) != 2 or not np.array_equal(*labels) for labels in found):
        return None  # it moves rows, too
    return [labels[0] + UNTOUCHED for labels in found]


def _rule(operation: Any) -> Callable[[LayerCall, Sequence[Dependence]], list[Dependence] | None] | None:
    kind = type(operation)
    is_of_keras = kind.__module__.startswith("keras.")
    if kind in _ELEMENTWISE or kind in _MERGING:
        return _merged
    if kind is _layers.Activation:
        name = getattr(operation.activation, "__name__", "")
        is_known = getattr(keras.activations, name, None) is operation.activation
        return _merged if is_known and name not in _MIXING_ACTIVATIONS else None
    if kind in _MOVING or (is_of_keras and kind.__name__ in _MOVING_OPERATIONS):
        return _moved
    if kind is _layers.Embedding:
        return _embedded
    if is_of_keras and kind.__name__ in _ELEMENTWISE_OPERATIONS:
        return _merged
    return None


def _fit(found: Sequence[Dependence], outputs: Sequence[Any]) -> bool:
    """Whether the labels have the shapes of a row of the outputs, as far as these are known."""
    return len(found) == len(outputs) and all(
        labels.ndim == len(output.shape) - 1
        and all(
            size in (None, known) for known, size in zip(labels.shape, output.shape[1:], strict=True)
        )
        for labels, output in zip(found, outputs, strict=True)
    )


def _merged(call: LayerCall, given: Sequence[Dependence]) -> list[Dependence] | None:  # noqa: ARG001 (as all rules)
    """Of elements at the same place: the feature that they have in common."""
    if len({labels.ndim for labels in given}) > 1:
        return None
    merged = np.full(np.broadcast_shapes(*(labels.shape for labels in given)), UNTOUCHED)
    for labels in given:
        if np.any((merged != UNTOUCHED) & (labels != UNTOUCHED) & (merged != labels)):
            return None
        merged = np.where(merged == UNTOUCHED, labels, merged)
    return [merged]


def _moved(call: LayerCall, given: Sequence[Dependence]) -> list[Dependence] | None:
    keys = [id(tensor) for tensor in call.inputs]
    return moved(lambda values: call(dict(zip(keys, values, strict=True))), given)


def _embedded(call: LayerCall, given: Sequence[Dependence]) -> list[Dependence]:
    return [np.repeat(given[0][..., None], call.operation.output_dim, axis=-1)]


def _of_one_feature(call: LayerCall, given: Sequence[Dependence]) -> list[Dependence] | None:
    """Whatever a layer does with one feature alone depends on this feature alone."""
    features = {int(label) for labels in given for label in np.unique(labels)} - {UNTOUCHED}
    if len(features) > 1:
        return None
    label = features.pop() if features else UNTOUCHED
    found = []
    for shape in _row_shapes(call, given):
        known = [size for size in shape if size is not None]
        if len(known) < len(shape):
            return None
        found.append(np.full(known, label))
    return found


def _row_shapes(call: LayerCall, given: Sequence[Dependence]) -> list[tuple[int | None, ...]]:
    """Shapes of a row of the outputs; a length that the model leaves open follows from the inputs."""
    outputs: Sequence[Any] = call.outputs
    if any(size is None for output in outputs for size in output.shape[1:]):
        inputs = {
            id(tensor): keras.KerasTensor((None, *labels.shape), tensor.dtype)
            for tensor, labels in zip(call.inputs, given, strict=True)
        }
        args, kwargs = call.arguments.fill_in(inputs)
        outputs = keras.tree.flatten(call.operation.compute_output_spec(*args, **kwargs))
    return [tuple(output.shape[1:]) for output in outputs]
