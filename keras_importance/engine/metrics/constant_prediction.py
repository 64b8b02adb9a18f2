"""Scores of the best constant prediction, which a model that ignores all its inputs could reach."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_importance.data.arrays import mapped
from keras_importance.data.truth import Truth
from keras_importance.engine.metrics.losses import for_each_output
from keras_importance.engine.metrics.metric import Metric, are_classes
from keras_importance.statistics.arrays import Array, Floats, weighted_mean

# Each value of the constant is moved by itself: with more of them, the usual constants must do.
_MAX_SEARCHED = 16
_FIRST_STEP, _LAST_STEP = 1e-2, 1e-5
_MAX_ROUNDS = 60
_TINY = 1e-7


def constant_scores(
    metric: Metric, truth: Truth, few_outputs: Any, names: Sequence[str], weights: Floats | None
) -> Floats | None:
    """`(n_rows,)` scores of the best constant prediction; None if no constant has finite row scores.

    The candidates are the best constants of the usual losses: median and mean of the targets, or class
    frequencies. For models that return logarithms or log-odds, those of the mean are candidates too.
    The best candidate is improved by moving one value at a time, as other losses have other best
    constants.

    Args:
        metric: the resolved metric.
        truth: what predictions are scored against.
        few_outputs: the model's outputs for a few rows.
        names: names of the outputs.
        weights: weights of the rows; None for equal ones.
    """
    outputs = keras.tree.flatten(few_outputs)
    keys = list(few_outputs) if isinstance(few_outputs, dict) else list(names)
    if len(keys) != len(outputs):
        keys = list(map(str, range(len(outputs))))
    pairs = list(zip(for_each_output(truth.targets, keys, len(outputs)), outputs, strict=False))
    if len(pairs) != len(outputs):
        return None
    candidates = [list(_candidates(target, output, weights)) for target, output in pairs]
    if not all(candidates):
        return None
    scorer = _ConstantScorer(metric, truth, few_outputs, weights)
    best = [of_output[0] for of_output in candidates]
    for index, of_output in enumerate(candidates):
        moved = ([*best[:index], constant, *best[index + 1 :]] for constant in of_output)
        best = min(moved, key=scorer.mean)
    if sum(constant.value.size for constant in best) <= _MAX_SEARCHED:
        best = _improved(best, scorer)
    rows = scorer.rows(best)
    return None if rows is None or not np.all(np.isfinite(rows)) else rows


@dataclass(frozen=True, eq=False)
class _Constant:
    """A constant prediction of one output, and the range in which its values may be moved."""

    value: Array
    low: float
    high: float

    def moved(self, position: int, by: float) -> _Constant:
        """The constant with one of its values moved, within the range."""
        value = self.value.copy()
        value.flat[position] = min(max(value.flat[position] + by, self.low), self.high)
        return _Constant(value, self.low, self.high)


@dataclass(frozen=True, eq=False)
class _ConstantScorer:
    """Scores constants by the metric; for `mean`, lower is better."""

    metric: Metric
    truth: Truth
    few_outputs: Any
    weights: Floats | None

    def mean(self, constants: Sequence[_Constant]) -> float:
        """The weighted mean of the row scores, lower for better; infinite without finite row scores."""
        rows = self.rows(constants)
        if rows is None or not np.all(np.isfinite(rows)):
            return math.inf
        return self.metric.worse_is * float(weighted_mean(rows, self.weights))

    def rows(self, constants: Sequence[_Constant]) -> Floats | None:
        """`(n_rows,)` scores of one constant per output; None if the metric has no row scores."""
        leaves = keras.tree.flatten(self.few_outputs)
        n_rows = len(keras.tree.flatten(self.truth.targets)[0])
        predicted = keras.tree.pack_sequence_as(
            self.few_outputs,
            [
                np.broadcast_to(constant.value.astype(leaf.dtype), (n_rows, *leaf.shape[1:]))
                for constant, leaf in zip(constants, leaves, strict=True)
            ],
        )
        if self.metric.row_scores is not None:
            tensors = mapped(keras.ops.convert_to_tensor, (self.truth, predicted))
            scores = keras.ops.convert_to_numpy(self.metric.row_scores(*tensors))
        else:
            scores = self.metric.score(self.truth, predicted, None)
        return np.asarray(scores, np.float64) if np.shape(scores) == (n_rows,) else None


def _candidates(target: Any, output: Array, weights: Floats | None) -> Iterator[_Constant]:
    """The best constants of the usual losses for one output."""
    if not isinstance(target, np.ndarray) or target.dtype.kind not in "fiub":
        return
    n_rows, shape = len(target), output.shape[1:]
    if target.size == n_rows * math.prod(shape):
        values = target.reshape(n_rows, *shape).astype(np.float64)
        low, high = float(values.min()), float(values.max())
        yield _Constant(np.asarray(np.median(values, axis=0)), low, high)
    elif shape and target.size * shape[-1] == n_rows * math.prod(shape):
        classes = target.reshape(n_rows, *shape[:-1])
        if not are_classes(classes, shape[-1]):
            return
        values = np.eye(shape[-1])[classes.astype(np.int64)]
        low, high = 0.0, 1.0
    else:
        return
    mean = np.asarray(np.average(values, axis=0, weights=weights))
    yield _Constant(mean, low, high)
    for link in _links(mean):
        yield _Constant(link, float(link.min()) - 10, float(link.max()) + 10)


def _links(mean: Array) -> Iterator[Array]:
    """The logarithm and the log-odds of the mean, as far as they exist."""
    if np.all(mean >= 0):
        yield np.log(np.maximum(mean, _TINY))
        if np.all(mean <= 1):
            clipped = np.clip(mean, _TINY, 1 - _TINY)
            yield np.log(clipped / (1 - clipped))


def _improved(best: list[_Constant], scorer: _ConstantScorer) -> list[_Constant]:
    """The constants, moved one value at a time as long as the score gets better."""
    score, step = scorer.mean(best), _FIRST_STEP
    for _ in range(_MAX_ROUNDS):
        before = score
        for index, constant in enumerate(best):
            scale = step * (constant.high - constant.low)
            for position in range(constant.value.size):
                for by in (scale, -scale):
                    moved = [*best]
                    moved[index] = best[index].moved(position, by)
                    mean = scorer.mean(moved)
                    if mean < score:
                        best, score = moved, mean
                        break
        gained = before - score
        if gained <= 1e-6 * abs(score) and step == _FIRST_STEP:
            return best  # it was the best already, as it is for the usual losses
        step = step * 2 if gained > 0 else step / 4
        if step < _LAST_STEP:
            break
    return best
