"""Writers take reports somewhere. They are passed in as values: `FeatureImportance(writers=[...])`."""

from __future__ import annotations

from keras_importance.reporting.writers.base import EpochReport, Writer
from keras_importance.reporting.writers.history import HistoryWriter, kept_history
from keras_importance.reporting.writers.tensorboard import TensorBoardWriter

__all__ = ["EpochReport", "HistoryWriter", "TensorBoardWriter", "Writer", "kept_history"]
