"""Resuming a training: which earlier results stay, and which evaluation an earlier process missed."""

from __future__ import annotations

from collections.abc import Callable

import keras

from keras_importance.callback.caveats import caveats
from keras_importance.callback.fit_run import FitRun
from keras_importance.callback.settings import Settings
from keras_importance.data.features import FeatureSet
from keras_importance.data.running_fit import fit_arguments
from keras_importance.errors import warn
from keras_importance.methods.perturbation import PerturbationMethod
from keras_importance.reporting.writers.history import HistoryWriter, kept_history
from keras_importance.results.history import ImportanceHistory
from keras_importance.results.result import ImportanceResult


def begin(run: FitRun, settings: Settings, epoch: int, evaluate: Callable[..., None]) -> None:
    """Restores the earlier history, warns of caveats, and makes up for a missed evaluation.

    Args:
        run: the run that begins.
        settings: the settings of the callback.
        epoch: its first epoch.
        evaluate: evaluates a run after an epoch, `(run, epoch, is_last=)`.
    """
    with run.contained("looking for an earlier history"):
        begin_history(run, epoch)
    with run.contained("looking for caveats"):
        for caveat in caveats(run, settings):
            warn(caveat)
    if misses_evaluation(run, epoch - 1):
        with run.contained("evaluating", epoch - 1):
            evaluate(run, epoch - 1, is_last=False)


def begin_history(run: FitRun, epoch: int) -> None:
    """Sets the history that a run starts from, and how many evaluations are planned.

    The history consists of this callback's own results of earlier epochs. Without any, it is read from
    the files that an earlier process wrote into `log_dir`. The history writers then rewrite their files
    to hold exactly this history.

    Args:
        run: the run of `fit`; its `history` and `n_evaluations` are set.
        epoch: the first epoch of the run.
    """
    run.history = _on_same_features(run.history.before(epoch), run.evaluator.features)
    if epoch and run.log_dir is not None and not len(run.history):
        run.history = run.evaluator.agreed(_comparable(kept_history(run.log_dir, epoch), run))
    planned = run.schedule.n_evaluations(epoch)
    done = len(run.history.epochs) + misses_evaluation(run, epoch - 1)
    if run.n_continued:
        run.n_earlier, run.n_evaluations = done, planned
    elif planned is not None:
        first = run.schedule.first_too and not (run.history.epochs or run.schedule.is_due(epoch))
        run.n_evaluations = done + planned + first
    for writer in run.writers:
        if isinstance(writer, HistoryWriter):
            writer.start_from(run.history)


def misses_evaluation(run: FitRun, epoch: int) -> bool:
    """True if an earlier process ended after an epoch's backup and before its evaluation.

    The model then has the weights of the end of that epoch, restored by `BackupAndRestore`.
    """
    is_due = epoch >= 0 and run.schedule.is_due(epoch)
    fit = fit_arguments(run.evaluator.model)
    return (
        is_due
        and epoch not in run.history.epochs
        and fit is not None
        and any(
            isinstance(callback, keras.callbacks.BackupAndRestore) and callback.save_freq == "epoch"
            for callback in fit.callbacks
        )
    )


def _on_same_features(history: ImportanceHistory, features: FeatureSet) -> ImportanceHistory:
    """The history if all its results have these features, else an empty history."""
    same = all(result.feature_names == features.names for result in history)
    return history if same else ImportanceHistory()


def _comparable(history: ImportanceHistory, run: FitRun) -> ImportanceHistory:
    """The part of a history with the features, methods and metric of this run; warns of the rest."""
    evaluator, by_name = run.evaluator, {method.name: method for method in run.methods}

    def is_comparable(result: ImportanceResult) -> bool:
        method = by_name.get(result.method)
        if method is None or result.feature_names != evaluator.features.names:
            return False
        is_scored = isinstance(method, PerturbationMethod) and evaluator.model.built
        return not is_scored or result.metric == evaluator.metric.name

    kept = [result for result in history if is_comparable(result)]
    keys = {(result.method, result.epoch) for result in kept}
    judged = [verdicts for verdicts in history.judged if (verdicts.method, verdicts.epoch) in keys]
    if len(kept) < len(history):
        lost = sorted({result.method for result in history} - {result.method for result in kept})
        names = ", ".join(map(repr, lost)) or "some epochs"
        warn(
            f"FeatureImportance found an earlier history in log_dir, and leaves out {names}: "
            "the features, methods or metric have changed."
        )
    return ImportanceHistory(tuple(kept), tuple(judged))
