"""A study: which models are trained, on which rows, and how they are scored."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras

from keras_importance.data.columns import Column
from keras_importance.data.features import FeatureSet
from keras_importance.data.hidden_columns import HiddenColumns, without_columns
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.keras_internals import has_sublayers, layers_of
from keras_importance.engine.masks import with_valid_steps
from keras_importance.retraining.fingerprints import fingerprint
from keras_importance.retraining.folds import Fold
from keras_importance.retraining.trials import ModelKey, Trial


@dataclass(frozen=True, eq=False)
class Study:
    """A plan of trainings: on every fold, a model with all features and a model without each feature.

    A study can be pickled if `build_model`, the metrics and `fit_kwargs` can.

    Attributes:
        build_model: returns a new compiled model; it may take the number of columns.
        data: all rows.
        folds: for each fold which rows are trained on and which are held out.
        features: the features to leave out, one at a time.
        metrics: the metrics that score held-out rows, as the user passed them.
        fit_kwargs: further arguments of `fit`.
        seed: seed of everything drawn at random.
        warm_start: for how many epochs a model without a feature is trained from the weights of the
            model with all features; None trains it from new weights.
        lock_step: whether the models of a fold are trained as one program.
        insists: whether it is an error if they can't be trained as one program.
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
        """True if the columns of a feature are dropped, False if they are set to a constant."""
        return takes_number_of_inputs(self.build_model)

    @property
    def procedure(self) -> str:
        """In words, how features are left out."""
        if self.lock_step:
            return "lock step"
        how = "columns dropped" if self.drops_columns else "columns masked"
        if self.warm_start is not None:
            return f"warm start, {self.warm_start} epochs, {how}"
        return f"refit, {how}"

    def trials(self, n_seeds: int, done: Collection[ModelKey]) -> list[list[Trial]]:
        """The trials still to be run, in parts. Each part needs the outcomes of the part before it.

        Args:
            n_seeds: with how many seeds each fold is trained.
            done: keys of the models whose outcomes are known.
        """
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
        # A checkpoint keeps no weights: the full model that missing models start from is trained again.
        full = [replace(trial, left_out=(None,)) for trial in together]
        return [full, [trial for trial in single if trial.left_out != (None,)]]

    def fingerprint(self, n_seeds: int) -> str:
        """A hash of everything known that the outcomes depend on: rows, folds, model, settings."""
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
        padded = [valid for valid in data.valid if valid is not None]
        return fingerprint((*told, padded) if padded else told)

    def with_valid_steps(self, model: Any, mask_value: Any = None) -> Study:
        """The same study, whose rows know the steps that a model doesn't mask; see `engine.masks`."""
        return replace(self, data=with_valid_steps(self.data, model, mask_value))

    # --- what a trial needs -----------------------------------------------------------------------

    def new_model(self, seed_offset: int, n_dropped: int = 0) -> Any:
        """A new compiled model, after seeding the global random states.

        Args:
            seed_offset: added to the seed. Equal offsets give equal initial weights and equal batches.
            n_dropped: how many columns are dropped; only if `drops_columns`.
        """
        keras.utils.set_random_seed(self.seed + seed_offset)
        if not self.drops_columns:
            return self.build_model()
        return self.build_model(len(self.data.columns[0].columns) - n_dropped)

    def seed_offset(self, trial: Trial) -> int:
        """A different offset for each fold and seed, so that trainings of two folds are independent."""
        return trial.seed * len(self.folds) + trial.fold

    def rows(self, trial: Trial) -> tuple[ValidationData, ValidationData]:
        """The rows that a trial trains on, and the rows that it holds out."""
        fold = self.folds[trial.fold]
        return self.data.only(fold.training), self.data.only(fold.held_out)

    def columns(self, left_out: int | None) -> tuple[Column, ...]:
        """The columns of the feature with this index; empty for None, which leaves out no feature."""
        return () if left_out is None else self.features.features[left_out].columns

    def view_without(
        self, columns: Sequence[Column], training: ValidationData
    ) -> Callable[[ValidationData], ValidationData]:
        """A function that hides columns: it turns rows into the rows that a model without them gets.

        Args:
            columns: the columns to hide. They are dropped, or set to their usual value: the mean of
                floats, the most frequent value of others.
            training: the training rows, which the usual values are taken from.
        """
        if not columns:
            return lambda data: data
        if self.drops_columns:
            return partial(without_columns, columns=columns)
        return partial(HiddenColumns.of(training, [columns]).applied, 0)


def takes_number_of_inputs(build_model: Callable[..., Any]) -> bool:
    """True if a function has exactly one required argument, which is then the number of columns."""
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
