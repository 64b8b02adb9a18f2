"""One evaluation: computes importances, judges features, writes reports. A failure becomes a warning."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_importance.callback.budget import Measured
from keras_importance.callback.fit_run import FitRun
from keras_importance.engine.effort import Effort
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.footprint import no_footprint
from keras_importance.errors import reason_of, warn
from keras_importance.methods.base import Interrupted
from keras_importance.reporting.writers.base import EpochReport
from keras_importance.results.result import ImportanceResult
from keras_importance.results.verdict import Verdict, Verdicts
from keras_importance.statistics.blas import on_one_thread
from keras_importance.verdicts.base import Detector

_UNKNOWN = ("computing", ArithmeticError)


def evaluate(run: FitRun, epoch: int, *, is_last: bool) -> None:
    """Evaluates the model after an epoch.

    Adds results and verdicts to the run's history, then writes them, calls `on_verdict` and prints.

    Args:
        run: the run of `fit`.
        epoch: the 0-based epoch.
        is_last: whether it is the last epoch, whose pictures are always drawn.
    """
    start = _Start.of(run.evaluator)
    if run.evaluated is None:
        run.plan()
    run.evaluated = epoch
    with no_footprint(run.evaluator.model), np.errstate(all="ignore"), on_one_thread():
        results = _results_of_each_method(run, epoch)
        _warn_of_unknown(run, results)
        run.history += results
        changes = _findings_of_each_detector(run, epoch, results)
        _mend_plan(run, start)
        report = _report(run, epoch, start, is_last=is_last)
        if results:
            _write_to_each_writer(run, report)
    # Outside `no_footprint`: changes made by `on_verdict` are intended and must stay.
    _tell(run, changes)
    if results:
        _print(run, report)
        run.cost = report.total_cost


@dataclass(frozen=True)
class _Start:
    """The evaluator's clocks when an evaluation began, in seconds.

    Attributes:
        processor: processor time of this process.
        planned: the work that the meter had counted.
        clock: the clock, which stands still during compilation and while methods train.
        compile_seconds: time spent on compilation so far.
        stopped_seconds: time during which a method had stopped the clock so far.
    """

    processor: float
    planned: float
    clock: float
    compile_seconds: float
    stopped_seconds: float

    @classmethod
    def of(cls, evaluator: Evaluator) -> _Start:
        """The clocks now."""
        return cls(
            time.process_time(),
            evaluator.meter.seconds,
            evaluator.clock.now(),
            evaluator.compiler.seconds,
            evaluator.clock.stopped_seconds,
        )


def _results_of_each_method(run: FitRun, epoch: int) -> list[ImportanceResult]:
    """The results of the methods that don't fail.

    The first of `n` methods to come may take `1 / (2n - 1)` of the work that is left: cheap ones come
    first.
    """
    evaluator = run.evaluator
    end = evaluator.meter.seconds + evaluator.agreed(run.budget.seconds)
    newest = run.history.newest
    results: list[ImportanceResult] = []
    for method, n_later in zip(run.methods, reversed(range(len(run.methods))), strict=True):
        left = max(end - evaluator.meter.seconds, 0.0)
        effort = Effort(
            left / (1 + 2 * n_later), newest.get(method.name), verbose=run.console is not None
        )
        with run.contained(f"computing {method.name!r} importance", epoch):
            try:
                results.append(method(evaluator, epoch, effort))
            except Interrupted as interruption:
                run.history += [*results, interruption.finished]
                raise
            except Exception as error:
                run.failures[method.name] = reason_of(error)
                raise
    return results


def _mend_plan(run: FitRun, start: _Start) -> None:
    """Compares the plan with processor time, once, where neither epoch nor evaluation compiled."""
    evaluator, budget = run.evaluator, run.budget
    has_compiled = evaluator.compiler.seconds != start.compile_seconds
    if evaluator.agreed(budget.is_mended or has_compiled or not run.epoch_processor_seconds):
        return
    measured = Measured(
        epoch=run.epoch_processor_seconds,
        evaluation=time.process_time() - start.processor,
        planned=evaluator.meter.seconds - start.planned,
        is_cut=any(_is_cut(result, evaluator) for result in run.history.newest.values()),
    )
    budget.mend(evaluator.meter, evaluator.agreed(measured))


def _is_cut(result: ImportanceResult, evaluator: Evaluator) -> bool:
    """Whether a result used fewer rows than there are, or left features to the screen."""
    return result.n_samples < evaluator.data.n_rows or result.obtained.count("exact") < len(
        result.obtained
    )


def _warn_of_unknown(run: FitRun, results: Sequence[ImportanceResult]) -> None:
    """Warns, once in a run, if a result is NaN for all features because nothing finite was scored."""
    unknown = [result for result in results if result.why_unknown is not None]
    if unknown and _UNKNOWN not in run.warned:
        run.warned.add(_UNKNOWN)
        names = " and ".join(repr(result.method) for result in unknown)
        warn(
            f"FeatureImportance has no numbers for {names} importance in epoch {unknown[0].epoch}: "
            f"{unknown[0].why_unknown}. The training goes on; "
            "keras.callbacks.TerminateOnNaN() would end it."
        )


def _findings_of_each_detector(
    run: FitRun, epoch: int, results: Sequence[ImportanceResult]
) -> list[Verdict]:
    """Adds the verdicts of each detector on the new result of its method to the history.

    Where there is no result, or the detector fails, every feature is undecided: the verdicts of an
    earlier epoch don't stand for this one.

    Returns:
        The verdicts whose state has changed.
    """
    changes: list[Verdict] = []
    by_method = {result.method: result for result in results}
    for detector in run.detectors:
        result = by_method.get(detector.method)
        if result is None:
            why = run.failures.get(detector.method, "")
            reason = f"{detector.method} importance could not be computed in this epoch: {why}"
            changes += _undecided(run, epoch, detector, reason)
            continue
        with run.contained("judging features", epoch):
            try:
                changes += _added(run, detector(run.history, run.probe(result)))
            except Exception as error:
                reason = f"judging failed: {reason_of(error)}"
                changes += _undecided(run, epoch, detector, reason, result)
                raise
    return changes


def _undecided(
    run: FitRun, epoch: int, detector: Detector, reason: str, result: ImportanceResult | None = None
) -> tuple[Verdict, ...]:
    """Adds to the history that no feature could be judged; returns the verdicts that have changed."""
    names = run.evaluator.features.names
    estimate = None if result is None else result.importances_mean
    verdicts = Verdicts.undecided(epoch, detector.method, names, reason, estimate)
    return _added(run, verdicts.after(run.history.verdicts_before(verdicts)))


def _added(run: FitRun, verdicts: Verdicts) -> tuple[Verdict, ...]:
    """Adds verdicts to the history; returns those whose state has changed."""
    changes = verdicts.changes(run.history.verdicts_before(verdicts))
    run.history += verdicts
    return changes


def _report(run: FitRun, epoch: int, start: _Start, *, is_last: bool) -> EpochReport:
    """The report that each writer gets."""
    evaluator = run.evaluator
    seconds = evaluator.clock.now() - start.clock
    return EpochReport(
        epoch=epoch,
        history=run.history,
        seconds_before=seconds + evaluator.clock.stopped_seconds - start.stopped_seconds,
        epoch_seconds=run.epoch_seconds,
        compile_seconds=evaluator.compiler.seconds - start.compile_seconds,
        with_pictures=run.pictures.draws(is_last=is_last),
        cost=run.cost,
    )


def _write_to_each_writer(run: FitRun, report: EpochReport) -> None:
    for writer in run.writers:
        with run.contained(f"writing with {type(writer).__name__}", report.epoch):
            writer.write(report)


def _tell(run: FitRun, changes: Sequence[Verdict]) -> None:
    """Calls `on_verdict` with each verdict whose state has changed."""
    if run.on_verdict is None:
        return
    for verdict in changes:
        with run.contained("calling on_verdict"):
            run.on_verdict(verdict)


def _print(run: FitRun, report: EpochReport) -> None:
    if run.console is not None:
        with run.contained("printing"):
            run.console.write(report)
