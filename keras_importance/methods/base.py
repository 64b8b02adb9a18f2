"""What a method of importance is: `compute` is the seam, `__call__` checks and wraps."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_importance.engine.effort import Effort
from keras_importance.engine.evaluator import Evaluator
from keras_importance.errors import InvalidArgumentError
from keras_importance.results.result import ErrorSource, Explained, ImportanceResult, Obtained
from keras_importance.statistics.arrays import Floats, n_blocks

_EXACT: Obtained = "exact"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")


@dataclass(frozen=True, eq=False)
class Scores:
    """What a method computes, one entry per feature; see `ImportanceResult` for the meanings.

    Attributes:
        importances: `(n_features, n_repeats)`, larger means more useful, NaN for no answer.
        std_error: `(n_features,)`; None where the method has none.
        metric: what the importances are measured in.
        baseline_score: the metric on the untouched rows.
        direction: `(n_features,)` signed effects, or None.
        by_step: `(n_steps, n_features)`, or None.
        error_source: what the standard error covers.
        notes: why a feature has no number, by its name.
        obtained: how each number was found; None for all exactly.
        n_rows: how many rows were used; None for all there are.
        degrees: `(n_features,)` degrees of freedom of the standard errors; None for the usual ones.
        explained: what the model explains at all, or None.
        draws: `(n_features, n_draws)` draws of the errors, or None.
        procedure: how features were left out, where there is more than one way.
    """

    importances: Floats
    metric: str
    std_error: Floats | None = None
    baseline_score: float = math.nan
    direction: Floats | None = None
    by_step: Floats | None = None
    error_source: ErrorSource = "rows"
    notes: Mapping[str, str] = field(default_factory=dict)
    obtained: Sequence[Obtained] | None = None
    n_rows: int | None = None
    degrees: Floats | None = None
    explained: Explained | None = None
    draws: NDArray[np.float32] | None = None
    procedure: str = ""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in the middle of an evaluation.

    Attributes:
        found: what was finished: from `compute` the `Scores`, from the method the `ImportanceResult`.
    """

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.found = found


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
            raise Interrupted(self._result(interruption.found, evaluator, previous, epoch)) from None
        return self._result(scores, evaluator, previous, epoch)

    def _result(
        self,
        scores: Scores,
        evaluator: Evaluator,
        previous: ImportanceResult | None,
        epoch: int | None,
    ) -> ImportanceResult:
        names = evaluator.features.names
        importances = np.asarray(scores.importances, np.float64)
        std_error, blocks = scores.std_error, evaluator.data.blocks
        obtained: tuple[Obtained, ...] = tuple(scores.obtained or [_EXACT] * len(names))
        n_rows = evaluator.data.n_rows if scores.n_rows is None else scores.n_rows
        rows, exact_epoch = np.full(len(names), n_rows), np.full(len(names), math.nan)
        if previous is not None:
            exact_epoch = np.array(previous.exact_epoch)
            is_carried = np.array(obtained) == "carried"
            rows[is_carried] = previous.n_rows[is_carried]
        if epoch is not None:
            exact_epoch[np.array(obtained) == "exact"] = epoch
        return ImportanceResult(
            method=self.name,
            epoch=epoch,
            feature_names=names,
            importances=importances,
            std_error=np.full(len(names), math.nan) if std_error is None else std_error,
            baseline_score=float(scores.baseline_score),
            metric=scores.metric,
            n_samples=n_rows,
            direction=scores.direction,
            by_step=scores.by_step,
            error_source=scores.error_source,
            notes=scores.notes,
            obtained=obtained,
            exact_epoch=exact_epoch,
            n_rows=rows,
            n_blocks=n_blocks(blocks),
            degrees=np.empty(0) if scores.degrees is None else scores.degrees,
            explained=scores.explained,
            draws=scores.draws,
            procedure=scores.procedure,
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
