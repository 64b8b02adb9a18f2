"""What a writer gets (EpochReport) and what it must do (Writer)."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property

from keras_importance.reporting.summary import TrainingCost
from keras_importance.results.history import ImportanceHistory
from keras_importance.results.result import ImportanceResult
from keras_importance.results.verdict import Verdicts

RUN = "importance"
"""Name of the directory inside the log directory that all files are written into.

It is also the name of the run in TensorBoard.
"""


@dataclass(frozen=True, eq=False)
class EpochReport:
    """What is known after the evaluation of one epoch.

    Attributes:
        epoch: the 0-based epoch.
        history: all results so far, this epoch's included.
        epoch_seconds: how long the epoch itself took, its validation included.
        seconds_before: how long the evaluation had taken when the report was made, without compilation.
        compile_seconds: how long one-time compilation took in this evaluation.
        with_pictures: whether pictures are drawn now: in the last epoch always.
        cost: what the evaluations before this one took, and all epochs so far; None if that isn't known.
    """

    epoch: int
    history: ImportanceHistory
    epoch_seconds: float
    seconds_before: float = 0.0
    compile_seconds: float = 0.0
    with_pictures: bool = True
    cost: TrainingCost | None = None
    _made: float = field(default_factory=time.perf_counter, repr=False)

    @cached_property
    def results(self) -> tuple[ImportanceResult, ...]:
        """The results of this epoch, one per method."""
        return self.history.at(self.epoch).results

    @cached_property
    def verdicts(self) -> tuple[Verdicts, ...]:
        """The verdicts on the results of this epoch, one for each detector."""
        methods = {result.method for result in self.results}
        return tuple(
            verdicts for verdicts in self.history.at(self.epoch).judged if verdicts.method in methods
        )

    @property
    def seconds(self) -> float:
        """How long the evaluation has taken up to now, drawing and writing included."""
        return self.seconds_before + time.perf_counter() - self._made

    @property
    def total_cost(self) -> TrainingCost:
        """What all evaluations took, this one up to now included.

        Raises:
            ValueError: if `cost` isn't known.
        """
        if self.cost is None:
            raise ValueError("the report doesn't know what the evaluations took.")
        return self.cost.after_evaluation(self.seconds, self.compile_seconds)


class Writer(ABC):
    """Takes the reports of a training somewhere. Called in the training's own thread and process.

    Attributes:
        draws_pictures: whether it draws pictures, for which the time budget reserves time.
    """

    draws_pictures = False

    @abstractmethod
    def write(self, report: EpochReport) -> None:
        """Writes one report so that it survives a crash right after."""

    def close(self) -> None:  # noqa: B027 (most writers hold nothing open)
        """Closes files and connections; called once at the end of a training."""
