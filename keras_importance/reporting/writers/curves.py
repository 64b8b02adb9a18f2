"""Which features have a curve of their own in TensorBoard, extended evaluation by evaluation."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from keras_importance.results.history import ImportanceHistory
from keras_importance.results.result import ImportanceResult

# TensorBoard draws some thousand curves at most, and people read far fewer.
_MAX_CURVES = 200
_NEW_CURVES_PER_EPOCH = 50


class Curves:
    """The features of each method that have a curve.

    Of up to 200 features, all have a curve. Of more features, the 50 most important of each evaluation
    and up to 50 flagged features join until there are 200. A feature that has a curve keeps it, so that
    no curve has gaps.
    """

    def __init__(self) -> None:
        self._logged: dict[str, dict[str, None]] = {}
        self._newest: dict[str, ImportanceResult] = {}

    def after(self, result: ImportanceResult, history: ImportanceHistory) -> Collection[str]:
        """Names of the features of `result.method` that have a curve after this result.

        Args:
            result: the newest result of its method.
            history: all results so far; those that this object has not seen are gone through once.
        """
        method = result.method
        unseen, goes_on = _unseen(history.results, result, self._newest.get(method))
        if not goes_on:
            self._logged.pop(method, None)
        logged = self._logged.setdefault(method, {})
        for one in unseen:
            if len(logged) < _MAX_CURVES:
                _extend(logged, one, history)
        self._newest[method] = result
        return logged.keys()


def logged_features(history: ImportanceHistory, method: str) -> tuple[str, ...]:
    """The features of a method that have a curve after all evaluations of the history."""
    results = history.of(method).results
    return tuple(Curves().after(results[-1], history)) if results else ()


def _unseen(
    results: Sequence[ImportanceResult], newest: ImportanceResult, seen: ImportanceResult | None
) -> tuple[list[ImportanceResult], bool]:
    """The results of a method after the one seen, oldest first, and whether that one is among them all.

    Without it, all results of the method are unseen.
    """
    unseen: list[ImportanceResult] = []
    for result in reversed(results):
        if result is seen:
            return unseen[::-1], True
        if result.method == newest.method:
            unseen.append(result)
    return unseen[::-1], False


def _extend(logged: dict[str, None], result: ImportanceResult, history: ImportanceHistory) -> None:
    names: Sequence[str] = result.feature_names
    if len(names) > _MAX_CURVES:
        most_important = np.argsort(result.rank)[:_NEW_CURVES_PER_EPOCH]
        flagged = _flagged(result, history)[:_NEW_CURVES_PER_EPOCH]
        names = [*(names[i] for i in most_important), *flagged]
    new = [name for name in names if name not in logged]
    logged.update(dict.fromkeys(new[: _MAX_CURVES - len(logged)]))


def _flagged(result: ImportanceResult, history: ImportanceHistory) -> Sequence[str]:
    """The features flagged by the newest verdicts of the result's epoch."""
    for verdicts in reversed(history.judged):
        if verdicts.epoch == result.epoch:
            return verdicts.useless
    return ()
