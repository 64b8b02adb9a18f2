"""From the user's `metric` argument to a `Metric`: compiled metrics, Keras metrics, callables."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_importance.engine.keras_internals import (
    compiled_metrics,
    function_arguments,
    get_keras_mask,
    metric_direction,
    metric_function,
)
from keras_importance.engine.metrics.losses import (
    CompiledLoss,
    compiled_loss,
    has_own_loss,
    kind_of_labels,
    loss_of_output,
    row_values,
    same_rank,
)
from keras_importance.engine.metrics.metric import (
    Metric,
    MetricOfOutput,
    as_array,
)
from keras_importance.engine.metrics.outputs import Output, outputs_of
from keras_importance.errors import InvalidArgumentError, did_you_mean

# The words of Keras' metrics for the better end of their scale.
_WORSE_IS = {"up": -1, "down": 1, None: None}
_ACCURACY = {
    "binary": "binary_accuracy",
    "sparse": "sparse_categorical_accuracy",
    "categorical": "categorical_accuracy",
}


def metric_from_argument(argument: Any, model: Any) -> Metric:
    """The metric that the user's `metric` argument means.

    Args:
        argument: `"loss"`, or the name of a compiled metric, or a `keras.metrics.Metric`, or a callable
            `(y_true, y_pred) -> per-row values or a scalar`. For a model with several outputs, names
            are `"<output>_loss"` and `"<output>_<metric>"`.
        model: the compiled model.

    Raises:
        InvalidArgumentError: if the argument is none of these, the name is unknown, the model was
            compiled without a loss, or the metric can't be copied.
    """
    if isinstance(argument, str):
        if argument == "loss":
            metric = _metric_of_loss("loss", compiled_loss(model))
            # The model's own `compute_loss` may need more than targets and outputs: it is tried out.
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
        every = ("loss", *known)
        # Keras' logs name what is measured on validation rows so, and importance is measured there.
        bare = name.removeprefix("val_")
        meant = _did_you_mean_of_output(bare, every) or did_you_mean(bare, every)
        names = ", ".join(map(repr, every))
        raise InvalidArgumentError(
            f"got the unknown metric {name!r}.{meant} The model is compiled with {names}; pass one of "
            "them, a keras.metrics.Metric or a callable (y_true, y_pred), or compile the model with it: "
            f"metrics=[{name!r}]."
        )
    return known[name]()


def _did_you_mean_of_output(name: str, known: Sequence[str]) -> str:
    """`" Did you mean 'price_mae'?"` for the name of a metric without its output, else an empty text."""
    meant = [repr(other) for other in known if other.endswith(f"_{name}")]
    return f" Did you mean {' or '.join(meant)}?" if meant and name not in known else ""


def _of_single_output(model: Any) -> dict[str, Callable[[], Metric]]:
    """For each compiled metric, by its name, a function that makes the `Metric`."""
    metrics = [metric for argument in compiled_metrics(model) for metric in keras.tree.flatten(argument)]
    return {
        _name_of(metric): partial(_compiled_metric, metric) for metric in metrics if metric is not None
    }


def _of_outputs(model: Any, outputs: Sequence[Output]) -> dict[str, Callable[[], Metric]]:
    """For each loss and metric of an output, by its name in Keras' logs, a function that makes it."""

    def of_loss(name: str, output: Output) -> Metric:
        return MetricOfOutput.made(_metric_of_loss(name, loss_of_output(model, output)), output)

    def of_metric(name: str, metric: Any, output: Output) -> Metric:
        return MetricOfOutput.made(replace(_compiled_metric(metric), name=name), output)

    known: dict[str, Callable[[], Metric]] = {}
    for output in outputs:
        if getattr(model, "loss", None) is not None and output.of_argument(model.loss) is not None:
            name = f"{output.name}_loss"
            known[name] = partial(of_loss, name, output)
        for argument in compiled_metrics(model):
            for metric in keras.tree.flatten(output.of_argument(argument)):
                if metric is not None:
                    name = f"{output.name}_{_name_of(metric)}"
                    known[name] = partial(of_metric, name, metric, output)
    return known


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
    worse_is = _WORSE_IS.get(metric_direction(metric))
    function = metric_function(metric)
    if function is not None:
        rows = _from_function(function, **function_arguments(metric))
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
        return float(np.mean(as_array(copy.result())))

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
    # Made here, not while a graph is traced: these objects create variables.
    functions = {
        kind: _from_function(_function_of(keras.metrics.get(name))) for kind, name in _ACCURACY.items()
    }

    def row_scores(y_true: Any, y_pred: Any) -> Any:
        return functions[kind_of_labels(y_true, y_pred)](y_true, y_pred)

    return row_scores


def _function_of(metric: Any) -> Callable[..., Any]:
    function = metric_function(metric)
    if function is None:
        raise TypeError(f"{metric!r} has no function of rows.")
    return function


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
