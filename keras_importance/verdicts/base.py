"""What a detector is, and what it may ask of the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from keras_importance.results.history import ImportanceHistory
from keras_importance.results.result import ImportanceResult
from keras_importance.results.verdict import Verdicts
from keras_importance.statistics.arrays import Floats


class Probe(Protocol):
    """What a detector may ask of the model beyond the history."""

    @property
    def n_evaluations(self) -> int | None:
        """How many evaluations are planned; None where that isn't known."""

    def jointly(self, sets: Sequence[Sequence[int]]) -> ImportanceResult:
        """Importance of sets of features that are replaced together."""

    def masked_score(self, indices: Sequence[int]) -> Floats:
        """p-values of "given the others, the feature says nothing about the target"; NaN: untested."""


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
    ) -> ImportanceResult:
        """Importance of sets of features, on the rows and donors of a result of this method."""


class Detector(ABC):
    """Judges the features after each evaluation. Holds settings only: what it knows is the history.

    Attributes:
        method: name of the method whose results it reads.
    """

    method: str

    @abstractmethod
    def __call__(self, history: ImportanceHistory, probe: Probe) -> Verdicts:
        """The verdicts on the newest result of the method, given those before."""

    def n_rows_needed(self, n_features: int, n_evaluations: int | None) -> int:  # noqa: ARG002
        """How many independent rows its claims need."""
        return 0
