"""keras_importance: see which input features a Keras model uses, every epoch, while it trains."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import version as _version

    from keras_importance.callback.feature_importance import FeatureImportance
    from keras_importance.compute import compute_importance, lofo_importance
    from keras_importance.data.validation_data import ValidationData
    from keras_importance.engine import Evaluator, FeatureScores, Replacement
    from keras_importance.errors import ImportanceWarning
    from keras_importance.methods import (
        AblationImportance,
        ConditionalLOFO,
        ConditionalPermutation,
        GradientImportance,
        ImportanceMethod,
        IntegratedGradients,
        LinearisedPermutation,
        LOFOImportance,
        PermutationImportance,
        PerturbationMethod,
        Scores,
    )
    from keras_importance.reporting.plots import figure as plots
    from keras_importance.reporting.writers import EpochReport, TensorBoardWriter, Writer
    from keras_importance.results.disagreements import Finding, Gap, disagreements, memorised_features
    from keras_importance.results.drift import Drift, Mover
    from keras_importance.results.history import ImportanceHistory
    from keras_importance.results.result import ImportanceResult
    from keras_importance.results.verdict import Verdict, Verdicts
    from keras_importance.retraining.confirmation import Confirmation
    from keras_importance.verdicts.useless_features import Detector, UselessFeatureDetector

    __version__ = _version("keras_importance")

# TensorBoard loads this package at its start: nothing heavy is imported before a name is asked for.
_HOME = {
    "AblationImportance": "methods",
    "ConditionalLOFO": "methods",
    "ConditionalPermutation": "methods",
    "Confirmation": "retraining.confirmation",
    "Detector": "verdicts.useless_features",
    "Drift": "results.drift",
    "EpochReport": "reporting.writers",
    "Evaluator": "engine",
    "FeatureImportance": "callback.feature_importance",
    "FeatureScores": "engine",
    "Finding": "results.disagreements",
    "GradientImportance": "methods",
    "Gap": "results.disagreements",
    "ImportanceHistory": "results.history",
    "ImportanceMethod": "methods",
    "ImportanceResult": "results.result",
    "ImportanceWarning": "errors",
    "IntegratedGradients": "methods",
    "LOFOImportance": "methods",
    "LinearisedPermutation": "methods",
    "Mover": "results.drift",
    "PermutationImportance": "methods",
    "PerturbationMethod": "methods",
    "Replacement": "engine",
    "Scores": "methods",
    "TensorBoardWriter": "reporting.writers",
    "UselessFeatureDetector": "verdicts.useless_features",
    "ValidationData": "data.validation_data",
    "Verdict": "results.verdict",
    "Verdicts": "results.verdict",
    "Writer": "reporting.writers",
    "compute_importance": "compute",
    "lofo_importance": "compute",
    "memorised_features": "results.disagreements",
    "disagreements": "results.disagreements",
}

__all__ = [
    "AblationImportance",
    "ConditionalLOFO",
    "ConditionalPermutation",
    "Confirmation",
    "Detector",
    "Drift",
    "EpochReport",
    "Evaluator",
    "FeatureImportance",
    "FeatureScores",
    "Finding",
    "Gap",
    "GradientImportance",
    "ImportanceHistory",
    "ImportanceMethod",
    "ImportanceResult",
    "ImportanceWarning",
    "IntegratedGradients",
    "LOFOImportance",
    "LinearisedPermutation",
    "Mover",
    "PermutationImportance",
    "PerturbationMethod",
    "Replacement",
    "Scores",
    "TensorBoardWriter",
    "UselessFeatureDetector",
    "ValidationData",
    "Verdict",
    "Verdicts",
    "Writer",
    "__version__",
    "compute_importance",
    "disagreements",
    "lofo_importance",
    "memorised_features",
    "plots",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    if name == "plots":
        return importlib.import_module(f"{__name__}.reporting.plots.figure")
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
