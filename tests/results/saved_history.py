"""The history that `fixtures/history_version_2.npz` holds, built from its values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

NAMES = ("temperature", "wind", "rain")


def values() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Keywords of each result, `explained` as keywords too, and of each of the verdicts."""
    permutation = {
        "method": "permutation",
        "epoch": 3,
        "feature_names": NAMES,
        "importances": np.array([[0.5, 0.75], [-0.25, 0.125], [math.nan, math.nan]]),
        "std_error": np.array([0.1, 0.2, math.nan]),
        "baseline_score": 0.625,
        "metric": "loss",
        "n_samples": 100,
        "notes": {"rain": "not scored yet"},
        "obtained": ("exact", "carried", "screened"),
        "exact_epoch": np.array([3.0, 1.0, math.nan]),
        "n_rows": np.array([100.0, 50.0, 100.0]),
        "n_blocks": 20,
        "degrees": np.array([18.0, 12.5, math.nan]),
        "explained": {
            "loss": 1.5,
            "std_error": 0.25,
            "reference": "constant",
            "covariance": np.array([0.01, -0.02, math.nan]),
            "third": np.arange(12.0).reshape(3, 4),
        },
        "draws": np.array([[0.5, -0.5], [0.25, 0.0], [0.0, 1.0]], np.float32),
        "procedure": "lock step",
    }
    gradient = {
        "method": "gradient",
        "epoch": None,
        "feature_names": NAMES[:2],
        "importances": np.array([[2.0], [1.0]]),
        "std_error": np.array([0.5, 0.25]),
        "baseline_score": math.nan,
        "metric": "output",
        "n_samples": 8,
        "direction": np.array([-1.5, 0.5]),
        "by_step": np.array([[1.0, math.nan], [2.0, 3.0], [0.0, 1.0]]),
        "error_source": "repeats",
    }
    verdicts = {
        "epoch": 3,
        "method": "permutation",
        "feature_names": NAMES,
        "states": ("useful", "redundant", "undecided"),
        "since": np.array([1, 3, -1]),
        "estimate": np.array([0.625, -0.0625, math.nan]),
        "bound": np.array([0.5, 0.125, math.nan]),
        "threshold": 0.015,
        "error_rate": 0.05,
        "streak": np.array([0, 2, 0]),
        "p_value": np.array([math.nan, 0.5, math.nan]),
        "partners": {"wind": "temperature"},
        "reasons": {"rain": "not scored exactly in this evaluation"},
    }
    return [permutation, gradient], [verdicts]
