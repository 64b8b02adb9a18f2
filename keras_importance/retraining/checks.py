"""Checks of a study, all made before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras

from keras_importance.arguments import whole_number
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.metrics.metric import Metric
from keras_importance.engine.twins.held_out_scores import few_rows, resolved_metrics
from keras_importance.engine.twins.step import why_no_twins
from keras_importance.errors import InvalidArgumentError, reason_of
from keras_importance.retraining.study import Study

_OWN = ("x", "y", "sample_weight")
_IN_LOCK_STEP = ("epochs", "batch_size", "shuffle", "verbose")


# --- arguments ----------------------------------------------------------------------------------


def check_build_model(build_model: Any) -> None:
    """Refuses what is no function."""
    if not callable(build_model):
        raise InvalidArgumentError(
            f"got build_model={build_model!r}. Pass a function that returns a new compiled model."
        )


def checked_metrics(metric: Any) -> tuple[Any, ...]:
    """One metric, or a list of several, as a tuple; refuses an empty list."""
    if not isinstance(metric, (list, tuple)):
        return (metric,)
    if not metric:
        raise InvalidArgumentError("got an empty list of metrics. Pass one at least, such as 'loss'.")
    return tuple(metric)


def check_n_jobs(n_jobs: Any) -> None:
    """Refuses what is neither None nor a whole number other than 0."""
    if n_jobs is None:
        return
    if not isinstance(n_jobs, int) or isinstance(n_jobs, bool) or not n_jobs:
        raise InvalidArgumentError(
            f"got n_jobs={n_jobs!r}. Pass a number of jobs, -1 for one per core, or None."
        )


def checked_fit_kwargs(fit_kwargs: Any) -> dict[str, Any]:
    """Further arguments of `fit` as a dict of their own; empty for None."""
    if fit_kwargs is None:
        return {}
    if not isinstance(fit_kwargs, Mapping):
        raise InvalidArgumentError(
            f"got fit_kwargs={fit_kwargs!r}. Pass a dict of arguments of fit: {{'epochs': 5}}."
        )
    return dict(fit_kwargs)


# --- the study ----------------------------------------------------------------------------------


def check_models(study: Study) -> tuple[Any, tuple[Metric, ...]]:
    """Builds two models, and tries the metrics out.

    Returns:
        One of the models, and the metrics.

    Raises:
        InvalidArgumentError: for a function that returns no new compiled model each time, for metrics
            that fail, and for what `fit` can't be given here.
    """
    _check_for_fit(study.fit_kwargs)
    if study.drops_columns:
        _check_columns_left(study)
    held_out = study.data.only(study.folds[0].held_out)
    first, second = (_checked_model(study, held_out) for _ in range(2))
    _check_share_nothing(first, second)
    metrics = resolved_metrics(study.metrics, first, held_out, study.seed)
    names = [metric.name for metric in metrics]
    if len(set(names)) < len(names):
        raise InvalidArgumentError(f"got two metrics of one name in {names}. Give each its own.")
    return first, metrics


def _check_columns_left(study: Study) -> None:
    """Refuses several inputs, and a feature of all columns, where columns are dropped."""
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
    """A new model, which takes the rows."""
    try:
        model = study.new_model(0)
    except Exception as error:
        raise InvalidArgumentError(
            f"got a build_model that fails ({reason_of(error)}). Let it return a new, compiled "
            "keras.Model each time."
        ) from error
    if not isinstance(model, keras.Model) or not getattr(model, "compiled", False):
        what = "None" if model is None else f"a {type(model).__name__}"
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
    """Refuses two models with a variable or an optimizer in common."""
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
    """Refuses arguments that `fit` is given anyway, and callbacks that would watch nothing."""
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


def _check_watch_no_validation(callbacks: Sequence[Any]) -> None:
    for callback in callbacks:
        # ModelCheckpoint has a monitor that it watches only where it saves the best.
        is_watching = getattr(callback, "save_best_only", True)
        if is_watching and str(getattr(callback, "monitor", "")).startswith("val_"):
            raise InvalidArgumentError(
                f"got {type(callback).__name__}(monitor={callback.monitor!r}) in fit_kwargs and nothing "
                "to validate on: held-out rows only score. Add 'validation_split': 0.1 to fit_kwargs, a "
                "part of the rows that are trained on."
            )


# --- lock step ----------------------------------------------------------------------------------


def in_lock_step_where_possible(study: Study, model: Any, asked: bool | None) -> Study:
    """The study with its models trained as one program, where it can be and isn't asked not to.

    Raises:
        InvalidArgumentError: where it is asked for and can't be.
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
    """The error of `lock_step=True` where the models can't be trained as one program."""
    return InvalidArgumentError(
        f"got lock_step=True, which can't be: {reason}. Pass lock_step=None to train one by one."
    )


def _why_not_in_lock_step(study: Study, model: Any) -> str | None:
    """Why the models of a study can't be trained as one program; None where they can."""
    others = sorted(set(study.fit_kwargs) - set(_IN_LOCK_STEP))
    if others:
        return f"fit_kwargs hold {', '.join(map(repr, others))}"
    if study.drops_columns:
        return "build_model takes the number of columns, so models differ in their shapes"
    if study.warm_start is not None:
        return "warm_start is set"
    return why_no_twins(model)
