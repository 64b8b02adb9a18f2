"""A metric in the form that scoring needs."""

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

from keras_importance.engine.keras_internals import get_keras_mask
from keras_importance.engine.metrics.losses import (
    CompiledLoss,
    compiled_loss,
    has_own_loss,
    kind_of_labels,
    loss_of_output,
    row_values,
    same_rank,
)
from keras_importance.engine.metrics.outputs import Output, outputs_of
from keras_importance.errors import InvalidArgumentError, reason_of
from keras_importance.statistics.influence import generator

Array = NDArray[Any]

# Relative difference below which two scores count as the same.
_SAME = 1e-6

# The words of Keras' metrics for the better end of their scale.
_WORSE_IS = {"up": -1, "down": 1, None: None}

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
        takes_weights: whether `set_score` heeds the weights.
        worse_is: +1 where a larger value is worse, -1 where it is better; None where it isn't known.
    """

    name: str
    row_scores: Callable[[Any, Any], Any] | None = None
    set_score: Callable[[Any, Any, Any], Any] | None = None
    takes_weights: bool = True
    worse_is: int | None = None

    def resolved(
        self, y_true: Any, output_shapes: Sequence[tuple[int, ...]], weights: Any, seed: int
    ) -> Metric:
        """The same metric, tried out on the targets as their own prediction, right and shuffled.

        Learns which way the metric points, where it doesn't say so itself: right must be better than
        shuffled. Learns whether a loss is a mean over rows: else it is scored on all rows at once.

        Args:
            y_true: the targets of all rows.
            output_shapes: shapes of the model's outputs for all rows.
            weights: weights of the rows, or None.
            seed: seed of the shuffle.

        Raises:
            InvalidArgumentError: where the metric fails, or can't be told from noise.
        """
        right = _almost_perfect(y_true, output_shapes)
        if right is None:
            # The compiled loss, which alone comes in both forms, knows several outputs.
            is_loss = self.row_scores is not None and self.set_score is not None
            if self.worse_is is not None and (is_loss or len(output_shapes) == 1):
                return self
            raise InvalidArgumentError(
                f"got metric {self.name!r} and outputs of shapes {list(output_shapes)}, which the "
                "targets don't match. Pass metric='loss', or targets of the shape of a single output; "
                "of several outputs name one, as in metric='<output>_loss'; "
                "or give the callable an attribute direction='up' or 'down'."
            )
        shuffled = right[generator(seed, "metric").permutation(len(right))]
        try:
            metric = self._as_it_is_reduced(y_true, shuffled)
            good, bad = (metric.mean(y_true, y_pred, weights) for y_pred in (right, shuffled))
        except InvalidArgumentError:
            raise
        except Exception as error:
            if self.worse_is is not None and self.row_scores is not None:
                # The model's own loss or metric: it may rightly fail on what the model never returns.
                return self
            raise InvalidArgumentError(
                f"got metric {self.name!r}, which fails on predictions of shape {right.shape} for "
                f"targets of shape {np.shape(keras.tree.flatten(y_true)[0])} ({reason_of(error)}). Pass "
                "a callable (y_true, y_pred) that returns one value per row, or one number."
            ) from error
        if metric.worse_is is not None:
            return metric
        if not abs(good - bad) > _SAME * max(abs(good), abs(bad)):
            raise InvalidArgumentError(
                f"got metric {self.name!r}, which is {good:.4g} for right and {bad:.4g} for shuffled "
                "predictions, so it can't be told which way it points. Pass one that depends on how "
                "well y_pred fits y_true, and rows with different targets."
            )
        return replace(metric, worse_is=1 if good < bad else -1)

    def mean(self, y_true: Any, y_pred: Any, weights: Any) -> float:
        """The metric over all rows."""
        if self.row_scores is not None:
            return float(np.mean(_numpy(self.row_scores(y_true, y_pred))))
        return float(np.mean(self.checked_score(y_true, y_pred, weights)))

    def checked_score(self, y_true: Any, y_pred: Any, weights: Any) -> Array:
        """What `set_score` returns, as one value per row or one number.

        Raises:
            InvalidArgumentError: for a value that is neither.
        """
        assert self.set_score is not None  # noqa: S101 (only asked where row_scores is None)
        score = _numpy(self.set_score(y_true, y_pred, weights))
        n_rows = len(keras.tree.flatten(y_pred)[0])
        if score.dtype.kind not in "fiub":
            raise InvalidArgumentError(
                f"got metric {self.name!r}, which returned {score!r}. Let it return one value per row, "
                "or one number."
            )
        if score.ndim and (len(score) != n_rows or (score.ndim == 2 and score.shape[1] == n_rows > 1)):
            raise InvalidArgumentError(
                f"got metric {self.name!r}, which returned values of shape {score.shape} for {n_rows} "
                f"rows. Let it return one value per row, or one number; y_true has shape "
                f"{np.shape(keras.tree.flatten(y_true)[0])}, y_pred {np.shape(y_pred)}."
            )
        if score.ndim == 0 and weights is not None and not self.takes_weights:
            raise InvalidArgumentError(
                f"got metric {self.name!r}, which returns one number for all rows and takes no "
                "sample_weight, but the validation rows have weights. Let it return one value per row, "
                "or take sample_weight=."
            )
        return score.reshape(n_rows, -1).mean(axis=1) if score.ndim > 1 else score

    def _as_it_is_reduced(self, y_true: Any, y_pred: Any) -> Metric:
        """Without `row_scores` where their mean isn't what the metric itself says of all rows."""
        if self.row_scores is None:
            _check_broadcast(self, y_true, y_pred)
            return self
        if self.set_score is None:
            return self
        of_rows = float(np.mean(_numpy(self.row_scores(y_true, y_pred))))
        of_all = float(np.mean(_numpy(self.set_score(y_true, y_pred, None))))
        if np.isclose(of_rows, of_all, rtol=1e-3, atol=1e-6, equal_nan=True):
            return self
        return replace(self, row_scores=None)


@dataclass(frozen=True)
class _MetricOfOutput(Metric):
    """A metric of one of several outputs, which takes the targets and predictions of all."""

    of: Metric | None = None
    output: Output | None = None

    @classmethod
    def made(cls, of: Metric, output: Output) -> Metric:
        """The metric of an output, from one that takes this output alone."""

        def taking_all(function: Callable[..., Any] | None) -> Callable[..., Any] | None:
            if function is None:
                return None

            def taken(y_true: Any, y_pred: Any, *weights: Any) -> Any:
                return function(output.of_targets(y_true), output.of_predictions(y_pred), *weights)

            return taken

        return cls(
            name=of.name,
            row_scores=taking_all(of.row_scores),
            set_score=taking_all(of.set_score),
            takes_weights=of.takes_weights,
            worse_is=of.worse_is,
            of=of,
            output=output,
        )

    def resolved(
        self, y_true: Any, output_shapes: Sequence[tuple[int, ...]], weights: Any, seed: int
    ) -> Metric:
        """The same metric, tried out on the targets of its output."""
        assert self.of is not None and self.output is not None  # noqa: S101, PT018 (`made` knows both)
        shape = output_shapes[self.output.number]
        of = self.of.resolved(self.output.of_targets(y_true), [shape], weights, seed)
        return self.made(of, self.output)


def _check_broadcast(metric: Metric, y_true: Any, y_pred: Any) -> None:
    """Refuses a callable that subtracts `(n,)` from `(n, 1)` and so compares every row with every other.

    One that gives the same for both as columns and both as vectors, but another value for targets
    `(n,)` beside predictions `(n, 1)`, does.
    """
    target = keras.tree.flatten(y_true)[0]
    if metric.set_score is None or target.ndim != 1 or y_pred.shape != (len(target), 1):
        return
    forms = ((target[:, None], y_pred), (target, y_pred[:, 0]), (target, y_pred))
    values = []
    for form in forms:
        try:
            values.append(float(np.mean(_numpy(metric.set_score(*form, None)))))
        except Exception:  # noqa: BLE001 (a form that the callable wasn't written for)
            return
    as_columns, as_vectors, as_given = values
    if np.isclose(as_columns, as_vectors) and not np.isclose(as_given, as_vectors):
        raise InvalidArgumentError(
            f"got metric {metric.name!r}, which broadcasts y_true of shape {target.shape} against "
            f"y_pred of shape {y_pred.shape} to {(len(target),) * 2}. Use y_pred[:, 0] in it."
        )


def metric_from_argument(argument: Any, model: Any) -> Metric:
    """The metric that the user's `metric` argument means.

    Args:
        argument: `"loss"`, the name of a compiled metric, of several outputs `"<output>_loss"` or
            `"<output>_<metric>"`, a `keras.metrics.Metric` or a callable `(y_true, y_pred) -> per-row
            values or a scalar`.
        model: the compiled model.

    Raises:
        InvalidArgumentError: for an unknown name, a model without a loss, a metric without a copy.
    """
    if isinstance(argument, str):
        if argument == "loss":
            metric = _metric_of_loss("loss", compiled_loss(model))
            # A loss of the model's own may take more than targets and outputs: it has to be tried out.
            is_to_be_tried = has_own_loss(model) and not outputs_of(model)
            return replace(metric, worse_is=None) if is_to_be_tried else metric
        return _named_metric(argument, model)
    if isinstance(argument, keras.metrics.Metric):
        return _keras_metric(argument)
    if isinstance(argument, type):
        raise InvalidArgumentError(
            f"got the class {argument.__name__} as metric. Pass an instance: {argument.__name__}()."
        )
    if callable(argument):
        return _from_callable(argument)
    raise InvalidArgumentError(
        f"got metric={argument!r}. Pass 'loss', the name of a compiled metric, a keras.metrics.Metric "
        "or a callable (y_true, y_pred)."
    )


# --- compiled metrics, Keras metrics, callables -------------------------------------------------


def _metric_of_loss(name: str, loss: CompiledLoss) -> Metric:
    return Metric(
        name,
        row_scores=loss.of_rows,
        set_score=lambda y_true, y_pred, _weights: loss.of_all_rows(y_true, y_pred),
        takes_weights=False,
        worse_is=1,
    )


def _named_metric(name: str, model: Any) -> Metric:
    outputs = outputs_of(model)
    known = _of_outputs(model, outputs) if outputs else _of_single_output(model)
    if name not in known:
        names = ", ".join(repr(one) for one in ("loss", *known))
        raise InvalidArgumentError(
            f"got the unknown metric {name!r}. The model is compiled with {names}; pass one of them, a "
            "keras.metrics.Metric or a callable (y_true, y_pred)."
        )
    return known[name]()


def _of_single_output(model: Any) -> dict[str, Callable[[], Metric]]:
    """What makes each compiled metric, by its name."""
    given = [one for argument in _compiled_metrics(model) for one in keras.tree.flatten(argument)]
    return {_name_of(one): partial(_compiled_metric, one) for one in given if one is not None}


def _of_outputs(model: Any, outputs: Sequence[Output]) -> dict[str, Callable[[], Metric]]:
    """The same for the losses and metrics of several outputs, by their names in Keras' logs."""

    def of_loss(name: str, output: Output) -> Metric:
        return _MetricOfOutput.made(_metric_of_loss(name, loss_of_output(model, output)), output)

    def of_metric(name: str, metric: Any, output: Output) -> Metric:
        return _MetricOfOutput.made(replace(_compiled_metric(metric), name=name), output)

    known: dict[str, Callable[[], Metric]] = {}
    for output in outputs:
        if getattr(model, "loss", None) is not None and output.of_argument(model.loss) is not None:
            name = f"{output.name}_loss"
            known[name] = partial(of_loss, name, output)
        for argument in _compiled_metrics(model):
            for metric in keras.tree.flatten(output.of_argument(argument)):
                if metric is not None:
                    name = f"{output.name}_{_name_of(metric)}"
                    known[name] = partial(of_metric, name, metric, output)
    return known


def _compiled_metrics(model: Any) -> list[Any]:
    """What `compile` was given as metrics and as weighted metrics."""
    compiled = getattr(model, "_compile_metrics", None)
    # Keras resolves its metrics in the first training step; before it, only these attributes have them.
    names = ("_user_metrics", "_user_weighted_metrics")
    return [getattr(compiled, name, None) or [] for name in names]


def _compiled_metric(metric: Any) -> Metric:
    name = _name_of(metric)
    if isinstance(metric, keras.metrics.Metric):
        return _keras_metric(metric)
    if isinstance(metric, str) and name.lower() in ("accuracy", "acc"):
        return Metric(name, row_scores=_accuracy(), worse_is=-1)
    function = keras.metrics.get(metric)
    if not isinstance(function, keras.metrics.Metric):
        function = keras.metrics.MeanMetricWrapper(function)
    return replace(_keras_metric(function), name=name)


def _keras_metric(metric: Any) -> Metric:
    worse_is = _WORSE_IS.get(getattr(metric, "_direction", None))
    function = getattr(metric, "_fn", None)
    if isinstance(metric, keras.metrics.MeanMetricWrapper) and function is not None:
        arguments = getattr(metric, "_fn_kwargs", {})
        rows = _from_function(function, **arguments)
        return Metric(metric.name, row_scores=rows, worse_is=worse_is)

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

    return Metric(metric.name, set_score=set_score, worse_is=worse_is)


def _from_function(function: Callable[..., Any], **arguments: Any) -> Callable[[Any, Any], Any]:
    def row_scores(y_true: Any, y_pred: Any) -> Any:
        mask = get_keras_mask(y_pred)
        # Metric functions bring unequal ranks to terms themselves; cast as their wrapper would.
        y_pred = keras.ops.convert_to_tensor(y_pred, keras.config.floatx())
        y_true = keras.ops.convert_to_tensor(y_true, keras.config.floatx())
        return row_values(partial(function, **arguments), *same_rank(y_true, y_pred), mask)

    return row_scores


def _accuracy() -> Callable[[Any, Any], Any]:
    """Keras' "accuracy", which depends on the shapes of labels and outputs."""
    # Made here, not while a graph is traced: these objects come with variables.
    functions = {kind: _from_function(keras.metrics.get(name)._fn) for kind, name in _ACCURACY.items()}

    def row_scores(y_true: Any, y_pred: Any) -> Any:
        return functions[kind_of_labels(y_true, y_pred)](y_true, y_pred)

    return row_scores


def _from_callable(function: Callable[..., Any]) -> Metric:
    takes_weights = _takes(function, "sample_weight")

    def set_score(y_true: Any, y_pred: Any, weights: Any) -> Any:
        score = function(y_true, y_pred)
        # Values per row are weighted when they are averaged: weighting them here would do it twice.
        if takes_weights and weights is not None and np.ndim(score) == 0:
            return function(y_true, y_pred, sample_weight=weights)
        return score

    return Metric(
        _name_of(function),
        set_score=set_score,
        takes_weights=takes_weights,
        worse_is=_WORSE_IS.get(getattr(function, "direction", None)),
    )


def _takes(function: Callable[..., Any], parameter: str) -> bool:
    try:
        return parameter in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in callables have no signature
        return False


def _name_of(metric: Any) -> str:
    name = metric if isinstance(metric, str) else getattr(metric, "name", None)
    return str(name or getattr(metric, "__name__", type(metric).__name__))


def _almost_perfect(y_true: Any, output_shapes: Sequence[tuple[int, ...]]) -> Array | None:
    """The targets as predictions, a thousandth closer to their mean, as no label comes out exact.

    None where the targets aren't those of one output of this shape.
    """
    targets = keras.tree.flatten(y_true)
    if len(targets) != 1 or len(output_shapes) != 1:
        return None
    target, shape = np.asarray(targets[0]), tuple(output_shapes[0])
    if target.dtype.kind not in "fiub":
        return None
    size, n_classes = math.prod(shape), shape[-1]
    if target.size == size:
        right = target.reshape(shape).astype(np.float64)
    elif target.size * n_classes == size and are_classes(target, n_classes):
        right = np.eye(n_classes)[target.astype(int).reshape(shape[:-1])]
    else:
        return None
    return np.asarray(right + 1e-3 * (right.mean(axis=0) - right), keras.config.floatx())


def are_classes(target: Array, n_classes: int) -> bool:
    """Whether the targets are numbers of classes."""
    whole = np.array_equal(target, np.floor(target))
    return bool(whole and target.min() >= 0 and target.max() < n_classes)


def _numpy(value: Any) -> Array:
    flat = [np.asarray(keras.ops.convert_to_numpy(leaf)) for leaf in _leaves(value)]
    return flat[0] if len(flat) == 1 else np.asarray(flat)


def _leaves(value: Any) -> Iterable[Any]:
    return [value] if isinstance(value, (int, float, np.ndarray)) else keras.tree.flatten(value)
