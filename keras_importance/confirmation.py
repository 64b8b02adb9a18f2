"""Does the loss hold without the useless features? Retrains with and without them, in pairs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance.arguments import share, whole_number
from keras_importance.data import ValidationData
from keras_importance.engine import Evaluator, no_footprint
from keras_importance.errors import InvalidArgumentError
from keras_importance.features import FeatureSet
from keras_importance.progress import progress_bar
from keras_importance.statistics import (
    Floats,
    influence_standard_error,
    tail_quantile,
    weighted_mean,
)

Array = NDArray[Any]
_OWN = ("x", "y", "validation_data", "validation_split", "sample_weight")


@dataclass(frozen=True, eq=False)
class Confirmation:
    """What retraining without some features did to the validation loss.

    Attributes:
        features: names of the features that were left out together.
        losses: `(n_seeds, 2)` validation losses with all features, and without these.
        increase: mean over seeds and rows of the loss without minus the loss with them.
        std_error: its standard error, from rows and seeds.
        bound: one-sided upper bound of the increase, at `1 - alpha`.
        threshold: `min_share` times what the full models explain beyond the best constant prediction.
        n_trainings: how many trainings it took.
        seconds: how long they took.
    """

    features: tuple[str, ...]
    losses: Floats
    increase: float
    std_error: float
    bound: float
    threshold: float
    n_trainings: int
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether the loss stays within the threshold without the features."""
        return self.bound < self.threshold

    def __str__(self) -> str:
        verdict = "holds" if self.holds else "is not sure to hold"
        with_all, without = self.losses.mean(axis=0)
        return (
            f"The loss {verdict} without {', '.join(self.features)}: {with_all:.4g} with, {without:.4g} "
            f"without; increase {self.increase:.3g}, at most {self.bound:.3g} with a threshold of "
            f"{self.threshold:.3g} ({self.n_trainings} trainings, {self.seconds:.3g} s)."
        )


@dataclass(frozen=True, eq=False)
class _Split:
    training: ValidationData
    validation: ValidationData

    def without(self, columns: Sequence[tuple[int, int]]) -> _Split:
        """Both parts with some columns set to one value, that of the training rows."""
        values = [_usual(_column(self.training.inputs[place], column)) for place, column in columns]
        parts = (self.training, self.validation)
        return _Split(*(_with_values(part, columns, values) for part in parts))


def confirmed(
    build_model: Callable[[], Any],
    x: Any,
    y: Any,
    useless: Sequence[str],
    *,
    validation_data: Any = None,
    validation_split: float = 0.2,
    features: Any = None,
    fit_kwargs: Mapping[str, Any] | None = None,
    n_seeds: int = 3,
    min_share: float = 0.01,
    alpha: float = 0.05,
    seed: int = 0,
    verbose: int = 0,
) -> Confirmation:
    """Retrains with and without some features; see `FeatureImportance.confirm`."""
    n_seeds = whole_number("n_seeds", n_seeds, at_least=2)
    min_share = share("min_share", min_share, example="a number between 0 and 1", below=1)
    alpha = share("alpha", alpha, example="a number between 0 and 1", below=1)
    given = dict(fit_kwargs or {})
    for name in _OWN:
        if name in given:
            raise InvalidArgumentError(
                f"got {name!r} in fit_kwargs, which it sets itself. Pass it as an argument of its own."
            )
    split = _split(x, y, validation_data, validation_split)
    named = FeatureSet.from_argument(
        features, split.training.columns, in_written_order=split.training.in_written_order
    )
    parts = (split, split.without(_columns_of(named, useless)))
    started, losses, rows, explained = time.perf_counter(), [], [], []
    with (
        no_footprint(None),
        progress_bar(2 * n_seeds, "confirm", unit="training", shown=bool(verbose)) as bar,
    ):
        for number in range(n_seeds):
            pair = []
            for part in parts:
                evaluator = _trained(build_model, part, named, given, seed + number)
                pair.append(evaluator.baseline_scores())
                bar.update(1)
                if part is split:
                    explained.append(_explained(evaluator, pair[0]))
            losses.append([float(weighted_mean(one, split.validation.weights)) for one in pair])
            rows.append(pair[1] - pair[0])
    increase, error, degrees = _mean_of_seeds(np.stack(rows), split.validation)
    return Confirmation(
        features=tuple(useless),
        losses=np.array(losses),
        increase=increase,
        std_error=error,
        bound=increase + tail_quantile(alpha, degrees) * error,
        threshold=min_share * float(np.mean(explained)),
        n_trainings=2 * n_seeds,
        seconds=time.perf_counter() - started,
    )


def _split(x: Any, y: Any, validation_data: Any, validation_split: float) -> _Split:
    data = ValidationData.read((x, y))
    if validation_data is not None:
        return _Split(data, ValidationData.read(validation_data))
    part = share("validation_split", validation_split, example="a share between 0 and 1", below=1)
    n_training = math.floor(data.n_rows * (1 - part))
    rows = np.arange(data.n_rows)
    if not 0 < n_training < data.n_rows:
        raise InvalidArgumentError(
            f"got {data.n_rows} rows for validation_split={part}. Pass more rows, or another share."
        )
    return _Split(data.only(rows[:n_training]), data.only(rows[n_training:]))


def _columns_of(features: FeatureSet, names: Sequence[str]) -> list[tuple[int, int]]:
    unknown = [name for name in names if name not in features.names]
    if unknown:
        raise InvalidArgumentError(
            f"got x without the feature {unknown[0]!r} that it is to leave out. Pass the x, and the "
            "features, that the importances were computed with."
        )
    return [column for one in features.features if one.name in names for column in one.columns]


def _trained(
    build_model: Callable[[], Any],
    split: _Split,
    features: FeatureSet,
    fit_kwargs: Mapping[str, Any],
    seed: int,
) -> Evaluator:
    """A new model, trained; the same seed gives the same weights at first, and the same batches."""
    keras.utils.set_random_seed(seed)
    model = build_model()
    training, validation = split.training, split.validation
    model.fit(
        training.pack(training.inputs),
        training.targets,
        validation_data=(validation.pack(validation.inputs), validation.targets),
        **{"verbose": 0, **fit_kwargs},
    )
    return Evaluator(model, validation, features, "loss", seed)


def _explained(evaluator: Evaluator, baseline: Floats) -> float:
    constant = evaluator.constant_scores
    if constant is None:
        raise InvalidArgumentError(
            "got a loss that has no value for a constant prediction, so there is nothing to hold the "
            "increase to. Compile the model with a loss that has."
        )
    return float(weighted_mean(constant - baseline, evaluator.data.weights))


def _mean_of_seeds(rows: Floats, data: ValidationData) -> tuple[float, float, float]:
    """Mean of `(n_seeds, n_rows)` increases, its standard error and degrees of freedom.

    Rows and seeds are both drawn at random: their variances add up. Satterthwaite's degrees of freedom
    lie between those of the seeds and those of the rows.
    """
    weights = np.ones(rows.shape[1]) if data.weights is None else data.weights / data.weights.mean()
    of_seeds = (rows * weights).mean(axis=1)
    mean = float(of_seeds.mean())
    of_rows = (rows.mean(axis=0) - mean) * weights
    by_rows = float(influence_standard_error(of_rows, data.blocks)) ** 2
    by_seeds = float(of_seeds.var(ddof=1)) / len(rows)
    variance = by_rows + by_seeds
    if variance == 0:
        return mean, 0.0, 1.0
    degrees = variance**2 / (by_seeds**2 / (len(rows) - 1) + by_rows**2 / max(rows.shape[1] - 1, 1))
    return mean, math.sqrt(variance), degrees


def _column(values: Array, column: int) -> Array:
    return values if values.ndim == 1 else values[..., column]


def _usual(values: Array) -> Any:
    """The mean; of whole numbers and texts, which have none, the most frequent value."""
    if values.dtype.kind == "f":
        return values.mean(dtype=np.float64)
    found, counts = np.unique(values, return_counts=True)
    return found[np.argmax(counts)]


def _with_values(
    data: ValidationData, columns: Sequence[tuple[int, int]], values: Sequence[Any]
) -> ValidationData:
    """The data with each of some columns set to a value."""
    inputs = [leaf.copy() for leaf in data.inputs]
    for (place, column), value in zip(columns, values, strict=True):
        inputs[place][... if inputs[place].ndim == 1 else (..., column)] = value
    return data.with_inputs(tuple(inputs))
