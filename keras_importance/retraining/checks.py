"""Checks of the arguments and the models of a study, made before any training."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras

from keras_importance.arguments import whole_number
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.metrics.metric import Metric
from keras_importance.engine.twins.held_out_scores import few_rows, resolved_metrics
from keras_importance.engine.twins.step import why_no_twins
from keras_importance.errors import InvalidArgumentError, did_you_mean, reason_of
from keras_importance.retraining.study import Study

_OWN = ("x", "y", "sample_weight")
_IN_LOCK_STEP = ("epochs", "batch_size", "shuffle", "verbose")


# --- arguments ----------------------------------------------------------------------------------


def check_build_model(build_model: Any) -> None:
    """Raises `InvalidArgumentError` unless `build_model` is a function."""
    if isinstance(build_model, keras.Model):
        raise InvalidArgumentError(
            f"got a {type(build_model).__name__} as build_model, a model that is already built. Pass a "
            "function without arguments that returns a new compiled model each time."
        )
    if not callable(build_model):
        raise InvalidArgumentError(
            f"got build_model={build_model!r}. Pass a function that returns a new compiled model."
        )


def checked_metrics(metric: Any) -> tuple[Any, ...]:
    """The metric, or the metrics of a list, as a tuple; refuses an empty list."""
    if not isinstance(metric, (list, tuple)):
        return (metric,)
    if not metric:
        raise InvalidArgumentError("got an empty list of metrics. Pass one at least, such as 'loss'.")
    return tuple(metric)


def check_n_jobs(n_jobs: Any) -> None:
    """Raises `InvalidArgumentError` unless `n_jobs` is None or a whole number other than 0."""
    if n_jobs is None:
        return
    if not isinstance(n_jobs, int) or isinstance(n_jobs, bool) or not n_jobs:
        raise InvalidArgumentError(
            f"got n_jobs={n_jobs!r}. Pass a number of jobs, -1 for one per core, or None."
        )


def checked_fit_kwargs(fit_kwargs: Any) -> dict[str, Any]:
    """A copy of the further arguments of `fit` as a dict, empty for None; refuses what is no mapping."""
    if fit_kwargs is None:
        return {}
    if not isinstance(fit_kwargs, Mapping):
        raise InvalidArgumentError(
            f"got fit_kwargs={fit_kwargs!r}. Pass a dict of arguments of fit: {{'epochs': 5}}."
        )
    return dict(fit_kwargs)


# --- the study ----------------------------------------------------------------------------------


def check_models(study: Study) -> tuple[Any, tuple[Metric, ...]]:
    """Builds two models, and tries the metrics on a few held-out rows.

    Args:
        study: the study to check.

    Returns:
        The first model, and the metrics.

    Raises:
        InvalidArgumentError: for a `build_model` that doesn't return a new compiled model each time, for
            metrics that fail, and for arguments of `fit` that can't be used here.
    """
    _check_for_fit(study.fit_kwargs)
    if study.drops_columns:
        _check_columns_left(study)
    held_out = study.data.only(study.folds[0].held_out)
    first, second = (_checked_model(study, held_out) for _ in range(2))
    _check_share_nothing(first, second)
    _check_fit_takes(first, study.fit_kwargs)
    metrics = resolved_metrics(study.metrics, first, held_out, study.seed)
    names = [metric.name for metric in metrics]
    if len(set(names)) < len(names):
        raise InvalidArgumentError(f"got two metrics of one name in {names}. Give each its own.")
    return first, metrics


def _check_columns_left(study: Study) -> None:
    """Refuses several inputs, and a feature of all columns, if columns are to be dropped."""
    if len(study.data.inputs) != 1:
        raise InvalidArgumentError(
            f"got a build_model with an argument, the number of columns, and {len(study.data.inputs)} "
            "inputs. Pass one without arguments: columns are masked then."
        )
    n_columns = sum(len(columns_of_input.columns) for columns_of_input in study.data.columns)
    if any(len(feature.columns) == n_columns for feature in study.features.features):
        raise InvalidArgumentError(
            "got a build_model with an argument, the number of columns, and a feature of all "
            f"{n_columns} columns, without which none are left. Pass one without arguments: columns are "
            "masked then."
        )


def _checked_model(study: Study, data: ValidationData) -> Any:
    """A new model that is compiled and accepts the rows; refuses any other."""
    try:
        model = study.new_model(0)
    except Exception as error:
        raise InvalidArgumentError(
            f"got a build_model that fails ({reason_of(error)}). Let it return a new, compiled "
            "keras.Model each time."
        ) from error
    if not isinstance(model, keras.Model) or not getattr(model, "compiled", False):
        what = "None" if model is None else f"a {type(model).__name__}"
        if isinstance(model, keras.Model):
            what += " that is not compiled"
        raise InvalidArgumentError(
            f"got a build_model that returned {what}. Let it return a new, compiled keras.Model each "
            "time."
        )
    try:
        model(few_rows(model, data), training=False)
    except Exception as error:
        raise InvalidArgumentError(
            f"got a build_model whose model doesn't take the rows of x ({reason_of(error)}). Make its "
            "inputs fit them."
        ) from error
    return model


def _check_share_nothing(first: Any, second: Any) -> None:
    """Refuses two models that share a variable or an optimizer."""
    shared = set(map(id, first.variables)) & set(map(id, second.variables))
    if first is second or shared:
        raise InvalidArgumentError(
            "got a build_model that returned the same model, or the same layers, twice: what one "
            "training learns would leak into the next. Make the model and its layers inside of it."
        )
    if first.optimizer is not None and first.optimizer is second.optimizer:
        raise InvalidArgumentError(
            "got a build_model that compiled two models with the same optimizer, which serves one only. "
            "Make the optimizer inside of it."
        )


def _check_for_fit(fit_kwargs: Mapping[str, Any]) -> None:
    """Refuses `fit_kwargs` that the study sets itself, and callbacks that watch a missing validation."""
    for name in ("epochs", "batch_size"):
        if fit_kwargs.get(name) is not None:
            whole_number(f"{name} in fit_kwargs", fit_kwargs[name], at_least=1)
    for name in _OWN:
        if name in fit_kwargs:
            raise InvalidArgumentError(
                f"got {name!r} in fit_kwargs, which it sets itself. Pass it as an argument of its own."
            )
    if fit_kwargs.get("validation_data") is None and not fit_kwargs.get("validation_split"):
        _check_watch_no_validation(keras.tree.flatten(fit_kwargs.get("callbacks")))


def _check_fit_takes(model: Any, fit_kwargs: Mapping[str, Any]) -> None:
    """Refuses names that are no arguments of the model's `fit`."""
    parameters = inspect.signature(model.fit).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in fit_kwargs:
        if name not in parameters:
            raise InvalidArgumentError(
                f"got {name!r} in fit_kwargs, which is no argument of fit."
                f"{did_you_mean(name, parameters)} Pass arguments of fit such as 'epochs'."
            )


def _check_watch_no_validation(callbacks: Sequence[Any]) -> None:
    """Refuses callbacks that monitor `val_...`: there is no validation in these trainings."""
    for callback in callbacks:
        # ModelCheckpoint always has a monitor, but uses it only with save_best_only.
        is_watching = getattr(callback, "save_best_only", True)
        if is_watching and str(getattr(callback, "monitor", "")).startswith("val_"):
            raise InvalidArgumentError(
                f"got {type(callback).__name__}(monitor={callback.monitor!r}) in fit_kwargs and nothing "
                "to validate on: held-out rows only score. Add 'validation_split': 0.1 to fit_kwargs, a "
                "part of the rows that are trained on."
            )


# --- lock step ----------------------------------------------------------------------------------


def in_lock_step_where_possible(study: Study, model: Any, asked: bool | None) -> Study:
    """The study, set to train its models in lock step (as one program) if that is possible.

    Args:
        study: the study.
        model: one of its models.
        asked: the user's `lock_step` argument: True insists, False refuses, None is for where possible.

    Raises:
        InvalidArgumentError: for `asked=True` where lock step is not possible.
    """
    if asked is not None and not isinstance(asked, bool):
        raise InvalidArgumentError(
            f"got lock_step={asked!r}. Pass True, False, or None for where it can be."
        )
    reason = _why_not_in_lock_step(study, model)
    if asked and reason is not None:
        raise lock_step_error(reason)
    if asked is False or reason is not None:
        return study
    return replace(study, lock_step=True, insists=asked is True)


def lock_step_error(reason: str) -> InvalidArgumentError:
    """The error for `lock_step=True` if the models can't be trained as one program."""
    return InvalidArgumentError(
        f"got lock_step=True, which can't be: {reason}. Pass lock_step=None to train one by one."
    )


def _why_not_in_lock_step(study: Study, model: Any) -> str | None:
    """Why the models of a study can't be trained as one program; None if they can."""
    others = sorted(set(study.fit_kwargs) - set(_IN_LOCK_STEP))
    if others:
        return f"fit_kwargs hold {', '.join(map(repr, others))}"
    if study.drops_columns:
        return "build_model takes the number of columns, so models differ in their shapes"
    if study.warm_start is not None:
        return "warm_start is set"
    return why_no_twins(model)
