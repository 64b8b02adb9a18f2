"""keras_importance: see which input features a Keras model uses, every epoch, while it trains."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import version as _version

    from keras_importance import plots
    from keras_importance.callback import FeatureImportance
    from keras_importance.confirmation import Confirmation
    from keras_importance.data import ValidationData
    from keras_importance.detectors import Detector, UselessFeatureDetector
    from keras_importance.drift import Drift, Mover
    from keras_importance.engine import Evaluator, FeatureScores, Replacement
    from keras_importance.errors import ImportanceWarning
    from keras_importance.findings import Finding, Gap, disagreements, memorised_features
    from keras_importance.history import ImportanceHistory
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
    from keras_importance.result import ImportanceResult
    from keras_importance.standalone import compute_importance, lofo_importance
    from keras_importance.verdict import Verdict, Verdicts
    from keras_importance.writers import EpochReport, TensorBoardWriter, Writer

    __version__ = _version("keras_importance")

# TensorBoard loads this package at its start: nothing heavy is imported before a name is asked for.
_HOME = {
    "AblationImportance": "methods",
    "ConditionalLOFO": "methods",
    "ConditionalPermutation": "methods",
    "Confirmation": "confirmation",
    "Detector": "detectors",
    "Drift": "drift",
    "EpochReport": "writers",
    "Evaluator": "engine",
    "FeatureImportance": "callback",
    "FeatureScores": "engine",
    "Finding": "findings",
    "GradientImportance": "methods",
    "Gap": "findings",
    "ImportanceHistory": "history",
    "ImportanceMethod": "methods",
    "ImportanceResult": "result",
    "ImportanceWarning": "errors",
    "IntegratedGradients": "methods",
    "LOFOImportance": "methods",
    "LinearisedPermutation": "methods",
    "Mover": "drift",
    "PermutationImportance": "methods",
    "PerturbationMethod": "methods",
    "Replacement": "engine",
    "Scores": "methods",
    "TensorBoardWriter": "writers",
    "UselessFeatureDetector": "detectors",
    "ValidationData": "data",
    "Verdict": "verdict",
    "Verdicts": "verdict",
    "Writer": "writers",
    "compute_importance": "standalone",
    "lofo_importance": "standalone",
    "memorised_features": "findings",
    "disagreements": "findings",
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
        return importlib.import_module(f"{__name__}.plots")
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
