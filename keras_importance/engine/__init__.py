"""Runs a model fast on a fixed sample: row scores of perturbed inputs, and input gradients."""

from keras_importance.engine.backend import is_chief
from keras_importance.engine.evaluator import Evaluator, input_names
from keras_importance.engine.footprint import no_footprint
from keras_importance.engine.part import FeatureScores, Replacement

__all__ = ["Evaluator", "FeatureScores", "Replacement", "input_names", "is_chief", "no_footprint"]
