"""Runs a study, and turns what became of its models into importances."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_importance.engine.metrics.metric import Metric
from keras_importance.errors import InvalidArgumentError, warn
from keras_importance.results.result import ImportanceResult
from keras_importance.retraining.checkpoint import Checkpoint
from keras_importance.retraining.study import Study
from keras_importance.retraining.trials import NOTHING, Outcome, run_trials
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
    """What became of every model of a study.

    Attributes:
        study: the study.
        n_seeds: how many seeds each fold was trained from.
        outcomes: by fold, seed and feature left out.
    """

    study: Study
    n_seeds: int
    outcomes: dict[tuple[int, int, int], Outcome]

    def importance(self, metric: Metric) -> ImportanceResult:
        """How much worse held-out rows are scored without each feature."""
        study, data = self.study, self.study.data
        worse_is = metric.worse_is or 1
        of_rows = all(
            one.scores[metric.name].ndim == 1 for one in self.outcomes.values() if not one.failure
        )
        if of_rows:
            folds = [
                FoldDifferences(fold.held_out, worse_is * self._worsening(metric, number))
                for number, fold in enumerate(study.folds)
            ]
            found = left_out(folds, data.weights, data.blocks)
        else:
            means = [self._worsening_of_means(metric, number) for number in range(len(study.folds))]
            found = left_out_of_sets(worse_is * np.concatenate(means, axis=1), len(study.folds))
        return _result(self, metric, found, self._failed(), of_rows=of_rows)

    @property
    def procedure(self) -> str:
        """How features were left out, in words; in more than one way where lock step failed half way."""
        found = {one.procedure for one in self.outcomes.values() if one.procedure}
        return "; ".join(sorted(found)) or self.study.procedure

    def baseline(self, metric: Metric) -> float:
        """The metric on held-out rows of the models with all features."""
        means = [
            self._mean(metric, one)
            for one in self.outcomes.values()
            if one.left_out == NOTHING and not one.failure
        ]
        return float(np.mean(means)) if means else math.nan

    def scores(self, metric: Metric, fold: int, left_out: int) -> Floats:
        """`(n_seeds, n_held_out)` scores of the rows, or `(n_seeds, 1)`; NaN for a failure."""
        n_rows = len(self.study.folds[fold].held_out)
        found = [self.outcomes[fold, seed, left_out] for seed in range(self.n_seeds)]
        known = [None if one.failure else np.atleast_1d(one.scores[metric.name]) for one in found]
        width = next((len(one) for one in known if one is not None), n_rows)
        return np.stack([np.full(width, math.nan) if one is None else one for one in known])

    def _worsening(self, metric: Metric, fold: int) -> Floats:
        """`(n_features, n_seeds, n_held_out)` scores without each feature minus scores with it."""
        full = self.scores(metric, fold, NOTHING)
        numbers = range(len(self.study.features))
        return np.stack([self.scores(metric, fold, number) - full for number in numbers])

    def _worsening_of_means(self, metric: Metric, fold: int) -> Floats:
        """`(n_features, n_seeds)` the same for the metric of all rows that the fold holds out."""
        means = np.array(
            [
                [self._mean(metric, self.outcomes[fold, seed, one]) for seed in range(self.n_seeds)]
                for one in (NOTHING, *range(len(self.study.features)))
            ]
        )
        return np.asarray(means[1:] - means[0])

    def _mean(self, metric: Metric, outcome: Outcome) -> float:
        """The metric on the rows that the fold of a model holds out; NaN for a failure."""
        if outcome.failure:
            return math.nan
        scores, weights = outcome.scores[metric.name], self.study.data.weights
        if weights is not None and scores.ndim == 1:
            return float(weighted_mean(scores, weights[self.study.folds[outcome.fold].held_out]))
        return float(np.mean(scores))

    def _failed(self) -> dict[str, str]:
        """Why a feature has no number, by its name."""
        names = self.study.features.names
        found: dict[str, str] = {}
        for outcome in self.outcomes.values():
            if outcome.failure:
                without = names if outcome.left_out == NOTHING else (names[outcome.left_out],)
                for name in without:
                    found.setdefault(name, f"{_place(outcome, names)} failed: {outcome.failure}")
        return found


def run_study(
    study: Study,
    *,
    n_seeds: int,
    n_jobs: int | None,
    checkpoint: str | os.PathLike[str] | None,
    verbose: bool,
    names: Sequence[str] = (),
) -> StudyOutcomes:
    """Trains and scores all models of a study, those apart that a checkpoint has already.

    Args:
        study: the study.
        n_seeds: how many seeds each fold is trained from.
        n_jobs: as joblib's.
        checkpoint: the file that keeps what is done; None for none.
        verbose: whether to show a progress bar.
        names: names of the metrics. A checkpoint of another process may have them under others, as Keras
            numbers the names of metrics.

    Raises:
        InvalidArgumentError: for a checkpoint of something else, and where every model fails.
    """
    kept = None if checkpoint is None else Checkpoint(checkpoint, study.fingerprint(n_seeds))
    found = [
        replace(one, scores=dict(zip(names, one.scores.values(), strict=True)))
        for one in (kept.found if kept else [])
    ]
    outcomes = {one.key: one for one in found}

    def note(outcome: Outcome) -> None:
        if kept is not None and outcome.key not in outcomes:
            kept.add(outcome)
        outcomes[outcome.key] = outcome

    for part in study.trials(n_seeds, set(outcomes)):
        weights = {one.key[:2]: one.weights for one in outcomes.values() if one.weights is not None}
        run_trials(
            replace(study, full_weights=weights).run,
            part,
            n_jobs=n_jobs,
            on_outcome=note,
            verbose=verbose,
        )
    _tell_failures(study, list(outcomes.values()))
    return StudyOutcomes(study, n_seeds, outcomes)


def _tell_failures(study: Study, outcomes: Sequence[Outcome]) -> None:
    names = study.features.names
    failed = [one for one in outcomes if one.failure]
    if not failed:
        return
    told = "; ".join(f"{_place(one, names)} ({one.failure})" for one in failed[:_MAX_NAMED])
    if len(failed) == len(outcomes):
        raise InvalidArgumentError(f"got a build_model none of whose trainings succeeded: {told}.")
    more = f"; and {len(failed) - _MAX_NAMED} more" if len(failed) > _MAX_NAMED else ""
    warn(
        f"lofo_importance went on without {len(failed)} of {len(outcomes)} trainings, which failed: "
        f"{told}{more}. Their features have no number; with checkpoint= a second call tries them again."
    )


def _place(outcome: Outcome, names: Sequence[str]) -> str:
    what = "all features" if outcome.left_out == NOTHING else f"all but {names[outcome.left_out]}"
    return f"{what} in fold {outcome.fold}, seed {outcome.seed}"


def _result(
    findings: StudyOutcomes,
    metric: Metric,
    found: HeldOutEstimate,
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
        importances=found.importances,
        std_error=found.std_error,
        degrees=found.degrees,
        baseline_score=findings.baseline(metric),
        metric=metric.name,
        n_samples=len(rows),
        error_source="rows" if of_rows else "repeats",
        n_blocks=n_blocks(None if blocks is None else blocks[rows]),
        notes=failed,
        procedure=findings.procedure,
    )
