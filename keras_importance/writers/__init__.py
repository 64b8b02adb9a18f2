"""Where reports go. A writer is passed in as a value: `FeatureImportance(writers=[...])`."""

from keras_importance.writers.base import EpochReport, Writer
from keras_importance.writers.tensorboard import TensorBoardWriter

__all__ = ["EpochReport", "TensorBoardWriter", "Writer"]
