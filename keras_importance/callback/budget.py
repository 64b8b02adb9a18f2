"""Budget: the seconds that epochs earn, and the seconds that the callback spends."""

from __future__ import annotations

import math

# Fractions of the earned time. Some is kept back: after an evaluation the caches are cold, which slows
# down training unseen by our clock.
_KEPT_BACK = 0.15
# Saved for the evaluation of the last epoch, whose importances are the final ones.
_LAST_FRACTION = 0.25
# Put aside for pictures, usually and at most.
_PICTURES_FRACTION = 0.4
_MAX_PICTURES_FRACTION = 0.7


class Budget:
    """How many seconds of a training the callback may use, and how many it has used.

    Each epoch earns a fraction of its own duration. Evaluations, pictures and files spend it;
    compilation is not counted. If an evaluation spends too much, the next ones get less.

    The first epoch of a `fit` includes Keras' own compilation, so it earns no more than the second one.

    Args:
        fraction: fraction of an epoch's duration that it earns; None for no limit.
        n_epochs: how many epochs are planned; None if that isn't known.
        picture_seconds: expected seconds to draw all pictures once, used until they were measured.
    """

    def __init__(self, fraction: float | None, n_epochs: int | None, picture_seconds: float) -> None:
        self.fraction = fraction
        self._n_epochs = n_epochs
        self._epochs: list[float] = []
        self._spent = 0.0
        self._cheapest = 0.0
        self._spent_on_pictures = 0.0
        self._picture_seconds = picture_seconds

    def earn(self, epoch_seconds: float) -> None:
        """Adds the duration of an epoch, in seconds without the callback's own work."""
        self._epochs.append(epoch_seconds)

    def spend(self, seconds: float) -> None:
        """Adds the seconds that an evaluation took, pictures and files included."""
        if self._spent:  # the first one also measures speeds, and takes longer
            self._cheapest = min(seconds, self._cheapest or seconds)
        self._spent += seconds

    def note_pictures(self, seconds: float) -> None:
        """Notes how many of the spent seconds pictures took; they are expected to take as long again."""
        self._spent_on_pictures += seconds
        self._picture_seconds = seconds

    @property
    def available(self) -> float:
        """Seconds that are earned and not spent; below 0 if too much was spent."""
        return math.inf if self.fraction is None else self._earned - self._spent

    @property
    def for_last(self) -> float:
        """Seconds for evaluating the last epoch: `available` minus time set aside for pictures."""
        if self.fraction is None:
            return math.inf
        put_aside = _PICTURES_FRACTION * self._earned
        if self._n_epochs:
            needed = self._picture_seconds * len(self._epochs) / self._n_epochs
            put_aside = min(max(put_aside, needed), _MAX_PICTURES_FRACTION * self._earned)
        put_aside = min(put_aside - self._spent_on_pictures, 2 * self._picture_seconds)
        return self.available - max(put_aside, 0.0)

    @property
    def for_scoring(self) -> float:
        """Seconds for an earlier evaluation: `for_last` minus what is saved for the last epoch."""
        return math.inf if self.fraction is None else self.for_last - _LAST_FRACTION * self._earned

    @property
    def allows_evaluation(self) -> bool:
        """True if there is time for an evaluation as short as the shortest one so far."""
        return self.for_scoring > 0 and self.for_scoring >= self._cheapest

    def allows_pictures_after(self, seconds: float) -> bool:
        """True if, with so many more seconds spent, pictures can be drawn now and once at the end."""
        return self.available - seconds >= 2 * self._picture_seconds

    @property
    def _earned(self) -> float:
        assert self.fraction is not None  # noqa: S101 (asked before)
        epochs = self._epochs
        first = min(epochs[:2], default=0.0)
        return (1 - _KEPT_BACK) * self.fraction * (first + sum(epochs[1:]))
