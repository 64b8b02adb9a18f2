"""What a running `fit` is evaluated on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_importance.data.loaders import check_is_batched
from keras_importance.data.running_fit import fit_arguments
from keras_importance.data.training_data import TrainingData
from keras_importance.engine.evaluator import Evaluator
from keras_importance.errors import InvalidArgumentError
from keras_importance.methods.base import ImportanceMethod
from keras_importance.methods.preparation import prepared_evaluator


def evaluator_of_fit(
    model: Any,
    validation_data: Any,
    methods: Sequence[ImportanceMethod],
    *,
    features: Any,
    metric: Any,
    max_samples: int | None,
    seed: int,
) -> Evaluator:
    """The model on the rows given to the callback, or without them on those that `fit` validates on.

    Raises:
        InvalidArgumentError: without validation data, and for arguments that fit neither the model nor
            one another.
    """
    fit, steps = fit_arguments(model), None
    if validation_data is None:
        if fit is None or fit.validation_data is None:
            raise InvalidArgumentError(
                "got no validation data, neither of its own nor from fit. Pass validation_data= or "
                "validation_split= to fit, or FeatureImportance(validation_data=...)."
            )
        validation_data, steps = fit.validation_data, fit.validation_steps
        check_is_batched(validation_data)
    trains = any(method.trains for method in methods)
    return prepared_evaluator(
        model,
        validation_data,
        methods,
        features=features,
        metric=metric,
        max_samples=max_samples,
        seed=seed,
        steps=steps,
        training_data=TrainingData.of(fit) if trains and fit is not None else None,
    )
