"""What a writer gets (EpochReport) and what it must do (Writer)."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

from keras_importance.result import ImportanceHistory, ImportanceResult


@dataclass(frozen=True, eq=False)
class EpochReport:
    """What is known after the evaluation of one epoch.

    Attributes:
        epoch: the 0-based epoch.
        history: all results so far, this epoch's included.
        started: `time.perf_counter()` when the evaluation began.
        epoch_seconds: how long the epoch itself took, its validation included.
    """

    epoch: int
    history: ImportanceHistory
    started: float
    epoch_seconds: float

    @property
    def results(self) -> tuple[ImportanceResult, ...]:
        """The results of this epoch, one per method."""
        return tuple(one for one in self.history if one.epoch == self.epoch)

    @property
    def seconds(self) -> float:
        """How long the evaluation has taken up to now, drawing and writing included."""
        return time.perf_counter() - self.started


class Writer(ABC):
    """Takes the reports of a training somewhere. Called in the training's own thread and process."""

    @abstractmethod
    def write(self, report: EpochReport) -> None:
        """Writes one report so that it survives a crash right after."""

    def close(self) -> None:  # noqa: B027 (most writers hold nothing open)
        """Releases what is held open; called once at the end of a training."""
