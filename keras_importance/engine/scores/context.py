"""What every scorer needs: the model's compiler, the rows, the features, the metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_importance.data.features import FeatureSet
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends.compiler import Compiler
from keras_importance.engine.meter import Meter
from keras_importance.engine.metrics.metric import Metric
from keras_importance.engine.scores.sample import DeviceData


@dataclass(frozen=True, eq=False)
class ScoringContext:
    """The model, rows, features and metric of scores.

    Attributes:
        compiler: compiles programs that run the model, and holds the model.
        data: the rows.
        device_data: the same rows as tensors.
        features: the features.
        metric: the resolved metric.
        outputs: the model's outputs for a few rows, as arrays.
        meter: counts the work of the scores.
        batch_size: how many rows the model must get at once, in their order; None for any.
        loss: returns the compiled loss, resolved.
        once: returns the value of a key, made when it is first asked for; see `Evaluator.once`.
    """

    compiler: Compiler
    data: ValidationData
    device_data: DeviceData
    features: FeatureSet
    metric: Metric
    outputs: Any
    loss: Callable[[], Metric]
    once: Callable[[str, Callable[[], Any]], Any]
    meter: Meter
    batch_size: int | None = None
