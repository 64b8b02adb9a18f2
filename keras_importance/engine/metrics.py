"""The metric that importance is measured in: the compiled loss, a Keras metric or a callable."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance.errors import InvalidArgumentError

Array = NDArray[Any]

_CROSSENTROPY = {
    "binary": "binary_crossentropy",
    "sparse": "sparse_categorical_crossentropy",
    "categorical": "categorical_crossentropy",
}
_ACCURACY = {
    "binary": "binary_accuracy",
    "sparse": "sparse_categorical_accuracy",
    "categorical": "categorical_accuracy",
}


@dataclass(frozen=True)
class Metric:
    """A metric in the form that scoring needs.

    Attributes:
        name: its name in results.
        row_scores: `(y_true, y_pred) -> (n_rows,)` made of Keras operations, so it may be compiled
            together with the model; None where there is no such form.
        set_score: `(y_true, y_pred, weights) -> scalar or (n_rows, ...)` of all rows at once, on
            NumPy arrays; used where `row_scores` is None.
        worse_is: +1 where a larger value is worse, -1 where it is better; None where only a look at
            the data can tell.
    """

    name: str
    row_scores: Callable[[Any, Any], Any] | None = None
    set_score: Callable[[Any, Any, Any], Any] | None = None
    worse_is: int | None = None

    def direction(self, y_true: Any, output_shapes: Sequence[tuple[int, ...]], seed: int) -> int:
        """+1 where a larger value is worse, -1 where it is better.

        Told from the metric itself: the targets as their own prediction must be better than the same
        targets shuffled.

        Raises:
            ValueError: where the metric can't tell the two apart.
        """
        if self.worse_is is not None:
            return self.worse_is
        right = _perfect_prediction(y_true, output_shapes)
        order = np.random.default_rng(seed).permutation(len(right))
        good, bad = self._mean(y_true, right), self._mean(y_true, right[order])
        if not np.isfinite(good - bad) or good == bad:
            raise ValueError(
                f"metric {self.name!r} is {good} for right and {bad} for shuffled predictions, so it "
                "can't be told which way it points. Pass a metric that depends on how well y_pred "
                "fits y_true, and rows with different targets."
            )
        return 1 if good < bad else -1

    def _mean(self, y_true: Any, y_pred: Any) -> float:
        if self.row_scores is not None:
            return float(np.mean(_numpy(self.row_scores(y_true, y_pred))))
        assert self.set_score is not None  # noqa: S101 (one of the two is always there)
        return float(np.mean(_numpy(self.set_score(y_true, y_pred, None))))


def metric_from_argument(argument: Any, model: Any, *, weighted: bool) -> Metric:
    """The metric that the user's `metric` argument means.

    Args:
        argument: `"loss"`, the name of a compiled metric, a `keras.metrics.Metric` or a callable
            `(y_true, y_pred) -> per-row values or a scalar`.
        model: the compiled model.
        weighted: whether the validation rows have weights, so the metric has to take them.

    Raises:
        InvalidArgumentError: for an unknown name, a model without a loss, a metric without a copy.
    """
    if isinstance(argument, str):
        if argument == "loss":
            return Metric("loss", row_scores=_compiled_loss(model), worse_is=1)
        return _named_metric(argument, model)
    if isinstance(argument, keras.metrics.Metric):
        return _keras_metric(argument)
    if callable(argument):
        return Metric(_name_of(argument), set_score=_from_callable(argument, weighted))
    raise InvalidArgumentError(
        f"got metric={argument!r}. Pass 'loss', the name of a compiled metric, a keras.metrics.Metric "
        "or a callable (y_true, y_pred)."
    )


# --- the compiled loss --------------------------------------------------------------------------


def _compiled_loss(model: Any) -> Callable[[Any, Any], Any]:
    """The compiled loss of each row; several outputs are added up with their `loss_weights`.

    Keras has no public per-row loss. Its regularisers are the same for every row and cancel out.
    """
    loss = getattr(model, "loss", None)
    if loss is None:
        raise InvalidArgumentError(
            "got metric='loss' and a model that was compiled without a loss. Compile it with one, or "
            "pass metric= as a callable (y_true, y_pred)."
        )
    # Keras keeps the loss in public and its weights here.
    weights = getattr(getattr(model, "_compile_loss", None), "_user_loss_weights", None)

    def row_scores(y_true: Any, y_pred: Any) -> Any:
        outputs = _flat_outputs(model, y_pred)
        n_outputs = len(outputs)
        targets = _for_each_output(y_true, list(outputs), n_outputs)
        losses = _for_each_output(loss, list(outputs), n_outputs, repeat=True)
        scales = _for_each_output(weights, list(outputs), n_outputs, repeat=True)
        total = 0.0
        for target, output, one, scale in zip(targets, outputs.values(), losses, scales, strict=True):
            if one is not None:
                rows = _loss_rows(one, target, output)
                total = total + (rows if scale is None else scale * rows)
        return total

    return row_scores


def _flat_outputs(model: Any, y_pred: Any) -> dict[Any, Any]:
    if isinstance(y_pred, dict):
        return dict(y_pred)
    flat = keras.tree.flatten(y_pred)
    names = getattr(model, "output_names", None) or range(len(flat))
    return dict(zip(names, flat, strict=True))


def _for_each_output(value: Any, names: list[Any], n_outputs: int, *, repeat: bool = False) -> list[Any]:
    if isinstance(value, dict):
        return [value.get(name) for name in names]
    if isinstance(value, (list, tuple)):
        return list(value)
    return [value] * n_outputs if repeat or n_outputs == 1 else keras.tree.flatten(value)


def _loss_rows(identifier: Any, y_true: Any, y_pred: Any) -> Any:
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        identifier = _CROSSENTROPY[_kind_of_labels(y_true, y_pred)]
    loss = keras.losses.get(identifier)
    dtype = getattr(loss, "dtype", keras.config.floatx())
    mask = getattr(y_pred, "_keras_mask", None)
    y_true = keras.tree.map_structure(lambda leaf: keras.ops.convert_to_tensor(leaf, dtype), y_true)
    y_pred = keras.tree.map_structure(lambda leaf: keras.ops.convert_to_tensor(leaf, dtype), y_pred)
    function = loss.call if isinstance(loss, keras.losses.Loss) else loss
    return _row_values(function, *_same_rank(y_true, y_pred), mask)


def _same_rank(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Targets `(n,)` beside outputs `(n, 1)` get their missing axis, as `fit` does it."""
    if len(y_true.shape) == 1 and len(y_pred.shape) == 2 and y_pred.shape[-1] == 1:
        return keras.ops.expand_dims(y_true, -1), y_pred
    if len(y_true.shape) == 2 and y_true.shape[-1] == 1 and len(y_pred.shape) == 1:
        return y_true, keras.ops.expand_dims(y_pred, -1)
    return y_true, y_pred


def _row_values(function: Callable[[Any, Any], Any], y_true: Any, y_pred: Any, mask: Any) -> Any:
    """One value a row, also of a function that averages over the rows it is given."""
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


# --- compiled metrics, Keras metrics, callables -------------------------------------------------


def _named_metric(name: str, model: Any) -> Metric:
    compiled = getattr(model, "_compile_metrics", None)
    # Keras resolves its metrics in the first training step; before it, only this attribute has them.
    given = [
        one
        for argument in ("_user_metrics", "_user_weighted_metrics")
        for one in keras.tree.flatten(getattr(compiled, argument, None) or [])
    ]
    known = {_name_of(one): one for one in given if one is not None}
    if name not in known:
        names = ", ".join(repr(one) for one in ("loss", *known))
        raise InvalidArgumentError(
            f"got the unknown metric {name!r}. The model is compiled with {names}; pass one of them, a "
            "keras.metrics.Metric or a callable (y_true, y_pred)."
        )
    metric = known[name]
    if isinstance(metric, keras.metrics.Metric):
        return _keras_metric(metric)
    if isinstance(metric, str) and name.lower() in ("accuracy", "acc"):
        return Metric(name, row_scores=_accuracy())
    function = keras.metrics.get(metric)
    if isinstance(function, keras.metrics.Metric):
        return replace(_keras_metric(function), name=name)
    return Metric(name, row_scores=_from_function(function))


def _keras_metric(metric: Any) -> Metric:
    function = getattr(metric, "_fn", None)
    if isinstance(metric, keras.metrics.MeanMetricWrapper) and function is not None:
        arguments = getattr(metric, "_fn_kwargs", {})
        return Metric(metric.name, row_scores=_from_function(function, **arguments))

    try:
        # The state of a metric that the model was compiled with belongs to the training.
        copy = type(metric).from_config(metric.get_config())
    except TypeError as error:
        raise InvalidArgumentError(
            f"got the metric {metric.name!r}, which can't be copied ({error}). Give its class a "
            "get_config() with all arguments of its constructor."
        ) from error

    def set_score(y_true: Any, y_pred: Any, weights: Any) -> float:
        copy.reset_state()
        copy.update_state(y_true, y_pred, sample_weight=weights)
        return float(np.mean(_numpy(copy.result())))

    return Metric(metric.name, set_score=set_score)


def _from_function(function: Callable[..., Any], **arguments: Any) -> Callable[[Any, Any], Any]:
    def row_scores(y_true: Any, y_pred: Any) -> Any:
        mask = getattr(y_pred, "_keras_mask", None)
        # Metric functions bring unequal ranks to terms themselves; cast as their wrapper would.
        y_pred = keras.ops.convert_to_tensor(y_pred, keras.config.floatx())
        y_true = keras.ops.convert_to_tensor(y_true, keras.config.floatx())
        return _row_values(partial(function, **arguments), *_same_rank(y_true, y_pred), mask)

    return row_scores


def _accuracy() -> Callable[[Any, Any], Any]:
    """Keras' "accuracy", which depends on the shapes of labels and outputs."""
    # Made here, not while a graph is traced: these objects come with variables.
    functions = {kind: _from_function(keras.metrics.get(name)._fn) for kind, name in _ACCURACY.items()}

    def row_scores(y_true: Any, y_pred: Any) -> Any:
        return functions[_kind_of_labels(y_true, y_pred)](y_true, y_pred)

    return row_scores


def _kind_of_labels(y_true: Any, y_pred: Any) -> str:
    """Keras' own rule for "accuracy" and "crossentropy"."""
    if y_pred.shape[-1] == 1:
        return "binary"
    fewer_axes = len(y_true.shape) < len(y_pred.shape)
    return "sparse" if fewer_axes or y_true.shape[-1] == 1 else "categorical"


def _from_callable(function: Callable[..., Any], weighted: bool) -> Callable[[Any, Any, Any], Any]:
    takes_weights = _takes(function, "sample_weight")

    def set_score(y_true: Any, y_pred: Any, weights: Any) -> Any:
        if takes_weights and weights is not None:
            return _numpy(function(y_true, y_pred, sample_weight=weights))
        values = _numpy(function(y_true, y_pred))
        if values.ndim == 0 and weighted and weights is not None:
            raise ValueError(
                f"metric {_name_of(function)!r} returns one number for all rows and takes no "
                "sample_weight, but the validation rows have weights. Let it return one value per row, "
                "or take sample_weight=."
            )
        return values

    return set_score


def _takes(function: Callable[..., Any], parameter: str) -> bool:
    try:
        return parameter in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in callables have no signature
        return False


def _name_of(metric: Any) -> str:
    name = metric if isinstance(metric, str) else getattr(metric, "name", None)
    return str(name or getattr(metric, "__name__", type(metric).__name__))


def _perfect_prediction(y_true: Any, output_shapes: Sequence[tuple[int, ...]]) -> Array:
    targets = keras.tree.flatten(y_true)
    if len(targets) != 1 or len(output_shapes) != 1:
        raise ValueError("a metric other than 'loss' needs a model with one output.")
    target, shape = np.asarray(targets[0]), tuple(output_shapes[0])
    size, n_classes = math.prod(shape), shape[-1]
    if target.size == size:
        return target.reshape(shape).astype(keras.config.floatx())
    if target.size * n_classes == size:
        classes = np.eye(n_classes, dtype=keras.config.floatx())
        return np.asarray(classes[target.astype(int).reshape(shape[:-1])])
    raise ValueError(
        f"targets of shape {target.shape} don't match outputs of shape {shape}, so it can't be told "
        "which way the metric points."
    )


def _numpy(value: Any) -> Array:
    flat = [np.asarray(keras.ops.convert_to_numpy(leaf)) for leaf in _leaves(value)]
    return flat[0] if len(flat) == 1 else np.asarray(flat)


def _leaves(value: Any) -> Iterable[Any]:
    return [value] if isinstance(value, (int, float, np.ndarray)) else keras.tree.flatten(value)
