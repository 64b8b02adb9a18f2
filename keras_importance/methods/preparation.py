"""Makes an evaluator from the user's arguments, and lets every method check it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

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
    batch_size: int | None = None,
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
        batch_size: how many rows of arrays `fit` validates at once; None for all rows.

    Raises:
        InvalidArgumentError: for arguments that don't fit the model or one another.
    """
    read = partial(
        ValidationData.read,
        validation_data,
        max_samples=max_samples,
        steps=steps,
        input_names=input_names(model),
        seed=seed,
    )

    def evaluator_of(data: ValidationData) -> Evaluator:
        joined = joined_rows(data, model, max_samples=max_samples, seed=seed)
        if batch_size is not None and isinstance(validation_data, (tuple, list)):
            joined = replace(joined, batch_size=batch_size)
        named = named_features(features, joined)
        return Evaluator(model, joined, named, metric, seed, training_data, in_parts=in_parts)

    training_data = training_data and joined_training_rows(training_data, model)
    evaluator = evaluator_of(read())
    if evaluator.mixed_rows.may_be_mixed:
        evaluator = evaluator_of(whole_batches(read(keeps_batches=True), max_samples))
    evaluator.check()
    for method in methods:
        method.check(evaluator)
    return evaluator


def whole_batches(data: ValidationData, max_samples: int | None) -> ValidationData:
    """At most `max_samples` rows, as whole batches but one at least."""
    size = min(data.batch_size, data.n_rows)
    n_batches = max(1, min(data.n_rows, max_samples or data.n_rows) // size)
    return data if n_batches * size >= data.n_rows - size else data.only(np.arange(n_batches * size))


def input_names(model: Any) -> list[str | None]:
    """The names that the user gave the model's inputs; None where Keras made one up."""
    names = [str(tensor.name) for tensor in getattr(model, "inputs", None) or []]
    return [None if _MADE_UP.match(name) else name for name in names]
