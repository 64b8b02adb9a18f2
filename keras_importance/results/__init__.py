"""What comes out: results, histories, verdicts and drift as immutable facts. No pictures, no Keras."""

from keras_importance.results.confirmation import Confirmation
from keras_importance.results.disagreements import Finding, Gap
from keras_importance.results.drift import Drift, Mover
from keras_importance.results.history import ImportanceHistory
from keras_importance.results.joint_importance import JointImportance
from keras_importance.results.result import ImportanceResult
from keras_importance.results.scores import Explained, Scores
from keras_importance.results.verdict import Verdict, Verdicts

__all__ = [
    "Confirmation",
    "Drift",
    "Explained",
    "Finding",
    "Gap",
    "ImportanceHistory",
    "ImportanceResult",
    "JointImportance",
    "Mover",
    "Scores",
    "Verdict",
    "Verdicts",
]
