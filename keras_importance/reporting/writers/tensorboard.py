"""Writes scalars, pictures and the table into TensorBoard's event files, with or without TensorFlow."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from keras_importance.errors import reason_of, warn
from keras_importance.reporting import plots
from keras_importance.reporting.writers.base import EpochReport, Writer
from keras_importance.reporting.writers.custom_scalars import CustomScalars
from keras_importance.reporting.writers.report_table import (
    finding_line,
    movement,
    table,
)
from keras_importance.reporting.writers.summaries import (
    image_summary,
    layout_summary,
    scalar_summary,
    tab_summary,
    text_summary,
)
from keras_importance.results.drift import Stability, Transition, transitions
from keras_importance.results.history import ImportanceHistory
from keras_importance.tensorboard_plugin import stored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RUN = "importance"

_EVENT_FILES = "events.out.tfevents.*"

# TensorBoard draws some thousand curves at most, and people read far fewer.
_MAX_CURVES = 200
_NEW_CURVES_PER_EPOCH = 50


class TensorBoardWriter(Writer):
    """Writes into the run `<log_dir>/importance`, one step per epoch, flushed each epoch.

    Args:
        log_dir: the directory that holds the runs of the training, as for `keras.callbacks.TensorBoard`.

    Raises:
        OSError: where the directory can't be made or written to.
    """

    draws = True

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        self.log_dir = os.path.join(os.fspath(log_dir), RUN)
        self._failed = self._was_deleted = False
        self._undrawn: EpochReport | None = None
        # Carried on from report to report: the whole history would be compared anew in each epoch.
        self._stability: dict[str, Stability] = {}
        self._charts = CustomScalars()
        self._layout = b""
        self._events = self._new_events()

    def write(self, report: EpochReport) -> None:
        """Writes all summaries of the report as one event.

        Raises:
            Exception: where a picture can't be drawn, after all else is written.
        """
        last = _last_steps(report)
        self._stability.update(_stability(report, last, self._stability))
        values = [*_scalars(report), *_bounds(report, self._charts), *_drift(last), *_flags(report)]
        values.append(_table(report, last, self._stability))
        values += _for_the_tab(report)
        pictures: list[Any] = []
        failure = None
        self._undrawn = report
        if report.with_pictures:
            self._undrawn, (pictures, failure) = None, _drawn(report)
        # Last, so that the cost counts the pictures.
        self._add(report.epoch, [*values, *pictures, *_cost(report)])
        if failure is not None:
            raise failure

    def _add(self, epoch: int, values: list[Any]) -> None:
        event = event_pb2.Event(
            wall_time=time.time(), step=epoch, summary=summary_pb2.Summary(value=values)
        )
        self._renew_where_lost()
        layout = self._charts.layout()
        if layout != self._layout:
            event.summary.value.append(layout_summary(layout))
        self._failed = True
        self._events.add_event(event)
        self._events.flush()
        self._failed, self._layout = False, layout

    def _new_events(self) -> EventFileWriter:
        try:
            events = EventFileWriter(self.log_dir)
        except Exception as error:
            # With TensorFlow installed, TensorBoard uses its file system, whose errors are no OSError.
            raise OSError(str(error)) from error
        # Each writer has a thread and an open file, which a training that raises leaves behind.
        self._release = weakref.finalize(self, _close_quietly, events)
        return events

    def _renew_where_lost(self) -> None:
        """Begins a new file where the old one is gone or failed: TensorBoard's never recovers."""
        # Not the directory: another writer may have made it again.
        is_deleted = "://" not in self.log_dir and not any(Path(self.log_dir).glob(_EVENT_FILES))
        if is_deleted and not self._was_deleted:
            self._was_deleted = True
            warn(
                f"TensorBoardWriter found {self.log_dir!r} deleted and started it again; the epochs "
                "before are lost."
            )
        if is_deleted or self._failed:
            self._release()
            self._events, self._layout = self._new_events(), b""

    def close(self) -> None:
        """Draws what was put off, and closes the event file."""
        report, self._undrawn = self._undrawn, None
        if report is not None:
            pictures, failure = _drawn(report)
            self._add(report.epoch, pictures)
            if failure is not None:
                warn(f"TensorBoardWriter could not draw all pictures. Reason: {reason_of(failure)}")
        self._release.detach()
        self._events.close()


def _close_quietly(events: EventFileWriter) -> None:
    """Closes a writer that nobody waits for: what it could not write is lost already."""
    with suppress(Exception):
        events.close()


def logged_features(history: ImportanceHistory, method: str) -> tuple[str, ...]:
    """The features of a method that have a curve of their own.

    All of them up to 200. Of more, the 50 most important of each evaluation and as many of the flagged
    ones join until there are 200; a feature that has a curve keeps it, so that no curve has gaps.
    """
    logged: dict[str, None] = {}
    flagged = {one.epoch: one.useless for one in history.judged}
    for result in history.of(method):
        names = result.feature_names
        if len(names) > _MAX_CURVES:
            most_important = np.argsort(result.rank)[:_NEW_CURVES_PER_EPOCH]
            of_epoch = flagged.get(result.epoch, ())
            names = (*(names[i] for i in most_important), *of_epoch[:_NEW_CURVES_PER_EPOCH])
        for name in names:
            if len(logged) < _MAX_CURVES:
                logged[name] = None
    return tuple(logged)


# --- the tags -----------------------------------------------------------------------------------


def _scalars(report: EpochReport) -> Iterator[Any]:
    for result in report.results:
        logged = set(logged_features(report.history, result.method))
        for name, value in zip(result.feature_names, result.importances_mean, strict=True):
            if name in logged:
                yield from scalar_summary(f"importance_{result.method}/{name}", value)


def _bounds(report: EpochReport, charts: CustomScalars) -> Iterator[Any]:
    for result in report.results:
        for tag, value in charts.scalars(result):
            yield from scalar_summary(tag, value)


def _drift(last: Iterable[Transition]) -> Iterator[Any]:
    for step in last:
        for drift in step.drifts():
            tag = f"importance_drift/{drift.method}_{drift.measure}"
            yield from scalar_summary(tag, drift.value)
            yield from scalar_summary(f"{tag}_floor", drift.floor)


def _last_steps(report: EpochReport) -> list[Transition]:
    """The last two evaluations alone: the whole history would be compared anew in each epoch."""
    methods = [one.method for one in report.results]
    return [step for name in methods for step in transitions(report.history.of(name).results[-2:])]


def _stability(
    report: EpochReport, last: Iterable[Transition], known: Mapping[str, Stability]
) -> dict[str, Stability]:
    """How long each method has been stable, going on from what is known; without errors none is."""
    by_method = {step.later.method: step for step in last}
    found = {}
    for one in report.results:
        before, step = known.get(one.method), by_method.get(one.method)
        if one.draws is None:
            continue
        if before is not None and step is not None and before.newest is step.earlier:
            found[one.method] = before.then(step)
        else:
            found[one.method] = Stability.of(report.history.of(one.method).results, before)
    return found


def _flags(report: EpochReport) -> Iterator[Any]:
    for judged in report.verdicts:
        yield from scalar_summary("importance_flags/useless", len(judged.useless))
        yield from scalar_summary("importance_flags/undecided", judged.states.count("undecided"))


def _cost(report: EpochReport) -> Iterator[Any]:
    seconds = report.seconds
    yield from scalar_summary("importance_cost/seconds", seconds)
    if report.compile_seconds > 0:
        yield from scalar_summary("importance_cost/compile_seconds", report.compile_seconds)
    if report.epoch_seconds > 0:
        yield from scalar_summary("importance_cost/share_of_epoch", seconds / report.epoch_seconds)


def _for_the_tab(report: EpochReport) -> Iterator[Any]:
    """What our own tab shows beyond the scalars."""
    tag = stored.tag_of(stored.DATA, report.epoch)
    yield tab_summary(tag, stored.packed(report.results, report.verdicts))
    for result in report.results:
        if result.by_step is not None:
            tag = stored.tag_of(stored.steps_group(result.method), report.epoch)
            yield tab_summary(tag, stored.packed_steps(result, result.by_step))


def _drawn(report: EpochReport) -> tuple[list[Any], Exception | None]:
    """The pictures that could be drawn, and what went wrong with the others."""
    values, failure = [], None
    for tag, draw in _pictures(report):
        try:
            values.append(image_summary(tag, draw()))
        except Exception as error:  # noqa: BLE001 (raised or told by the caller, when the rest is safe)
            failure = error
    return values, failure


def _pictures(report: EpochReport) -> Iterator[tuple[str, Callable[[], Figure]]]:
    for result in report.results:
        tag = f"importance_{result.method}_images"
        yield f"{tag}/ranking", partial(plots.ranking, result)
        yield f"{tag}/over_epochs", partial(plots.over_epochs, report.history, result.method)
        if len(report.history.of(result.method)) > 1:
            yield f"{tag}/ranks", partial(plots.ranks, report.history, result.method)
        if result.by_step is not None:
            yield f"{tag}/over_steps", partial(plots.over_steps, result)


def _table(report: EpochReport, last: Iterable[Transition], stability: Mapping[str, Stability]) -> Any:
    lines = [table(report.results, report.verdicts)]
    lines += [
        movement(step, stability[step.later.method].since)
        for step in last
        if step.later.method in stability
    ]
    lines += map(finding_line, report.history.disagreements())
    return text_summary("importance_report/flags", "\n".join(lines))
