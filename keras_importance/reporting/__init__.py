"""Reports on results: pictures, writers, the HTML page, the console."""

from keras_importance.reporting import plots

__all__ = ["plots"]
