"""From the user's `metric` argument to a `Candidate`: the loss, compiled metrics, callables."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_importance.data.truth import Truth
from keras_importance.engine.keras_internals import compiled_metrics, metric_direction
from keras_importance.engine.metrics.keras_metrics import as_metric, forms_of_metric, unweighted
from keras_importance.engine.metrics.losses import Forms, compiled_loss, forms_of_loss, selection
from keras_importance.engine.metrics.metric import Candidate
from keras_importance.engine.metrics.outputs import Output, outputs_of
from keras_importance.errors import InvalidArgumentError, did_you_mean

# The words of Keras' metrics for the better end of their scale.
_WORSE_IS = {"up": -1, "down": 1, None: None}


def metric_from_argument(argument: Any, model: Any) -> Candidate:
    """The metric that the user's `metric` argument means.

    Args:
        argument: `"loss"`, or the name of a compiled metric, or a `keras.metrics.Metric`, or a callable
            `(y_true, y_pred) -> per-row values or a scalar`. For a model with several outputs, names
            are `"<output>_loss"` and `"<output>_<metric>"`.
        model: the compiled model.

    Raises:
        InvalidArgumentError: if the argument is none of these, or the name is unknown.
    """
    if isinstance(argument, str):
        if argument == "loss":
            return Candidate("loss", partial(compiled_loss, model), worse_is=1, is_loss=True)
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


def _named_metric(name: str, model: Any) -> Candidate:
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


def _of_single_output(model: Any) -> dict[str, Callable[[], Candidate]]:
    """For each compiled metric, by its name, a function that makes the `Candidate`."""
    return {
        _name_of(metric): partial(_keras_metric, metric, is_weighted=bool(is_weighted))
        for is_weighted, argument in enumerate(compiled_metrics(model))
        for metric in keras.tree.flatten(argument)
        if metric is not None
    }


def _of_outputs(model: Any, outputs: Sequence[Output]) -> dict[str, Callable[[], Candidate]]:
    """For each loss and metric of an output, by its name in Keras' logs, a function that makes it."""
    known: dict[str, Callable[[], Candidate]] = {}
    for output in outputs:
        if getattr(model, "loss", None) is not None and output.of_argument(model.loss) is not None:
            name = f"{output.name}_loss"
            known[name] = partial(_loss_of_output, name, model, output)
        for is_weighted, argument in enumerate(compiled_metrics(model)):
            for metric in keras.tree.flatten(output.of_argument(argument)):
                if metric is not None:
                    name = f"{output.name}_{_name_of(metric)}"
                    known[name] = partial(
                        _keras_metric, metric, name, output, is_weighted=bool(is_weighted)
                    )
    return known


def _loss_of_output(name: str, model: Any, output: Output) -> Candidate:
    """The compiled loss of one of several outputs, without its weight in the total loss."""

    def forms(_outputs: Any) -> list[Forms]:
        return [forms_of_loss(output.of_argument(model.loss), selection(output))]

    return Candidate(name, forms, worse_is=1, output=output, is_loss=True)


def _keras_metric(
    metric: Any, name: str | None = None, output: Output | None = None, *, is_weighted: bool = True
) -> Candidate:
    """A Keras metric, or what `compile` takes for one, of the only output or of one of several.

    Args:
        metric: the metric.
        name: its name in Keras' logs; None for its own.
        output: the output; None for the only one.
        is_weighted: whether sample weights count, as in `weighted_metrics`.
    """
    of_metric = forms_of_metric(metric, selection(output))
    of_metric = of_metric if is_weighted else unweighted(of_metric)
    is_accuracy = isinstance(metric, str) and metric.lower() in ("accuracy", "acc")
    worse_is = -1 if is_accuracy else _WORSE_IS.get(metric_direction(as_metric(metric)))
    return Candidate(
        name or _name_of(metric),
        lambda _outputs: [of_metric],
        worse_is,
        output,
        is_weighted=is_weighted,
    )


def _from_callable(function: Callable[..., Any]) -> Candidate:
    takes_weights = _takes(function, "sample_weight")

    def of_all(truth: Truth, y_pred: Any, weights: Any) -> Any:
        score = function(truth.targets, y_pred)
        # Values per row are weighted when they are averaged: weighting them here would do it twice.
        if takes_weights and weights is not None and np.ndim(score) == 0:
            return function(truth.targets, y_pred, sample_weight=weights)
        return score

    return Candidate(
        _name_of(function),
        lambda _outputs: [Forms(of_all, ())],
        worse_is=_WORSE_IS.get(getattr(function, "direction", None)),
        takes_weights=takes_weights,
        is_callable=True,
    )


def _takes(function: Callable[..., Any], parameter: str) -> bool:
    try:
        return parameter in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in callables have no signature
        return False


def _name_of(metric: Any) -> str:
    name = metric if isinstance(metric, str) else getattr(metric, "name", None)
    return str(name or getattr(metric, "__name__", type(metric).__name__))
