"""Checks of a study before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras

from keras_importance.arguments import whole_number
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.metrics.metric import Metric
from keras_importance.engine.twins.held_out_scores import few_rows, resolved_metrics
from keras_importance.engine.twins.step import why_no_twins
from keras_importance.errors import InvalidArgumentError, reason_of
from keras_importance.retraining.study import (
    Study,
    not_in_lock_step,
)

_OWN = ("x", "y", "sample_weight")
_IN_LOCK_STEP = ("epochs", "batch_size", "shuffle", "verbose")


def check_models(study: Study) -> tuple[Any, tuple[Metric, ...]]:
    """Builds two models, and tries the metrics out, before anything is trained.

    Returns:
        One of the models, and the metrics.

    Raises:
        InvalidArgumentError: for a function that returns no new compiled model each time, for metrics
            that fail, and for what `fit` can't be given here.
    """
    _check_fit_kwargs(study.fit_kwargs)
    if study.drops_columns and len(study.data.inputs) != 1:
        raise InvalidArgumentError(
            f"got a build_model with an argument, the number of columns, and {len(study.data.inputs)} "
            "inputs. Pass one without arguments: columns are masked then."
        )
    n_columns = sum(len(one.columns) for one in study.data.columns)
    if study.drops_columns and any(len(one.columns) == n_columns for one in study.features.features):
        raise InvalidArgumentError(
            "got a build_model with an argument, the number of columns, and a feature of all "
            f"{n_columns} columns, without which none are left. Pass one without arguments: columns are "
            "masked then."
        )
    held_out = study.data.only(study.folds[0].held_out)
    first, second = (_checked_model(study, held_out) for _ in range(2))
    shared = {id(one) for one in first.variables} & {id(one) for one in second.variables}
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
    metrics = resolved_metrics(study.metrics, first, held_out, study.seed)
    names = [one.name for one in metrics]
    if len(set(names)) < len(names):
        raise InvalidArgumentError(f"got two metrics of one name in {names}. Give each its own.")
    return first, metrics


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
        raise InvalidArgumentError(not_in_lock_step(reason))
    if asked is False or reason is not None:
        return study
    return replace(study, lock_step=True, insists=asked is True)


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


def _check_fit_kwargs(given: Mapping[str, Any]) -> None:
    for name in ("epochs", "batch_size"):
        if given.get(name) is not None:
            whole_number(f"{name} in fit_kwargs", given[name], at_least=1)
    for name in _OWN:
        if name in given:
            raise InvalidArgumentError(
                f"got {name!r} in fit_kwargs, which it sets itself. Pass it as an argument of its own."
            )
    has_validation = given.get("validation_data") is not None or bool(given.get("validation_split"))
    for one in keras.tree.flatten(given.get("callbacks")):
        # ModelCheckpoint has a monitor that it watches only where it saves the best.
        is_watching = getattr(one, "save_best_only", True)
        if is_watching and str(getattr(one, "monitor", "")).startswith("val_") and not has_validation:
            raise InvalidArgumentError(
                f"got {type(one).__name__}(monitor={one.monitor!r}) in fit_kwargs and nothing to "
                "validate on: held-out rows only score. Add 'validation_split': 0.1 to fit_kwargs, a "
                "part of the rows that are trained on."
            )
