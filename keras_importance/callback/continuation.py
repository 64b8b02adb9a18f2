"""Continuation: whether a `fit` goes on with the training of the one before it."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import keras

from keras_importance.callback.fit_run import FitRun
from keras_importance.engine.evaluator import Evaluator


@dataclass(frozen=True, eq=False)
class EarlierFit:
    """Where a `fit` ended, and what serves one that goes on.

    Attributes:
        optimizer: its optimizer, by weak reference: `compile` makes a new one.
        loss: its loss.
        n_steps: how many batches the optimizer had trained.
        next_epoch: the epoch after the last one that has ended.
        n_continued: how many times the training had been continued; 0 for a single `fit`.
        evaluator: the evaluator of the model, whose programs serve the next `fit` as well.
    """

    optimizer: weakref.ref[Any]
    loss: Any
    n_steps: int
    next_epoch: int
    n_continued: int
    evaluator: Evaluator

    @classmethod
    def of(cls, run: FitRun) -> EarlierFit | None:
        """Where a run of `fit` ended; None if it trained nothing that can be continued."""
        model = run.evaluator.model
        optimizer = getattr(model, "optimizer", None)
        if optimizer is None:
            return None
        return cls(
            optimizer=weakref.ref(optimizer),
            loss=model.loss,
            n_steps=_steps_trained(optimizer),
            next_epoch=(run.next_epoch or 0) if run.ended is None else run.ended + 1,
            n_continued=run.n_continued,
            evaluator=run.evaluator,
        )

    def is_continued_by(self, model: Any) -> bool:
        """Whether training goes on where this `fit` ended.

        It does for the same model, compiled as it was, whose optimizer has trained at least as many
        batches.
        """
        optimizer = getattr(model, "optimizer", None)
        is_same = (
            self.evaluator.model is model and optimizer is not None and self.optimizer() is optimizer
        )
        return is_same and self.loss is model.loss and _steps_trained(optimizer) >= self.n_steps


def _steps_trained(optimizer: Any) -> int:
    """How many batches an optimizer has trained."""
    return int(keras.ops.convert_to_numpy(optimizer.iterations))
