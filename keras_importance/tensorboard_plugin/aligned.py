"""All epochs of a run beside one another, each feature in a column of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from keras_importance.tensorboard_plugin.bundle import json_number
from keras_importance.tensorboard_plugin.stored import StoredEpoch, StoredResult, StoredVerdicts

_OBTAINED = ("", "exact", "screened", "carried")


def aligned(epochs: Sequence[StoredEpoch]) -> dict[str, Any]:
    """The importances, intervals and states of all epochs as `(n_epochs, n_features)` arrays.

    Features are in the order of the newest evaluation; features that only earlier evaluations have come
    last. Unknown numbers are NaN, and unknown codes 0.

    Returns:
        `names` of the columns, `epochs` of the rows, `methods` with the arrays `mean`, `low`, `high` and
        `obtained` (codes into `obtained_names`), `verdicts` with the array `states` (codes into their
        `state_names`).
    """
    columns = _Columns(epochs)
    results = [result for epoch in epochs for result in epoch.results]
    verdicts = [verdicts for epoch in epochs for verdicts in epoch.verdicts]
    return {
        "names": columns.names,
        "epochs": [epoch.epoch for epoch in epochs],
        "obtained_names": _OBTAINED,
        "methods": [_importances(epochs, method, columns) for method in _methods(results)],
        "verdicts": [_states(epochs, method, columns) for method in _methods(verdicts)],
    }


class _Columns:
    """The column of each feature."""

    def __init__(self, epochs: Sequence[StoredEpoch]) -> None:
        index: dict[str, int] = {}
        for epoch in reversed(epochs):
            parts: list[StoredResult | StoredVerdicts] = [*epoch.results, *epoch.verdicts]
            for name in chain.from_iterable(part.feature_names for part in parts):
                index.setdefault(name, len(index))
        self.names = tuple(index)
        self._index = index

    def of(self, names: tuple[str, ...]) -> slice | list[int]:
        """The columns of the features, in their order."""
        return slice(None) if names == self.names else [self._index[name] for name in names]


def _methods(parts: Iterable[StoredResult | StoredVerdicts]) -> Iterable[str]:
    """The methods, in order of appearance."""
    return dict.fromkeys(part.method for part in parts)


def _importances(epochs: Sequence[StoredEpoch], method: str, columns: _Columns) -> dict[str, Any]:
    """The arrays of a method, its newest facts, and the rows of the epochs that evaluated it."""
    shape = (len(epochs), len(columns.names))
    mean, low, high = (np.full(shape, np.nan, np.float32) for _ in range(3))
    obtained = np.zeros(shape, np.uint8)
    evaluated: list[int] = []
    facts: Mapping[str, Any] = {}
    for row, epoch in enumerate(epochs):
        for result in epoch.results:
            if result.method == method:
                own = columns.of(result.feature_names)
                mean[row, own], low[row, own], high[row, own] = result.mean, result.low, result.high
                obtained[row, own] = [_OBTAINED.index(how) for how in result.obtained]
                facts = result.facts
                evaluated.append(row)
    arrays = {"mean": mean, "low": low, "high": high, "obtained": obtained}
    return {"name": method, **facts, **arrays, "evaluated": evaluated}


def _states(epochs: Sequence[StoredEpoch], method: str, columns: _Columns) -> dict[str, Any]:
    """The states by the verdicts on a method as codes, and the threshold of each row."""
    codes = {"": 0}
    states = np.zeros((len(epochs), len(columns.names)), np.uint8)
    thresholds: list[float | None] = [None] * len(epochs)
    error_rate = None
    for row, epoch in enumerate(epochs):
        for verdicts in epoch.verdicts:
            if verdicts.method == method:
                own = columns.of(verdicts.feature_names)
                states[row, own] = [codes.setdefault(state, len(codes)) for state in verdicts.states]
                if verdicts.threshold is not None:
                    thresholds[row] = json_number(verdicts.threshold)
                error_rate = verdicts.error_rate
    return {
        "method": method,
        "states": states,
        "state_names": list(codes),
        "thresholds": thresholds,
        "error_rate": error_rate,
    }
