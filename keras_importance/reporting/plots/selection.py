"""Which results and which features a picture shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from keras_importance.statistics.arrays import Floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keras_importance.results.history import ImportanceHistory
    from keras_importance.results.result import ImportanceResult

MAX_NAMED = 40
"""How many features a picture names; more rows would not fit on a page."""

MAX_EVALUATIONS = 250
"""How many evaluations a picture shows: more columns would be less than two pixels wide each."""


def comparable_results(
    history: ImportanceHistory, method: str | None, plot: str
) -> tuple[ImportanceResult, list[ImportanceResult]]:
    """The newest result of a method, and all its results on the same features, the newest included.

    Args:
        history: the history to take the results from.
        method: name of the method; None for the first method of the history.
        plot: name of the public function, for the error.

    Raises:
        ValueError: for an empty history or a method without results.
    """
    if not len(history) or method not in (None, *history.methods):
        raise ValueError(
            f"{plot} got method={method!r} and a history with the methods {list(history.methods)}. "
            "Pass one of them, and a history with results."
        )
    method = method or history.methods[0]
    newest = history.newest[method]
    names = newest.feature_names
    results = [
        result
        for result in history.of(method)
        # Tuples compare all their names even with themselves.
        if result.feature_names is names or result.feature_names == names
    ]
    return newest, results


def evenly_chosen(results: Sequence[ImportanceResult]) -> list[ImportanceResult]:
    """At most `MAX_EVALUATIONS` results at even distances, the first and the newest among them."""
    n_chosen = min(len(results), MAX_EVALUATIONS)
    places = np.linspace(0, len(results) - 1, n_chosen).round().astype(int)
    return [results[place] for place in places]


def by_importance(values: Floats) -> list[int]:
    """The indices of the features that have a value, largest value first."""
    order = np.argsort(-np.nan_to_num(values), kind="stable")
    return [int(index) for index in order if np.isfinite(values[index])]
