"""The time budget: what the epochs earn and what the callback spends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from keras_importance.results.result import ImportanceResult
from keras_importance.statistics.influence import Floats, Integers

MIN_ROWS = 500
"""Below as many rows an interval says little: from here on features are left to the screen instead."""

_MIN_REPEATS = 2

_MIN_FEATURES = 32

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


@dataclass(frozen=True, eq=False)
class Effort:
    """What an evaluation by one method may cost, and what it can build on.

    Attributes:
        seconds: how long it should take, compilation apart.
        previous: the method's newest result; None for none.
        verbose: whether a long evaluation shows its progress.
    """

    seconds: float = math.inf
    previous: ImportanceResult | None = None
    verbose: bool = False


@dataclass(frozen=True)
class Work:
    """How many rows, repeats and features an evaluation scores exactly."""

    n_rows: int
    n_repeats: int
    n_features: int


def affordable(n_scores: float, full: Work, rows_in_block: int = 1) -> Work:
    """The most work that needs no more than `n_scores` scores of a row, feature and repeat.

    Repeats go first, down to two, as they add least to what an interval says; then rows, down to 500;
    then features. Some features are always scored.

    Args:
        n_scores: how many scores can be paid for.
        full: the work without a limit.
        rows_in_block: rows are scored in blocks of as many; a block is paid for as a whole.
    """
    per_repeat = full.n_rows * full.n_features
    n_repeats = min(full.n_repeats, _MIN_REPEATS)
    if n_scores >= per_repeat * n_repeats:
        n_repeats = int(min(full.n_repeats, n_scores // per_repeat))
        return Work(full.n_rows, n_repeats, full.n_features)
    least = min(full.n_rows, math.ceil(MIN_ROWS / rows_in_block) * rows_in_block)
    n_rows = int(max(n_scores, 0.0) // (full.n_features * n_repeats * rows_in_block)) * rows_in_block
    if n_rows >= least:
        return Work(min(n_rows, full.n_rows), n_repeats, full.n_features)
    n_rows = least
    n_features = int(n_scores // (n_rows * n_repeats)) if n_scores > 0 else 0
    n_features = min(full.n_features, max(n_features, _MIN_FEATURES))
    return Work(n_rows, n_repeats, n_features)


def most_urgent(screened: Floats, previous: ImportanceResult | None, n_features: int) -> Integers:
    """Which features to score exactly now.

    Half of the places go to those whose score is most in doubt: the screen has moved away from it, or
    its interval holds 0, or there is none yet and the screen is large. The other half goes to those
    that have waited longest, so that every feature gets its turn.

    Args:
        screened: `(n_features,)` what the screen says now; NaN where it has no answer.
        previous: the newest result; None for none.
        n_features: how many places there are.
    """
    known = np.nan_to_num(screened)
    if previous is None:
        doubt, waited = np.where(np.isnan(screened), math.inf, np.abs(known)), np.zeros(len(known))
    else:
        mean, error = np.nan_to_num(previous.importances_mean), np.nan_to_num(previous.std_error)
        is_undecided = np.abs(mean) <= 2 * error
        moved = np.where(np.isnan(screened), error, np.abs(known - mean))
        doubt = moved + np.where(is_undecided, error, 0.0)
        waited = -np.nan_to_num(previous.exact_epoch, nan=-math.inf)
    by_doubt = np.argsort(-doubt, kind="stable")
    by_waiting = np.lexsort((-np.abs(known), -waited))
    in_turn = np.stack([by_doubt, by_waiting], axis=1).ravel()
    _, first = np.unique(in_turn, return_index=True)
    return np.sort(in_turn[np.sort(first)][:n_features])
