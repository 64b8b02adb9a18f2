"""Trainers: train and score the models of a trial, in lock step as one program or one by one."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from keras_importance.data.hidden_columns import HiddenColumns
from keras_importance.data.padding import padded_alike
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.metrics.metric import Metric
from keras_importance.engine.twins.held_out_scores import few_rows, held_out_scores, resolved_metrics
from keras_importance.engine.twins.step import Start
from keras_importance.engine.twins.twins import TwinPrograms, Twins
from keras_importance.errors import reason_of, warn
from keras_importance.retraining.checks import lock_step_error
from keras_importance.retraining.study import Study
from keras_importance.retraining.trials import Outcome, Trial
from keras_importance.statistics.arrays import Array, Floats, generator

_BATCH_SIZE = 32  # the default of `fit`

# Keras draws weights and batches from random generators that all threads of a process share. Therefore
# the lock is shared by all trainers: threads of joblib, or two calls at once, would mix up their draws.
_ONE_AT_A_TIME = threading.RLock()

FullWeights = Mapping[tuple[int, int], tuple[Array, ...]]
"""For each `(fold, seed)` the trained weights of the model with all features."""


class Trainer(Protocol):
    """Trains the models of a trial. A trainer can be pickled, so that another process can run it."""

    def run(self, trial: Trial) -> list[Outcome]:
        """The outcome of each model of the trial."""


def trainer_of(study: Study, full_weights: FullWeights) -> Trainer:
    """The trainer for a study: `LockStepTrainer` if it has `lock_step`, else `RefitTrainer`.

    Args:
        study: the study.
        full_weights: weights that models start from in a warm start; empty for other studies.
    """
    refits = RefitTrainer(replace(study, lock_step=False), full_weights)
    return LockStepTrainer(study, refits) if study.lock_step else refits


@dataclass(frozen=True, eq=False)
class RefitTrainer:
    """Trains models one by one with `fit`, from new weights or, in a warm start, from trained ones.

    Attributes:
        study: the study.
        full_weights: weights that models start from in a warm start.
    """

    study: Study
    full_weights: FullWeights

    def run(self, trial: Trial) -> list[Outcome]:
        """The outcome of each model of the trial; the outcome of a failed training holds the reason."""
        with _ONE_AT_A_TIME:
            return [self._outcome(trial, left_out) for left_out in trial.left_out]

    def _outcome(self, trial: Trial, left_out: int | None) -> Outcome:
        try:
            return self._fitted(trial, left_out)
        except Exception as error:  # noqa: BLE001 (one model that fails is reported; the others go on)
            return Outcome(trial.fold, trial.seed, left_out, failure=reason_of(error))

    def _fitted(self, trial: Trial, left_out: int | None) -> Outcome:
        study, columns = self.study, self.study.columns(left_out)
        training, held_out = study.rows(trial)
        view = study.view_without(columns, training)
        training, held_out = view(training), view(held_out)
        fit_kwargs = self._fit_kwargs(view)
        model = study.new_model(study.seed_offset(trial), len(columns))
        is_warm = study.warm_start is not None
        if is_warm and left_out is not None:
            built(model, training).set_weights(self._start(trial))
            fit_kwargs["epochs"] = study.warm_start
        x, y, weights = _packed(training)
        model.fit(x, y, sample_weight=weights, **fit_kwargs)
        metrics = resolved_metrics(study.metrics, model, held_out, study.seed)
        scores = held_out_scores(model, held_out, metrics)
        outcome = _scored(study, trial, left_out, metrics, scores)
        if is_warm and left_out is None:
            return replace(outcome, weights=tuple(model.get_weights()))
        return outcome

    def _fit_kwargs(self, view: Callable[[ValidationData], ValidationData]) -> dict[str, Any]:
        """The further arguments of one `fit`; `view` hides the columns from its validation data."""
        fit_kwargs = {"verbose": 0, **self.study.fit_kwargs}
        validation_data = fit_kwargs.pop("validation_data", None)
        if validation_data is not None:
            data, of_study = ValidationData.read(validation_data), self.study.data
            valid = padded_alike(data.inputs, of_study.inputs, of_study.valid)
            fit_kwargs["validation_data"] = _packed(view(replace(data, valid=valid)))
        # Each training gets copies of the callbacks, because callbacks have state.
        fit_kwargs["callbacks"] = copy.deepcopy(fit_kwargs.get("callbacks"))
        return fit_kwargs

    def _start(self, trial: Trial) -> tuple[Array, ...]:
        """The weights that a warm start begins with."""
        start = self.full_weights.get((trial.fold, trial.seed))
        if start is None:
            raise RuntimeError("the model with all features, from whose weights it starts, failed")
        return start


class LockStepTrainer:
    """Trains the models of a trial as one program. After a failure it trains them one by one with `fit`.

    Args:
        study: the study.
        refits: the trainer to use after a failure.
    """

    def __init__(self, study: Study, refits: RefitTrainer) -> None:
        self._study, self._refits = study, refits
        self._programs: dict[tuple[Any, ...], TwinPrograms] = {}
        self._has_failed = False

    def __getstate__(self) -> dict[str, Any]:
        """The state to pickle: without compiled programs, which another process compiles anew."""
        return {**self.__dict__, "_programs": {}}

    def run(self, trial: Trial) -> list[Outcome]:
        """The outcome of each model of the trial.

        Raises:
            InvalidArgumentError: if lock step fails and the study insists on it.
        """
        with _ONE_AT_A_TIME:
            if not self._has_failed:
                try:
                    return self._in_lock_step(trial)
                except Exception as error:  # fit can train models that the program of twins can't
                    if self._study.insists:
                        raise lock_step_error(reason_of(error)) from error
                    self._has_failed = True
                    warn(
                        "LOFO trains the models one by one with fit: they can't be trained in lock "
                        f"step. Reason: {reason_of(error)}"
                    )
            return self._refits.run(trial)

    def _in_lock_step(self, trial: Trial) -> list[Outcome]:
        study = self._study
        training, held_out = study.rows(trial)
        model = built(study.new_model(study.seed_offset(trial)), training)
        programs = self._programs_for(model, training, held_out)
        outcomes = []
        for first in range(0, len(trial.left_out), programs.n_kept):
            part = replace(trial, left_out=trial.left_out[first : first + programs.n_kept])
            outcomes += self._in_one_program(part, programs, Start.of(model))
        return outcomes

    def _in_one_program(self, trial: Trial, programs: TwinPrograms, start: Start) -> list[Outcome]:
        """The outcomes of the models of a trial, which must fit into memory together."""
        study = self._study
        training, held_out = study.rows(trial)
        hidden_columns = HiddenColumns.of(training, list(map(study.columns, trial.left_out)))
        batch_size = study.fit_kwargs.get("batch_size") or _BATCH_SIZE
        twins = Twins(programs, training, hidden_columns, batch_size, [start])
        is_shuffled = study.fit_kwargs.get("shuffle", True)
        rng = generator(study.seed + study.seed_offset(trial), "batches")
        for _ in range(study.fit_kwargs.get("epochs", 1)):
            order = np.arange(training.n_rows)
            twins.train([rng.permutation(order) if is_shuffled else order])
        return [
            _scored(study, trial, left_out, programs.metrics, scores)
            for left_out, scores in zip(trial.left_out, twins.scores(held_out)[0], strict=True)
        ]

    def _programs_for(
        self, model: Any, training: ValidationData, held_out: ValidationData
    ) -> TwinPrograms:
        """The compiled training of models with variables of these shapes, for all folds and seeds."""
        key = tuple((tuple(variable.shape), str(variable.dtype)) for variable in model.variables)
        if key not in self._programs:
            metrics = resolved_metrics(self._study.metrics, model, held_out, self._study.seed)
            self._programs[key] = TwinPrograms(model, training, metrics)
        return self._programs[key]


def built(model: Any, data: ValidationData) -> Any:
    """The model, built. A subclassed model makes its variables when it is first called on rows."""
    if not model.built:
        model(few_rows(model, data), training=False)
    return model


def _scored(
    study: Study,
    trial: Trial,
    left_out: int | None,
    metrics: Sequence[Metric],
    scores: Sequence[Floats],
) -> Outcome:
    """The outcome of a trained model; a failure if a score is not finite."""
    by_name = {metric.name: values for metric, values in zip(metrics, scores, strict=True)}
    not_finite = [name for name, values in by_name.items() if not np.all(np.isfinite(values))]
    if not_finite:
        failure = (
            f"the metric {not_finite[0]!r} is not finite: the training diverged, or the metric has no "
            "value for these predictions"
        )
        return Outcome(trial.fold, trial.seed, left_out, failure=failure)
    return Outcome(trial.fold, trial.seed, left_out, by_name, procedure=study.procedure)


def _packed(data: ValidationData) -> tuple[Any, Any, Any]:
    """`(x, y, sample_weight)` as `fit` takes them."""
    return data.pack(data.inputs), data.targets, data.weights
