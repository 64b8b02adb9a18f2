"""What a detector is, and what it may ask of the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from keras_importance.results.history import ImportanceHistory
from keras_importance.results.joint_importance import JointImportance
from keras_importance.results.result import ImportanceResult
from keras_importance.results.verdict import Verdicts
from keras_importance.statistics.arrays import Floats


class Probe(Protocol):
    """What a detector may ask of the model beyond the history."""

    @property
    def n_evaluations(self) -> int | None:
        """How many evaluations are planned; None where that isn't known."""

    def jointly(self, sets: Sequence[Sequence[int]]) -> JointImportance:
        """The importance of each set of features, given by their indices, replaced together."""

    def unused_signal(self, indices: Sequence[int]) -> Floats:
        """`(n_indices,)` p-values of "given the other features, this one says nothing about the target".

        A small one means signal that the model does not use. NaN for features that were not tested.
        """


@runtime_checkable
class ReplacesSets(Protocol):
    """A method whose results can be judged: it can replace several features at once.

    Attributes:
        name: name of the method.
        replaces_sets: whether replacing several features is what replacing each of them adds up to.
    """

    name: str
    replaces_sets: bool

    def jointly(
        self, evaluator: Any, sets: Sequence[Sequence[int]], like: ImportanceResult
    ) -> JointImportance:
        """Importance of sets of features, on the rows and donors of a result of this method."""


class Detector(ABC):
    """Judges the features after each evaluation. It holds settings only: all it knows is the history.

    Attributes:
        method: name of the method whose results it judges.
    """

    method: str

    @abstractmethod
    def __call__(self, history: ImportanceHistory, probe: Probe) -> Verdicts:
        """The verdicts on the newest result of the method, given the verdicts before."""

    def n_rows_needed(self, n_features: int, n_evaluations: int | None) -> int:  # noqa: ARG002
        """How many independent rows its error rate needs; 0 for no claim."""
        return 0
