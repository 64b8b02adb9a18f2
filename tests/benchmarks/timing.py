"""Seconds and memory of several ways to do the same work."""

from __future__ import annotations

import gc
import math
import os
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from peers import Job

from keras_importance.statistics.arrays import Floats

_LONG_SECONDS = 60
_STATM = Path("/proc/self/statm")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(eq=False)
class Outcome:
    """What became of one way.

    Attributes:
        one_time: seconds to get ready, the first run included where that compiles.
        job: what was run; None where it failed.
        failure: why it failed.
        seconds: of each run.
        found: what the last run returned.
    """

    one_time: float = 0.0
    job: Job | None = None
    failure: str = ""
    seconds: list[float] = field(default_factory=list)
    found: Floats = field(default_factory=lambda: np.empty(0))

    @property
    def median(self) -> float:
        """Seconds of all the work; NaN where it failed."""
        return statistics.median(self.seconds) * self.job.scale if self.job else float("nan")

    def cell(self, reference: float) -> str:
        """The seconds, and how many times the reference they are."""
        if self.job is None:
            return self.failure
        seconds = readable(self.median) + (r"\*" if self.job.note else "")
        if math.isnan(reference) or self.median == reference:
            return seconds
        ratio = self.median / reference
        return f"{seconds} ({ratio:.0f}x)" if ratio >= 10 else f"{seconds} ({ratio:.2g}x)"


def measured(ways: Mapping[str, Callable[[], Job]], repeats: int) -> dict[str, Outcome]:
    """Gets all ways ready one by one, then runs them in turn; what takes long is run once."""
    outcomes = {name: _made_ready(make) for name, make in ways.items()}
    for _ in range(repeats):
        for outcome in outcomes.values():
            if outcome.job and (not outcome.seconds or outcome.seconds[0] < _LONG_SECONDS):
                started = time.perf_counter()
                outcome.found = outcome.job.run()
                outcome.seconds.append(time.perf_counter() - started)
    return outcomes


def _made_ready(make: Callable[[], Job]) -> Outcome:
    started = time.perf_counter()
    try:
        job = make()
    except ModuleNotFoundError:
        return Outcome(failure="not installed")
    except Exception as error:  # noqa: BLE001 (what one way can't do is its cell of the table)
        return Outcome(failure=first_words(error))
    return Outcome(time.perf_counter() - started, job)


def first_words(error: Exception) -> str:
    """Type and first words of the message, fit for a cell of a table."""
    message = _COLOUR.sub("", str(error)).replace("|", "/")
    words = " ".join(message.split()[:9])
    return f"{type(error).__name__}: {words}"


@dataclass
class Peak:
    """The most memory that was in use, beyond what was before."""

    megabytes: float = float("nan")


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Watches the resident memory of this process, where the system tells it."""
    peak = Peak()
    if not _STATM.exists():
        yield peak
        return
    gc.collect()
    before = highest = _resident_bytes()
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.005):
            highest = max(highest, _resident_bytes())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
        peak.megabytes = (max(highest, _resident_bytes()) - before) / 1e6


def _resident_bytes() -> int:
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def readable(seconds: float) -> str:
    """Three digits and the unit."""
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 1000 else f"{seconds:.0f} s"


def print_head(title: str, columns: Sequence[str]) -> None:
    """The title and head of a table; all columns but the first are numbers."""
    print(f"\n### {title}\n\n| {' | '.join(columns)} |")
    print(f"|---|{'---:|' * (len(columns) - 1)}", flush=True)


def print_row(*cells: str) -> None:
    """One row of a table, as soon as it is known."""
    print(f"| {' | '.join(cells)} |", flush=True)
