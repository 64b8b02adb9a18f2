"""compute_importance: how much each feature matters to a trained model, outside of `fit`."""

from __future__ import annotations

from typing import Any

from keras_importance.arguments import number_or_numbers, verbosity, whole_number, whole_number_or_none
from keras_importance.engine.effort import Effort
from keras_importance.engine.footprint import no_footprint
from keras_importance.errors import speaking_as, warn
from keras_importance.methods import methods_from_argument
from keras_importance.methods.preparation import prepared_evaluator
from keras_importance.results.result import ImportanceResult
from keras_importance.statistics.blas import on_one_thread


def compute_importance(
    model: Any,
    validation_data: Any,
    *,
    methods: Any = ("gradient", "permutation"),
    features: Any = None,
    metric: Any = "loss",
    mask_value: Any = None,
    max_samples: int | None = None,
    seed: int = 0,
    verbose: int = 0,
) -> dict[str, ImportanceResult]:
    """Computes how much each feature matters to a trained model, with each method.

    Args:
        model: a compiled Keras model.
        validation_data: `(x, y)` or `(x, y, sample_weight)`, a `tf.data.Dataset`, a `PyDataset`, a torch
            `DataLoader` or a grain dataset.
        methods: names (`"gradient"`, `"permutation"`) or instances of `ImportanceMethod`.
        features: None, a list of names, a dict `{group: members}`, or `"correlated"`; see
            `FeatureImportance`.
        metric: `"loss"`, the name of a compiled metric, a `keras.metrics.Metric` or a callable
            `(y_true, y_pred)` that returns one value per row or one number.
        mask_value: the number that padded steps of sequences hold, for models that mask them by means
            that can't be seen; see `FeatureImportance`.
        max_samples: how many rows to use at most, drawn at random; None for all.
        seed: seed of everything drawn at random.
        verbose: 1 shows a progress bar for methods that take longer than a few seconds.

    Returns:
        For each method its `ImportanceResult`, by the name of the method.

    Raises:
        ValueError: for arguments that don't fit the model or one another.
    """
    with speaking_as("compute_importance"), no_footprint(model):
        chosen = methods_from_argument(methods)
        max_samples = whole_number_or_none("max_samples", max_samples, at_least=2)
        seed = whole_number("seed", seed, at_least=0)
        verbose = verbosity(verbose)
        mask_value = number_or_numbers("mask_value", mask_value)
        evaluator = prepared_evaluator(
            model,
            validation_data,
            chosen,
            features=features,
            metric=metric,
            max_samples=max_samples,
            seed=seed,
            mask_value=mask_value,
        )
        padding = evaluator.why_padding_matters()
        if padding is not None:
            warn(f"compute_importance got validation rows of unequal lengths. It {padding}")
        effort = Effort(verbose=bool(verbose))
        with on_one_thread():
            results = {method.name: method(evaluator, effort=effort) for method in chosen}
        for name, result in results.items():
            if result.why_unknown is not None:
                warn(f"compute_importance has no numbers for {name!r} importance: {result.why_unknown}.")
        return results
