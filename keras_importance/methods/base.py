"""ImportanceMethod, the base class of all methods. `compute` returns scores, `__call__` a result."""

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
    """Ctrl-C in the middle of an evaluation. It carries the part that was computed before.

    Attributes:
        finished: that part: `Scores` if `compute` raises the exception, an `ImportanceResult` if calling
            the method raises it.
    """

    def __init__(self, finished: Any) -> None:
        super().__init__()
        self.finished = finished


class ImportanceMethod(ABC):
    """Computes how much each feature matters to a model.

    A subclass sets `name` and implements `compute`. Pass an instance of it in `methods=`: its results
    are logged, drawn and saved like those of the built-in methods. A method holds settings only. It
    stores nothing that depends on a model or on data.

    Args:
        name: name of the method in results and TensorBoard tags (letters, digits, `_`); None for the
            name that the class has.

    Attributes:
        name: name of the method.
        trains: whether the method trains networks of its own while `fit` runs.

    Raises:
        ValueError: for a name that can't be part of a tag.
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
        """The scores of all features, in the order of `evaluator.features`.

        Args:
            evaluator: the model and the validation rows.
            effort: how many seconds the evaluation may take, and the method's newest result. A method
                that can't work in less time may ignore it.

        Raises:
            Interrupted: at Ctrl-C, with the scores computed so far.
        """

    def check(self, evaluator: Evaluator) -> None:  # noqa: B027 (most methods take any data)
        """Checks before training that the method can be computed from this model and these rows.

        Raises:
            InvalidArgumentError: if it can't. The base class accepts everything.
        """

    def __call__(
        self, evaluator: Evaluator, epoch: int | None = None, effort: Effort | None = None
    ) -> ImportanceResult:
        """Computes the scores of all features, and returns them as a result.

        Args:
            evaluator: the model and the validation rows.
            epoch: 0-based epoch; None outside training.
            effort: how many seconds the evaluation may take, and the method's newest result; None for no
                time limit and no earlier result.

        Raises:
            Interrupted: at Ctrl-C, with a result of the scores computed so far.
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
    """Raises `InvalidArgumentError` if the validation data have no targets."""
    if evaluator.data.targets is None and not evaluator.needs_no_targets:
        raise InvalidArgumentError(
            f"got validation data without targets, which {method.name!r} needs. Pass (x, y)."
        )
