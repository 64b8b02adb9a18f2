"""Keras metrics: the user's own object, called as Keras calls it, without touching its state."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from keras_importance.data.arrays import mapped
from keras_importance.data.truth import Truth
from keras_importance.engine.keras_internals import (
    function_arguments,
    makes_variables_later,
    metric_function,
)
from keras_importance.engine.metrics.losses import (
    Forms,
    Select,
    combined,
    each_row,
    in_type_of,
    kind_of_labels,
    same_rank,
    with_mask,
)
from keras_importance.engine.metrics.row_form import RowValues, Term, number, row_values

_BY_KIND: Mapping[str, Mapping[str, str]] = {
    "accuracy": {
        "binary": "binary_accuracy",
        "sparse": "sparse_categorical_accuracy",
        "categorical": "categorical_accuracy",
    },
}
_BY_KIND = {**_BY_KIND, "acc": _BY_KIND["accuracy"]}


def unweighted(forms: Forms) -> Forms:
    """The forms of a metric in which sample weights don't count."""

    def without(term: Term) -> Term:
        return lambda truth, y_pred: term(truth._replace(weights=None), y_pred)

    def of_all(truth: Truth, y_pred: Any, _weights: Any) -> Any:
        return forms.of_all(truth._replace(weights=None), y_pred, None)

    return Forms(of_all, [without(term) for term in forms.of_rows])


def forms_of_metric(metric: Any, select: Select) -> Forms:
    """The forms of a metric that `compile` or the user gave, for one output.

    Args:
        metric: a Keras metric, its name, or a function `(y_true, y_pred)` of tensors.
        select: selects the parts of the output.
    """
    if isinstance(metric, str) and metric.lower() in _BY_KIND:
        return _by_kind(metric.lower(), select)
    metric_object = as_metric(metric)
    function = metric_function(metric_object)
    of_rows: tuple[Term, ...] = ()
    if function is not None:
        arguments = function_arguments(metric_object)
        of_rows = _of_function(lambda *pair: function(*pair, **arguments), select)
    takes_weights = "sample_weight" in inspect.signature(metric_object.update_state).parameters

    def of_all(truth: Truth, y_pred: Any, weights: Any) -> Any:
        target, predicted, own, mask = select(truth, y_pred)
        weight = combined(own, weights)
        further = {"sample_weight": weight} if takes_weights else {}
        if function is not None:  # Keras leaves it to the function to bring unequal ranks to terms
            target, predicted = same_rank(*in_type_of(None, target, predicted))
        target = mapped(keras.ops.convert_to_tensor, target)
        return number(updated_once(metric_object, target, with_mask(predicted, mask), further))

    return Forms(of_all, of_rows)


def as_metric(metric: Any) -> Any:
    """The Keras metric that a name or function stands for in `compile`."""
    metric = keras.metrics.get(metric)
    if isinstance(metric, keras.metrics.Metric):
        return metric
    return keras.metrics.MeanMetricWrapper(metric, name=getattr(metric, "__name__", None))


def updated_once(metric: Any, y_true: Any, y_pred: Any, further: Mapping[str, Any]) -> Any:
    """The metric's result after one update from its initial state; its own state stays as it is."""
    with _attributes_kept(metric):
        if makes_variables_later(metric):
            metric.update_state(y_true, y_pred, **further)
            metric.reset_state()
        state = metric.stateless_reset_state()
        return metric.stateless_result(metric.stateless_update_state(state, y_true, y_pred, **further))


@contextmanager
def _attributes_kept(metric: Any) -> Iterator[None]:
    """Puts back lists and counts that a metric keeps beside its variables."""
    own = set(vars(metric)) - set(vars(keras.metrics.Mean()))
    kept = {
        name: copy.copy(value)
        for name, value in vars(metric).items()
        if name in own
        and isinstance(value, (list, dict, set, int, float, np.ndarray))
        and not isinstance(value, bool)  # such as whether it has made its variables
    }
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(metric, name, value)


def _of_function(function: Callable[[Any, Any], Any], select: Select) -> tuple[Term, ...]:
    """Terms of a metric that is the mean of a function: with the mask, without it, row by row."""

    def tensors(truth: Truth, y_pred: Any) -> tuple[Any, Any, Any, Any]:
        target, predicted, weights, mask = select(truth, y_pred)
        # Metric functions bring unequal ranks to terms themselves; cast as their wrapper would.
        target, predicted = in_type_of(None, target, predicted)
        return (*same_rank(target, predicted), weights, mask)

    def masked(truth: Truth, y_pred: Any) -> RowValues:
        target, predicted, weights, mask = tensors(truth, y_pred)
        return row_values(_of_each_row(function(target, predicted)), weights, mask, are_counted=True)

    def unmasked(truth: Truth, y_pred: Any) -> RowValues:
        target, predicted, weights, _ = tensors(truth, y_pred)
        return row_values(_of_each_row(function(target, predicted)), weights, are_counted=True)

    def row_by_row(truth: Truth, y_pred: Any) -> RowValues:
        target, predicted, weights, mask = tensors(truth, y_pred)
        if mask is not None or weights is not None:
            raise NotImplementedError("rows alone don't tell how much they count")
        return RowValues(each_row(function, target, predicted))

    return masked, unmasked, row_by_row


def _of_each_row(values: Any) -> Any:
    values = keras.ops.convert_to_tensor(values)
    if not values.shape:
        raise NotImplementedError("the metric returns one number for all rows")
    return values


def _by_kind(name: str, select: Select) -> Forms:
    """Keras' "accuracy", which depends on the shapes of labels and outputs."""
    # Made here, not while a graph is traced: these objects create variables.
    forms = {kind: forms_of_metric(metric, select) for kind, metric in _BY_KIND[name].items()}

    def of(truth: Truth, y_pred: Any) -> Forms:
        target, predicted, _, _ = select(truth, y_pred)
        return forms[kind_of_labels(target, predicted)]

    def term(index: int) -> Term:
        return lambda truth, y_pred: of(truth, y_pred).of_rows[index](truth, y_pred)

    return Forms(
        lambda truth, y_pred, weights: of(truth, y_pred).of_all(truth, y_pred, weights),
        [term(index) for index in range(len(forms["binary"].of_rows))],
    )
