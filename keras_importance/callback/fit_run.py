"""The state of one run of `fit`: clock, budget, writers, and what a failure becomes."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from keras_importance.callback.budget import Budget
from keras_importance.callback.model_probe import ModelProbe
from keras_importance.engine.evaluator import Evaluator
from keras_importance.errors import reason_of, warn
from keras_importance.methods.base import ImportanceMethod
from keras_importance.methods.perturbation import PerturbationMethod
from keras_importance.reporting.writers.base import Writer
from keras_importance.reporting.writers.history import HistoryWriter
from keras_importance.results.history import ImportanceHistory
from keras_importance.results.result import ImportanceResult
from keras_importance.verdicts.unused_signal import UnusedSignalTest

# One for all writers, whichever notices first and in whatever words.
_DISK_FULL = ("writing", OSError)
_UNKNOWN = ("computing", ArithmeticError)


@dataclass
class FitRun:
    """The state of one run of `fit`.

    Attributes:
        evaluator: the model on the validation rows.
        writers: where reports go.
        budget: what evaluations may take.
        epoch: the epoch that runs, 0-based; None before the first.
        epoch_started: when it began.
        epoch_seconds: how long the last one took.
        evaluated: the epoch of the last evaluation.
        n_evaluations: how many are planned; None where that isn't known.
        deadline: when the current evaluation should be over, by the evaluator's clock.
        warned: what was warned of: what failed, and with which kind of exception.
    """

    evaluator: Evaluator
    writers: tuple[Writer, ...]
    budget: Budget
    epoch: int | None = None
    epoch_started: float = 0.0
    epoch_seconds: float = 0.0
    evaluated: int | None = None
    n_evaluations: int | None = None
    deadline: float = math.inf
    warned: set[tuple[str, type[Exception]]] = field(default_factory=set)

    @cached_property
    def masked_score(self) -> UnusedSignalTest:
        """The test for signal that the network doesn't use, which keeps what it learnt of the data."""
        return UnusedSignalTest(self.evaluator)

    def probe(self, methods: Sequence[ImportanceMethod], result: ImportanceResult) -> ModelProbe:
        """What a detector may ask of the model about a result of one of the methods."""
        method = next(one for one in methods if one.name == result.method)
        assert isinstance(method, PerturbationMethod)  # noqa: S101 (checked with the arguments)
        return ModelProbe(
            self.evaluator,
            method,
            result,
            self.n_evaluations,
            self.masked_score,
            lambda: self.evaluator.clock.now() < self.deadline,
        )

    def start_from(self, history: ImportanceHistory) -> None:
        """Makes the files of the history hold what this training starts from."""
        for writer in self.writers:
            if isinstance(writer, HistoryWriter):
                writer.start_from(history)

    def comparable(
        self, history: ImportanceHistory, methods: Sequence[ImportanceMethod]
    ) -> ImportanceHistory:
        """The results that are about the same features, methods and metric as those to come."""
        evaluator, by_name = self.evaluator, {one.name: one for one in methods}

        def is_comparable(one: ImportanceResult) -> bool:
            method = by_name.get(one.method)
            if method is None or one.feature_names != evaluator.features.names:
                return False
            is_scored = isinstance(method, PerturbationMethod) and evaluator.model.built
            return not is_scored or one.metric == evaluator.metric.name

        kept = [one for one in history if is_comparable(one)]
        keys = {(one.method, one.epoch) for one in kept}
        judged = [one for one in history.judged if (one.method, one.epoch) in keys]
        if len(kept) < len(history):
            lost = sorted({one.method for one in history} - {one.method for one in kept})
            names = ", ".join(map(repr, lost)) or "some epochs"
            warn(
                f"FeatureImportance found an earlier history in log_dir, and leaves out {names}: "
                "the features, methods or metric have changed."
            )
        return ImportanceHistory(tuple(kept), tuple(judged))

    def note_unknown(self, results: Sequence[ImportanceResult]) -> None:
        """Warns once where a method has no number at all, and doesn't say why."""
        unknown = [one for one in results if not one.notes and np.isnan(one.importances_mean).all()]
        if unknown and _UNKNOWN not in self.warned:
            self.warned.add(_UNKNOWN)
            names = " and ".join(repr(one.method) for one in unknown)
            warn(
                f"FeatureImportance has no numbers for {names} importance in epoch {unknown[0].epoch}: "
                "the model's outputs or losses are not finite. The training goes on; "
                "keras.callbacks.TerminateOnNaN() would end it."
            )

    @contextmanager
    def contained(self, what: str, epoch: int | None = None) -> Iterator[None]:
        """Turns an exception into a warning: nothing of ours may stop a training.

        What fails again in the same way, in this epoch or a later one, is not told again.
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

    def close(self) -> None:
        """Closes the writers."""
        for writer in self.writers:
            # In the same words as a report that can't be written, which is told once.
            with self.contained(f"writing with {type(writer).__name__}"):
                writer.close()


def _says_that_a_disk_is_full(error: Exception) -> bool:
    """Whether there was no room for a file; TensorFlow's file system has kinds of errors of its own."""
    is_ours = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return is_ours or os.strerror(errno.ENOSPC) in str(error)
