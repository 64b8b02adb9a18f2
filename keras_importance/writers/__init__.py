"""Where reports go. A writer is passed in as a value: `FeatureImportance(writers=[...])`."""

from keras_importance.writers.base import EpochReport, Writer
from keras_importance.writers.history import HistoryWriter, kept_history
from keras_importance.writers.tensorboard import TensorBoardWriter

__all__ = ["EpochReport", "HistoryWriter", "TensorBoardWriter", "Writer", "kept_history"]
