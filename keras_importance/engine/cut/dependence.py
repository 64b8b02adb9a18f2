"""Which feature each element of a tensor depends on, followed through the layers of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance.engine.cut.graph import LayerCall
from keras_importance.engine.keras_internals import is_of_keras

Dependence = NDArray[np.int64]
"""For each element of a row the index of the only feature it depends on, or a value of `Depends`."""


class Depends(IntEnum):
    """What a `Dependence` holds for an element that depends on no feature under consideration."""

    ON_NOTHING = -1
    """The element is the same whatever the features are."""

    ON_OTHERS = -2
    """It depends on features that are not under consideration, which count as one feature."""

    PADDING = -3
    """A layer has padded it with 0. It is the least value: a maximum over elements ignores padding."""


_layers = keras.layers

# In inference, each element of the output depends on the same element of the input alone.
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


def dependence_after(call: LayerCall, given: Sequence[Dependence]) -> list[Dependence] | None:
    """The dependence of what a call returns; None where an element comes to depend on two features.

    Args:
        call: the call.
        given: the dependence of its inputs.
    """
    rule = _rule(call.operation)
    after = None if rule is None else rule(call, given)
    if after is None or not _fit(after, call.outputs):
        after = _of_single_feature(call, given)
    return after


def dependence_after_move(
    move: Callable[[list[Any]], list[Any]],
    given: Sequence[Dependence],
    padding: Depends = Depends.ON_NOTHING,
) -> list[Dependence] | None:
    """The dependence after elements have moved, found by sending it through the move as if it were rows.

    Args:
        move: from tensors to tensors; it moves, copies or drops elements, and may pad with 0.
        given: the dependence of the tensors.
        padding: the value that padded elements get; in `given` it must have no other meaning.

    Returns:
        The dependence of each tensor that `move` returns; None if `move` mixes rows.
    """
    pairs_of_rows = [np.stack([dependence] * 2) - padding for dependence in given]
    values = move([keras.ops.convert_to_tensor(rows.astype("float32")) for rows in pairs_of_rows])
    after = [np.rint(keras.ops.convert_to_numpy(value)).astype(np.int64) for value in values]
    if any(len(rows) != 2 or not np.array_equal(*rows) for rows in after):
        return None
    return [rows[0] + padding for rows in after]


def _rule(operation: Any) -> Callable[[LayerCall, Sequence[Dependence]], list[Dependence] | None] | None:
    kind = type(operation)
    by_keras = is_of_keras(kind)
    if kind in _ELEMENTWISE or kind in _MERGING:
        return _merged
    if kind is _layers.Activation:
        name = getattr(operation.activation, "__name__", "")
        is_known = getattr(keras.activations, name, None) is operation.activation
        return _merged if is_known and name not in _MIXING_ACTIVATIONS else None
    if kind in _MOVING or (by_keras and kind.__name__ in _MOVING_OPERATIONS):
        return _moved
    if kind is _layers.Embedding:
        return _embedded
    if by_keras and kind.__name__ in _ELEMENTWISE_OPERATIONS:
        return _merged
    return None


def _fit(dependences: Sequence[Dependence], outputs: Sequence[Any]) -> bool:
    """Whether the dependences have the shapes of a row of the outputs, as far as these are known."""
    return len(dependences) == len(outputs) and all(
        dependence.ndim == len(output.shape) - 1
        and all(
            size in (None, known) for known, size in zip(dependence.shape, output.shape[1:], strict=True)
        )
        for dependence, output in zip(dependences, outputs, strict=True)
    )


def _merged(call: LayerCall, given: Sequence[Dependence]) -> list[Dependence] | None:  # noqa: ARG001 (as all rules)
    """The feature that elements at the same position have in common."""
    if len({dependence.ndim for dependence in given}) > 1:
        return None
    shape = np.broadcast_shapes(*(dependence.shape for dependence in given))
    merged = np.full(shape, Depends.ON_NOTHING, np.int64)
    for dependence in given:
        both_depend = (merged != Depends.ON_NOTHING) & (dependence != Depends.ON_NOTHING)
        if np.any(both_depend & (merged != dependence)):
            return None
        merged = np.where(merged == Depends.ON_NOTHING, dependence, merged)
    return [merged]


def _moved(call: LayerCall, given: Sequence[Dependence]) -> list[Dependence] | None:
    keys = [id(tensor) for tensor in call.inputs]
    return dependence_after_move(lambda values: call(dict(zip(keys, values, strict=True))), given)


def _embedded(call: LayerCall, given: Sequence[Dependence]) -> list[Dependence]:
    return [np.repeat(given[0][..., None], call.operation.output_dim, axis=-1)]


def _of_single_feature(call: LayerCall, given: Sequence[Dependence]) -> list[Dependence] | None:
    """Whatever a layer computes from a single feature depends on this feature alone."""
    features = {int(index) for dependence in given for index in np.unique(dependence)}
    features -= {Depends.ON_NOTHING}
    if len(features) > 1:
        return None
    feature = features.pop() if features else Depends.ON_NOTHING
    after = []
    for shape in _row_shapes(call, given):
        known = [size for size in shape if size is not None]
        if len(known) < len(shape):
            return None
        after.append(np.full(known, feature, np.int64))
    return after


def _row_shapes(call: LayerCall, given: Sequence[Dependence]) -> list[tuple[int | None, ...]]:
    """Shapes of a row of the outputs; a length that the model leaves open follows from the inputs."""
    outputs: Sequence[Any] = call.outputs
    if any(size is None for output in outputs for size in output.shape[1:]):
        inputs = {
            id(tensor): keras.KerasTensor((None, *dependence.shape), tensor.dtype)
            for tensor, dependence in zip(call.inputs, given, strict=True)
        }
        args, kwargs = call.arguments.fill_in(inputs)
        outputs = keras.tree.flatten(call.operation.compute_output_spec(*args, **kwargs))
    return [tuple(output.shape[1:]) for output in outputs]
