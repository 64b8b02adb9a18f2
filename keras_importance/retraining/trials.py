"""Trials: the trainings of a study as tasks, run one after the other or in parallel through joblib."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from keras_importance.errors import InvalidArgumentError
from keras_importance.progress import progress_bar
from keras_importance.statistics.arrays import Array

ModelKey = tuple[int, int, int | None]
"""`(fold, seed, left_out)` identifies a model of a study, as in `Outcome`."""


@dataclass(frozen=True)
class Trial:
    """A task: to train models of one fold with one seed, each without one feature.

    Attributes:
        fold: index of the fold.
        seed: 0-based index of the seed of weights, batches and dropout.
        left_out: for each model the index of the feature that it does without; None for the model with
            all features.
    """

    fold: int
    seed: int
    left_out: tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class Outcome:
    """The scores of one model of a trial, or why it has none.

    Attributes:
        fold, seed: as in `Trial`.
        left_out: index of the feature that the model did without; None for the model with all features.
        scores: for each metric, by name, `(n_held_out,)` scores of the rows, or one number for all rows.
        failure: why there are no scores; empty if there are scores.
        procedure: in words, how the feature was left out.
        weights: the trained weights if later trials start from them, else None.
    """

    fold: int
    seed: int
    left_out: int | None
    scores: Mapping[str, Array] = field(default_factory=dict)
    failure: str = ""
    procedure: str = ""
    weights: tuple[Array, ...] | None = None

    @property
    def key(self) -> ModelKey:
        """The key of the model in its study."""
        return self.fold, self.seed, self.left_out


def run_trials(
    run: Callable[[Trial], list[Outcome]],
    trials: Sequence[Trial],
    *,
    n_jobs: int | None,
    on_outcome: Callable[[Outcome], None],
    verbose: bool,
) -> None:
    """Runs all trials through joblib, and passes each outcome to `on_outcome` as soon as it is known.

    Args:
        run: runs one trial. It must be picklable if there is more than one process.
        trials: the trials.
        n_jobs: how many trials run at once, as in joblib. None takes the setting of
            `joblib.parallel_config`, or 1 without a setting.
        on_outcome: called in this process for each model.
        verbose: whether to show a progress bar with the remaining time.

    Raises:
        InvalidArgumentError: for several jobs if joblib is not installed.
    """
    if not trials:
        return
    n_models = sum(len(trial.left_out) for trial in trials)
    with progress_bar(n_models, "leave one feature out", unit="model", shown=verbose) as bar:
        for outcomes in _in_parallel(run, trials, n_jobs):
            for outcome in outcomes:
                on_outcome(outcome)
            bar.update(len(outcomes))


def _in_parallel(
    run: Callable[[Trial], list[Outcome]], trials: Iterable[Trial], n_jobs: int | None
) -> Iterator[list[Outcome]]:
    """For each trial the outcomes of its models, in the order in which the trials end."""
    try:
        joblib = importlib.import_module("joblib")
    except ImportError as error:
        if n_jobs in (None, 1):
            return map(run, trials)
        raise InvalidArgumentError(
            f"got n_jobs={n_jobs!r}, which needs joblib. Install it: "
            "pip install 'keras_importance[lofo]'."
        ) from error
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    outcomes: Iterator[list[Outcome]] = parallel(joblib.delayed(run)(trial) for trial in trials)
    return outcomes
