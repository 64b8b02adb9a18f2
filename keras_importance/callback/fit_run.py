"""FitRun: the state of one run of `fit`, its clock, and how failures become warnings."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from keras_importance.callback.budget import Budget, PicturePlan
from keras_importance.callback.model_probe import ModelProbe
from keras_importance.callback.schedule import Schedule
from keras_importance.data.training_data import TrainingData
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.planned_work import seconds_of_epoch
from keras_importance.errors import reason_of, warn
from keras_importance.methods.base import ImportanceMethod
from keras_importance.reporting.console import ConsoleWriter
from keras_importance.reporting.summary import TrainingCost
from keras_importance.reporting.writers.base import Writer
from keras_importance.results.history import ImportanceHistory
from keras_importance.results.result import ImportanceResult
from keras_importance.results.verdict import Verdict
from keras_importance.verdicts.base import Detector, ReplacesSets
from keras_importance.verdicts.spending import Spending
from keras_importance.verdicts.unused_signal import UnusedSignalTest

# One warning for a full disk, whichever writer hits it first.
_DISK_FULL = ("writing", OSError)


@dataclass
class FitRun:
    """The state of one run of `fit`.

    Attributes:
        evaluator: the model and the validation rows.
        methods: the methods that compute importances.
        detectors: the detectors that judge them.
        on_verdict: called with each verdict whose state has changed; None for no call.
        writers: the writers that get the reports.
        console: prints the reports at `verbose=1`; None at 0.
        log_dir: the directory of this run's logs; None for no logs.
        budget: how much work evaluations may take.
        pictures: which evaluations draw pictures.
        schedule: which epochs are evaluated.
        history: all results and verdicts so far.
        cost: what the evaluations and the epochs took so far.
        knows_padding: whether the model was built when its padding was looked for.
        next_epoch: the epoch after the last one of the `fit` that this one continues; None for none.
        n_continued: how many times the training was continued; 0 for its first `fit`.
        offset: what is added to Keras' number of an epoch.
        n_earlier: how many evaluations the training had before this `fit`.
        epoch: the current epoch, 0-based; None before the first.
        epoch_started: when the current epoch began, by `time.perf_counter`, in seconds.
        epoch_seconds: duration of the last finished epoch.
        epoch_processor_seconds: its processor time; 0 for the first epoch, in which Keras compiles.
        ended: the last epoch that has ended; None before the first.
        evaluated: the epoch of the last evaluation; None before the first evaluation.
        n_evaluations: how many evaluations are planned; None if that isn't known.
        n_steps: how many batches an epoch trains; 0 if that isn't known.
        batch_size: how many rows they have.
        warned: the failures that were warned of, each as the failed step and the type of exception.
        failures: why methods failed, by their names.
    """

    evaluator: Evaluator
    methods: tuple[ImportanceMethod, ...]
    detectors: tuple[Detector, ...]
    on_verdict: Callable[[Verdict], Any] | None
    writers: tuple[Writer, ...]
    console: ConsoleWriter | None
    log_dir: str | None
    budget: Budget
    pictures: PicturePlan
    schedule: Schedule
    history: ImportanceHistory
    cost: TrainingCost
    knows_padding: bool = True
    next_epoch: int | None = None
    n_continued: int = 0
    offset: int = 0
    n_earlier: int = 0
    epoch: int | None = None
    epoch_started: float = 0.0
    epoch_seconds: float = 0.0
    epoch_processor_seconds: float = 0.0
    _processor_started: float | None = None
    ended: int | None = None
    evaluated: int | None = None
    n_evaluations: int | None = None
    n_steps: int = 0
    batch_size: int = 32
    warned: set[tuple[str, type[Exception]]] = field(default_factory=set)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def training_data(self) -> TrainingData | None:
        """The rows that `fit` trains on, if a method trains networks of its own; else None."""
        return self.evaluator.training_data

    @cached_property
    def unused_signal_test(self) -> UnusedSignalTest:
        """The test for signal that the network doesn't use; it keeps p-values between evaluations."""
        return UnusedSignalTest(self.evaluator)

    def number_epochs(self, first: int) -> None:
        """Numbers the epochs on if a `fit` that goes on counts from 0 again.

        Args:
            first: Keras' number of the first epoch.
        """
        if self.next_epoch is not None and first == 0:
            self.offset = self.next_epoch
            self.schedule = self.schedule.moved(self.offset)

    def begin_epoch(self, epoch: int) -> None:
        """Starts the clock of an epoch."""
        self.flush()
        is_first = self.epoch is None
        self.epoch, self.epoch_started = epoch, time.perf_counter()
        self._processor_started = None if is_first else time.process_time()

    def end_epoch(self) -> None:
        """Stops the clock of the epoch."""
        self.ended = self.epoch
        self.epoch_seconds = time.perf_counter() - self.epoch_started
        self.cost = self.cost.after_epoch(self.epoch_seconds)
        if self._processor_started is not None:
            self.epoch_processor_seconds = time.process_time() - self._processor_started

    def plan(self) -> None:
        """Plans the work of evaluations from that of an epoch; the model must be built."""
        self.budget.epoch_seconds = seconds_of_epoch(self.evaluator, self.n_steps, self.batch_size)

    def is_due(self, epoch: int) -> bool:
        """True if an epoch is evaluated even if it isn't the last."""
        # If the first value in the logs is NaN, EarlyStopping never finds a later value better.
        is_first = not self.history.epochs and self.evaluated is None
        return self.schedule.is_due(epoch) or (self.schedule.first_too and is_first)

    def probe(self, result: ImportanceResult) -> ModelProbe:
        """The probe through which a detector asks the model about a result."""
        return ModelProbe(
            self.evaluator,
            next(
                method
                for method in self.methods
                if isinstance(method, ReplacesSets) and method.name == result.method
            ),
            result,
            Spending(self.n_evaluations, self.n_continued, self.n_earlier),
            self.unused_signal_test,
        )

    @contextmanager
    def contained(self, what: str, epoch: int | None = None) -> Iterator[None]:
        """Turns an exception into a warning, so that the callback never stops a training.

        The same kind of exception in the same step is warned of only once in a run.

        Args:
            what: the step, as it reads after "failed", such as "judging features".
            epoch: the epoch to name in the warning; None for none.
        """
        try:
            yield
        except Exception as error:  # noqa: BLE001 (whatever it is, the training goes on)
            failure = _DISK_FULL if _says_that_a_disk_is_full(error) else (what, type(error))
            if failure not in self.warned:
                self.warned.add(failure)
                when = "" if epoch is None else f" in epoch {epoch}"
                until = ", without logs until there is room" if failure is _DISK_FULL else ""
                warn(
                    f"FeatureImportance failed {what}{when}; the training goes on{until}. "
                    f"Reason: {reason_of(error)}"
                )

    def flush(self) -> None:
        """Prints the lines of evaluations, after Keras has ended that of its progress bar."""
        if self.console is not None:
            with self.contained("printing"):
                self.console.flush()

    def close(self) -> None:
        """Closes the writers, and prints the summary."""
        if self.console is not None:
            with self.contained("printing"):
                self.console.close()
        for writer in self.writers:
            # The same words as for a report that can't be written, so that both give one warning.
            with self.contained(f"writing with {type(writer).__name__}"):
                writer.close()


def _says_that_a_disk_is_full(error: Exception) -> bool:
    """True if the disk is full. TensorFlow raises exceptions of its own, known by their message."""
    is_ours = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return is_ours or os.strerror(errno.ENOSPC) in str(error)
