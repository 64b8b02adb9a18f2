"""The importances as entries in the `logs` of an epoch."""

from __future__ import annotations

import numpy as np

from keras_importance.callback.fit_run import FitRun


def as_logs(run: FitRun) -> dict[str, float]:
    """The newest importances as `{"importance_<method>/<feature>": mean}`; NaN before any evaluation.

    All keys are there from the first epoch on, because `CSVLogger` writes only the keys of that epoch.
    """
    names, newest = run.evaluator.features.names, run.history.newest
    logs = {}
    for method in run.methods:
        result = newest.get(method.name)
        means = np.full(len(names), np.nan) if result is None else result.importances_mean
        for name, mean in zip(names, means, strict=True):
            logs[f"importance_{method.name}/{name}"] = float(mean)
    return logs
