"""Pictures of results and histories, as matplotlib figures that belong to no window."""

from keras_importance.reporting.plots.heatmaps import over_epochs, over_steps
from keras_importance.reporting.plots.ranking import ranking
from keras_importance.reporting.plots.ranks import ranks

__all__ = ["over_epochs", "over_steps", "ranking", "ranks"]
