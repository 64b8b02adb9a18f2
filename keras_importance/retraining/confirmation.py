"""confirm: retrains without the useless features, and tests whether the loss stays as low."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_importance.arguments import fraction, whole_number
from keras_importance.data.features import Feature, FeatureSet
from keras_importance.data.named_features import named_features
from keras_importance.data.training_data import X_AND_Y
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
    mask_value: Any = None,
    fit_kwargs: Mapping[str, Any] | None = None,
    n_seeds: int = 3,
    min_share: float = 0.01,
    alpha: float = 0.05,
    n_jobs: int | None = None,
    seed: int = 0,
    verbose: int = 0,
) -> Confirmation:
    """Retrains without the useless features, and tests whether the loss stays as low.

    It is `lofo_importance` on a single split, with all useless features as one feature. Models are
    trained in pairs: one with all features, one with the useless features set to their mean. If
    `build_model` takes the number of columns, they are dropped instead. Both models of a pair have the
    same seed, so the same initial weights and the same batches. The loss stays as low if

        upper bound of (loss without the features - loss with them) < min_share · explained loss

    where the explained loss is the loss of the best constant prediction minus the loss of the full
    models.

    Each training seeds the global random states of Python, NumPy and Keras. They are restored
    afterwards.

    Args:
        build_model: `() -> model`, compiled and untrained.
        x: rows to train on, as `fit` takes them; arrays, a dict or a DataFrame.
        y: targets of these rows.
        useless: names of the features to leave out.
        validation_data: rows for the comparison. Best are rows that have not been used for any choice.
        validation_split: fraction of the rows of `x` that are used for the comparison, taken from their
            end; only without `validation_data`.
        features: as for `FeatureImportance`. The useless features must be among them.
        mask_value: as for `FeatureImportance`.
        fit_kwargs: further arguments of `fit`, such as `epochs` and `batch_size`.
        n_seeds: how many pairs are trained, 3 or more for a decision.
        min_share: share of the explained loss that may be lost.
        alpha: probability that the upper bound is too low.
        n_jobs: how many trainings run at once; see `lofo_importance`.
        seed: seed of weights, batches and dropout.
        verbose: 1 shows a progress bar.

    Returns:
        The losses, the increase and its bound, in units of the loss.

    Raises:
        InvalidArgumentError: without useless features, or for arguments that can't be used.
    """
    if not useless:
        raise InvalidArgumentError(
            "got no useless features to leave out. Train longer or on more validation rows; "
            "history.verdicts() says what is known of each feature."
        )
    n_seeds = whole_number("n_seeds", n_seeds, at_least=2)
    min_share = fraction("min_share", min_share, example="a number between 0 and 1", below=1)
    alpha = fraction("alpha", alpha, example="a number between 0 and 1", below=1)
    started = time.perf_counter()
    data, fold = _rows(x, y, validation_data, validation_split)
    named = named_features(features, data)
    study = Study(
        build_model, data, (fold,), _as_one(named, useless), ("loss",), dict(fit_kwargs or {}), seed
    )
    with no_footprint(None):
        model, (loss,) = check_models(study)
        study = study.with_valid_steps(model, mask_value)
        study = in_lock_step_where_possible(study, model, None)
        outcomes = run_study(
            study, n_seeds=n_seeds, n_jobs=n_jobs, checkpoint=None, verbose=bool(verbose)
        )
        _check_none_failed(outcomes)
        result = outcomes.importance(loss)
        constant_loss = _constant_loss(model, study.data.only(fold.held_out), named, seed)
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
    """Raises `InvalidArgumentError` if a training failed."""
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
    """`(n_seeds, 2)` mean losses on the held-out rows: with all features, without the useless ones."""
    study = outcomes.study
    weights = study.data.only(study.folds[0].held_out).weights
    scores = [outcomes.scores(loss, 0, left_out) for left_out in (None, 0)]
    return np.stack([weighted_mean(of_seeds, weights) for of_seeds in scores], axis=1)


def _rows(x: Any, y: Any, validation_data: Any, validation_split: float) -> tuple[ValidationData, Fold]:
    """All rows, and the fold that says which of them are trained on and which are held out."""
    with about(X_AND_Y):
        data = ValidationData.read((x, y))
    if validation_data is not None:
        both = data.followed_by(ValidationData.read(validation_data))
        return both, Fold(np.arange(data.n_rows), np.arange(data.n_rows, both.n_rows))
    split = fraction("validation_split", validation_split, example="a share between 0 and 1", below=1)
    n_training = math.floor(data.n_rows * (1 - split))
    if not 0 < n_training < data.n_rows:
        raise InvalidArgumentError(
            f"got {data.n_rows} rows for validation_split={split}. Pass more rows, or another share."
        )
    return data, Fold(np.arange(n_training), np.arange(n_training, data.n_rows))


def _as_one(features: FeatureSet, names: Sequence[str]) -> FeatureSet:
    """A feature set with a single feature, which has the columns of all named features."""
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
