"""The largest set of features that may be dropped together, and which are redundant with a member."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from keras_importance.results.history import ImportanceHistory
from keras_importance.results.joint_importance import JointImportance
from keras_importance.results.result import ImportanceResult
from keras_importance.statistics.arrays import Integers
from keras_importance.verdicts.threshold_test import ThresholdTest, quantile_for

_MAX_HELD_BACK = 8


def in_order(indices: Integers, history: ImportanceHistory) -> list[int]:
    """The indices of features, sorted by how little their replacement moves the losses of the rows.

    The measure is the geometric mean of a feature's standard errors over all results of the history;
    features without one come first. It does not depend on the estimated importances: a set of the
    features with the lowest estimates would pass by selection, because their errors are negative.
    """
    n_features = len(history.results[-1].feature_names)
    errors = np.array([one.std_error for one in history if len(one.std_error) == n_features])
    is_known = np.isfinite(errors) & (errors > 0)
    logs = np.log(np.where(is_known, errors, 1.0)).sum(axis=0)
    size = np.where(is_known.any(axis=0), logs / np.maximum(is_known.sum(axis=0), 1), -math.inf)
    return sorted(map(int, indices), key=lambda index: float(size[index]))


class JointTests:
    """Tests of sets of features that are replaced together; no set is scored twice.

    Args:
        level: the error probability that this evaluation may spend, on features and sets together.
        min_share: share of the explained loss below which a set is useless.
        result: the importances of the single features.
        jointly: returns the importance of each of some sets of features.
    """

    def __init__(
        self,
        level: float,
        min_share: float,
        result: ImportanceResult,
        jointly: Callable[[Sequence[Sequence[int]]], JointImportance],
    ) -> None:
        self._level = level
        self._min_share = min_share
        self._result = result
        self._jointly = jointly
        self._result_of: dict[frozenset[int], JointImportance] = {}

    def bound(self, members: Sequence[int], n_held_back: int) -> float:
        """The upper bound of a set's importance minus the threshold; the set passes if it is below 0.

        The bound has confidence `1 - level / 2^(n_held_back + 2)`. Sets that grow are tested one after
        the other up to the first that fails, so each of them may spend what the sequence has. Half of
        the level is for sets; the sequence after the n-th feature that was held back gets
        `1 / 2^(n + 1)` of it, which sums to all of it.

        Args:
            members: indices of the features of the set.
            n_held_back: how many features were held back so far.
        """
        if not members:
            # Replacing nothing costs exactly 0: only the threshold is left of the contrast.
            return -ThresholdTest(self._result, self._min_share, math.inf).threshold
        quantile = quantile_for(self._level / 2 ** (n_held_back + 2), self._result)
        return float(ThresholdTest(self._of(members), self._min_share, quantile).upper[0])

    def adds_more_than_alone(self, index: int, members: Sequence[int]) -> bool:
        """Whether a feature adds more to the importance of a set than its own importance.

        A copy of a member does. It must be more by a standard error: without it, chance would say so of
        half of all features.
        """
        with_feature, without = self._of([*members, index]), self._of(members)
        added = with_feature.importances_mean - without.importances_mean
        alone = self._result.importances_mean[index] + self._result.std_error[index]
        return bool(added[0] > alone)

    def are_redundant(self, first: int, second: int) -> bool:
        """Whether two features surely matter more together than the sum of both alone.

        True if the lower end of the confidence interval of the pair lies above that sum.
        """
        alone = self._result.importances_mean[[first, second]].sum()
        return bool(self._of([first, second]).ci_low[0] > alone)

    def _of(self, members: Sequence[int]) -> JointImportance:
        key = frozenset(members)
        if key not in self._result_of:
            self._result_of[key] = self._jointly([members])
        return self._result_of[key]


def largest_set(order: Sequence[int], tests: JointTests) -> tuple[list[int], dict[int, int]]:
    """A set of features that passes its joint test, as large as a greedy search makes it.

    Features join in their order as long as the set passes. The first one that makes it fail is held
    back, and the search goes on without it. Each feature held back halves the level of the next tests,
    so after more than eight the rest stays outside.

    Args:
        order: indices of the features in question.
        tests: the joint tests.

    Returns:
        The indices of the members; and for each feature held back that is redundant with a member, the
        index of that member.
    """
    members: list[int] = []
    partners: dict[int, int] = {}
    remaining, n_held_back = list(order), 0
    while remaining and n_held_back <= _MAX_HELD_BACK:
        n_passing = _n_passing(members, remaining, n_held_back, tests)
        members, remaining = [*members, *remaining[:n_passing]], remaining[n_passing:]
        if remaining:
            held_back, *remaining = remaining
            if members and tests.adds_more_than_alone(held_back, members):
                partner = _partner(held_back, members, n_held_back, tests)
                if tests.are_redundant(held_back, partner):
                    partners[held_back] = partner
            n_held_back += 1
    return members, partners


def _n_passing(members: Sequence[int], more: Sequence[int], n_held_back: int, tests: JointTests) -> int:
    """The largest `k` for which the members and the first `k` of `more` pass together."""

    def bound(k: int) -> float:
        return tests.bound([*members, *more[:k]], n_held_back)

    # At first all pass, or many do; after a feature was held back, few do.
    return last_below(bound, len(more), first=1 if n_held_back else len(more))


def _partner(index: int, members: Sequence[int], n_held_back: int, tests: JointTests) -> int:
    """The first member with which the feature fails, given those before it."""

    def passed(k: int) -> bool:
        return tests.bound([index, *members[:k]], n_held_back) < 0

    return members[last_by_halving(passed, len(members))]


def last_below(bound: Callable[[int], float], n: int, first: int) -> int:
    """The largest `k <= n` with `bound(k) < 0`, given `bound(0) < 0` and bounds that increase.

    `k` is doubled, from `first` on, until a bound is 0 or more. Between the last two bounds the
    search then takes in turn the zero of the straight line through both (exact where the bounds lie on
    a line) and the middle (fast where they lie on a curve).
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
        fraction = 0.5 if halves or not math.isfinite(above - below) else below / (below - above)
        middle = min(max(low + round(fraction * (high - low)), low + 1), high - 1)
        value = bound(middle)
        if value < 0:
            low, below = middle, value
        else:
            high, above = middle, value
        halves = not halves
    return low


def last_by_halving(passed: Callable[[int], bool], high: int, low: int = 0) -> int:
    """The largest `k < high` that passes; `low` passes, `high` fails, as does all above a failure."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passed(middle) else (low, middle)
    return low
