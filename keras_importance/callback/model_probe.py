"""ModelProbe: answers a detector's questions about the model, within the time budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from keras_importance.engine.evaluator import Evaluator
from keras_importance.results.joint_importance import JointImportance
from keras_importance.results.result import ImportanceResult
from keras_importance.statistics.arrays import Floats
from keras_importance.verdicts.base import ReplacesSets
from keras_importance.verdicts.unused_signal import UnusedSignalTest


@dataclass(frozen=True, eq=False)
class ModelProbe:
    """Answers a detector's questions about the model; see `verdicts.base.Probe`.

    Attributes:
        evaluator: the model and the validation rows.
        method: the method whose importances are judged.
        result: the newest result of the method.
        n_evaluations: how many evaluations are planned; None if that isn't known.
        unused_signal_test: the test for unused signal; the same object in all evaluations.
        is_time_left: returns whether the current evaluation has time left in the budget.
    """

    evaluator: Evaluator
    method: ReplacesSets
    result: ImportanceResult
    n_evaluations: int | None
    unused_signal_test: UnusedSignalTest
    is_time_left: Callable[[], bool] = lambda: True

    def jointly(self, sets: Sequence[Sequence[int]]) -> JointImportance:
        """The importance of each set of feature indices, all features of a set replaced together."""
        return self.evaluator.within_memory(
            lambda: self.method.jointly(self.evaluator, sets, self.result)
        )

    def unused_signal(self, indices: Sequence[int]) -> Floats:
        """`(n_indices,)` p-values of the test for unused signal; NaN for features never tested.

        At least one feature is tested. If the time is too short for all, the next evaluation begins with
        the features that were left out.
        """
        return self.evaluator.within_memory(
            lambda: self.unused_signal_test.p_values(indices, self.is_time_left)
        )
