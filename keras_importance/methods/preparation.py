"""From the user's arguments to an evaluator that is checked against every method."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from keras_importance.data.named_features import named_features
from keras_importance.data.training_data import TrainingData
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.shards import joined_rows, joined_training_rows
from keras_importance.methods.base import ImportanceMethod

# Names that Keras makes up.
_MADE_UP = re.compile(r"keras_tensor(_\d+)?$|input_layer(_\d+)?$")


def prepared_evaluator(
    model: Any,
    validation_data: Any,
    methods: Sequence[ImportanceMethod],
    *,
    features: Any,
    metric: Any,
    max_samples: int | None,
    seed: int,
    steps: int | None = None,
    training_data: TrainingData | None = None,
    in_parts: bool = False,
) -> Evaluator:
    """Reads the rows once and checks everything that can be checked before an evaluation.

    Raises:
        InvalidArgumentError: for arguments that fit neither the model nor one another.
    """
    data = ValidationData.read(
        validation_data,
        max_samples=max_samples,
        steps=steps,
        input_names=input_names(model),
        seed=seed,
    )
    data = joined_rows(data, model, max_samples=max_samples, seed=seed)
    training_data = training_data and joined_training_rows(training_data, model)
    named = named_features(features, data)
    evaluator = Evaluator(model, data, named, metric, seed, training_data, in_parts=in_parts)
    evaluator.check()
    for method in methods:
        method.check(evaluator)
    return evaluator


def input_names(model: Any) -> list[str | None]:
    """The names that the user gave the model's inputs; None where Keras made one up."""
    names = [str(one.name) for one in getattr(model, "inputs", None) or []]
    return [None if _MADE_UP.match(name) else name for name in names]
