"""Schedule: which epochs of a `fit` are evaluated."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Schedule:
    """Which epochs of a `fit` are evaluated: every few epochs, and the last one.

    Attributes:
        every: epochs from one evaluation to the next.
        n_epochs: number of the epoch, counted from 1, at which `fit` ends; None if that isn't known.
        first_too: whether the first epoch is evaluated even if it isn't due.
    """

    every: int
    n_epochs: int | None
    first_too: bool

    def moved(self, n_epochs: int) -> Schedule:
        """The schedule of a `fit` whose epochs are numbered on from so many."""
        end = None if self.n_epochs is None else self.n_epochs + n_epochs
        return replace(self, n_epochs=end)

    def is_due(self, epoch: int) -> bool:
        """True if the 0-based epoch is evaluated by the interval `every`."""
        return (epoch + 1) % self.every == 0

    def is_last(self, epoch: int) -> bool:
        """True if the 0-based epoch is the last one that `fit` was asked for."""
        return epoch + 1 == self.n_epochs

    def n_evaluations(self, first_epoch: int) -> int | None:
        """How many evaluations are planned from an epoch on, the last epoch included.

        None if `n_epochs` isn't known.
        """
        if self.n_epochs is None:
            return None
        return max(1, -(-self.n_epochs // self.every) - first_epoch // self.every)
