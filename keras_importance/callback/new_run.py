"""Makes a FitRun from the settings of the callback: evaluator, writers, budget and schedule."""

from __future__ import annotations

from typing import Any

from keras_importance.callback.budget import Budget
from keras_importance.callback.fit_run import FitRun
from keras_importance.callback.run_directory import run_directory, writers_of_run
from keras_importance.callback.schedule import Schedule
from keras_importance.callback.settings import Settings
from keras_importance.data.loaders import check_is_batched
from keras_importance.data.running_fit import fit_arguments
from keras_importance.data.training_data import TrainingData
from keras_importance.engine.evaluator import Evaluator
from keras_importance.errors import InvalidArgumentError
from keras_importance.methods.preparation import prepared_evaluator
from keras_importance.reporting.console import ConsoleWriter
from keras_importance.results.history import ImportanceHistory

# Expected seconds to draw all pictures, before any was drawn.
_PICTURE_SECONDS = 0.7


def new_run(settings: Settings, model: Any, n_epochs: int | None, history: ImportanceHistory) -> FitRun:
    """The state of the `fit` that is about to begin, with every check that is possible before training.

    Args:
        settings: the settings of the callback.
        model: the model that `fit` trains.
        n_epochs: number of the epoch, counted from 1, at which `fit` ends; None if that isn't known.
        history: earlier results and verdicts.

    Raises:
        InvalidArgumentError: without validation data, and for settings that don't fit the model.
    """
    evaluator = _evaluator(settings, model)
    writers = writers_of_run(model, settings.log_dir, settings.writers)
    picture_seconds = _PICTURE_SECONDS if any(writer.draws_pictures for writer in writers) else 0.0
    return FitRun(
        evaluator=evaluator,
        methods=settings.methods,
        detectors=settings.detectors,
        on_verdict=settings.on_verdict,
        writers=writers,
        console=ConsoleWriter() if settings.verbose else None,
        log_dir=run_directory(settings.log_dir),
        budget=Budget(settings.time_budget, n_epochs, picture_seconds),
        schedule=Schedule(settings.every, n_epochs, first_too=settings.add_to_logs),
        history=history,
    )


def _evaluator(settings: Settings, model: Any) -> Evaluator:
    """The model with the callback's own rows or, without any, the rows that `fit` validates on."""
    source, steps, fit = settings.validation_data, None, fit_arguments(model)
    if source is None:
        if fit is None or fit.validation_data is None:
            raise InvalidArgumentError(
                "got no validation data, neither of its own nor from fit. Pass validation_data= or "
                "validation_split= to fit, or FeatureImportance(validation_data=...)."
            )
        source, steps = fit.validation_data, fit.validation_steps
        check_is_batched(source)
    trains = any(method.trains for method in settings.methods)
    return prepared_evaluator(
        model,
        source,
        settings.methods,
        features=settings.features,
        metric=settings.metric,
        max_samples=settings.max_samples,
        seed=settings.seed,
        steps=steps,
        training_data=TrainingData.of(fit) if trains and fit is not None else None,
        in_parts=settings.time_budget is not None,
        batch_size=None if fit is None else fit.rows_in_batch,
    )
