"""Settings: the checked arguments of the callback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from keras_importance.methods.base import ImportanceMethod
from keras_importance.reporting.writers.base import Writer
from keras_importance.results.verdict import Verdict
from keras_importance.verdicts.base import Detector


class Settings(Protocol):
    """The checked arguments of `FeatureImportance`, which explains them. The callback has them all."""

    validation_data: Any
    methods: tuple[ImportanceMethod, ...]
    features: Any
    metric: Any
    mask_value: Any
    log_dir: str | None
    every: int
    max_samples: int | None
    time_budget: float | None
    detectors: tuple[Detector, ...]
    writers: tuple[Writer, ...]
    on_verdict: Callable[[Verdict], Any] | None
    add_to_logs: bool
    seed: int
    verbose: int
