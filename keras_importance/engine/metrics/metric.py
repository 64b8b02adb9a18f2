"""Metric: a loss or metric as scoring needs it, and the tries that make one from the user's argument."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_importance.data.arrays import mapped
from keras_importance.data.truth import Truth
from keras_importance.engine.metrics.losses import Forms
from keras_importance.engine.metrics.outputs import Output
from keras_importance.engine.metrics.row_form import RowForm, number
from keras_importance.engine.metrics.trial import Trial, Trials
from keras_importance.errors import InvalidArgumentError, reason_of
from keras_importance.statistics.arrays import Array, generator, unit_weights

# Relative difference below which two scores count as the same.
_SAME = 1e-6
# How near the score of all rows twice must come to twice the score, for a count.
_DOUBLED = 1e-3


@dataclass(frozen=True, eq=False)
class Metric:
    """A loss or metric whose direction is known, and whether it is a mean over rows.

    Attributes:
        name: its name in results.
        worse_is: +1 if a larger value is worse, -1 if it is better.
        of_rows: scores of each row, made of Keras operations, so they may be compiled together with the
            model; None if there are none.
        of_all: `(truth, y_pred, weights) -> score` of all rows at once, on NumPy arrays: a number, or
            values `(n_rows, ...)` of a user's function. It is used if `of_rows` is None.
        takes_weights: whether `of_all` uses the weights.
        is_weighted: whether sample weights count, as in all metrics but those of `compile(metrics=...)`.
        n_counted: for a metric that counts, how many rows it counts for; None for others. Its scores of
            fewer rows are multiplied, so that they are comparable.
        by_batch: whether the score is the mean of the scores of batches, each computed by the model as
            in `evaluate`. Then there are neither `of_rows` nor `of_all`.
    """

    name: str
    worse_is: int
    of_rows: RowForm | None = None
    of_all: Callable[[Truth, Any, Any], Any] | None = None
    takes_weights: bool = True
    is_weighted: bool = True
    n_counted: int | None = None
    by_batch: bool = False

    @property
    def row_scores(self) -> Callable[[Truth, Any], Any] | None:
        """`(truth, y_pred) -> (n_rows,)` scores of each row; None if there are none."""
        return None if self.of_rows is None else self.of_rows.scores

    def score(self, truth: Truth, y_pred: Any, weights: Any) -> Array:
        """The score of all rows at once: one number `()`, or `(n_rows,)` values of a user's function.

        Args:
            truth: what the predictions are scored against.
            y_pred: the nest of the model's outputs.
            weights: weights of the rows; None for equal ones.

        Raises:
            InvalidArgumentError: if it is neither, or one number that ignores the given weights.
        """
        if self.of_all is None:
            raise TypeError(f"{self.name!r} has no score of all rows at once.")
        n_rows = len(keras.tree.flatten(y_pred)[0])
        weights = weights if self.is_weighted else None
        given = None if weights is None else unit_weights(weights, n_rows)
        score = checked(self.name, self.of_all(truth, y_pred, given), truth, y_pred)
        if score.ndim == 0 and weights is not None and not self.takes_weights:
            raise InvalidArgumentError(
                f"got metric {self.name!r}, which returns one number for all rows and takes no "
                "sample_weight, but the validation rows have weights. Let it return one value per row, "
                "or take sample_weight=."
            )
        return score if self.n_counted is None else score * (self.n_counted / n_rows)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A loss or metric as the user named it, before it is tried on the model's predictions.

    Attributes:
        name: its name in results.
        forms: from the model's outputs for some rows to the forms of the loss of each output, or of the
            metric.
        worse_is: +1 if a larger value is worse, -1 if it is better; None if that isn't known.
        output: the output that it is a metric of; None for all outputs, or the only one.
        takes_weights: whether a score of all rows uses the weights of the rows.
        is_weighted: whether sample weights count.
        is_callable: whether it is a user's function on NumPy arrays.
        is_loss: whether it is a loss; the score of a loss that is a sum over rows is its mean.
    """

    name: str
    forms: Callable[[Any], Sequence[Forms]]
    worse_is: int | None = None
    output: Output | None = None
    takes_weights: bool = True
    is_weighted: bool = True
    is_callable: bool = False
    is_loss: bool = False

    def resolved(self, trials: Trials, seed: int) -> Metric:
        """The metric: it knows its direction, and whether it is a mean over rows.

        It is tried on the model's own predictions, see `Trial.agreeing_term`. If it has no declared
        direction, it is tried on the targets themselves and on the targets shuffled: the value for the
        targets themselves is the better one.

        Args:
            trials: the rows, with the model's predictions.
            seed: seed of the shuffle.

        Raises:
            InvalidArgumentError: if the metric fails, compares rows with other rows by broadcasting, or
                has no direction and can't tell the two predictions apart.
        """
        trials = trials if self.is_weighted else replace(trials, is_weighted=False)
        n_outputs = len(keras.tree.flatten(trials.some.predicted))
        if n_outputs > 1 and self.output is None and not self.is_loss and not self.is_callable:
            raise InvalidArgumentError(_why_no_match(self.name, trials.some))
        forms = self.forms(trials.some.predicted)
        of_rows, total = _row_form(forms, trials), _total(forms)
        metric = Metric(
            self.name, self.worse_is or 0, of_rows, total, self.takes_weights, self.is_weighted
        )
        if of_rows is None and not self.is_callable and _is_count(total, trials.some):
            metric = replace(metric, n_counted=1 if self.is_loss else trials.n_available)
        if self.worse_is is None:
            metric = replace(metric, worse_is=self._direction(metric, trials.blank, seed))
        return metric

    def _direction(self, metric: Metric, trial: Trial, seed: int) -> int:
        """+1 if the metric is larger for shuffled targets than for the targets themselves, else -1."""
        targets, outputs = trial.truth.targets, keras.tree.flatten(trial.predicted)
        if self.output is not None:
            targets = self.output.of_targets(targets)
            outputs = [outputs[self.output.index]]
        right = _almost_perfect(targets, [output.shape for output in outputs])
        if right is None:
            raise InvalidArgumentError(_why_no_match(self.name, trial))
        shuffled = right[generator(seed, "metric").permutation(len(right))]
        try:
            if self.is_callable:
                _check_broadcast(metric, trial.truth, shuffled)
            good, bad = (_mean(metric, trial, self.output, y_pred) for y_pred in (right, shuffled))
        except InvalidArgumentError:
            raise
        except Exception as error:
            raise InvalidArgumentError(
                f"got metric {self.name!r}, which fails on predictions of shape {right.shape} for "
                f"targets of shape {np.shape(keras.tree.flatten(targets)[0])} ({reason_of(error)}). "
                "Pass a callable (y_true, y_pred) that returns one value per row, or one number."
            ) from error
        if not abs(good - bad) > _SAME * max(abs(good), abs(bad)):
            raise InvalidArgumentError(
                f"got metric {self.name!r}, which is {good:.4g} for right and {bad:.4g} for shuffled "
                "predictions, so it can't be told which way it points. Pass one that depends on how "
                "well y_pred fits y_true, and rows with different targets."
            )
        return 1 if good < bad else -1


def _why_no_match(name: str, trial: Trial) -> str:
    """The error for targets that a metric can't be tried on."""
    shapes = [leaf.shape for leaf in keras.tree.flatten(trial.predicted)]
    return (
        f"got metric {name!r} and outputs of shapes {shapes}, which the targets don't match. Pass "
        "metric='loss', or targets of the shape of a single output; of several outputs name one, as in "
        "metric='<output>_loss'; or give the callable an attribute direction='up' or 'down'."
    )


def _total(forms: Sequence[Forms]) -> Callable[[Truth, Any, Any], Any]:
    """The score of all rows: the forms' own, added up with their scales."""
    if len(forms) == 1 and forms[0].scale is None:
        return forms[0].of_all

    def of_all(truth: Truth, y_pred: Any, weights: Any) -> float:
        values = [number(of_output.of_all(truth, y_pred, weights)) for of_output in forms]
        scales = [1.0 if of_output.scale is None else float(of_output.scale) for of_output in forms]
        return float(np.dot(scales, values))

    return of_all


def _row_form(forms: Sequence[Forms], trials: Trials) -> RowForm | None:
    """The scores of each row; None if one of the forms has no values of rows that agree with it."""
    terms = [trials.some.agreeing_term(of_output) for of_output in forms]
    known = [term for term in terms if term is not None]
    if not terms or len(known) < len(terms):
        return None
    sizes = [trials.some.size(term) for term in known]
    if any(size is not None for size in sizes):
        sizes = [trials.every.size(term) for term in known]
    return RowForm(known, [of_output.scale for of_output in forms], sizes)


def _is_count(of_all: Callable[[Truth, Any, Any], Any], trial: Trial) -> bool:
    """Whether the score of all rows twice is twice the score."""
    for other in trial.with_other_predictions():
        twice = other.only(np.tile(np.arange(other.n_rows), 2))
        once, doubled = (
            number(of_all(tried.truth, tried.predicted, tried.weights)) for tried in (other, twice)
        )
        if once != 0:
            return abs(doubled - 2 * once) <= _DOUBLED * abs(once)
    return False


def _mean(metric: Metric, trial: Trial, output: Output | None, y_pred: Array) -> float:
    """The metric over all rows of a trial, as one number, for other predictions of its output."""
    predicted = trial.predicted
    leaves = keras.tree.flatten(predicted)
    leaves[0 if output is None else output.index] = y_pred
    predicted = keras.tree.pack_sequence_as(predicted, leaves)
    if metric.row_scores is not None:
        tensors = mapped(keras.ops.convert_to_tensor, (trial.truth, predicted))
        return float(np.mean(as_array(metric.row_scores(*tensors))))
    return float(np.mean(metric.score(trial.truth, predicted, trial.weights)))


def checked(name: str, value: Any, truth: Truth, y_pred: Any) -> Array:
    """A score of all rows as one number of shape `()`, or as `(n_rows,)` values.

    Raises:
        InvalidArgumentError: if it is neither.
    """
    score = as_array(value)
    n_rows = len(keras.tree.flatten(y_pred)[0])
    if score.dtype.kind not in "fiub":
        raise InvalidArgumentError(
            f"got metric {name!r}, which returned {score!r}. Let it return one value per row, "
            "or one number."
        )
    if score.ndim and (len(score) != n_rows or (score.ndim == 2 and score.shape[1] == n_rows > 1)):
        raise InvalidArgumentError(
            f"got metric {name!r}, which returned values of shape {score.shape} for {n_rows} "
            f"rows. Let it return one value per row, or one number; y_true has shape "
            f"{np.shape(keras.tree.flatten(truth.targets)[0])}, y_pred {np.shape(y_pred)}."
        )
    return score.reshape(n_rows, -1).mean(axis=1) if score.ndim > 1 else score


def _check_broadcast(metric: Metric, truth: Truth, y_pred: Any) -> None:
    """Refuses a callable that subtracts `(n,)` from `(n, 1)` and so compares every row with every other.

    Such a callable has one value for two columns and for two vectors, but another value for targets
    `(n,)` and predictions `(n, 1)`.
    """
    target = keras.tree.flatten(truth.targets)[0]
    if metric.of_all is None or target.ndim != 1 or y_pred.shape != (len(target), 1):
        return
    forms = ((target[:, None], y_pred), (target, y_pred[:, 0]), (target, y_pred))
    values = []
    for y_true, predicted in forms:
        try:
            values.append(
                float(np.mean(as_array(metric.of_all(truth._replace(targets=y_true), predicted, None))))
            )
        except Exception:  # noqa: BLE001 (a form that the callable wasn't written for)
            return
    as_columns, as_vectors, as_given = values
    if np.isclose(as_columns, as_vectors) and not np.isclose(as_given, as_vectors):
        raise InvalidArgumentError(
            f"got metric {metric.name!r}, which broadcasts y_true of shape {target.shape} against "
            f"y_pred of shape {y_pred.shape} to {(len(target),) * 2}. Use y_pred[:, 0] in it."
        )


def _almost_perfect(y_true: Any, output_shapes: Sequence[tuple[int, ...]]) -> Array | None:
    """The targets as predictions, a thousandth closer to their mean: no model predicts exact labels.

    None unless the targets match a single output of the given shape.
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
    """Whether all targets are class indices: whole numbers from 0 to `n_classes - 1`."""
    whole = np.array_equal(target, np.floor(target))
    return bool(whole and target.min() >= 0 and target.max() < n_classes)


def as_array(value: Any) -> Array:
    """The result of a metric as one array; several parts become an array of the parts."""
    flat = [np.asarray(keras.ops.convert_to_numpy(leaf)) for leaf in _leaves(value)]
    return flat[0] if len(flat) == 1 else np.asarray(flat)


def _leaves(value: Any) -> Sequence[Any]:
    return [value] if isinstance(value, (int, float, np.ndarray)) else keras.tree.flatten(value)
