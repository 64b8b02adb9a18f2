"""The state of one run of `fit`: clock, budget, writers, and what a failure becomes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from keras_importance.budget import Budget
from keras_importance.engine import Evaluator
from keras_importance.errors import reason_of, warn
from keras_importance.masked_score import MaskedScore
from keras_importance.methods import ImportanceMethod, PerturbationMethod
from keras_importance.probe import ModelProbe
from keras_importance.result import ImportanceResult
from keras_importance.writers import Writer


@dataclass
class Training:
    """The state of one run of `fit`.

    Attributes:
        evaluator: the model on the validation rows.
        writers: where reports go.
        budget: what evaluations may take.
        epoch: the epoch that runs, 0-based; None before the first.
        epoch_started: when it began.
        epoch_seconds: how long the last one took.
        evaluated: the epoch of the last evaluation.
        n_evaluations: how many are planned; None where that isn't known.
        deadline: when the current evaluation should be over, by the evaluator's clock.
        warned: reasons that were warned of.
    """

    evaluator: Evaluator
    writers: tuple[Writer, ...]
    budget: Budget
    epoch: int | None = None
    epoch_started: float = 0.0
    epoch_seconds: float = 0.0
    evaluated: int | None = None
    n_evaluations: int | None = None
    deadline: float = math.inf
    warned: set[str] = field(default_factory=set)

    @cached_property
    def masked_score(self) -> MaskedScore:
        """The test for signal that the network doesn't use, which keeps what it learnt of the data."""
        return MaskedScore(self.evaluator)

    def probe(self, methods: Sequence[ImportanceMethod], result: ImportanceResult) -> ModelProbe:
        """What a detector may ask of the model about a result of one of the methods."""
        method = next(one for one in methods if one.name == result.method)
        assert isinstance(method, PerturbationMethod)  # noqa: S101 (checked with the arguments)
        return ModelProbe(
            self.evaluator,
            method,
            result,
            self.n_evaluations,
            self.masked_score,
            lambda: self.evaluator.clock() < self.deadline,
        )

    @contextmanager
    def contained(self, what: str) -> Iterator[None]:
        """Turns an exception into one warning per reason: nothing of ours may stop a training."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 (whatever it is, the training goes on)
            reason = reason_of(error)
            if reason not in self.warned:
                self.warned.add(reason)
                warn(f"FeatureImportance failed {what}; the training goes on. Reason: {reason}")

    def close(self) -> None:
        """Closes the writers."""
        for writer in self.writers:
            with self.contained(f"closing {type(writer).__name__}"):
                writer.close()
