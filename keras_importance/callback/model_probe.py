"""What a detector may ask of the model after an evaluation, answered within the time budget."""

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
    """Asks the model on behalf of a detector; see `verdicts.base.Probe`.

    Attributes:
        evaluator: the model on the validation rows.
        method: the method whose importances are judged.
        result: its newest result.
        n_evaluations: how many evaluations are planned; None where that isn't known.
        unused_signal_test: the test for unused signal, which serves all evaluations.
        is_time_left: whether the current evaluation has time left in the budget.
    """

    evaluator: Evaluator
    method: ReplacesSets
    result: ImportanceResult
    n_evaluations: int | None
    unused_signal_test: UnusedSignalTest
    is_time_left: Callable[[], bool] = lambda: True

    def jointly(self, sets: Sequence[Sequence[int]]) -> JointImportance:
        """Importance of sets of features that are replaced together."""
        return self.evaluator.within_memory(
            lambda: self.method.jointly(self.evaluator, sets, self.result)
        )

    def unused_signal(self, indices: Sequence[int]) -> Floats:
        """p-values of the test for unused signal; NaN for features that the budget had no room for.

        At least one feature is tested. The next evaluation begins with those that were left out.
        """
        return self.evaluator.within_memory(
            lambda: self.unused_signal_test.p_values(indices, self.is_time_left)
        )
