"""The compiled loss: for each output its terms, row by row and for all rows, as Keras computes it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_importance.data.arrays import mapped
from keras_importance.data.truth import Truth
from keras_importance.engine.keras_internals import (
    collected_losses,
    compiled_loss_weights,
    get_keras_mask,
    set_keras_mask,
    unscaled_for_distribution,
)
from keras_importance.engine.metrics.outputs import Output
from keras_importance.engine.metrics.row_form import RowValues, Term, row_values

_CROSSENTROPY = {
    "binary": "binary_crossentropy",
    "sparse": "sparse_categorical_crossentropy",
    "categorical": "categorical_crossentropy",
}


@dataclass(frozen=True, eq=False)
class Forms:
    """A loss or metric of one output, in the forms in which it can be computed.

    Attributes:
        of_all: `(truth, y_pred, weights) -> number` for all rows at once, computed as Keras does;
            `weights` are those of the rows, or None.
        of_rows: terms whose mean over rows may be the same number. The first that agrees is used.
        scale: factor of the term in the total; None for 1.
        is_sum: whether `of_all` is a sum over rows, of which the rows take the mean.
    """

    of_all: Callable[[Truth, Any, Any], Any]
    of_rows: Sequence[Term]
    scale: Any = None
    is_sum: bool = False


def has_own_loss(model: Any) -> bool:
    """Whether the model's class has its own `compute_loss`."""
    return type(model).compute_loss is not keras.Model.compute_loss


def compiled_loss(model: Any, outputs: Any) -> list[Forms]:
    """The compiled loss of each output, with its weight in the total; empty without a compiled loss.

    Keras has no public loss of each row. Regularisation is left out: it is the same for every row, so it
    cancels in differences of losses.

    Args:
        model: the compiled model.
        outputs: the model's outputs for some rows.
    """
    if has_own_loss(model):
        return [_own_loss(model)]
    loss, names = getattr(model, "loss", None), _names_of_outputs(model, outputs)
    if loss is None:
        return []
    if len(names) == 1 and isinstance(loss, (list, tuple)):
        loss = loss[0]  # of several losses of a single output Keras takes the first
    losses = for_each_output(loss, names, len(names), repeat=True)
    scales = for_each_output(compiled_loss_weights(model), names, len(names), repeat=True)
    known = tuple(map(str, names))
    selects = [_part(Output(name, index, known)) for index, name in enumerate(known)]
    return [
        forms_of_loss(identifier, select, scale)
        for select, identifier, scale in zip(
            selects if len(names) > 1 else [_whole], losses, scales, strict=True
        )
        if identifier is not None
    ]


def why_no_loss(model: Any) -> str:
    """Why a model has no loss, and what mends it."""
    what = (
        "was compiled without a loss. Compile it with one"
        if getattr(model, "compiled", True)
        else "is not compiled. Call model.compile(loss=...)"
    )
    return f"got metric='loss' and a model that {what}, or pass metric= as a callable (y_true, y_pred)."


def _names_of_outputs(model: Any, outputs: Any) -> list[Any]:
    """The names of the flattened outputs, or their indices."""
    if isinstance(outputs, dict):
        return sorted(outputs)
    n_outputs = len(keras.tree.flatten(outputs))
    names = list(getattr(model, "output_names", None) or [])
    return names if len(names) == n_outputs else list(range(n_outputs))


Selected = tuple[Any, Any, Any, Any]
Select = Callable[[Truth, Any], Selected]
"""From truth and outputs to the target, prediction, weights and mask of one output."""


def _whole(truth: Truth, y_pred: Any) -> Selected:
    """The parts of the only output."""
    (target,), (predicted,) = _leaves(truth.targets), keras.tree.flatten(y_pred)
    weights = _leaves(truth.weights)
    return target, predicted, weights[0] if weights else None, mask_of(truth, predicted, 0)


def _part(output: Output) -> Select:
    """Selects the parts of one of several outputs."""

    def selected(truth: Truth, y_pred: Any) -> Selected:
        predicted = output.of_predictions(y_pred)
        weights = truth.weights
        if keras.tree.is_nested(weights):
            weights = output.of_targets(weights)
        mask = mask_of(truth, predicted, output.index)
        return output.of_targets(truth.targets), predicted, weights, mask

    return selected


def selection(output: Output | None) -> Select:
    """Selects the parts of an output; None for the only one."""
    return _whole if output is None else _part(output)


def mask_of(truth: Truth, predicted: Any, index: int) -> Any:
    """The Keras mask of an output: that of the untouched rows, else the one that the tensor carries."""
    known = truth.masks.get(str(index))
    return get_keras_mask(predicted) if known is None else known


def forms_of_loss(identifier: Any, select: Select, scale: Any = None) -> Forms:
    """The forms of a loss that `compile` was given for one output."""
    loss = _as_loss(identifier)

    def unreduced(truth: Truth, y_pred: Any) -> RowValues:
        target, predicted, weights, mask = select(truth, y_pred)
        loss_object = loss(target, predicted)
        if type(loss_object).__call__ is not keras.losses.Loss.__call__:
            raise NotImplementedError("the loss is reduced by a __call__ of its own")
        target, predicted = in_type_of(loss_object, target, predicted)
        values = keras.ops.convert_to_tensor(loss_object.call(target, predicted))
        if not values.shape:
            raise NotImplementedError("the loss returns one number for all rows")
        return row_values(values, weights, _both(mask, get_keras_mask(values)))

    def row_by_row(truth: Truth, y_pred: Any) -> RowValues:
        target, predicted, weights, mask = select(truth, y_pred)
        if mask is not None or weights is not None:
            raise NotImplementedError("rows alone don't tell how much they count")
        loss_object = loss(target, predicted)
        return RowValues(each_row(loss_object, *in_type_of(loss_object, target, predicted)))

    def of_all(truth: Truth, y_pred: Any, weights: Any) -> Any:
        target, predicted, own, mask = select(truth, y_pred)
        predicted = with_mask(predicted, mask)
        target = mapped(keras.ops.convert_to_tensor, target)
        loss_object = loss(target, predicted)
        if own is None and weights is not None:
            own = _beside_values(weights, loss_object, target, predicted)
        value = loss_object(target, predicted, own)
        return unscaled_for_distribution(keras.ops.mean(value))

    is_sum = getattr(identifier, "reduction", None) == "sum"
    return Forms(of_all, (unreduced, row_by_row), scale, is_sum)


def _beside_values(weights: Any, loss: Any, target: Any, predicted: Any) -> Any:
    """The weights of rows with as many axes as the values of a loss, by which Keras multiplies them."""
    if type(loss).__call__ is not keras.losses.Loss.__call__:
        return weights
    n_axes = len(keras.ops.convert_to_tensor(loss.call(*in_type_of(loss, target, predicted))).shape)
    return np.reshape(weights, (-1, *[1] * (n_axes - 1)))


def _own_loss(model: Any) -> Forms:
    """The loss by the model's own `compute_loss`, with `x=None`."""
    further = {"training": False} if takes_training(model) else {}

    def loss(y_true: Any, y_pred: Any, weights: Any = None) -> Any:
        value = model.compute_loss(x=None, y=y_true, y_pred=y_pred, sample_weight=weights, **further)
        return keras.ops.convert_to_tensor(value)

    def alone(y_true: Any, y_pred: Any) -> Any:
        return loss(y_true, y_pred)

    def row_by_row(truth: Truth, y_pred: Any) -> RowValues:
        if truth.weights is not None:
            raise NotImplementedError("rows alone don't tell how much they count")
        return RowValues(each_row(alone, truth.targets, y_pred))

    def of_all(truth: Truth, y_pred: Any, weights: Any) -> Any:
        own = truth.weights
        tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, (truth.targets, y_pred))
        return keras.ops.mean(loss(tensors[0], tensors[1], combined(own, weights)))

    return Forms(of_all, (row_by_row,))


def loss_of_batch(model: Any, call: Callable[[Any], Any], x: Any, truth: Truth, weights: Any) -> Any:
    """The loss of a batch as `evaluate` computes it, with what the model adds; inside a program.

    Args:
        model: the compiled model.
        call: the model's inference.
        x: the nest of inputs.
        truth: what the predictions are scored against.
        weights: weights of the rows; None for equal ones.
    """
    further = {"training": False} if takes_training(model) else {}
    with collected_losses():
        weight = combined(truth.weights, weights)
        value = model.compute_loss(x=x, y=truth.targets, y_pred=call(x), sample_weight=weight, **further)
        return unscaled_for_distribution(keras.ops.mean(keras.ops.convert_to_tensor(value)))


def takes_training(model: Any) -> bool:
    """Whether the model's own `compute_loss` is told whether it trains."""
    return "training" in inspect.signature(model.compute_loss).parameters


def each_row(function: Callable[[Any, Any], Any], y_true: Any, y_pred: Any) -> Any:
    """`(n_rows,)` values of a function of rows, called with one row at a time."""
    rows = keras.tree.map_structure(keras.ops.convert_to_tensor, (y_true, y_pred))

    def of_row(row: Any) -> Any:
        alone = keras.tree.map_structure(lambda leaf: leaf[None], row)
        return keras.ops.mean(keras.ops.convert_to_tensor(function(*alone)))

    return keras.ops.vectorized_map(of_row, rows)


# --- one loss object, as Keras makes and calls it -------------------------------------------------


class _LossOfFunction(keras.losses.Loss):  # type: ignore[misc]  # Keras has no types
    """A function of targets and predictions as a loss, as `compile` makes it."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self._function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The function's value, for tensors of equal rank where that is possible."""
        if keras.tree.is_nested(y_true) or keras.tree.is_nested(y_pred):
            return self._function(y_true, y_pred)
        return self._function(*same_rank(y_true, y_pred))


def _as_loss(identifier: Any) -> Callable[[Any, Any], Any]:
    """From targets and predictions to the loss object; only "crossentropy" depends on them."""
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        return lambda y_true, y_pred: _loss_object(_CROSSENTROPY[kind_of_labels(y_true, y_pred)])
    loss = _loss_object(identifier)
    return lambda _y_true, _y_pred: loss


def _loss_object(identifier: Any) -> Any:
    loss = keras.losses.get(identifier)
    return loss if isinstance(loss, keras.losses.Loss) else _LossOfFunction(loss)


def in_type_of(loss: Any, *nests: Any) -> tuple[Any, ...]:
    """Targets and predictions as tensors of the loss's float type, as Keras converts them."""
    dtype = getattr(loss, "dtype", None) or keras.config.floatx()
    return tuple(
        keras.tree.map_structure(lambda leaf: keras.ops.convert_to_tensor(leaf, dtype), nest)
        for nest in nests
    )


def with_mask(predicted: Any, mask: Any) -> Any:
    """The predictions of an output as a tensor that carries its Keras mask."""
    predicted = keras.ops.convert_to_tensor(predicted)
    if mask is None:
        return predicted
    set_keras_mask(predicted, keras.ops.convert_to_tensor(mask))
    return predicted


def combined(of_steps: Any, of_rows: Any) -> Any:
    """Weights of steps or of an output where there are some, else those of the rows."""
    return of_rows if of_steps is None else of_steps


def _both(mask: Any, other: Any) -> Any:
    """The steps that count in both masks; None stands for all steps."""
    if mask is None or other is None:
        return other if mask is None else mask
    return keras.ops.logical_and(mask, other)


def for_each_output(value: Any, names: list[Any], n_outputs: int, *, repeat: bool = False) -> list[Any]:
    """A user's argument as a list with one value for each output.

    Args:
        value: a dict by output names, a list or tuple in the order of the outputs, or a single value.
        names: the names of the outputs.
        n_outputs: how many outputs there are.
        repeat: whether a single value serves all outputs; else it is a nest of their values.
    """
    if isinstance(value, dict):
        return [value.get(name) for name in names]
    if isinstance(value, (list, tuple)):
        return list(value)
    return [value] * n_outputs if repeat or n_outputs == 1 else keras.tree.flatten(value)


def same_rank(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Both tensors with equal ranks, as far as a last axis of length 1 makes the difference.

    If only one tensor has that axis, it is added to a vector, and else dropped, as `fit` does.
    """
    ranks = len(y_true.shape), len(y_pred.shape)
    if abs(ranks[0] - ranks[1]) != 1:
        return y_true, y_pred
    longer, shorter = (y_true, y_pred) if ranks[0] > ranks[1] else (y_pred, y_true)
    if longer.shape[-1] != 1:
        return y_true, y_pred
    if min(ranks) == 1:
        shorter = keras.ops.expand_dims(shorter, -1)
    else:
        longer = keras.ops.squeeze(longer, -1)
    return (longer, shorter) if ranks[0] > ranks[1] else (shorter, longer)


def kind_of_labels(y_true: Any, y_pred: Any) -> str:
    """`"binary"`, `"sparse"` or `"categorical"`, by Keras' rule for "accuracy" and "crossentropy"."""
    if y_pred.shape[-1] == 1:
        return "binary"
    fewer_axes = len(y_true.shape) < len(y_pred.shape)
    return "sparse" if fewer_axes or y_true.shape[-1] == 1 else "categorical"


def _leaves(nest: Any) -> list[Any]:
    """The leaves of a nest that aren't None."""
    return [leaf for leaf in keras.tree.flatten(nest) if leaf is not None]
