"""Retrains without the useless features, and says whether the loss holds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_importance.arguments import share, whole_number
from keras_importance.data.features import Feature, FeatureSet
from keras_importance.data.named_features import named_features
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.footprint import no_footprint
from keras_importance.engine.metrics.metric import Metric
from keras_importance.errors import InvalidArgumentError, about
from keras_importance.results.confirmation import Confirmation
from keras_importance.retraining.checks import check_models, in_lock_step_where_possible
from keras_importance.retraining.folds import Fold
from keras_importance.retraining.outcomes import StudyOutcomes, run_study
from keras_importance.retraining.study import Study
from keras_importance.statistics.arrays import Floats, weighted_mean
from keras_importance.statistics.quantiles import tail_quantile


def confirm(
    build_model: Callable[..., Any],
    x: Any,
    y: Any,
    useless: Sequence[str],
    *,
    validation_data: Any = None,
    validation_split: float = 0.2,
    features: Any = None,
    fit_kwargs: Mapping[str, Any] | None = None,
    n_seeds: int = 3,
    min_share: float = 0.01,
    alpha: float = 0.05,
    n_jobs: int | None = None,
    seed: int = 0,
    verbose: int = 0,
) -> Confirmation:
    """Retrains without the useless features, and says whether the loss holds.

    It is `lofo_importance` with the useless features as one, on one split: models are trained in
    pairs, with all features and with the useless ones set to their mean (or dropped, where
    `build_model` takes the number of columns), both from the same seed, so with the same weights at
    first and the same batches. The loss holds if the upper bound of its increase lies below
    `min_share` of what the full models explain.

    Global random states are seeded for each training, and those of Python, NumPy and Keras put back.

    Args:
        build_model: `() -> model`, compiled and untrained.
        x: rows to train on, as `fit` takes them; arrays, a dict or a DataFrame.
        y: their targets.
        useless: names of the features to leave out.
        validation_data: rows for the comparison; best ones that chose nothing before.
        validation_split: without `validation_data`, the fraction of the rows, the last ones, to compare
            on.
        features: as for `FeatureImportance`, which the useless features are some of.
        fit_kwargs: further arguments of `fit`, such as `epochs` and `batch_size`.
        n_seeds: how many pairs are trained, 3 or more for a decision.
        min_share: share of the explained loss that may be lost.
        alpha: chance that the bound is too low.
        n_jobs: how many trainings run at once; see `lofo_importance`.
        seed: seed of weights, batches and dropout.
        verbose: 1 shows a progress bar.

    Raises:
        InvalidArgumentError: without useless features, or for arguments that can't be used.
    """
    if not useless:
        raise InvalidArgumentError(
            "got no useless features to leave out. Train longer or on more validation rows; "
            "history.verdicts() says what is known of each feature."
        )
    n_seeds = whole_number("n_seeds", n_seeds, at_least=2)
    min_share = share("min_share", min_share, example="a number between 0 and 1", below=1)
    alpha = share("alpha", alpha, example="a number between 0 and 1", below=1)
    started = time.perf_counter()
    data, fold = _rows(x, y, validation_data, validation_split)
    named = named_features(features, data)
    study = Study(
        build_model, data, (fold,), _as_one(named, useless), ("loss",), dict(fit_kwargs or {}), seed
    )
    with no_footprint(None):
        model, (loss,) = check_models(study)
        study = in_lock_step_where_possible(study, model, None)
        outcomes = run_study(
            study, n_seeds=n_seeds, n_jobs=n_jobs, checkpoint=None, verbose=bool(verbose)
        )
        _check_none_failed(outcomes)
        result = outcomes.importance(loss)
        constant_loss = _constant_loss(model, data.only(fold.held_out), named, seed)
    losses = _mean_losses(outcomes, loss)
    increase, error = float(result.importances_mean[0]), float(result.std_error[0])
    return Confirmation(
        features=tuple(useless),
        losses=losses,
        increase=increase,
        std_error=error,
        bound=increase + tail_quantile(alpha, float(result.degrees[0])) * error,
        threshold=min_share * (constant_loss - float(losses[:, 0].mean())),
        n_trainings=2 * n_seeds,
        seconds=time.perf_counter() - started,
        procedure=result.procedure,
    )


def _check_none_failed(outcomes: StudyOutcomes) -> None:
    for outcome in outcomes.outcomes.values():
        if outcome.failure:
            raise InvalidArgumentError(
                f"got a build_model of which a training failed: {outcome.failure}."
            )


def _constant_loss(model: Any, held_out: ValidationData, features: FeatureSet, seed: int) -> float:
    """The loss of the best constant prediction on the held-out rows."""
    scores = Evaluator(model, held_out, features, "loss", seed).constant_scores
    if scores is None:
        raise InvalidArgumentError(
            "got a loss that has no value for a constant prediction, so there is nothing to hold the "
            "increase to. Compile the model with a loss that has."
        )
    return float(weighted_mean(scores, held_out.weights))


def _mean_losses(outcomes: StudyOutcomes, loss: Metric) -> Floats:
    """`(n_seeds, 2)` losses on the held-out rows: with all features, and without the useless ones."""
    study = outcomes.study
    weights = study.data.only(study.folds[0].held_out).weights
    scores = [outcomes.scores(loss, 0, left_out) for left_out in (None, 0)]
    return np.stack([weighted_mean(of_seeds, weights) for of_seeds in scores], axis=1)


def _rows(x: Any, y: Any, validation_data: Any, validation_split: float) -> tuple[ValidationData, Fold]:
    """All rows, and the fold that says which are trained on and which are held out."""
    with about("data"):
        data = ValidationData.read((x, y))
    if validation_data is not None:
        both = data.followed_by(ValidationData.read(validation_data))
        return both, Fold(np.arange(data.n_rows), np.arange(data.n_rows, both.n_rows))
    fraction = share("validation_split", validation_split, example="a share between 0 and 1", below=1)
    n_training = math.floor(data.n_rows * (1 - fraction))
    if not 0 < n_training < data.n_rows:
        raise InvalidArgumentError(
            f"got {data.n_rows} rows for validation_split={fraction}. Pass more rows, or another share."
        )
    return data, Fold(np.arange(n_training), np.arange(n_training, data.n_rows))


def _as_one(features: FeatureSet, names: Sequence[str]) -> FeatureSet:
    """A set of one feature, which has the columns of all named features."""
    unknown = [name for name in names if name not in features.names]
    if unknown:
        raise InvalidArgumentError(
            f"got x without the feature {unknown[0]!r} that it is to leave out. Pass the x, and the "
            "features, that the importances were computed with."
        )
    columns = [
        column for feature in features.features if feature.name in names for column in feature.columns
    ]
    return FeatureSet((Feature(" + ".join(names), tuple(columns)),), features.inputs)
