"""Makes an evaluator from the user's arguments, and lets every method check it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from keras_importance.data.named_features import named_features
from keras_importance.data.training_data import TrainingData
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.masks import with_valid_steps
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
    mask_value: Any = None,
) -> Evaluator:
    """The model and its validation rows as an evaluator, with every check made that is possible by now.

    Args:
        model: the Keras model.
        validation_data: the rows; they are read once.
        methods: the methods that will be computed.
        features: the user's `features` argument.
        metric: the user's `metric` argument.
        max_samples: how many rows to keep at most; None for all.
        seed: seed of everything drawn at random.
        steps: how many batches to read of a dataset; None for all.
        training_data: the rows that `fit` trains on, if a method trains networks of its own.
        in_parts: whether a time budget may ask for parts of the rows.
        mask_value: the user's `mask_value` argument.

    Raises:
        InvalidArgumentError: for arguments that don't fit the model or one another.
    """
    data = ValidationData.read(
        validation_data,
        max_samples=max_samples,
        steps=steps,
        input_names=input_names(model),
        seed=seed,
    )
    data = joined_rows(data, model, max_samples=max_samples, seed=seed)
    data = with_valid_steps(data, model, mask_value)
    if training_data is not None:
        training_data = joined_training_rows(training_data, model)
        training_data.data = with_valid_steps(training_data.data, model, mask_value)
    named = named_features(features, data)
    evaluator = Evaluator(model, data, named, metric, seed, training_data, in_parts=in_parts)
    evaluator.check()
    for method in methods:
        method.check(evaluator)
    return evaluator


def input_names(model: Any) -> list[str | None]:
    """The names that the user gave the model's inputs; None where Keras made one up."""
    names = [str(tensor.name) for tensor in getattr(model, "inputs", None) or []]
    return [None if _MADE_UP.match(name) else name for name in names]
