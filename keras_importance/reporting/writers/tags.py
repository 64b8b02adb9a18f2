"""The tags of a report in TensorBoard, and the summary under each tag."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_importance.reporting import plots
from keras_importance.reporting.writers.base import EpochReport
from keras_importance.reporting.writers.custom_scalars import CustomScalars
from keras_importance.reporting.writers.report_table import report_text
from keras_importance.reporting.writers.summaries import (
    image_summary,
    scalar_summary,
    tab_summary,
    text_summary,
)
from keras_importance.results.drift import Stability, Transition
from keras_importance.results.history import ImportanceHistory
from keras_importance.tensorboard_plugin import stored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# TensorBoard draws some thousand curves at most, and people read far fewer.
_MAX_CURVES = 200
_NEW_CURVES_PER_EPOCH = 50


def importance_summaries(report: EpochReport) -> Iterator[Any]:
    """`importance_<method>/<feature>`: the importance of each feature that has a curve."""
    for result in report.results:
        logged = set(logged_features(report.history, result.method))
        for name, value in zip(result.feature_names, result.importances_mean, strict=True):
            if name in logged:
                yield from scalar_summary(f"importance_{result.method}/{name}", value)


def logged_features(history: ImportanceHistory, method: str) -> tuple[str, ...]:
    """The features of a method that have a curve of their own.

    Of up to 200 features, all have a curve. Of more features, the 50 most important of each evaluation
    and up to 50 flagged features join until there are 200. A feature that has a curve keeps it, so that
    no curve has gaps.
    """
    logged: dict[str, None] = {}
    known: tuple[str, ...] | None = None
    for result in history.of(method):
        names = result.feature_names
        if len(logged) == _MAX_CURVES:
            break
        if names is known and len(names) <= _MAX_CURVES:
            continue
        known = names
        if len(names) > _MAX_CURVES:
            most_important = np.argsort(result.rank)[:_NEW_CURVES_PER_EPOCH]
            judged = () if result.epoch is None else history.at(result.epoch).judged
            of_epoch = judged[-1].useless if judged else ()
            names = (*(names[i] for i in most_important), *of_epoch[:_NEW_CURVES_PER_EPOCH])
        for name in names:
            if len(logged) < _MAX_CURVES:
                logged[name] = None
    return tuple(logged)


def bound_summaries(report: EpochReport, charts: CustomScalars) -> Iterator[Any]:
    """`importance_<method>_bounds/<feature>/<part>`: the scalars that the Custom Scalars charts show."""
    for result in report.results:
        for tag, value in charts.scalars(result):
            yield from scalar_summary(tag, value)


def drift_summaries(last: Iterable[Transition]) -> Iterator[Any]:
    """`importance_drift/<method>_<measure>`, and the noise floor of the measure beside it."""
    for transition in last:
        for drift in transition.drifts():
            tag = f"importance_drift/{drift.method}_{drift.measure}"
            yield from scalar_summary(tag, drift.value)
            yield from scalar_summary(f"{tag}_floor", drift.floor)


def flag_summaries(report: EpochReport) -> Iterator[Any]:
    """`importance_flags/<state>`: how many features may be dropped, and how many are undecided."""
    for verdicts in report.verdicts:
        yield from scalar_summary("importance_flags/useless", len(verdicts.useless))
        yield from scalar_summary("importance_flags/undecided", verdicts.states.count("undecided"))


def cost_summaries(report: EpochReport) -> Iterator[Any]:
    """`importance_cost/...`: seconds up to now, for compilation, and as a fraction of the epoch."""
    seconds = report.seconds
    yield from scalar_summary("importance_cost/seconds", seconds)
    if report.compile_seconds > 0:
        yield from scalar_summary("importance_cost/compile_seconds", report.compile_seconds)
    if report.epoch_seconds > 0:
        yield from scalar_summary("importance_cost/share_of_epoch", seconds / report.epoch_seconds)


def report_summary(
    report: EpochReport, last: Iterable[Transition], stability: Mapping[str, Stability]
) -> Any:
    """`importance_report/flags`: the report as Markdown."""
    return text_summary("importance_report/flags", report_text(report, last, stability))


def tab_summaries(report: EpochReport) -> Iterator[Any]:
    """`importance_data/...` and `importance_steps/<method>/...`: the data of the tab.

    These are all results and verdicts, and the maps of time steps.
    """
    tag = stored.tag_of(stored.DATA, report.epoch)
    yield tab_summary(tag, stored.packed(report.results, report.verdicts))
    for result in report.results:
        if result.by_step is not None:
            tag = stored.tag_of(stored.steps_group(result.method), report.epoch)
            yield tab_summary(tag, stored.packed_steps(result, result.by_step))


def picture_summaries(report: EpochReport) -> tuple[list[Any], Exception | None]:
    """The pictures that could be drawn, and the last error if any could not."""
    summaries, failure = [], None
    for tag, draw in _pictures(report):
        try:
            summaries.append(image_summary(tag, draw()))
        except Exception as error:  # noqa: BLE001 (raised or told by the caller, when the rest is safe)
            failure = error
    return summaries, failure


def _pictures(report: EpochReport) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """`importance_<method>_images/<picture>`, and how to draw each."""
    for result in report.results:
        tag = f"importance_{result.method}_images"
        yield f"{tag}/ranking", partial(plots.ranking, result)
        yield f"{tag}/over_epochs", partial(plots.over_epochs, report.history, result.method)
        if len(report.history.of(result.method)) > 1:
            yield f"{tag}/ranks", partial(plots.ranks, report.history, result.method)
        if result.by_step is not None:
            yield f"{tag}/over_steps", partial(plots.over_steps, result)
