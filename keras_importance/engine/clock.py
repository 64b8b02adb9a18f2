"""The clock of evaluations: it runs while the model computes, and stands still while it is compiled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from keras_importance.engine.backends.compiler import Compiler


class Clock:
    """Seconds as the time budget counts them, and what a row took each method.

    Attributes:
        stopped_seconds: seconds spent inside `stopped()`, in all.
    """

    def __init__(self, compiler: Compiler) -> None:
        self.stopped_seconds = 0.0
        self._compiler = compiler
        self._seconds_per_row: dict[str, float] = {}

    def now(self) -> float:
        """Seconds without those of compilation and those inside `stopped()`."""
        seconds = time.perf_counter() - self._compiler.seconds - self.stopped_seconds
        # All processes go by the clock of the first, or they would decide differently.
        return self._compiler.replicas.agreed(seconds)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """For what the user has asked for whatever it takes: no time budget limits it."""
        started = self.now()
        try:
            yield
        finally:
            self.stopped_seconds += self.now() - started

    def note_rate(self, method: str, started: float, n_rows: int) -> None:
        """Notes what a row took a method that started at `started`."""
        self._seconds_per_row[method] = (self.now() - started) / n_rows

    def seconds_per_row(self, method: str) -> float:
        """What a row took a method in its last evaluation; 0 before the first."""
        return self._seconds_per_row.get(method, 0.0)
