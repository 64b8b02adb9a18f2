"""Detector, the base class of what judges features, and the protocols that it relies on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from keras_importance.results.history import ImportanceHistory
from keras_importance.results.joint_importance import JointImportance
from keras_importance.results.result import ImportanceResult
from keras_importance.results.verdict import Verdicts
from keras_importance.statistics.arrays import Floats
from keras_importance.verdicts.spending import Spending


class Probe(Protocol):
    """Answers a detector's questions about the model that the history doesn't answer."""

    @property
    def spending(self) -> Spending:
        """Which part of an error probability each evaluation of the training may spend."""

    def jointly(self, sets: Sequence[Sequence[int]]) -> JointImportance:
        """The importance of each set, all features of a set replaced together.

        Args:
            sets: for each set the indices of its features.
        """

    def unused_signal(self, indices: Sequence[int]) -> Floats:
        """`(n_indices,)` p-values of the test for unused signal; NaN for features that were not tested.

        The null hypothesis is: given the other features, the feature has no information about the
        target. A small p-value means that the data hold signal that the model does not use.

        Args:
            indices: indices of the features.
        """


@runtime_checkable
class ReplacesSets(Protocol):
    """A method whose results can be judged, because it can replace several features at once.

    Attributes:
        name: name of the method.
        replaces_sets: True if several features are replaced together by replacing each one as if it were
            alone.
    """

    name: str
    replaces_sets: bool

    def jointly(
        self, evaluator: Any, sets: Sequence[Sequence[int]], like: ImportanceResult
    ) -> JointImportance:
        """The importance of each set, all features of a set replaced together.

        Args:
            evaluator: the model and the validation rows.
            sets: for each set the indices of its features.
            like: a result of this method; the same rows are used again.
        """


class Detector(ABC):
    """Judges the features after each evaluation.

    A detector holds settings only. It takes everything else from the history and the probe.

    Attributes:
        method: name of the method whose results the detector judges.
    """

    method: str

    @abstractmethod
    def __call__(self, history: ImportanceHistory, probe: Probe) -> Verdicts:
        """The verdicts on the newest result of the method.

        Args:
            history: all results and verdicts so far, the newest result included.
            probe: answers questions about the model.
        """

    def n_rows_needed(self, n_features: int, n_evaluations: int | None) -> int:  # noqa: ARG002
        """How many independent rows the detector needs to keep its error rate; 0 if it states none.

        Args:
            n_features: how many features are judged.
            n_evaluations: how many evaluations are planned; None if that isn't known.
        """
        return 0
