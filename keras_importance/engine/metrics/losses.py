"""The compiled loss, of each row and of all rows."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras

from keras_importance.engine.keras_internals import compiled_loss_weights, get_keras_mask
from keras_importance.engine.metrics.outputs import Output
from keras_importance.errors import NotEvaluableError

_CROSSENTROPY = {
    "binary": "binary_crossentropy",
    "sparse": "sparse_categorical_crossentropy",
    "categorical": "categorical_crossentropy",
}


@dataclass(frozen=True)
class CompiledLoss:
    """The loss that a model was compiled with.

    Attributes:
        of_rows: `(y_true, y_pred) -> (n_rows,)` losses, made of Keras operations.
        of_all_rows: `(y_true, y_pred) -> float`, the loss as it reduces the rows itself.
    """

    of_rows: Callable[[Any, Any], Any]
    of_all_rows: Callable[[Any, Any], float]


def compiled_loss(model: Any) -> CompiledLoss:
    """The compiled loss, of each row and of all rows; outputs are added up with their `loss_weights`.

    Keras has no public loss of each row. Regularisation is left out: it is the same for every row, so it
    cancels in differences of losses.

    Raises:
        InvalidArgumentError: if the model was compiled without a loss.
    """
    if has_own_loss(model):
        return _own_loss(model)
    loss = getattr(model, "loss", None)
    if loss is None:
        raise NotEvaluableError(
            "got metric='loss' and a model that was compiled without a loss. Compile it with one, or "
            "pass metric= as a callable (y_true, y_pred)."
        )
    weights = compiled_loss_weights(model)

    def total(of_output: Callable[[Any, Any, Any], Any], y_true: Any, y_pred: Any) -> Any:
        outputs = _flat_outputs(model, y_pred)
        n_outputs = len(outputs)
        targets = for_each_output(y_true, list(outputs), n_outputs)
        losses = for_each_output(loss, list(outputs), n_outputs, repeat=True)
        scales = for_each_output(weights, list(outputs), n_outputs, repeat=True)
        summed = 0.0
        parts = zip(targets, outputs.values(), losses, scales, strict=True)
        for target, output, loss_of_output, scale in parts:
            if loss_of_output is not None:
                value = of_output(loss_of_output, target, output)
                summed = summed + (value if scale is None else scale * value)
        return summed

    def of_all_rows(y_true: Any, y_pred: Any) -> float:
        return float(keras.ops.convert_to_numpy(total(_loss_of_all, y_true, y_pred)))

    return CompiledLoss(of_rows=partial(total, _loss_rows), of_all_rows=of_all_rows)


def has_own_loss(model: Any) -> bool:
    """Whether the model's class has its own `compute_loss`."""
    return type(model).compute_loss is not keras.Model.compute_loss


def _own_loss(model: Any) -> CompiledLoss:
    """The loss by the model's own `compute_loss`, with `x=None`; for `of_rows` row by row."""
    takes_training = "training" in inspect.signature(model.compute_loss).parameters
    further = {"training": False} if takes_training else {}

    def loss(y_true: Any, y_pred: Any) -> Any:
        value = model.compute_loss(x=None, y=y_true, y_pred=y_pred, sample_weight=None, **further)
        return keras.ops.convert_to_tensor(value)

    def of_rows(y_true: Any, y_pred: Any) -> Any:
        rows = keras.tree.map_structure(keras.ops.convert_to_tensor, (y_true, y_pred))

        def of_row(row: Any) -> Any:
            alone = keras.tree.map_structure(lambda leaf: leaf[None], row)
            return keras.ops.mean(loss(*alone))

        return keras.ops.vectorized_map(of_row, rows)

    def of_all_rows(y_true: Any, y_pred: Any) -> float:
        tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, (y_true, y_pred))
        return float(keras.ops.convert_to_numpy(keras.ops.mean(loss(*tensors))))

    return CompiledLoss(of_rows=of_rows, of_all_rows=of_all_rows)


def loss_of_output(model: Any, output: Output) -> CompiledLoss:
    """The compiled loss of one of several outputs, without its weight in the total loss."""
    identifier = output.of_argument(model.loss)

    def of_all_rows(y_true: Any, y_pred: Any) -> float:
        return float(keras.ops.convert_to_numpy(_loss_of_all(identifier, y_true, y_pred)))

    return CompiledLoss(of_rows=partial(_loss_rows, identifier), of_all_rows=of_all_rows)


def _flat_outputs(model: Any, y_pred: Any) -> dict[Any, Any]:
    if isinstance(y_pred, dict):
        return dict(y_pred)
    flat = keras.tree.flatten(y_pred)
    names = getattr(model, "output_names", None) or range(len(flat))
    return dict(zip(names, flat, strict=True))


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


def _loss_rows(identifier: Any, y_true: Any, y_pred: Any) -> Any:
    """The loss of each row of one output."""
    mask = get_keras_mask(y_pred)
    function, y_true, y_pred = _loss_function(identifier, y_true, y_pred)
    return row_values(function, y_true, y_pred, mask)


def _loss_of_all(identifier: Any, y_true: Any, y_pred: Any) -> Any:
    """The loss of all rows of one output, as the function itself reduces them."""
    function, y_true, y_pred = _loss_function(identifier, y_true, y_pred)
    return keras.ops.mean(function(y_true, y_pred))


def _loss_function(identifier: Any, y_true: Any, y_pred: Any) -> tuple[Callable[..., Any], Any, Any]:
    """The unreduced loss function, and its arguments in the type and rank that it needs."""
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        identifier = _CROSSENTROPY[kind_of_labels(y_true, y_pred)]
    loss = keras.losses.get(identifier)
    dtype = getattr(loss, "dtype", keras.config.floatx())
    y_true = keras.tree.map_structure(lambda leaf: keras.ops.convert_to_tensor(leaf, dtype), y_true)
    y_pred = keras.tree.map_structure(lambda leaf: keras.ops.convert_to_tensor(leaf, dtype), y_pred)
    if isinstance(loss, keras.losses.Loss):
        return loss.call, y_true, y_pred
    return loss, *same_rank(y_true, y_pred)


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


def row_values(function: Callable[[Any, Any], Any], y_true: Any, y_pred: Any, mask: Any) -> Any:
    """`(n_rows,)` values of a function of rows; a function that averages over rows is called row by row.

    With a mask, only unmasked steps of a row count.
    """
    values = keras.ops.convert_to_tensor(function(y_true, y_pred))
    if len(values.shape) == 0:
        values = keras.ops.vectorized_map(
            lambda row: keras.ops.convert_to_tensor(function(row[0][None], row[1][None])),
            (y_true, y_pred),
        )
    return _mean_of_each_row(values, mask)


def _mean_of_each_row(values: Any, mask: Any) -> Any:
    """Mean over all axes but the first; with a mask, over its true entries."""
    rank = len(values.shape)
    axes = tuple(range(1, rank))
    if not axes:
        return values
    if mask is None or len(mask.shape) > rank:
        return keras.ops.mean(values, axis=axes)
    valid = keras.ops.cast(mask, values.dtype)
    valid = keras.ops.reshape(valid, (*mask.shape, *([1] * (rank - len(mask.shape)))))
    valid = keras.ops.broadcast_to(valid, keras.ops.shape(values))
    count = keras.ops.maximum(keras.ops.sum(valid, axis=axes), 1)
    return keras.ops.sum(values * valid, axis=axes) / count


def kind_of_labels(y_true: Any, y_pred: Any) -> str:
    """`"binary"`, `"sparse"` or `"categorical"`, by Keras' rule for "accuracy" and "crossentropy"."""
    if y_pred.shape[-1] == 1:
        return "binary"
    fewer_axes = len(y_true.shape) < len(y_pred.shape)
    return "sparse" if fewer_axes or y_true.shape[-1] == 1 else "categorical"
