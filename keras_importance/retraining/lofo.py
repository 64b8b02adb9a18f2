"""lofo_importance: how much worse a model gets when it is trained without a feature."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_importance.arguments import number_or_numbers, verbosity, whole_number, whole_number_or_none
from keras_importance.data.named_features import named_features
from keras_importance.data.training_data import X_AND_Y
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.footprint import no_footprint
from keras_importance.errors import InvalidArgumentError, about, speaking_as
from keras_importance.retraining.checks import (
    check_build_model,
    check_models,
    check_n_jobs,
    checked_fit_kwargs,
    checked_metrics,
    in_lock_step_where_possible,
)
from keras_importance.retraining.folds import Fold, among, folds
from keras_importance.retraining.outcomes import run_study
from keras_importance.retraining.study import Study


def lofo_importance(
    build_model: Callable[..., Any],
    x: Any,
    y: Any = None,
    *,
    cv: Any = 5,
    metric: Any = "loss",
    features: Any = None,
    mask_value: Any = None,
    fit_kwargs: Mapping[str, Any] | None = None,
    n_jobs: int | None = None,
    n_seeds: int = 1,
    sample_weight: Any = None,
    groups: Any = None,
    lock_step: bool | None = None,
    warm_start: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    seed: int = 0,
    verbose: int = 0,
) -> Any:
    """How much worse a model gets when it is trained without a feature: leave one feature out.

        importance_j = E score(f_-j(X_-j), Y) - E score(f(X), Y),      f_-j trained without feature j

    in units of the metric, on the held-out rows of each fold. Both models have the same initial weights,
    batches and dropout. The importance is 0 for a feature that a newly trained model can do without,
    such as a copy of another feature, however much the model with all features uses it. It is slightly
    below 0 for a feature without information: without it there is less to overfit.

    There are two ways to train; `ImportanceResult.procedure` says which one was taken.

    - **Lock step**, the default where it is possible: all models of a fold are trained as one program,
      tens of times faster than one by one. The columns of the feature are set to their mean in the
      training rows (integers and texts: to the most frequent value).
    - **Refit**: each model is trained with `fit`, through joblib. This is so with `warm_start`, if
      `build_model` takes the number of columns, or if `fit_kwargs` hold more than `epochs`,
      `batch_size` and `shuffle`, such as callbacks.

    The standard error comes from paired differences. It covers new held-out rows and new trainings; see
    `statistics.cross_validation.left_out`. With one seed it sees the noise of training only as a
    difference between folds. For a decision pass `n_seeds=3`.

    Source: Lei et al. (2018), JASA 113 (leave one covariate out); Williamson et al. (2023), JASA 118;
    Gao, Stevens, Willett & Raskutti (2022), NeurIPS 35, for the warm start.

    Args:
        build_model: `() -> model`, new and compiled each time: columns are masked. Or
            `(n_columns) -> model` for a single input: columns are dropped.
        x: rows as `fit` takes them: an array, a DataFrame, a dict or list of inputs, also a dataset.
        y: targets of the rows; None if `x` is a dataset that holds them.
        cv: a number of folds; a splitter such as scikit-learn's `KFold`, `GroupKFold` or
            `TimeSeriesSplit`; or pairs of row indices `(training, held_out)`. For a number, rows are
            drawn at random; copies of a row, and neighbouring windows, stay in the same fold.
        metric: as for `FeatureImportance`; or a list of several, measured on the same trainings.
        features: as for `FeatureImportance`; the columns of a group are left out together.
        mask_value: as for `FeatureImportance`; padded steps keep their values.
        fit_kwargs: further arguments of `fit`, such as `epochs`, `batch_size`, `callbacks`. Callbacks
            are copied for each training. Callbacks that watch `val_...` need a `validation_split` here:
            held-out rows are used for scoring only.
        n_jobs: how many trainings run at once, as in joblib. None takes the setting of
            `joblib.parallel_config`, which can also spread trainings over a cluster with its Dask and
            Ray backends. All workers need the same `KERAS_BACKEND`. One process trains one model at a
            time.
        n_seeds: how often each model is trained in each fold, each time with another seed.
        sample_weight: `(n_rows,)` weights of the rows, for the training and the metric.
        groups: the group of each row, for splitters that ask for it.
        lock_step: None for lock step where possible; True fails where it isn't; False always refits.
        warm_start: for how many epochs a model without a feature is trained, from the trained weights of
            the model with all features; None trains it from new weights. The optimizer and its
            learning-rate schedule start anew. A warm start is cheaper. The importance comes out too
            large if the epochs are too few to make up for the feature.
        checkpoint: path of a file that keeps the outcome of each training. A second call with the same
            arguments continues from it.
        seed: seed of folds, weights, batches and dropout.
        verbose: 1 shows a progress bar with the time that is left.

    Returns:
        The result, with one repeat per fold and seed; for a list of metrics a dict of results by name.

    Raises:
        ValueError: for arguments that can't be used, before any training; or if all trainings fail.
    """
    with speaking_as("lofo_importance"), no_footprint(None):
        n_seeds = whole_number("n_seeds", n_seeds, at_least=1)
        seed = whole_number("seed", seed, at_least=0)
        warm_start = whole_number_or_none("warm_start", warm_start, at_least=1)
        verbose = verbosity(verbose)
        mask_value = number_or_numbers("mask_value", mask_value)
        check_build_model(build_model)
        metrics = checked_metrics(metric)
        check_n_jobs(n_jobs)
        fit_kwargs = checked_fit_kwargs(fit_kwargs)
        data = _read(x, y, sample_weight)
        named = named_features(features, data)
        study = Study(
            build_model,
            data,
            _splits(cv, data, x, data.targets if y is None else y, groups, sample_weight, seed),
            named,
            metrics,
            fit_kwargs,
            seed,
            warm_start,
        )
        model, resolved_metrics = check_models(study)
        study = study.with_valid_steps(model, mask_value)
        study = in_lock_step_where_possible(study, model, lock_step)
        outcomes = run_study(
            study,
            n_seeds=n_seeds,
            n_jobs=n_jobs,
            checkpoint=checkpoint,
            verbose=bool(verbose),
            names=[resolved.name for resolved in resolved_metrics],
        )
        results = {resolved.name: outcomes.importance(resolved) for resolved in resolved_metrics}
        return results if isinstance(metric, (list, tuple)) else next(iter(results.values()))


def _read(x: Any, y: Any, sample_weight: Any) -> ValidationData:
    """All rows, with targets; raises `InvalidArgumentError` for rows without."""
    if y is None and sample_weight is not None:
        raise InvalidArgumentError(
            "got sample_weight without y. Pass x, y and sample_weight, or all of them in a dataset."
        )
    with about(X_AND_Y):
        data = ValidationData.read((x, y, sample_weight) if y is not None else x)
    if data.targets is None:
        raise InvalidArgumentError("got rows without targets. Pass y, or a dataset of (x, y).")
    return data


def _splits(
    cv: Any, data: ValidationData, x: Any, y: Any, groups: Any, sample_weight: Any, seed: int
) -> tuple[Fold, ...]:
    """The folds of the rows in `data`.

    `cv` counts all rows of `x`, also those of weight 0, which are not in `data`.
    """
    kept = np.ones(data.n_rows, bool)
    if sample_weight is not None:
        kept = np.asarray(sample_weight).reshape(-1) != 0
    blocks = None
    if data.blocks is not None:
        blocks = int(data.blocks.max()) + 1 + np.arange(len(kept))
        blocks[kept] = data.blocks
    return tuple(among(folds(cv, len(kept), x=x, y=y, groups=groups, blocks=blocks, seed=seed), kept))
