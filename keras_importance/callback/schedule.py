"""Which epochs are evaluated."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Which epochs of a `fit` are evaluated: every few epochs, and the last one.

    Attributes:
        every: epochs from one evaluation to the next.
        n_epochs: the epoch at which `fit` ends; None where that isn't known.
        first_too: whether a training's first epoch is evaluated even where it isn't due.
    """

    every: int
    n_epochs: int | None
    first_too: bool

    def is_due(self, epoch: int) -> bool:
        """Whether `every` asks for an evaluation after this epoch."""
        return (epoch + 1) % self.every == 0

    def is_last(self, epoch: int) -> bool:
        """Whether `fit` was asked to end with this epoch."""
        return epoch + 1 == self.n_epochs

    def n_evaluations(self, first_epoch: int) -> int | None:
        """How many evaluations are planned from an epoch on, the last epoch counted."""
        if self.n_epochs is None:
            return None
        return max(1, -(-self.n_epochs // self.every) - first_epoch // self.every)
