"""LOFO importance in every epoch: copies of the model, each without a feature, are trained beside it."""

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
from keras_importance.errors import InvalidArgumentError, NotEvaluableError, reason_of, speaking_as
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

    `f` and all `f_-j` are twins of the model: copies that begin with its weights, optimizer and learning
    rate. They are trained for as many epochs as the model, on the training rows of `fit`, with the same
    batches and the same dropout. The only difference: `f_-j` sees the mean of feature `j` in every row.
    The importance is in units of the metric. It is 0 for a feature that the model can do without, such
    as a copy of another feature, and slightly below 0 for noise. The columns of a group are left out
    together.

    The model that `fit` trains is never changed. It gets its batches in another order than the twins. So
    the model with all features is a twin as well: no difference comes from the order of the batches.

    The twins are trained as one program, tens of times faster than one by one. That still is the
    training of `n_features + 1` networks. `time_budget` doesn't limit it, and `importance_cost` shows
    it. Each evaluation trains the twins for all epochs since the evaluation before. The training rows
    are held in memory.

    The standard error comes from paired differences on the validation rows. With several seeds it also
    covers the randomness of training, which a single seed can't show. Use three seeds or more for a
    decision.

    Source: Lei et al. (2018), JASA 113; Williamson et al. (2023), JASA 118.

    Args:
        n_seeds: how many sets of twins are trained. The first set begins with the model's weights, each
            further set with new weights.
        name: name in results and tags.

    Raises:
        ValueError: unless `n_seeds` is a whole number above 0.
    """

    name = "lofo"
    trains = True

    def __init__(self, n_seeds: int = 1, *, name: str | None = None) -> None:
        super().__init__(name=name)
        with speaking_as(type(self).__name__):
            self.n_seeds = whole_number("n_seeds", n_seeds, at_least=1)

    def check(self, evaluator: Evaluator) -> None:
        """Makes the twins from the model as it is before training.

        Raises:
            InvalidArgumentError: outside of `fit`, and for models whose twins can't be trained.
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
            raise NotEvaluableError(
                f"got a model that isn't built, whose twins {self.name!r} trains. Call model.build() "
                "or model.predict() with a few rows before fit."
            )
        reason = why_no_twins(model)
        if reason is not None:
            raise NotEvaluableError(
                f"got a model whose twins {self.name!r} can't train: {reason}. Leave the method out, "
                "and call lofo_importance(build_model, x, y), which calls fit."
            )
        evaluator.once(self._key, lambda: _LockStep(evaluator, training, self._starts(evaluator)))

    def compute(self, evaluator: Evaluator, effort: Effort) -> Scores:
        """Trains the twins for the epochs since the last evaluation, and scores the validation rows."""
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
        """For each seed what its twins begin with: the model's weights, then new ones."""
        starts = [Start.of(evaluator.model)]
        for seed in range(1, self.n_seeds):
            random.seed(evaluator.seed + seed)  # Keras draws the seeds of initial weights from it
            try:
                clone = keras.models.clone_model(evaluator.model)
            except Exception as error:
                raise NotEvaluableError(
                    f"got n_seeds={self.n_seeds} for {self.name!r} and a model that can't be cloned "
                    f"({reason_of(error)}). Give its class a get_config, or pass n_seeds=1."
                ) from error
            starts.append(Start.of_new(clone))
        return starts


class _LockStep:
    """Twins that are trained in step with a model.

    Args:
        evaluator: the model and the validation rows.
        training: the rows that the model is trained on.
        starts: for each seed the weights and the optimizer state that its twins begin with.
    """

    def __init__(self, evaluator: Evaluator, training: TrainingData, starts: list[Start]) -> None:
        self._training, self._n_epochs = training, 0
        self._rngs = [generator(evaluator.seed + seed, "batches") for seed in range(len(starts))]
        sets = [(), *(feature.columns for feature in evaluator.features.features)]
        programs = TwinPrograms(evaluator.model, training.data, [evaluator.metric])
        n_twins = len(sets) * len(starts)
        if n_twins > programs.n_kept:
            raise NotEvaluableError(
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
        """`(n_seeds, n_features + 1, n_rows)` scores of the validation rows; index 0 is the full model.

        The last axis is 1 for a metric that is one number for all rows.
        """
        of_starts = self._twins.scores(evaluator.data)
        return np.array(
            [[np.atleast_1d(of_metric) for (of_metric,) in of_twins] for of_twins in of_starts]
        )


def _as_scores(scores: Floats, evaluator: Evaluator) -> Scores:
    """Importances from `(n_seeds, n_features + 1, n_rows)` scores; index 0 is the full model."""
    worsening = np.moveaxis(evaluator.worsening(scores[:, 1:], scores[:, :1]), 0, 1)
    data, n_seeds = evaluator.data, len(scores)
    of_rows = evaluator.metric.row_scores is not None or scores.shape[-1] == data.n_rows
    baseline = float(weighted_mean(scores[:, 0], evaluator.row_weights if of_rows else None).mean())
    draws = None
    if of_rows:
        differences = FoldDifferences(np.arange(data.n_rows), worsening)
        estimate = left_out([differences], evaluator.row_weights, data.blocks)
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
        is_finite=math.isfinite(baseline),
    )


def _draws(worsening: Floats, estimate: HeldOutEstimate, evaluator: Evaluator) -> NDArray[np.float32]:
    """`(n_features, n_draws)` random draws of the errors of the importances.

    Args:
        worsening: `(n_features, n_seeds, n_rows)` how much worse rows are scored without a feature.
        estimate: the importances and their standard errors.
        evaluator: the model on the rows.
    """
    data = evaluator.data
    centred = worsening.mean(axis=1) - estimate.importances.mean(axis=1)[:, None]
    if evaluator.row_weights is not None:
        centred = centred * unit_weights(evaluator.row_weights, data.n_rows)
    return multiplier_draws(centred, evaluator.multipliers, estimate.std_error, data.blocks)


def _unknown(evaluator: Evaluator) -> Scores:
    """The scores of an epoch in which training the twins was interrupted: NaN for all features."""
    names = evaluator.features.names
    return Scores(
        importances=np.full((len(names), 1), math.nan),
        metric=evaluator.metric.name,
        notes=dict.fromkeys(names, "the training of its twin was interrupted"),
        procedure="lock step",
    )


def _missing() -> Any:
    """Stands in for making the twins: `check` has made them already, so it is never called."""
    raise ValueError("the twins were not made before the training")
