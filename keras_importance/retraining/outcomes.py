"""Runs a study, and computes importances from the outcomes of its models."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_importance.engine.metrics.metric import Metric
from keras_importance.errors import InvalidArgumentError, warn
from keras_importance.results.result import ImportanceResult
from keras_importance.retraining.checkpoint import Checkpoint
from keras_importance.retraining.study import Study
from keras_importance.retraining.trainers import trainer_of
from keras_importance.retraining.trials import ModelKey, Outcome, run_trials
from keras_importance.statistics.arrays import Floats, n_blocks, weighted_mean
from keras_importance.statistics.cross_validation import (
    FoldDifferences,
    HeldOutEstimate,
    left_out,
    left_out_of_sets,
)

_MAX_NAMED = 5


@dataclass(frozen=True, eq=False)
class StudyOutcomes:
    """The outcome of every model of a study.

    Attributes:
        study: the study.
        n_seeds: with how many seeds each fold was trained.
        outcomes: for each model its outcome, by `(fold, seed, left_out)`.
    """

    study: Study
    n_seeds: int
    outcomes: Mapping[ModelKey, Outcome]

    def importance(self, metric: Metric) -> ImportanceResult:
        """How much worse held-out rows are scored without each feature, in units of the metric.

        Args:
            metric: one of the metrics that the models were scored with.
        """
        study, data = self.study, self.study.data
        worse_is = metric.worse_is or 1
        fold_indices = range(len(study.folds))
        of_rows = all(
            outcome.scores[metric.name].ndim == 1
            for outcome in self.outcomes.values()
            if not outcome.failure
        )
        if of_rows:
            folds = [
                FoldDifferences(study.folds[index].held_out, worse_is * self._worsening(metric, index))
                for index in fold_indices
            ]
            estimate = left_out(folds, data.weights, data.blocks)
        else:
            means = [self._worsening_of_means(metric, index) for index in fold_indices]
            estimate = left_out_of_sets(worse_is * np.concatenate(means, axis=1), len(study.folds))
        return _result(self, metric, estimate, self._failed(), of_rows=of_rows)

    @property
    def procedure(self) -> str:
        """How features were left out, in words; two ways if lock step failed half way."""
        procedures = {outcome.procedure for outcome in self.outcomes.values() if outcome.procedure}
        return "; ".join(sorted(procedures)) or self.study.procedure

    def baseline(self, metric: Metric) -> float:
        """Mean metric on held-out rows of the models with all features; NaN if all of them failed."""
        means = [
            self._mean(metric, outcome)
            for outcome in self.outcomes.values()
            if outcome.left_out is None and not outcome.failure
        ]
        return float(np.mean(means)) if means else math.nan

    def scores(self, metric: Metric, fold: int, left_out: int | None) -> Floats:
        """`(n_seeds, n_held_out)` scores of the rows that a fold holds out; NaN for a failed training.

        `(n_seeds, 1)` for a metric that is one number for all rows.

        Args:
            metric: the metric.
            fold: index of the fold.
            left_out: index of the feature that the models did without; None for all features.
        """
        outcomes = [self.outcomes[fold, seed, left_out] for seed in range(self.n_seeds)]
        of_seeds = [
            None if outcome.failure else np.atleast_1d(outcome.scores[metric.name])
            for outcome in outcomes
        ]
        n_held_out = len(self.study.folds[fold].held_out)
        n_scores = next((len(scores) for scores in of_seeds if scores is not None), n_held_out)
        unknown = np.full(n_scores, math.nan)
        return np.stack([unknown if scores is None else scores for scores in of_seeds])

    def _worsening(self, metric: Metric, fold: int) -> Floats:
        """`(n_features, n_seeds, n_held_out)` scores without each feature minus scores with it."""
        full = self.scores(metric, fold, None)
        features = range(len(self.study.features))
        return np.stack([self.scores(metric, fold, feature) - full for feature in features])

    def _worsening_of_means(self, metric: Metric, fold: int) -> Floats:
        """`(n_features, n_seeds)` metric of a fold without each feature minus the metric with it."""
        means = np.array(
            [
                [self._mean(metric, self.outcomes[fold, seed, left_out]) for seed in range(self.n_seeds)]
                for left_out in (None, *range(len(self.study.features)))
            ]
        )
        return np.asarray(means[1:] - means[0])

    def _mean(self, metric: Metric, outcome: Outcome) -> float:
        """The metric of a model on the rows that its fold holds out; NaN for a failed training."""
        if outcome.failure:
            return math.nan
        scores, weights = outcome.scores[metric.name], self.study.data.weights
        if weights is not None and scores.ndim == 1:
            return float(weighted_mean(scores, weights[self.study.folds[outcome.fold].held_out]))
        return float(np.mean(scores))

    def _failed(self) -> dict[str, str]:
        """For each feature without an importance the reason, by the name of the feature."""
        names = self.study.features.names
        reasons: dict[str, str] = {}
        for outcome in self.outcomes.values():
            if outcome.failure:
                without = names if outcome.left_out is None else (names[outcome.left_out],)
                for name in without:
                    reasons.setdefault(name, f"{_described(outcome, names)} failed: {outcome.failure}")
        return reasons


def run_study(
    study: Study,
    *,
    n_seeds: int,
    n_jobs: int | None,
    checkpoint: str | os.PathLike[str] | None,
    verbose: bool,
    names: Sequence[str] = (),
) -> StudyOutcomes:
    """Trains and scores all models of a study, except those already in the checkpoint.

    Args:
        study: the study.
        n_seeds: with how many seeds each fold is trained.
        n_jobs: how many trainings run at once, as in joblib.
        checkpoint: path of the file that keeps the outcomes; None for none.
        verbose: whether to show a progress bar.
        names: names of the metrics, in the order of `study.metrics`. They replace the names in the
            checkpoint, which may differ because Keras numbers the names of metrics.

    Raises:
        InvalidArgumentError: for a checkpoint of another study, and if every training fails.
    """
    kept = None if checkpoint is None else Checkpoint(checkpoint, study.fingerprint(n_seeds))
    outcomes = {
        outcome.key: replace(outcome, scores=dict(zip(names, outcome.scores.values(), strict=True)))
        for outcome in (kept.outcomes if kept else [])
    }

    def note(outcome: Outcome) -> None:
        if kept is not None and outcome.key not in outcomes:
            kept.add(outcome)
        outcomes[outcome.key] = outcome

    for part in study.trials(n_seeds, set(outcomes)):
        weights = {
            outcome.key[:2]: outcome.weights
            for outcome in outcomes.values()
            if outcome.weights is not None
        }
        run = trainer_of(study, weights).run
        run_trials(run, part, n_jobs=n_jobs, on_outcome=note, verbose=verbose)
    _tell_failures(study, list(outcomes.values()))
    return StudyOutcomes(study, n_seeds, outcomes)


def _tell_failures(study: Study, outcomes: Sequence[Outcome]) -> None:
    """Warns of trainings that failed.

    Raises:
        InvalidArgumentError: if all trainings failed.
    """
    names = study.features.names
    failed = [outcome for outcome in outcomes if outcome.failure]
    if not failed:
        return
    told = "; ".join(
        f"{_described(outcome, names)} ({outcome.failure})" for outcome in failed[:_MAX_NAMED]
    )
    if len(failed) == len(outcomes):
        raise InvalidArgumentError(f"got a build_model none of whose trainings succeeded: {told}.")
    more = f"; and {len(failed) - _MAX_NAMED} more" if len(failed) > _MAX_NAMED else ""
    warn(
        f"lofo_importance went on without {len(failed)} of {len(outcomes)} trainings, which failed: "
        f"{told}{more}. Their features have no number; with checkpoint= a second call tries them again."
    )


def _described(outcome: Outcome, names: Sequence[str]) -> str:
    """In words, which model of the study the outcome belongs to."""
    what = "all features" if outcome.left_out is None else f"all but {names[outcome.left_out]}"
    return f"{what} in fold {outcome.fold}, seed {outcome.seed}"


def _result(
    findings: StudyOutcomes,
    metric: Metric,
    estimate: HeldOutEstimate,
    failed: dict[str, str],
    *,
    of_rows: bool,
) -> ImportanceResult:
    study = findings.study
    rows = np.unique(np.concatenate([fold.held_out for fold in study.folds]))
    blocks = study.data.blocks
    return ImportanceResult(
        method="lofo",
        epoch=None,
        feature_names=study.features.names,
        importances=estimate.importances,
        std_error=estimate.std_error,
        degrees=estimate.degrees,
        baseline_score=findings.baseline(metric),
        metric=metric.name,
        n_samples=len(rows),
        error_source="rows" if of_rows else "repeats",
        n_blocks=n_blocks(None if blocks is None else blocks[rows]),
        notes=failed,
        procedure=findings.procedure,
    )
