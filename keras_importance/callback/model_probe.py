"""ModelProbe: answers a detector's questions about the model, within a share of the scores' work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_importance.engine.evaluator import Evaluator
from keras_importance.results.joint_importance import JointImportance
from keras_importance.results.result import ImportanceResult
from keras_importance.statistics.arrays import Floats
from keras_importance.verdicts.base import ReplacesSets
from keras_importance.verdicts.spending import Spending
from keras_importance.verdicts.unused_signal import UnusedSignalTest, planned_seconds_per_score

# The work of the test for unused signal, as a fraction of the work of the evaluation's exact scores.
_SIGNAL_FRACTION = 0.3


@dataclass(frozen=True, eq=False)
class ModelProbe:
    """Answers a detector's questions about the model; see `verdicts.base.Probe`.

    Attributes:
        evaluator: the model and the validation rows.
        method: the method whose importances are judged.
        result: the newest result of the method.
        spending: which part of an error probability each evaluation may spend.
        unused_signal_test: the test for unused signal; the same object in all evaluations.
    """

    evaluator: Evaluator
    method: ReplacesSets
    result: ImportanceResult
    spending: Spending
    unused_signal_test: UnusedSignalTest

    def jointly(self, sets: Sequence[Sequence[int]]) -> JointImportance:
        """The importance of each set of feature indices, all features of a set replaced together."""
        return self.evaluator.within_memory(
            lambda: self.method.jointly(self.evaluator, sets, self.result)
        )

    def unused_signal(self, indices: Sequence[int]) -> Floats:
        """`(n_indices,)` p-values of the test for unused signal; NaN for features never tested.

        As many features are tested as 0.3 times the work of the exact scores allows. The next evaluation
        begins with the features that were left out.
        """
        return self.evaluator.within_memory(
            lambda: self.unused_signal_test.p_values(indices, _SIGNAL_FRACTION * self._scored_seconds)
        )

    @property
    def _scored_seconds(self) -> float:
        """Planned seconds of the exact scores of the result."""
        result = self.result
        n_scores = int(np.sum(result.is_exact)) * result.n_repeats * result.n_samples
        return n_scores * planned_seconds_per_score(self.evaluator)
