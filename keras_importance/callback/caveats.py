"""Caveats: warnings before a training, of too few rows, reused rows and names that MLflow refuses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from keras_importance.callback.fit_run import FitRun
from keras_importance.callback.logs import as_logs
from keras_importance.callback.settings import Settings
from keras_importance.data.running_fit import fit_arguments
from keras_importance.data.validation_data import ValidationData
from keras_importance.errors import warn
from keras_importance.verdicts.base import Detector

_TAKEN_BY_MLFLOW = re.compile(r"[\w\-. :/]+")

_CHOOSING = (keras.callbacks.EarlyStopping, keras.callbacks.ReduceLROnPlateau)


def caveats(run: FitRun, settings: Settings) -> list[str]:
    """Messages for the user: assumptions of the verdicts' error rate that don't hold, and refused names.

    Args:
        run: the run of `fit`.
        settings: the settings of the callback.
    """
    return [message for message in _looked_for(run, settings) if message]


def _looked_for(run: FitRun, settings: Settings) -> Iterator[str | None]:
    evaluator, fit = run.evaluator, fit_arguments(run.evaluator.model)
    for detector in run.detectors:
        yield too_few_rows(detector, evaluator.data, len(evaluator.features), run.n_evaluations)
    padding = evaluator.why_padding_matters()
    if padding is not None:
        yield f"FeatureImportance got validation rows of unequal lengths. It {padding}"
    if fit is None:
        return
    own_data = settings.validation_data
    if run.detectors and (own_data is None or own_data is fit.validation_data):
        yield chosen_on_the_same_rows(fit.callbacks)
    if settings.add_to_logs and settings in fit.callbacks:
        later = fit.callbacks[fit.callbacks.index(settings) + 1 :]
        yield names_refused(later, as_logs(run))


def too_few_rows(
    detector: Detector, data: ValidationData, n_features: int, n_evaluations: int | None
) -> str | None:
    """A message that says how many rows the detector's error rate needs; None if there are enough."""
    needed = detector.n_rows_needed(n_features, n_evaluations)
    if data.n_units >= needed:
        return None
    what = "validation rows" if data.blocks is None else "independent blocks of validation rows"
    return (
        f"FeatureImportance has {data.n_units:,} {what} for {detector!r}, whose error rate is sure from "
        f"about {needed:,} on: its verdicts may be wrong more often than stated. Pass more rows."
    )


def chosen_on_the_same_rows(callbacks: Iterable[Any]) -> str | None:
    """A message that names callbacks which choose the model on the validation rows; None without any."""
    names = dict.fromkeys(type(callback).__name__ for callback in callbacks if _chooses(callback))
    if not names:
        return None
    return (
        f"FeatureImportance judges features on the rows by which {' and '.join(names)} choose the "
        "model: it looks better on them than it is, and verdicts may be wrong more often than stated. "
        "Pass validation_data= of its own to FeatureImportance."
    )


def names_refused(callbacks: Iterable[Any], names: Iterable[str]) -> str | None:
    """A message with a name that makes MLflow drop all metrics of an epoch; None without such a name."""
    classes = (kind for callback in callbacks for kind in type(callback).__mro__)
    if not any(kind.__module__.startswith("mlflow.") for kind in classes):
        return None
    refused = [name for name in names if not _TAKEN_BY_MLFLOW.fullmatch(name)]
    if not refused:
        return None
    return (
        f"FeatureImportance adds {refused[0]!r} to the logs, and MLflow, for which a name holds "
        "letters, digits and '_-. :/' only, will keep no metric of any epoch. Give the features "
        "such names, or list FeatureImportance after MLflow's callback."
    )


def _chooses(callback: Any) -> bool:
    """True if a callback monitors `val_...` to stop, to change the learning rate or to keep the best."""
    is_checkpoint = isinstance(callback, keras.callbacks.ModelCheckpoint)
    if not isinstance(callback, _CHOOSING) and not (is_checkpoint and callback.save_best_only):
        return False
    return str(getattr(callback, "monitor", "")).startswith("val_")


def warn_outside_fit(model: Any, where: str) -> None:
    """Warns that a callback was passed to a method without epochs, unless a `fit` runs it."""
    if fit_arguments(model) is None:
        warn(
            f"FeatureImportance got no training: {where} has no epochs, after which it computes "
            "importances. Pass it to fit(callbacks=[...]), or call "
            "keras_importance.compute_importance(model, validation_data)."
        )
