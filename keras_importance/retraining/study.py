"""A study: which models are trained, on which rows, and how they are scored."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras

from keras_importance.data.features import Column, FeatureSet
from keras_importance.data.hidden_columns import HiddenColumns, without_columns
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.keras_internals import has_sublayers, layers_of
from keras_importance.retraining.fingerprints import fingerprint
from keras_importance.retraining.folds import Fold
from keras_importance.retraining.trials import ModelKey, Trial


@dataclass(frozen=True, eq=False)
class Study:
    """Models trained with all features and without each, on every fold; picklable if its functions are.

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

    @property
    def drops_columns(self) -> bool:
        """Whether columns are dropped from the rows, not masked."""
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

    def trials(self, n_seeds: int, done: Collection[ModelKey]) -> list[list[Trial]]:
        """The trials still to be run, in parts; a part needs the outcomes of the part before it."""
        every = (None, *range(len(self.features)))
        missing = {
            (fold, seed): [left_out for left_out in every if (fold, seed, left_out) not in done]
            for fold in range(len(self.folds))
            for seed in range(n_seeds)
        }
        together = [Trial(*start, tuple(models)) for start, models in missing.items() if models]
        if self.lock_step:
            return [together]
        single = [replace(trial, left_out=(model,)) for trial in together for model in trial.left_out]
        if self.warm_start is None:
            return [single]
        # Weights are in no checkpoint: where models are missing, the one they start from is made anew.
        full = [replace(trial, left_out=(None,)) for trial in together]
        return [full, [trial for trial in single if trial.left_out != (None,)]]

    def fingerprint(self, n_seeds: int) -> str:
        """A hash of all that the outcomes depend on and that can be told: rows, folds, settings."""
        data, model = self.data, self.new_model(0)
        told = (
            data.inputs, keras.tree.flatten(data.targets), data.weights,
            [(fold.training, fold.held_out) for fold in self.folds],
            self.features.features, self.metrics, self.fit_kwargs,
            [(variable.shape, str(variable.dtype)) for variable in model.variables],
            [layer for layer in layers_of(model) if not has_sublayers(layer)],
            model.optimizer, model.loss,
            self.seed, n_seeds, self.warm_start, self.lock_step, keras.backend.backend(),
        )  # fmt: skip
        return fingerprint(told)

    # --- what a trial needs -----------------------------------------------------------------------

    def new_model(self, seed_offset: int, n_dropped: int = 0) -> Any:
        """A new model; equal offsets give equal weights at first, and then equal batches."""
        keras.utils.set_random_seed(self.seed + seed_offset)
        if not self.drops_columns:
            return self.build_model()
        return self.build_model(len(self.data.columns[0].columns) - n_dropped)

    def seed_offset(self, trial: Trial) -> int:
        """An offset of its own for each fold and seed: trainings of two folds are independent."""
        return trial.seed * len(self.folds) + trial.fold

    def rows(self, trial: Trial) -> tuple[ValidationData, ValidationData]:
        """The rows that a trial trains on, and those that it holds out."""
        fold = self.folds[trial.fold]
        return self.data.only(fold.training), self.data.only(fold.held_out)

    def columns(self, left_out: int | None) -> tuple[Column, ...]:
        """The columns of the feature with this index; none for None."""
        return () if left_out is None else self.features.features[left_out].columns

    def view_without(
        self, columns: Sequence[Column], training: ValidationData
    ) -> Callable[[ValidationData], ValidationData]:
        """Turns rows into what a model sees that is trained without some columns.

        Args:
            columns: the columns, dropped or filled with what is usual in the training rows.
            training: the training rows.
        """
        if not columns:
            return lambda data: data
        if self.drops_columns:
            return partial(without_columns, columns=columns)
        return partial(HiddenColumns.of(training, [columns]).applied, 0)


def takes_number_of_inputs(build_model: Callable[..., Any]) -> bool:
    """Whether a function needs one argument: the number of columns."""
    try:
        parameters = inspect.signature(build_model).parameters.values()
    except (TypeError, ValueError):  # some built-in callables have no signature
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [
        parameter
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind in positional
    ]
    return len(needed) == 1
