"""Makes a FitRun from the settings of the callback: evaluator, writers, budget and schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_importance.callback.budget import Budget, PicturePlan
from keras_importance.callback.continuation import EarlierFit
from keras_importance.callback.fit_run import FitRun
from keras_importance.callback.run_directory import run_directory, writers_of_run
from keras_importance.callback.schedule import Schedule
from keras_importance.callback.settings import Settings
from keras_importance.data.loaders import check_is_batched
from keras_importance.data.running_fit import FitArguments, fit_arguments
from keras_importance.data.training_data import TrainingData
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.keras_internals import has_own_step
from keras_importance.engine.masks import with_valid_steps
from keras_importance.errors import (
    InvalidArgumentError,
    Naming,
    NotEvaluableError,
    about,
    is_wrong_argument,
    reason_of,
    warn,
)
from keras_importance.methods.preparation import padding_values, prepared_evaluator, why_not_evaluable
from keras_importance.reporting.console import ConsoleWriter
from keras_importance.reporting.summary import TrainingCost
from keras_importance.results.history import ImportanceHistory

Failures = dict[str, Exception]
"""For each method that can't be computed, by its name, what is in the way."""

# Seconds to draw all pictures of an evaluation.
_PICTURE_SECONDS = 0.4
_OF_FIT = Naming(
    or_steps=", or give fit validation_steps=",
    or_beside=", or pass that to FeatureImportance(validation_data=...) beside it",
)


def new_run(
    settings: Settings,
    model: Any,
    params: Mapping[str, Any],
    history: ImportanceHistory,
    earlier: EarlierFit | None = None,
) -> FitRun | None:
    """The state of the `fit` that is about to begin, with every check that is possible before training.

    A method that the model, its data or its loss don't allow is left out, with its detectors. One
    warning says which ones, and why.

    Args:
        settings: the settings of the callback.
        model: the model that `fit` trains.
        params: Keras' `params` of the callback: `epochs` and `steps`, each None if it isn't known.
        history: earlier results and verdicts.
        earlier: the `fit` that this one continues; None if it starts a training.

    Returns:
        The state, or None if nothing can be evaluated.

    Raises:
        InvalidArgumentError: without validation data, for rows that can be read only once, and for
            settings that don't fit the model.
    """
    evaluator, failures = _evaluator(settings, model, None if earlier is None else earlier.evaluator)
    methods = tuple(method for method in settings.methods if method.name not in failures)
    if failures:
        warn(_left_out(failures, nothing_is_left=not methods))
    if evaluator is None or not methods:
        return None
    names = {method.name for method in methods}
    writers = writers_of_run(model, settings.log_dir, settings.writers)
    picture_seconds = _PICTURE_SECONDS if any(writer.draws_pictures for writer in writers) else 0.0
    fit = fit_arguments(model)
    schedule = Schedule(settings.every, params.get("epochs"), first_too=settings.add_to_logs)
    budget = Budget(settings.time_budget, every=settings.every)
    return FitRun(
        evaluator=evaluator,
        methods=methods,
        detectors=tuple(detector for detector in settings.detectors if detector.method in names),
        on_verdict=settings.on_verdict,
        writers=writers,
        console=ConsoleWriter() if settings.verbose else None,
        log_dir=run_directory(settings.log_dir),
        budget=budget,
        pictures=PicturePlan(budget, schedule.n_evaluations(0), picture_seconds),
        schedule=schedule,
        history=history,
        cost=TrainingCost(evaluator.data.n_rows, settings.time_budget),
        knows_padding=bool(model.built),
        next_epoch=None if earlier is None else earlier.next_epoch,
        n_continued=0 if earlier is None else earlier.n_continued + 1,
        n_steps=params.get("steps") or 0,
        batch_size=(fit and fit.batch_size) or 32,
    )


def new_loop_run(settings: Settings, model: Any, history: ImportanceHistory) -> FitRun | None:
    """The state of a training loop that isn't `fit`; None if nothing can be evaluated.

    Raises:
        InvalidArgumentError: without validation data, as there is no `fit` to take them from.
    """
    if settings.validation_data is None:
        raise InvalidArgumentError(
            "got no validation data, and no fit to take them from. Pass "
            "FeatureImportance(validation_data=(x, y))."
        )
    return new_run(settings, model, {}, history)


def with_padding(settings: Settings, evaluator: Evaluator) -> Evaluator:
    """The evaluator of a model that its training has built, on rows that know the steps it masks.

    Before it was built, its layers told what it masks where there was no doubt.
    """
    data = with_valid_steps(evaluator.data, evaluator.model, settings.mask_value)
    if all(valid is None for valid in (*data.valid, *evaluator.data.valid)):
        return evaluator
    return Evaluator(
        evaluator.model,
        data,
        evaluator.features,
        settings.metric,
        settings.seed,
        evaluator.training_data,
    )


def _evaluator(
    settings: Settings, model: Any, earlier: Evaluator | None
) -> tuple[Evaluator | None, Failures]:
    """The model with the rows to evaluate, and what is in the way of methods that can't be computed.

    The evaluator of an earlier `fit` serves again where the rows and the settings are the same.
    The rows are the callback's own or, without any, those that `fit` validates on.
    """
    fit = fit_arguments(model)
    source, steps = _validation_rows(settings, fit)
    failures: Failures = {}
    training_data = None
    trainers = [method.name for method in settings.methods if method.trains]
    try:
        if settings.validation_data is None and not has_own_step(model):
            check_is_batched(source)
        if trainers and fit is not None:
            try:
                training_data = TrainingData.of(fit, padding_values(model))
            except NotEvaluableError as error:
                failures = dict.fromkeys(trainers, error)
        with about(_OF_FIT):
            evaluator = prepared_evaluator(
                model,
                source,
                (),
                features=settings.features,
                metric=settings.metric,
                max_samples=settings.max_samples,
                seed=settings.seed,
                steps=steps,
                training_data=training_data,
                batch_size=None if fit is None else fit.rows_in_batch,
                mask_value=settings.mask_value,
            )
        if earlier is not None and evaluator.is_served_by(earlier):
            evaluator = earlier
        others = [method for method in settings.methods if method.name not in failures]
        return evaluator, {**failures, **why_not_evaluable(others, evaluator)}
    except Exception as error:
        if is_wrong_argument(error):
            raise
        return None, {method.name: error for method in settings.methods}


def _validation_rows(settings: Settings, fit: FitArguments | None) -> tuple[Any, int | None]:
    """The rows to evaluate, and how many batches of them to read; None for all.

    Raises:
        InvalidArgumentError: without rows.
    """
    if settings.validation_data is not None:
        return settings.validation_data, None
    if fit is None or fit.validation_data is None:
        raise InvalidArgumentError(
            "got no validation data, neither of its own nor from fit. Pass validation_data= or "
            "validation_split= to fit, or FeatureImportance(validation_data=...)."
        )
    return fit.validation_data, fit.validation_steps


def _left_out(failures: Failures, *, nothing_is_left: bool) -> str:
    """The warning that names the methods that can't be computed, and says why."""
    names_of: dict[str, list[str]] = {}
    for name, error in failures.items():
        is_ours = isinstance(error, NotEvaluableError)
        reason = str(error) if is_ours else f"failed: {reason_of(error)}."
        names_of.setdefault(reason, []).append(repr(name))
    what = "can't evaluate" if nothing_is_left else "can't evaluate all of"
    reasons = [f"For {' and '.join(names)} it {reason}" for reason, names in names_of.items()]
    return " ".join([f"FeatureImportance {what} this training, which goes on.", *reasons])
