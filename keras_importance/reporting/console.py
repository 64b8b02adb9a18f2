"""Prints a line per evaluation and a line per changed verdict, where `verbose` asks for them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keras_importance.reporting.writers.base import EpochReport, Writer
from keras_importance.results.verdict import Verdict

_N_PRINTED = 5


class ConsoleWriter(Writer):
    """Prints a line for each evaluation, and below it a line for each verdict that has changed."""

    def write(self, report: EpochReport) -> None:
        """Prints the lines of one report at once."""
        lines = [evaluation_line(report), *map(verdict_line, _changes(report))]
        print("\n".join(lines))  # noqa: T201 (asked for with verbose)


def evaluation_line(report: EpochReport) -> str:
    """The time that an evaluation took, and the most important features by each method."""
    parts = []
    for result in report.results:
        order = np.argsort(result.rank)[:_N_PRINTED]
        top = ", ".join(
            f"{printable(result.feature_names[i])} {result.importances_mean[i]:.3g}" for i in order
        )
        parts.append(f"{result.method}: {top}")
    return f"Epoch {report.epoch + 1}: importance in {report.seconds:.2g}s - {' - '.join(parts)}"


def verdict_line(verdict: Verdict) -> str:
    """The new state of a feature in words, with the evidence or the reason."""
    name = printable(verdict.feature)
    where = "" if verdict.epoch is None else f"Epoch {verdict.epoch + 1}: "
    partner = "" if verdict.partner is None else f" together with {printable(verdict.partner)}"
    evidence = f"importance {verdict.estimate:.3g}, bound {verdict.bound:.3g}"
    why = verdict.reason or f"{evidence}, threshold {verdict.threshold:.3g}"
    return f"{where}{name} is now {verdict.state}{partner} ({why})"


def printable(name: str) -> str:
    """The name with spaces for letters that can't be printed, which a terminal may take for commands."""
    return "".join(letter if letter.isprintable() else " " for letter in name)


def _changes(report: EpochReport) -> Iterator[Verdict]:
    """The verdicts of this epoch whose state differs from that of the evaluation before."""
    for verdicts in report.verdicts:
        yield from verdicts.changes(report.history.verdicts_before(verdicts))
