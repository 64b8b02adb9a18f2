"""The time budget: what the epochs earn and what the callback spends."""

from __future__ import annotations

import math

# Kept back of what is earned: training finds cold caches after an evaluation, unseen by our clock.
_KEPT_BACK = 0.15
# Saved for the last epoch, whose numbers stay.
_LAST_SHARE = 0.25
_PICTURES_SHARE = 0.4
_MAX_PICTURES_SHARE = 0.7


class Budget:
    """What the callback may take of a training's time, and what it has taken.

    The epochs earn a share of the time they take; evaluations, pictures and files spend it, compilation
    apart. What an evaluation overspends, the next ones save.

    The first epoch of a `fit` holds Keras' own compilation: it earns no more than the second one.

    Args:
        share: the share of an epoch's time; None for no limit.
        n_epochs: how many epochs are planned; None where that isn't known.
        picture_seconds: what drawing all pictures once is expected to take, until it was measured.
    """

    def __init__(self, share: float | None, n_epochs: int | None, picture_seconds: float) -> None:
        self.share = share
        self._n_epochs = n_epochs
        self._epochs: list[float] = []
        self._spent = 0.0
        self._cheapest = 0.0
        self._spent_on_pictures = 0.0
        self._picture_seconds = picture_seconds

    def earn(self, epoch_seconds: float) -> None:
        """Counts an epoch's own time."""
        self._epochs.append(epoch_seconds)

    def spend(self, seconds: float) -> None:
        """Counts what an evaluation took, pictures and files included."""
        if self._spent:  # the first one tries out what scoring takes, and costs more
            self._cheapest = min(seconds, self._cheapest or seconds)
        self._spent += seconds

    def note_pictures(self, seconds: float) -> None:
        """Says how much of what is spent the pictures took, and so will take."""
        self._spent_on_pictures += seconds
        self._picture_seconds = seconds

    @property
    def available(self) -> float:
        """Seconds that are earned and not spent; below 0 where too much was spent."""
        return math.inf if self.share is None else self._earned - self._spent

    @property
    def for_last(self) -> float:
        """Seconds for the evaluation of the last epoch: without what is put aside for pictures."""
        if self.share is None:
            return math.inf
        put_aside = _PICTURES_SHARE * self._earned
        if self._n_epochs:
            needed = self._picture_seconds * len(self._epochs) / self._n_epochs
            put_aside = min(max(put_aside, needed), _MAX_PICTURES_SHARE * self._earned)
        put_aside = min(put_aside - self._spent_on_pictures, 2 * self._picture_seconds)
        return self.available - max(put_aside, 0.0)

    @property
    def for_scoring(self) -> float:
        """Seconds for an evaluation before: without what is saved for the last epoch, too."""
        return math.inf if self.share is None else self.for_last - _LAST_SHARE * self._earned

    @property
    def allows_evaluation(self) -> bool:
        """Whether there is enough for the cheapest evaluation that was seen."""
        return self.for_scoring > 0 and self.for_scoring >= self._cheapest

    def allows_pictures_after(self, seconds: float) -> bool:
        """Whether pictures can be drawn after so many seconds more, and once again at the end."""
        return self.available - seconds >= 2 * self._picture_seconds

    @property
    def _earned(self) -> float:
        assert self.share is not None  # noqa: S101 (asked before)
        epochs = self._epochs
        first = min(epochs[:2], default=0.0)
        return (1 - _KEPT_BACK) * self.share * (first + sum(epochs[1:]))
