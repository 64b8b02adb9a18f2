"""What a method of importance is: `compute` is the seam, `__call__` checks and wraps."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Any

from keras_importance.engine.effort import Effort
from keras_importance.engine.evaluator import Evaluator
from keras_importance.errors import InvalidArgumentError
from keras_importance.results.result import ImportanceResult
from keras_importance.results.scores import Scores
from keras_importance.statistics.arrays import n_blocks

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in the middle of an evaluation.

    Attributes:
        finished: what was finished: from `compute` the `Scores`, from the method the `ImportanceResult`.
    """

    def __init__(self, finished: Any) -> None:
        super().__init__()
        self.finished = finished


class ImportanceMethod(ABC):
    """A way to say how much each feature matters to a model.

    A subclass sets `name` and implements `compute`; an instance of it in `methods=` is then logged,
    drawn and kept like the built-in ones. Methods hold settings only: nothing that depends on a model
    or on data is stored on them.

    Args:
        name: name of the method in results and TensorBoard tags (letters, digits, `_`); None for the
            class's own.
    """

    name: str
    trains = False

    def __init__(self, *, name: str | None = None) -> None:
        if name is not None:
            self.name = name
        given = getattr(self, "name", None)
        if not isinstance(given, str) or not _NAME.fullmatch(given):
            raise ValueError(
                f"{type(self).__name__} got name={given!r}. Pass a name of letters, digits and '_' "
                "that starts with a letter or digit: it becomes part of TensorBoard's tags."
            )

    @abstractmethod
    def compute(self, evaluator: Evaluator, effort: Effort) -> Scores:
        """Scores of the evaluator's features, in their order.

        Args:
            evaluator: the model on the validation rows.
            effort: what the evaluation may cost. A method that can't cost less may leave it aside.
        """

    def check(self, evaluator: Evaluator) -> None:  # noqa: B027 (most methods take any data)
        """Raises `InvalidArgumentError` before training where the data can't answer the question."""

    def __call__(
        self, evaluator: Evaluator, epoch: int | None = None, effort: Effort | None = None
    ) -> ImportanceResult:
        """The result of one evaluation.

        Args:
            evaluator: the model on the validation rows.
            epoch: 0-based epoch; None outside training.
            effort: what the evaluation may cost, and what it can build on; None for no limit.

        Raises:
            Interrupted: at Ctrl-C, with the result of what was finished.
        """
        effort = effort or Effort()
        previous = effort.previous
        try:
            scores = evaluator.within_memory(lambda: self.compute(evaluator, effort))
        except Interrupted as interruption:
            raise Interrupted(self._result(interruption.finished, evaluator, previous, epoch)) from None
        return self._result(scores, evaluator, previous, epoch)

    def _result(
        self,
        scores: Scores,
        evaluator: Evaluator,
        previous: ImportanceResult | None,
        epoch: int | None,
    ) -> ImportanceResult:
        return ImportanceResult.of(
            scores,
            method=self.name,
            epoch=epoch,
            feature_names=evaluator.features.names,
            n_samples=evaluator.data.n_rows,
            n_blocks=n_blocks(evaluator.data.blocks),
            previous=previous,
        )

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"


def need_targets(method: ImportanceMethod, evaluator: Evaluator) -> None:
    """Raises `InvalidArgumentError` where the validation data hold no targets."""
    if evaluator.data.targets is None:
        raise InvalidArgumentError(
            f"got validation data without targets, which {method.name!r} needs. Pass (x, y)."
        )
