"""Leave one feature out, every epoch: twins of the model, each without a feature, trained beside it."""

from __future__ import annotations

import math
import random
from collections.abc import Hashable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance.arguments import whole_number
from keras_importance.data.hidden_columns import HiddenColumns
from keras_importance.data.training_data import TrainingData
from keras_importance.engine.effort import Effort
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.twins.step import Start, why_no_twins
from keras_importance.engine.twins.twins import TwinPrograms, Twins
from keras_importance.errors import InvalidArgumentError, reason_of, speaking_as
from keras_importance.methods.base import ImportanceMethod, Interrupted, need_targets
from keras_importance.progress import progress_bar
from keras_importance.results.scores import Scores
from keras_importance.statistics.arrays import Floats, generator, unit_weights, weighted_mean
from keras_importance.statistics.cross_validation import (
    FoldDifferences,
    HeldOutEstimate,
    left_out,
    left_out_of_sets,
)
from keras_importance.statistics.influence import multiplier_draws


class LOFOImportance(ImportanceMethod):
    """How much worse the model is at this epoch when it has been trained without a feature.

        importance_j = E score(f_-j(X), Y) - E score(f(X), Y)

    with `f` and all `f_-j` twins of the model: they begin with its weights, optimizer and learning rate
    and are trained for as many epochs on the training rows of `fit`, on the same batches and with the
    same dropout, but `f_-j` sees the mean of feature `j` in every row. 0 for what the model can do
    without, such as a copy of another feature; slightly below 0 for noise. A group of columns leaves
    together. In units of the metric.

    The model that `fit` trains is never changed. Its own batches come in another order, so `f` is a twin
    as well: a difference is never one of order. The twins are trained as one program, tens of times
    faster than one by one, but that still is the training of `n_features + 1` networks: it has been
    asked for, so `time_budget` doesn't limit it, and `importance_cost` shows it. An evaluation trains
    them for all epochs since the last one. The training rows are held in memory.

    The standard error is paired over validation rows; with several seeds it counts how trainings
    differ, too. One seed can't know that: take three or more for a decision.

    Source: Lei et al. (2018), JASA 113; Williamson et al. (2023), JASA 118.

    Args:
        n_seeds: how many sets of twins are trained. The first begins with the model's weights, the
            others with new ones.
        name: name in results and tags.
    """

    name = "lofo"
    trains = True

    def __init__(self, n_seeds: int = 1, *, name: str | None = None) -> None:
        super().__init__(name=name)
        with speaking_as(type(self).__name__):
            self.n_seeds = whole_number("n_seeds", n_seeds, at_least=1)

    def check(self, evaluator: Evaluator) -> None:
        """Makes the twins of the model as it is before training.

        Raises:
            InvalidArgumentError: outside of `fit`, and for models that have no twins.
        """
        need_targets(self, evaluator)
        evaluator.check_metric()
        training, model = evaluator.training_data, evaluator.model
        if training is None:
            raise InvalidArgumentError(
                f"got the method {self.name!r} outside of a training. Pass it to FeatureImportance in "
                "fit, or call lofo_importance(build_model, x, y)."
            )
        if not model.built:
            raise InvalidArgumentError(
                f"got a model that isn't built, whose twins {self.name!r} trains. Call model.build() "
                "or model.predict() with a few rows before fit."
            )
        reason = why_no_twins(model)
        if reason is not None:
            raise InvalidArgumentError(
                f"got a model whose twins {self.name!r} can't train: {reason}. Leave the method out, "
                "and call lofo_importance(build_model, x, y), which calls fit."
            )
        evaluator.once(self._key, lambda: _LockStep(evaluator, training, self._starts(evaluator)))

    def compute(self, evaluator: Evaluator, effort: Effort) -> Scores:
        """Trains the twins for the epochs that have passed, and scores them."""
        with evaluator.clock.stopped():
            lock_step: _LockStep = evaluator.once(self._key, _missing)
            try:
                lock_step.catch_up(shown=effort.verbose)
            except KeyboardInterrupt:
                raise Interrupted(_unknown(evaluator)) from None
            scores = lock_step.scores(evaluator)
        return _as_scores(scores, evaluator)

    @property
    def _key(self) -> Hashable:
        return (type(self).__name__, self.name, self.n_seeds)

    def _starts(self, evaluator: Evaluator) -> list[Start]:
        """The model's own weights, and new weights for each further seed."""
        starts = [Start.of(evaluator.model)]
        for seed in range(1, self.n_seeds):
            random.seed(evaluator.seed + seed)  # from which Keras draws the seeds of weights
            try:
                clone = keras.models.clone_model(evaluator.model)
            except Exception as error:
                raise InvalidArgumentError(
                    f"got n_seeds={self.n_seeds} for {self.name!r} and a model that can't be cloned "
                    f"({reason_of(error)}). Give its class a get_config, or pass n_seeds=1."
                ) from error
            starts.append(Start.of_new(clone))
        return starts


class _LockStep:
    """Twins that are trained in step with a model.

    Args:
        evaluator: the model on the validation rows.
        training: what it is trained on.
        starts: what the twins of each seed begin with.
    """

    def __init__(self, evaluator: Evaluator, training: TrainingData, starts: list[Start]) -> None:
        self._training, self._n_epochs = training, 0
        self._rngs = [generator(evaluator.seed + seed, "batches") for seed in range(len(starts))]
        sets = [(), *(feature.columns for feature in evaluator.features.features)]
        programs = TwinPrograms(evaluator.model, training.data, [evaluator.metric])
        n_twins = len(sets) * len(starts)
        if n_twins > programs.n_kept:
            raise InvalidArgumentError(
                f"got {n_twins} twins to train for 'lofo', of which {programs.n_kept} fit into 2 GB. "
                "Pass features as groups, or call lofo_importance, which trains them in parts."
            )
        hidden_columns = HiddenColumns.of(training.data, sets)
        self._twins = Twins(programs, training.data, hidden_columns, training.batch_size, starts)

    def catch_up(self, *, shown: bool) -> None:
        """Trains the twins for the epochs that the model is ahead of them."""
        n_rows, rates = self._training.data.n_rows, self._training.learning_rates
        with progress_bar(len(rates) - self._n_epochs, "lofo", unit="epoch", shown=shown) as bar:
            while self._n_epochs < len(rates):
                rate = rates[self._n_epochs]
                if not math.isnan(rate):
                    self._twins.set_learning_rate(rate)
                rows = np.arange(n_rows)
                is_shuffled = self._training.is_shuffled
                self._twins.train([rng.permutation(rows) if is_shuffled else rows for rng in self._rngs])
                self._n_epochs += 1
                bar.update(1)

    def scores(self, evaluator: Evaluator) -> Floats:
        """`(n_seeds, n_features + 1, n_rows)` scores of the validation rows, all features first.

        The last axis is 1 for a metric that is one number for all rows.
        """
        of_starts = self._twins.scores(evaluator.data)
        return np.array(
            [[np.atleast_1d(of_metric) for (of_metric,) in of_twins] for of_twins in of_starts]
        )


def _as_scores(scores: Floats, evaluator: Evaluator) -> Scores:
    """Importances from `(n_seeds, n_features + 1, n_rows)` scores, all features first."""
    worsening = np.moveaxis(evaluator.worsening(scores[:, 1:], scores[:, :1]), 0, 1)
    data, n_seeds = evaluator.data, len(scores)
    of_rows = evaluator.metric.row_scores is not None or scores.shape[-1] == data.n_rows
    baseline = float(weighted_mean(scores[:, 0], data.weights if of_rows else None).mean())
    draws = None
    if of_rows:
        differences = FoldDifferences(np.arange(data.n_rows), worsening)
        estimate = left_out([differences], data.weights, data.blocks)
        draws = _draws(worsening, estimate, evaluator)
    else:
        estimate = left_out_of_sets(worsening[..., 0])
    names = evaluator.features.names
    diverged = [
        name
        for name, importances in zip(names, estimate.importances, strict=True)
        if np.isnan(importances).any()
    ]
    seeds = f"{n_seeds} seed{'s' if n_seeds > 1 else ''}"
    return Scores(
        importances=estimate.importances,
        std_error=estimate.std_error,
        degrees=estimate.degrees,
        metric=evaluator.metric.name,
        baseline_score=baseline,
        error_source="rows" if of_rows else "repeats",
        draws=draws,
        notes=dict.fromkeys(diverged, "its twin, or that with all features, has diverged"),
        procedure=f"lock step, {seeds}",
    )


def _draws(worsening: Floats, estimate: HeldOutEstimate, evaluator: Evaluator) -> NDArray[np.float32]:
    """`(n_features, n_draws)` what the errors of the importances could have been.

    Args:
        worsening: `(n_features, n_seeds, n_rows)` how much worse rows are scored without a feature.
        estimate: the importances and their standard errors.
        evaluator: the model on the rows.
    """
    data = evaluator.data
    centred = worsening.mean(axis=1) - estimate.importances.mean(axis=1)[:, None]
    if data.weights is not None:
        centred = centred * unit_weights(data.weights, data.n_rows)
    return multiplier_draws(centred, evaluator.multipliers, estimate.std_error, data.blocks)


def _unknown(evaluator: Evaluator) -> Scores:
    """What is known when the training of twins is interrupted: nothing of this epoch."""
    names = evaluator.features.names
    return Scores(
        importances=np.full((len(names), 1), math.nan),
        metric=evaluator.metric.name,
        notes=dict.fromkeys(names, "the training of its twin was interrupted"),
        procedure="lock step",
    )


def _missing() -> Any:
    raise ValueError("the twins were not made before the training")
