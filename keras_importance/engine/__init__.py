"""Runs a model fast on a fixed sample: row scores of perturbed inputs, and input gradients."""

from __future__ import annotations

from keras_importance.engine.backends.backend import is_chief, why_no_fit
from keras_importance.engine.evaluator import Evaluator, input_names
from keras_importance.engine.footprint import no_footprint
from keras_importance.engine.scores.sample import FeatureScores, Replacement
from keras_importance.engine.shards import joined_rows, joined_training_rows
from keras_importance.engine.twins.step import Start, why_no_twins
from keras_importance.engine.twins.twins import TwinPrograms, Twins

__all__ = [
    "Evaluator",
    "FeatureScores",
    "Replacement",
    "Start",
    "TwinPrograms",
    "Twins",
    "input_names",
    "is_chief",
    "joined_rows",
    "joined_training_rows",
    "no_footprint",
    "why_no_fit",
    "why_no_twins",
]
