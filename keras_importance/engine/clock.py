"""The clock of evaluations: it counts seconds of computing, not of compiling."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from keras_importance.engine.backends.compiler import Compiler


class Clock:
    """Counts the seconds that the time budget limits, and keeps each method's seconds per row.

    Seconds of compilation and seconds inside `stopped()` don't count.

    Args:
        compiler: knows how long compilation took.

    Attributes:
        stopped_seconds: total seconds spent inside `stopped()`, without compilation.
    """

    def __init__(self, compiler: Compiler) -> None:
        self.stopped_seconds = 0.0
        self._compiler = compiler
        self._seconds_per_row: dict[str, float] = {}

    def now(self) -> float:
        """The seconds counted so far, from an arbitrary start: only differences have a meaning."""
        seconds = time.perf_counter() - self._compiler.seconds - self.stopped_seconds
        # All processes use the clock of the first process: else their decisions would differ.
        return self._compiler.replicas.agreed(seconds)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """A context whose seconds don't count, for work that no time budget limits."""
        started = self.now()
        try:
            yield
        finally:
            self.stopped_seconds += self.now() - started

    def note_rate(self, method: str, started: float, n_rows: int) -> None:
        """Stores the seconds per row of a method that has evaluated `n_rows` rows since `started`.

        Args:
            method: the name of the method.
            started: `now()` at the start of the evaluation.
            n_rows: how many rows were evaluated.
        """
        self._seconds_per_row[method] = (self.now() - started) / n_rows

    def seconds_per_row(self, method: str) -> float:
        """Seconds per row in a method's last evaluation; 0 before its first."""
        return self._seconds_per_row.get(method, 0.0)
