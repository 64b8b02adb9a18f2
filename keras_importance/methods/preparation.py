"""Makes an evaluator from the user's arguments, and says which methods can't be computed from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_importance.data.columns_first import named_along_first_axis, with_columns_last
from keras_importance.data.named_features import named_features
from keras_importance.data.training_data import TrainingData
from keras_importance.data.unequal_lengths import PaddingValues
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.channels import channels_first
from keras_importance.engine.column_use import in_form_of, with_column_use
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.keras_internals import layers_of
from keras_importance.engine.masks import with_valid_steps
from keras_importance.engine.shards import joined_rows, joined_training_rows, tell_failure
from keras_importance.errors import is_wrong_argument
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
    batch_size: int | None = None,
    mask_value: Any = None,
) -> Evaluator:
    """The model and its validation rows as an evaluator, with every check made that is possible by now.

    Args:
        model: the Keras model.
        validation_data: the rows; they are read once.
        methods: the methods that must be computable.
        features: the user's `features` argument.
        metric: the user's `metric` argument.
        max_samples: how many rows to keep at most; None for all.
        seed: seed of everything drawn at random.
        steps: how many batches to read of a dataset; None for all.
        training_data: the rows that `fit` trains on, if a method trains networks of its own.
        batch_size: how many rows of arrays `fit` validates at once; None for all rows.
        mask_value: the user's `mask_value` argument.

    Raises:
        InvalidArgumentError: for arguments that don't fit the model or one another.
        NotEvaluableError: for rows and methods that can't be evaluated.
    """

    def evaluator_of(*, keeps_batches: bool = False) -> Evaluator:
        try:
            data = ValidationData.read(
                validation_data,
                max_samples=max_samples,
                steps=steps,
                input_names=input_names(model),
                padding=padding_values(model),
                seed=seed,
                keeps_batches=keeps_batches,
            )
        except Exception as error:
            tell_failure(error, model)
            raise
        if batch_size is not None and isinstance(validation_data, (tuple, list)):
            data = replace(data, batch_size=batch_size)
        if keeps_batches:
            data = whole_batches(data, max_samples)
        data = joined_rows(data, model, max_samples=max_samples, seed=seed)
        first = {*channels_first(data, model), *named_along_first_axis(features, data)}
        data = with_valid_steps(with_columns_last(data, first), model, mask_value)
        data = with_column_use(data, model)
        training = joined_training
        if training is not None:
            training_rows = in_form_of(training.data, data)
            training = replace(training, data=with_valid_steps(training_rows, model, mask_value))
        named = named_features(features, data)
        return Evaluator(model, data, named, metric, seed, training)

    joined_training = training_data and joined_training_rows(training_data, model)
    evaluator = evaluator_of()
    if evaluator.mixed_rows.may_be_mixed:
        evaluator = evaluator_of(keeps_batches=True)
    evaluator.check()
    for method in methods:
        method.check(evaluator)
    return evaluator


def whole_batches(data: ValidationData, max_samples: int | None) -> ValidationData:
    """At most `max_samples` rows, as whole batches but one at least."""
    size = min(data.batch_size, data.n_rows)
    n_batches = max(1, min(data.n_rows, max_samples or data.n_rows) // size)
    return data if n_batches * size >= data.n_rows - size else data.only(np.arange(n_batches * size))


def why_not_evaluable(methods: Sequence[ImportanceMethod], evaluator: Evaluator) -> dict[str, Exception]:
    """For each method that the model, its data or its loss don't allow, by its name, what is in the way.

    Raises:
        InvalidArgumentError: for a method that an argument doesn't fit.
    """
    failures: dict[str, Exception] = {}
    for method in methods:
        try:
            method.check(evaluator)
        except Exception as error:
            if is_wrong_argument(error):
                raise
            failures[method.name] = error
    return failures


def input_names(model: Any) -> list[str | None]:
    """The names that the user gave the model's inputs; None where Keras made one up."""
    names = [str(tensor.name) for tensor in getattr(model, "inputs", None) or []]
    return [None if _MADE_UP.match(name) else name for name in names]


def padding_values(model: Any) -> PaddingValues:
    """The value of padded steps for each input: what a `Masking` layer that takes it masks, else 0.

    Where no such layer takes an input itself, as in nested models, it is what all `Masking` layers mask.
    """
    masking = [layer for layer in layers_of(model) if isinstance(layer, keras.layers.Masking)]
    inputs = list(getattr(model, "inputs", None) or [])
    of_input = [
        [layer.mask_value for layer in masking if getattr(layer, "input", None) is tensor]
        for tensor in inputs
    ]
    if any(of_input):
        return [float(values[0]) if values else 0.0 for values in of_input]
    masked = {float(layer.mask_value) for layer in masking}
    return masked.pop() if len(masked) == 1 else 0.0
