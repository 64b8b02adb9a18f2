"""Writes reports into TensorBoard's event files, with or without TensorFlow: TensorBoardWriter."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from keras_importance.errors import reason_of, warn
from keras_importance.reporting.plots.painter import Painter
from keras_importance.reporting.writers.base import RUN, EpochReport, Writer
from keras_importance.reporting.writers.claim import Claim
from keras_importance.reporting.writers.curves import Curves
from keras_importance.reporting.writers.custom_scalars import CustomScalars
from keras_importance.reporting.writers.event_file import EventFile
from keras_importance.reporting.writers.summaries import layout_summary
from keras_importance.reporting.writers.tags import (
    bound_summaries,
    cost_summaries,
    drift_summaries,
    flag_summaries,
    importance_summaries,
    picture_summaries,
    report_summary,
    tab_summaries,
)
from keras_importance.results.drift import Stability, Transition, transitions
from keras_importance.results.history import ImportanceHistory
from keras_importance.results.result import ImportanceResult


class TensorBoardWriter(Writer):
    """Writes into the run `<log_dir>/importance`, one step per epoch, flushed each epoch.

    Args:
        log_dir: the directory that holds the runs of the training, as for `keras.callbacks.TensorBoard`.

    Raises:
        OSError: where the directory can't be made or written to.
    """

    draws_pictures = True

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        self.log_dir = os.path.join(os.fspath(log_dir), RUN)
        self._undrawn: EpochReport | None = None
        # Kept between reports: otherwise each epoch would compare the whole history anew.
        self._stability: dict[str, Stability] = {}
        self._curves = Curves()
        self._charts = CustomScalars()
        self._painter = Painter()
        self._layout = b""
        self._events = EventFile(self.log_dir)
        self._claim = Claim(self.log_dir)

    def write(self, report: EpochReport) -> None:
        """Writes all summaries of the report as one event.

        Raises:
            Exception: where a picture can't be drawn, after all else is written.
        """
        self._claim.check()
        last = _last_transitions(report)
        self._stability.update(_stability(report, last, self._stability))
        values = [
            *importance_summaries(report, self._curves),
            *bound_summaries(report, self._charts),
            *drift_summaries(last),
            *flag_summaries(report),
            report_summary(report, last, self._stability),
            *tab_summaries(report),
        ]
        failure = None
        self._undrawn = report
        if report.with_pictures:
            pictures, failure = picture_summaries(report, self._painter)
            self._undrawn = None
            values += pictures
        # Last, so that the cost counts the pictures.
        self._add(report.epoch, [*values, *cost_summaries(report)])
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Draws the pictures that the time budget put off, and closes the event file."""
        report, self._undrawn = self._undrawn, None
        if report is not None:
            pictures, failure = picture_summaries(report, self._painter)
            self._add(report.epoch, pictures)
            if failure is not None:
                warn(f"TensorBoardWriter could not draw all pictures. Reason: {reason_of(failure)}")
        self._events.close()
        self._claim.release()

    def _add(self, epoch: int, values: list[Any]) -> None:
        """Writes an event, with the layout of the charts unless the file already holds it."""
        if self._events.renew_if_lost():
            self._layout = b""
        layout = self._charts.layout()
        new_layout = [layout_summary(layout)] if layout != self._layout else []
        self._events.add(epoch, [*values, *new_layout])
        self._layout = layout


def _last_transitions(report: EpochReport) -> list[Transition]:
    """The step between the last two evaluations of each method, not the steps of the whole history."""
    return [
        transition
        for result in report.results
        for transition in transitions(_last_two(report.history, result.method))
    ]


def _last_two(history: ImportanceHistory, method: str) -> list[ImportanceResult]:
    """The last two results of a method; looked for from the end of a history that may be long."""
    newest_first = (result for result in reversed(history.results) if result.method == method)
    return list(islice(newest_first, 2))[::-1]


def _stability(
    report: EpochReport, last: Iterable[Transition], known: Mapping[str, Stability]
) -> dict[str, Stability]:
    """How long each method has been stable; methods without draws of their errors are left out.

    Args:
        report: the report, with the newest results.
        last: the step between the last two evaluations of each method.
        known: the stabilities after the report before, to go on from.
    """
    by_method = {transition.later.method: transition for transition in last}
    stability = {}
    for result in report.results:
        if result.draws is None:
            continue
        before, transition = known.get(result.method), by_method.get(result.method)
        if before is not None and transition is not None and before.newest is transition.earlier:
            stability[result.method] = before.then(transition)
        else:
            results = report.history.of(result.method).results
            stability[result.method] = Stability.of(results, before)
    return stability
