"""A metric in the form that scoring needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_importance.engine.metrics.outputs import Output
from keras_importance.errors import InvalidArgumentError, reason_of
from keras_importance.statistics.arrays import Array, generator

# Relative difference below which two scores count as the same.
_SAME = 1e-6


@dataclass(frozen=True)
class Metric:
    """A metric in the form that scoring needs.

    Attributes:
        name: its name in results.
        row_scores: `(y_true, y_pred) -> (n_rows,)` made of Keras operations, so it may be compiled
            together with the model; None if there is no such form.
        set_score: `(y_true, y_pred, weights) -> scalar or (n_rows, ...)` for all rows at once, on
            NumPy arrays; used if `row_scores` is None.
        takes_weights: whether `set_score` uses the weights.
        worse_is: +1 if a larger value is worse, -1 if it is better; None if that isn't known.
    """

    name: str
    row_scores: Callable[[Any, Any], Any] | None = None
    set_score: Callable[[Any, Any, Any], Any] | None = None
    takes_weights: bool = True
    worse_is: int | None = None

    def resolved(
        self, y_true: Any, output_shapes: Sequence[tuple[int, ...]], weights: Any, seed: int
    ) -> Metric:
        """The resolved metric: it knows its direction, and whether it is a mean over rows.

        The metric is tried on two predictions: the targets themselves, and the targets shuffled. If it
        has no declared direction, the value for the targets themselves is the better one. A loss that
        isn't a mean over rows loses its `row_scores`: it is then scored on all rows at once.

        Args:
            y_true: the targets of all rows.
            output_shapes: shapes of the model's outputs for all rows.
            weights: weights of the rows, or None.
            seed: seed of the shuffle.

        Raises:
            InvalidArgumentError: if the metric fails, compares rows with other rows by broadcasting, or
                has no direction and can't tell the two predictions apart.
        """
        right = _almost_perfect(y_true, output_shapes)
        if right is None:
            # The compiled loss handles several outputs. It alone has both forms of scores.
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
                # The model's own loss or metric may fail on predictions that the model never returns.
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
        """The metric over all rows, as one number; only `set_score` gets the weights."""
        if self.row_scores is not None:
            return float(np.mean(as_array(self.row_scores(y_true, y_pred))))
        return float(np.mean(self.checked_score(y_true, y_pred, weights)))

    def checked_score(self, y_true: Any, y_pred: Any, weights: Any) -> Array:
        """The result of `set_score`: `(n_rows,)` values, or one number of shape `()`.

        Raises:
            InvalidArgumentError: if it is neither, or one number that ignores the given weights.
        """
        assert self.set_score is not None  # noqa: S101 (only asked where row_scores is None)
        score = as_array(self.set_score(y_true, y_pred, weights))
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
        """The metric, without `row_scores` if their mean differs from the metric of all rows."""
        if self.row_scores is None:
            _check_broadcast(self, y_true, y_pred)
            return self
        if self.set_score is None:
            return self
        of_rows = float(np.mean(as_array(self.row_scores(y_true, y_pred))))
        of_all = float(np.mean(as_array(self.set_score(y_true, y_pred, None))))
        if np.isclose(of_rows, of_all, rtol=1e-3, atol=1e-6, equal_nan=True):
            return self
        return replace(self, row_scores=None)


@dataclass(frozen=True)
class MetricOfOutput(Metric):
    """A metric of one of several outputs, which takes the targets and predictions of all outputs.

    Attributes:
        of: the same metric, which takes the targets and predictions of its output alone.
        output: the output.
    """

    of: Metric | None = None
    output: Output | None = None

    @classmethod
    def made(cls, of: Metric, output: Output) -> Metric:
        """The metric of an output, made from the metric `of` that takes this output alone."""

        def taking_all(function: Callable[..., Any] | None) -> Callable[..., Any] | None:
            if function is None:
                return None

            def of_output(y_true: Any, y_pred: Any, *weights: Any) -> Any:
                return function(output.of_targets(y_true), output.of_predictions(y_pred), *weights)

            return of_output

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
        """The resolved metric, tried on the targets of its output; see `Metric.resolved`."""
        assert self.of is not None and self.output is not None  # noqa: S101, PT018 (`made` knows both)
        shape = output_shapes[self.output.index]
        of = self.of.resolved(self.output.of_targets(y_true), [shape], weights, seed)
        return self.made(of, self.output)


def _check_broadcast(metric: Metric, y_true: Any, y_pred: Any) -> None:
    """Refuses a callable that subtracts `(n,)` from `(n, 1)` and so compares every row with every other.

    Such a callable has one value for two columns and for two vectors, but another value for targets
    `(n,)` and predictions `(n, 1)`.
    """
    target = keras.tree.flatten(y_true)[0]
    if metric.set_score is None or target.ndim != 1 or y_pred.shape != (len(target), 1):
        return
    forms = ((target[:, None], y_pred), (target, y_pred[:, 0]), (target, y_pred))
    values = []
    for form in forms:
        try:
            values.append(float(np.mean(as_array(metric.set_score(*form, None)))))
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


def _leaves(value: Any) -> Iterable[Any]:
    return [value] if isinstance(value, (int, float, np.ndarray)) else keras.tree.flatten(value)
