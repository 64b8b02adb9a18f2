"""The largest set of features that may be dropped together, and who says the same as a member."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from keras_importance.results.history import ImportanceHistory
from keras_importance.results.joint_importance import JointImportance
from keras_importance.results.result import ImportanceResult
from keras_importance.statistics.arrays import Integers
from keras_importance.verdicts.threshold_test import ThresholdTest, quantile_for

# A set is grown on without a feature that makes it fail, up to as many times.
_MAX_HELD_BACK = 8


def in_order(numbers: Integers, history: ImportanceHistory) -> list[int]:
    """The features whose replacement moves the rows' losses least come first.

    By the standard errors of all evaluations so far, which say so without saying who seems useless: a
    set of the lowest estimates would pass for the luck of its members.
    """
    n_features = len(history.results[-1].feature_names)
    errors = np.array([one.std_error for one in history if len(one.std_error) == n_features])
    known = np.isfinite(errors) & (errors > 0)
    logs = np.log(np.where(known, errors, 1.0)).sum(axis=0)
    size = np.where(known.any(axis=0), logs / np.maximum(known.sum(axis=0), 1), -math.inf)
    return sorted(map(int, numbers), key=lambda i: float(size[i]))


@dataclass(frozen=True, eq=False)
class JointTests:
    """What happens to sets of features that are replaced together.

    Attributes:
        level: what the evaluation may spend of `alpha` on features and sets.
        min_share: share of the explained loss below which a set is useless.
        result: the importances of the features one by one.
        jointly: the importance of sets of features that are replaced together.
    """

    level: float
    min_share: float
    result: ImportanceResult
    jointly: Callable[[Sequence[Sequence[int]]], JointImportance]
    _known: dict[frozenset[int], JointImportance] = field(default_factory=dict)

    def bound(self, members: Sequence[int], n_held: int) -> float:
        """How far the upper bound of a set lies above the threshold; it passes below 0.

        Growing sets are tested one after the other up to the first that fails, so each may spend what
        the whole sequence has: half of the evaluation's level in all, of which the sequence after
        the n-th feature that was held back gets `1 / 2^(n + 1)`.
        """
        if not members:
            # Nothing replaced costs nothing, for sure: only the threshold is left of the contrast.
            return -ThresholdTest(self.result, self.min_share, math.inf).threshold
        quantile = quantile_for(self.level / 2 ** (n_held + 2), self.result)
        return float(ThresholdTest(self._jointly(members), self.min_share, quantile).upper[0])

    def matter_more_together(self, one: int, others: Sequence[int]) -> bool:
        """Whether a feature adds more to a set than it is worth alone, as a copy of a member does.

        By a standard error at least: else half of all features would, by chance.
        """
        added = self._jointly([*others, one]).importances_mean - self._jointly(others).importances_mean
        return bool(added[0] > self.result.importances_mean[one] + self.result.std_error[one])

    def say_the_same(self, one: int, other: int) -> bool:
        """Whether two features surely matter more together than apart."""
        apart = self.result.importances_mean[[one, other]].sum()
        return bool(self._jointly([one, other]).ci_low[0] > apart)

    def _jointly(self, members: Sequence[int]) -> JointImportance:
        key = frozenset(members)
        if key not in self._known:
            self._known[key] = self.jointly([members])
        return self._known[key]


def largest_set(order: Sequence[int], tests: JointTests) -> tuple[list[int], dict[int, int]]:
    """Features that pass together, and of those held back the member that some say the same as.

    Taken in their order, as many as pass; the first one that makes them fail is held back. Eight are
    held back at most, as each one halves what the next tests may spend; then the rest is left out.
    """
    members: list[int] = []
    partners: dict[int, int] = {}
    left, n_held = list(order), 0
    while left and n_held <= _MAX_HELD_BACK:
        taken = _n_passing(members, left, n_held, tests)
        members, left = [*members, *left[:taken]], left[taken:]
        if left:
            held, *left = left
            if members and tests.matter_more_together(held, members):
                partner = _partner(held, members, n_held, tests)
                if tests.say_the_same(held, partner):
                    partners[held] = partner
            n_held += 1
    return members, partners


def _n_passing(members: Sequence[int], more: Sequence[int], n_held: int, tests: JointTests) -> int:
    """How many of `more`, from the first on, pass together with the members."""

    def bound(n: int) -> float:
        return tests.bound([*members, *more[:n]], n_held)

    # All pass at first, or many; after one that was held back few do.
    return last_below(bound, len(more), first=1 if n_held else len(more))


def _partner(held: int, members: Sequence[int], n_held: int, tests: JointTests) -> int:
    """The first of the members together with which, and those before it, the feature fails."""

    def passed(n: int) -> bool:
        return tests.bound([held, *members[:n]], n_held) < 0

    return members[last_by_halving(passed, len(members))]


def last_below(bound: Callable[[int], float], n: int, first: int) -> int:
    """The last number up to `n` before one whose bound isn't below 0, as that of 0 is.

    Sought by doubling, from the first number on, and then where a straight line between the nearest
    bounds crosses 0, in turn with halving, in case that they lie on a curve.
    """
    low, high, below = 0, first, -math.inf
    while (above := bound(high)) < 0:
        if high == n:
            return n
        low, high, below = high, min(2 * high, n), above
    if low == 0 and high > 1:
        below = bound(0)
    halves = False
    while high - low > 1:
        share = 0.5 if halves or not math.isfinite(above - below) else below / (below - above)
        middle = min(max(low + round(share * (high - low)), low + 1), high - 1)
        value = bound(middle)
        if value < 0:
            low, below = middle, value
        else:
            high, above = middle, value
        halves = not halves
    return low


def last_by_halving(passed: Callable[[int], bool], high: int, low: int = 0) -> int:
    """The last number before the first that fails, where `low` passes and `high` fails."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passed(middle) else (low, middle)
    return low
