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
from keras_importance.errors import InvalidArgumentError, about
from keras_importance.results.confirmation import Confirmation
from keras_importance.retraining.checks import check_models, in_lock_step_where_possible
from keras_importance.retraining.folds import Fold
from keras_importance.retraining.outcomes import run_study
from keras_importance.retraining.study import Study
from keras_importance.retraining.trials import NOTHING
from keras_importance.statistics.arrays import weighted_mean
from keras_importance.statistics.quantiles import tail_quantile


def confirmed(
    build_model: Callable[[], Any],
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
    """Retrains with and without some features; see `FeatureImportance.confirm`.

    It is LOFO with one fold and one feature: the set.
    """
    n_seeds = whole_number("n_seeds", n_seeds, at_least=2)
    min_share = share("min_share", min_share, example="a number between 0 and 1", below=1)
    alpha = share("alpha", alpha, example="a number between 0 and 1", below=1)
    started = time.perf_counter()
    with about("data"):
        data, fold = _rows(x, y, validation_data, validation_split)
    named = named_features(features, data)
    study = Study(
        build_model, data, (fold,), _as_one(named, useless), ("loss",), dict(fit_kwargs or {}), seed
    )
    with no_footprint(None):
        model, (loss,) = check_models(study)
        study = in_lock_step_where_possible(study, model, None)
        found = run_study(study, n_seeds=n_seeds, n_jobs=n_jobs, checkpoint=None, verbose=bool(verbose))
        failed = next((one.failure for one in found.outcomes.values() if one.failure), None)
        if failed is not None:
            raise InvalidArgumentError(f"got a build_model of which a training failed: {failed}.")
        result = found.importance(loss)
        held_out = data.only(fold.held_out)
        constant = Evaluator(model, held_out, named, "loss", seed).constant_scores
    if constant is None:
        raise InvalidArgumentError(
            "got a loss that has no value for a constant prediction, so there is nothing to hold the "
            "increase to. Compile the model with a loss that has."
        )
    scores = (found.scores(loss, 0, NOTHING), found.scores(loss, 0, 0))
    losses = np.stack([weighted_mean(one, held_out.weights) for one in scores], axis=1)
    explained = float(weighted_mean(constant, held_out.weights)) - float(losses[:, 0].mean())
    increase, error = float(result.importances_mean[0]), float(result.std_error[0])
    return Confirmation(
        features=tuple(useless),
        losses=losses,
        increase=increase,
        std_error=error,
        bound=increase + tail_quantile(alpha, float(result.degrees[0])) * error,
        threshold=min_share * explained,
        n_trainings=2 * n_seeds,
        seconds=time.perf_counter() - started,
        procedure=result.procedure,
    )


def _rows(x: Any, y: Any, validation_data: Any, validation_split: float) -> tuple[ValidationData, Fold]:
    """All rows, and which of them are trained on and held out."""
    data = ValidationData.read((x, y))
    if validation_data is not None:
        both = data.followed_by(ValidationData.read(validation_data))
        return both, Fold(np.arange(data.n_rows), np.arange(data.n_rows, both.n_rows))
    part = share("validation_split", validation_split, example="a share between 0 and 1", below=1)
    n_training = math.floor(data.n_rows * (1 - part))
    if not 0 < n_training < data.n_rows:
        raise InvalidArgumentError(
            f"got {data.n_rows} rows for validation_split={part}. Pass more rows, or another share."
        )
    return data, Fold(np.arange(n_training), np.arange(n_training, data.n_rows))


def _as_one(features: FeatureSet, names: Sequence[str]) -> FeatureSet:
    """The named features as the only one."""
    unknown = [name for name in names if name not in features.names]
    if unknown:
        raise InvalidArgumentError(
            f"got x without the feature {unknown[0]!r} that it is to leave out. Pass the x, and the "
            "features, that the importances were computed with."
        )
    columns = [column for one in features.features if one.name in names for column in one.columns]
    return FeatureSet((Feature(" + ".join(names), tuple(columns)),), features.inputs)
