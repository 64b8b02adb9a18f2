"""A study: models trained with all features and without each, on every fold; what one trial does."""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from keras_importance.data.features import Column, FeatureSet
from keras_importance.data.hidden_columns import HiddenColumns, without_columns
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.metrics.metric import Metric
from keras_importance.engine.twins.held_out_scores import few_rows, held_out_scores, resolved_metrics
from keras_importance.engine.twins.step import Start
from keras_importance.engine.twins.twins import TwinPrograms, Twins
from keras_importance.errors import InvalidArgumentError, reason_of, warn
from keras_importance.retraining.fingerprints import fingerprint
from keras_importance.retraining.folds import Fold
from keras_importance.retraining.trials import NOTHING, Outcome, Trial
from keras_importance.statistics.arrays import Array, Floats, generator

# Keras draws weights and batches from global generators: one training at a time in a process, so that
# the threads of a backend of joblib's can't mix theirs up.
_ALONE = threading.RLock()


@dataclass(frozen=True, eq=False)
class Study:
    """What is trained, on which rows, and how it is scored; picklable where its functions are.

    Attributes:
        build_model: returns a new compiled model, given the number of columns where it asks for that.
        data: all rows.
        folds: which of them are trained on and held out.
        features: the features that are left out.
        metrics: what held-out rows are scored with, as the user wrote it.
        fit_kwargs: further arguments of `fit`.
        seed: seed of everything drawn.
        warm_start: epochs that a model trains from the weights of the one with all features; None for
            all epochs from new weights.
        lock_step: whether the models of a fold are trained as one program.
        insists: whether what can't be trained as one program is an error.
    """

    build_model: Callable[..., Any]
    data: ValidationData
    folds: tuple[Fold, ...]
    features: FeatureSet
    metrics: tuple[Any, ...]
    fit_kwargs: Mapping[str, Any]
    seed: int
    warm_start: int | None = None
    lock_step: bool = False
    insists: bool = False
    full_weights: Mapping[tuple[int, int], tuple[Array, ...]] = field(default_factory=dict)
    _programs: dict[Any, TwinPrograms] = field(default_factory=dict, repr=False)
    _failed_in_lock_step: list[Trial] = field(default_factory=list, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Without compiled programs, which another process makes anew."""
        return {**self.__dict__, "_programs": {}}

    @property
    def drops_columns(self) -> bool:
        """Whether columns are left out of the rows, not masked."""
        return takes_number_of_inputs(self.build_model)

    @property
    def procedure(self) -> str:
        """How features are left out, in words."""
        if self.lock_step:
            return "lock step"
        how = "columns dropped" if self.drops_columns else "columns masked"
        if self.warm_start is not None:
            return f"warm start, {self.warm_start} epochs, {how}"
        return f"refit, {how}"

    def trials(self, n_seeds: int, done: Collection[tuple[int, int, int]]) -> list[list[Trial]]:
        """What is still to be done, in parts of which each needs the one before."""
        numbers = (NOTHING, *range(len(self.features)))
        missing = {
            (fold, seed): [one for one in numbers if (fold, seed, one) not in done]
            for fold in range(len(self.folds))
            for seed in range(n_seeds)
        }
        if self.lock_step:
            return [[Trial(*place, tuple(ones)) for place, ones in missing.items() if ones]]
        if self.warm_start is None:
            return [[Trial(*place, (one,)) for place, ones in missing.items() for one in ones]]
        # Weights are in no checkpoint: where models are missing, the one they start from is made anew.
        first = [Trial(*place, (NOTHING,)) for place, ones in missing.items() if ones]
        rest = [
            Trial(*place, (one,)) for place, ones in missing.items() for one in ones if one != NOTHING
        ]
        return [first, rest]

    def run(self, trial: Trial) -> list[Outcome]:
        """Trains and scores the models of a trial; one that fails says why."""
        with _ALONE:
            if self.lock_step and not self._failed_in_lock_step:
                try:
                    return self._in_lock_step(trial)
                except Exception as error:  # what a program of twins doesn't take, fit does
                    if self.insists:
                        raise InvalidArgumentError(not_in_lock_step(reason_of(error))) from error
                    self._failed_in_lock_step.append(trial)
                    warn(
                        "LOFO trains the models one by one with fit: they can't be trained in lock "
                        f"step. Reason: {reason_of(error)}"
                    )
            alone = replace(self, lock_step=False)
            return [alone._refitted(trial, left_out) for left_out in trial.left_out]

    def new_model(self, number: int, n_dropped: int = 0) -> Any:
        """A new model; the same number gives the same weights, and then the same batches."""
        keras.utils.set_random_seed(self.seed + number)
        if not self.drops_columns:
            return self.build_model()
        return self.build_model(len(self.data.columns[0].columns) - n_dropped)

    def fingerprint(self, n_seeds: int) -> str:
        """A hash of all that the outcomes depend on and that can be told: rows, folds, settings."""
        data, model = self.data, self.new_model(0)
        told = (
            data.inputs, keras.tree.flatten(data.targets), data.weights,
            [(one.training, one.held_out) for one in self.folds],
            self.features.features, self.metrics, self.fit_kwargs,
            [(one.shape, str(one.dtype)) for one in model.variables],
            [one for one in model._flatten_layers() if not one._layers], model.optimizer, model.loss,
            self.seed, n_seeds, self.warm_start, self.lock_step, keras.backend.backend(),
        )  # fmt: skip
        return fingerprint(told)

    # --- one trial --------------------------------------------------------------------------------

    def _in_lock_step(self, trial: Trial) -> list[Outcome]:
        training, held_out = self._parts(trial)
        model = built(self.new_model(self._number_of(trial)), training)
        programs = self._programs_for(model, training, held_out)
        found = []
        for first in range(0, len(trial.left_out), programs.n_kept):
            part = trial.left_out[first : first + programs.n_kept]
            found += self._in_one_program(trial, part, programs, Start.of(model))
        return found

    def _in_one_program(
        self, trial: Trial, part: Sequence[int], programs: TwinPrograms, start: Start
    ) -> list[Outcome]:
        training, held_out = self._parts(trial)
        masks = HiddenColumns.of(training, [self._columns(one) for one in part])
        batch_size = self.fit_kwargs.get("batch_size") or 32
        twins = Twins(programs, training, masks, batch_size, [start])
        rng = generator(self.seed + self._number_of(trial), "batches")
        for _ in range(self.fit_kwargs.get("epochs", 1)):
            order = np.arange(training.n_rows)
            twins.train([rng.permutation(order) if self.fit_kwargs.get("shuffle", True) else order])
        return [
            self._outcome(trial, left_out, programs.metrics, scores)
            for left_out, scores in zip(part, twins.scores(held_out)[0], strict=True)
        ]

    def _programs_for(
        self, model: Any, training: ValidationData, held_out: ValidationData
    ) -> TwinPrograms:
        """The compiled training of such models, which serves all folds and seeds."""
        key = tuple((tuple(one.shape), str(one.dtype)) for one in model.variables)
        if key not in self._programs:
            metrics = resolved_metrics(self.metrics, model, held_out, self.seed)
            self._programs[key] = TwinPrograms(model, training, metrics)
        return self._programs[key]

    def _refitted(self, trial: Trial, left_out: int) -> Outcome:
        try:
            return self._fitted(trial, left_out)
        except Exception as error:  # noqa: BLE001 (one model that fails is reported; the others go on)
            return Outcome(trial.fold, trial.seed, left_out, failure=reason_of(error))

    def _fitted(self, trial: Trial, left_out: int) -> Outcome:
        columns = self._columns(left_out)
        training, held_out = self._parts(trial)
        extra = dict(self.fit_kwargs)
        given = extra.pop("validation_data", None)
        watched = None if given is None else ValidationData.read(given)
        all_columns = training
        training, held_out = (self._seen(one, all_columns, columns) for one in (training, held_out))
        model = self.new_model(self._number_of(trial), len(columns))
        is_warm = self.warm_start is not None and left_out != NOTHING
        if is_warm:
            start = self.full_weights.get((trial.fold, trial.seed))
            if start is None:
                raise RuntimeError("the model with all features, from whose weights it starts, failed")
            built(model, training).set_weights(start)
            extra["epochs"] = self.warm_start
        if watched is not None:
            extra["validation_data"] = _packed(self._seen(watched, all_columns, columns))
        # Each training has callbacks of its own: they remember what they have seen.
        extra["callbacks"] = copy.deepcopy(extra.get("callbacks"))
        x, y, weights = _packed(training)
        model.fit(x, y, sample_weight=weights, **{"verbose": 0, **extra})
        metrics = resolved_metrics(self.metrics, model, held_out, self.seed)
        found = self._outcome(trial, left_out, metrics, held_out_scores(model, held_out, metrics))
        if self.warm_start is None or left_out != NOTHING:
            return found
        return replace(found, weights=tuple(model.get_weights()))

    def _outcome(
        self, trial: Trial, left_out: int, metrics: Sequence[Metric], scores: Sequence[Floats]
    ) -> Outcome:
        named = {one.name: values for one, values in zip(metrics, scores, strict=True)}
        unknown = [name for name, values in named.items() if not np.all(np.isfinite(values))]
        if unknown:
            failure = (
                f"the metric {unknown[0]!r} is not finite: the training diverged, or the metric has no "
                "value for these predictions"
            )
            return Outcome(trial.fold, trial.seed, left_out, failure=failure)
        return Outcome(trial.fold, trial.seed, left_out, named, procedure=self.procedure)

    def _number_of(self, trial: Trial) -> int:
        """A number of its own for each fold and seed: trainings of two folds are independent."""
        return trial.seed * len(self.folds) + trial.fold

    def _parts(self, trial: Trial) -> tuple[ValidationData, ValidationData]:
        fold = self.folds[trial.fold]
        return self.data.only(fold.training), self.data.only(fold.held_out)

    def _columns(self, left_out: int) -> tuple[Column, ...]:
        return () if left_out == NOTHING else self.features.features[left_out].columns

    def _seen(
        self, data: ValidationData, training: ValidationData, columns: Sequence[Column]
    ) -> ValidationData:
        """The rows without some columns, as a model that is trained without them takes them."""
        if not columns:
            return data
        if self.drops_columns:
            return without_columns(data, columns)
        return HiddenColumns.of(training, [columns]).applied(0, data)


def takes_number_of_inputs(build_model: Callable[..., Any]) -> bool:
    """Whether a function needs one argument: the number of columns."""
    try:
        parameters = inspect.signature(build_model).parameters.values()
    except (TypeError, ValueError):  # some built-in callables have no signature
        return False
    needed = [
        one
        for one in parameters
        if one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    return len(needed) == 1


def built(model: Any, data: ValidationData) -> Any:
    """The model with its variables; one written in Python makes them when it first sees rows."""
    if not model.built:
        model(few_rows(model, data), training=False)
    return model


def not_in_lock_step(reason: str) -> str:
    """The error of `lock_step=True` where the models can't be trained as one program."""
    return f"got lock_step=True, which can't be: {reason}. Pass lock_step=None to train one by one."


def _packed(data: ValidationData) -> tuple[Any, Any, Any]:
    return data.pack(data.inputs), data.targets, data.weights
