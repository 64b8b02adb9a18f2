"""The clock of evaluations: it measures seconds of computing, not of compiling."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from keras_importance.engine.backends.compiler import Compiler


class Clock:
    """Measures the seconds of evaluations, to report them; nothing is decided by them.

    Seconds of compilation and seconds inside `stopped()` don't count.

    Args:
        compiler: knows how long compilation took.

    Attributes:
        stopped_seconds: total seconds spent inside `stopped()`, without compilation.
    """

    def __init__(self, compiler: Compiler) -> None:
        self.stopped_seconds = 0.0
        self._compiler = compiler

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
