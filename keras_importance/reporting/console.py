"""What is printed when it is asked for: a line per evaluation, and one per changed verdict."""

from __future__ import annotations

import numpy as np

from keras_importance.reporting.writers.base import EpochReport
from keras_importance.results.verdict import Verdict

_N_PRINTED = 5


def verdict_line(verdict: Verdict) -> str:
    """What changed in the verdict on a feature, and why."""
    name = printable(verdict.feature)
    where = "" if verdict.epoch is None else f"Epoch {verdict.epoch + 1}: "
    partner = "" if verdict.partner is None else f" together with {printable(verdict.partner)}"
    evidence = f"importance {verdict.estimate:.3g}, bound {verdict.bound:.3g}"
    why = verdict.reason or f"{evidence}, threshold {verdict.threshold:.3g}"
    return f"{where}{name} is now {verdict.state}{partner} ({why})"


def evaluation_line(report: EpochReport) -> str:
    """What an evaluation found, in a line."""
    parts = []
    for one in report.results:
        order = np.argsort(one.rank)[:_N_PRINTED]
        top = ", ".join(
            f"{printable(one.feature_names[i])} {one.importances_mean[i]:.3g}" for i in order
        )
        parts.append(f"{one.method}: {top}")
    return f"Epoch {report.epoch + 1}: importance in {report.seconds:.2g}s - {' - '.join(parts)}"


def printable(name: str) -> str:
    """The name without line breaks and what a terminal takes for a command."""
    return "".join(letter if letter.isprintable() else " " for letter in name)
