"""The trainings of a study: one by one, or several at once through joblib."""

from __future__ import annotations

import base64
import importlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_importance.errors import InvalidArgumentError, reason_of
from keras_importance.progress import progress_bar

Array = NDArray[Any]

NOTHING = -1
"""In place of the number of a feature: the model that sees all of them."""

_FORMAT = "keras_importance.trials"

_VERSION = 1


@dataclass(frozen=True)
class Trial:
    """A task: models of one fold, trained from one seed, each without one feature.

    Attributes:
        fold: number of the fold.
        seed: seed of weights, batches and dropout, counted from that of the study.
        left_out: for each model the number of the feature that it does without, or `NOTHING`.
    """

    fold: int
    seed: int
    left_out: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one model of a trial.

    Attributes:
        fold, seed: as in `Trial`.
        left_out: the feature that the model did without, or `NOTHING`.
        scores: for each metric, by name, `(n_held_out,)` scores of the rows, or one number.
        failure: why there are none; empty where there are some.
        procedure: how the feature was left out.
        weights: the trained weights, where later trials start from them.
    """

    fold: int
    seed: int
    left_out: int
    scores: Mapping[str, Array] = field(default_factory=dict)
    failure: str = ""
    procedure: str = ""
    weights: tuple[Array, ...] | None = None

    @property
    def key(self) -> tuple[int, int, int]:
        """Which model it was."""
        return self.fold, self.seed, self.left_out


def run_trials(
    run: Callable[[Trial], list[Outcome]],
    trials: Sequence[Trial],
    *,
    n_jobs: int | None,
    on_outcome: Callable[[Outcome], None],
    verbose: bool,
) -> None:
    """Runs all trials through joblib, and hands on what becomes of each as soon as it is known.

    Args:
        run: runs one trial; picklable, if there is more than one process.
        trials: the trials.
        n_jobs: as joblib's; None takes what `joblib.parallel_config` says, else one.
        on_outcome: called in this process for each model.
        verbose: whether to show a progress bar with the time that is left.

    Raises:
        InvalidArgumentError: for several jobs without joblib.
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
    found: Iterator[list[Outcome]] = parallel(joblib.delayed(run)(trial) for trial in trials)
    return found


class Checkpoint:
    """A file to which outcomes are appended, one line each, and from which a second run goes on.

    A line that was cut off by a crash is left out when the file is read, and its trial is run again.
    Failures are not kept: they are tried again.

    Args:
        path: the file.
        fingerprint: what the outcomes depend on; a file of another one is refused.

    Attributes:
        found: the outcomes that the file held.

    Raises:
        InvalidArgumentError: for a file that isn't one, can't be written, or is about something else.
    """

    def __init__(self, path: str | os.PathLike[str], fingerprint: str) -> None:
        self._path = Path(path)
        header = {"format": _FORMAT, "version": _VERSION, "fingerprint": fingerprint}
        first = json.dumps(header) + "\n"
        try:
            text = self._path.read_bytes().decode() if self._path.exists() else ""
            *lines, cut_off = text.split("\n")
            # Nothing is written before it is clear that the file is one of these.
            is_new = not lines and first.startswith(cut_off)
            self.found = [] if is_new else _outcomes(lines, header, str(path))
            if is_new:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.write_text(first)
            elif cut_off:
                os.truncate(self._path, len(text.encode()) - len(cut_off.encode()))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidArgumentError(
                f"got checkpoint={str(path)!r}, which can't be read and written ({reason_of(error)}). "
                "Pass the path of a file that can."
            ) from error

    def add(self, outcome: Outcome) -> None:
        """Appends an outcome; a failure is passed over."""
        if outcome.failure:
            return
        scores = {
            name: {"shape": list(np.shape(one)), "float64": _as_text(one)}
            for name, one in outcome.scores.items()
        }
        line = json.dumps({"key": outcome.key, "procedure": outcome.procedure, "scores": scores})
        with self._path.open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())


def _outcomes(lines: Sequence[str], expected: Mapping[str, Any], path: str) -> list[Outcome]:
    try:
        header = json.loads(lines[0])
        found = [_outcome(json.loads(line)) for line in lines[1:]]
        is_ours = header["format"] == expected["format"] and header["version"] == expected["version"]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidArgumentError(
            f"got checkpoint={path!r}, which is no checkpoint of trials, or a damaged one. Pass another "
            "path, or delete the file."
        ) from error
    if not is_ours or header.get("fingerprint") != expected["fingerprint"]:
        raise InvalidArgumentError(
            f"got checkpoint={path!r}, which holds trials of other rows, features, folds, models or "
            "settings. Pass the same arguments as before, another path, or delete the file."
        )
    return found


def _outcome(line: Mapping[str, Any]) -> Outcome:
    fold, seed, left_out = (int(number) for number in line["key"])
    scores = {
        name: np.frombuffer(base64.b64decode(one["float64"], validate=True), "<f8").reshape(one["shape"])
        for name, one in line["scores"].items()
    }
    return Outcome(fold, seed, left_out, scores, procedure=str(line["procedure"]))


def _as_text(values: Array) -> str:
    return base64.b64encode(np.asarray(values, "<f8").tobytes()).decode()
