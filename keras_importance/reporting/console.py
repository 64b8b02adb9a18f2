"""Prints one line for each evaluation, and one at the end, where `verbose` asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from keras_importance.reporting.summary import summary_line
from keras_importance.reporting.writers.base import EpochReport, Writer
from keras_importance.results.verdict import Verdict

_N_PRINTED = 5
_N_NAMED = 3


class ConsoleWriter(Writer):
    """Prints one line for each evaluation, and a summary at the end.

    A line is kept until `flush`: at the end of an epoch Keras has not yet ended the line of its progress
    bar.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._newest: EpochReport | None = None

    def write(self, report: EpochReport) -> None:
        """Keeps the line of one report."""
        self._newest = report
        self._lines.append(evaluation_line(report))

    def flush(self) -> None:
        """Prints the lines that were kept."""
        if self._lines:
            print("\n".join(self._lines))  # noqa: T201 (asked for with verbose)
        self._lines = []

    def close(self) -> None:
        """Prints the lines that were kept, and the summary."""
        newest, self._newest = self._newest, None
        if newest is not None and newest.cost is not None:
            summary = summary_line(newest.total_cost, newest.results)
            self._lines.append(f"FeatureImportance: {summary}")
        self.flush()


def evaluation_line(report: EpochReport) -> str:
    """What an evaluation took, the most important features by each method, and changed verdicts."""
    parts = []
    for result in report.results:
        order = np.argsort(result.rank)[:_N_PRINTED]
        top = ", ".join(
            f"{printable(result.feature_names[i])} {result.importances_mean[i]:.3g}" for i in order
        )
        parts.append(f"{result.method}: {top}")
    parts += _changes(report)
    return f"Epoch {report.epoch + 1}: importance in {report.seconds:.2g}s - {' - '.join(parts)}"


def _changes(report: EpochReport) -> Iterator[str]:
    """For each state that features have changed to, which ones, such as `now useless: x3, x7`."""
    by_state: dict[str, list[Verdict]] = {}
    for verdicts in report.verdicts:
        for verdict in verdicts.changes(report.history.verdicts_before(verdicts)):
            by_state.setdefault(verdict.state, []).append(verdict)
    for state, changed in by_state.items():
        yield f"now {state}: {_named(verdict.feature for verdict in changed)}"


def _named(names: Iterable[str]) -> str:
    """The first three names, and how many more there are."""
    names = [printable(name) for name in names]
    more = len(names) - _N_NAMED
    return ", ".join(names[:_N_NAMED]) + (f" and {more} more" if more > 0 else "")


def printable(name: str) -> str:
    """The name with spaces for letters that can't be printed, which a terminal may take for commands."""
    return "".join(letter if letter.isprintable() else " " for letter in name)
