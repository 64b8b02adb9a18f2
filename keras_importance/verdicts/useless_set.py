"""Search for the largest set of features to drop together, and for features redundant with a member."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from keras_importance.results.history import ImportanceHistory
from keras_importance.results.joint_importance import JointImportance
from keras_importance.results.result import ImportanceResult
from keras_importance.statistics.arrays import Integers
from keras_importance.verdicts.threshold_test import ThresholdTest, quantile_for

_MAX_HELD_BACK = 8


def in_order(indices: Integers, history: ImportanceHistory) -> list[int]:
    """The indices sorted by how much replacing the feature changes the losses of the rows, least first.

    The measure is the geometric mean of the feature's standard errors over all results of the history.
    Features without a standard error come first. The order does not depend on the estimated importances.
    A set of the features with the lowest estimates would pass its test by selection alone, because their
    estimation errors tend to be negative.

    Args:
        indices: indices of the features to sort.
        history: the results of one method.
    """
    size = history.typical_errors.log_size
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
        """Upper bound of (the set's importance minus the threshold). The set passes if it is below 0.

        The confidence is `1 - level / 2^(n_held_back + 2)`. Half of the level is for sets. The tests
        form sequences of growing sets; a sequence ends with the first set that fails, and that feature
        is held back. All tests of a sequence may use the same error probability, because the sequence
        stops at the first failure. The sequence after `n` held-back features gets `1 / 2^(n + 1)` of the
        half, which sums to the half.

        Args:
            members: indices of the features of the set.
            n_held_back: how many features were held back so far.
        """
        if not members:
            # Replacing nothing has importance 0 exactly, so the contrast is minus the threshold.
            return -ThresholdTest(self._result, self._min_share, math.inf).threshold
        quantile = quantile_for(self._level / 2 ** (n_held_back + 2), self._result)
        return float(ThresholdTest(self._of(members), self._min_share, quantile).upper[0])

    def adds_more_than_alone(self, index: int, members: Sequence[int]) -> bool:
        """True if a feature adds more to the importance of a set than its own importance.

        A copy of a member does. The excess must be more than the standard error of the feature's own
        importance; otherwise half of all features would pass by chance.
        """
        with_feature, without = self._of([*members, index]), self._of(members)
        added = with_feature.importances_mean - without.importances_mean
        alone = self._result.importances_mean[index] + self._result.std_error[index]
        return bool(added[0] > alone)

    def are_redundant(self, first: int, second: int) -> bool:
        """True if two features surely matter more together than the sum of both alone.

        The lower end of the confidence interval of the pair's importance must lie above the sum.
        """
        alone = self._result.importances_mean[[first, second]].sum()
        return bool(self._of([first, second]).ci_low[0] > alone)

    def _of(self, members: Sequence[int]) -> JointImportance:
        key = frozenset(members)
        if key not in self._result_of:
            self._result_of[key] = self._jointly([members])
        return self._result_of[key]


def largest_set(order: Sequence[int], tests: JointTests) -> tuple[list[int], dict[int, int]]:
    """A set of features that passes its joint test, made as large as possible by a greedy search.

    Features join in the given order while the set passes. The first feature that makes the set fail is
    held back, and the search goes on without it. Each held-back feature halves the error probability of
    the next tests. After more than eight held-back features, all remaining features stay outside.

    Args:
        order: indices of the features that may join, in order.
        tests: the joint tests.

    Returns:
        The indices of the members. And a dict: for each held-back feature that is redundant with a
        member, the index of the feature and of that member.
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

    # At first all or many features pass; after a feature was held back, only a few do.
    return last_below(bound, len(more), first=1 if n_held_back else len(more))


def _partner(index: int, members: Sequence[int], n_held_back: int, tests: JointTests) -> int:
    """The first member with which, and with all members before it, the feature fails the test."""

    def passed(k: int) -> bool:
        return tests.bound([index, *members[:k]], n_held_back) < 0

    return members[last_by_halving(passed, len(members))]


def last_below(bound: Callable[[int], float], n: int, first: int) -> int:
    """The largest `k <= n` with `bound(k) < 0`, given `bound(0) < 0` and a `bound` that increases.

    First `k` is doubled, beginning with `first`, until `bound(k)` is 0 or more. Then the search narrows
    the interval between the last two `k`. It takes in turn the zero of the straight line through both
    bounds, which is exact if the bounds lie on a line, and the middle, which is fast if they lie on a
    curve.
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
    """The largest `k < high` that passes, by halving.

    It is taken for granted that `low` passes, that `high` fails, and that every `k` above a failure
    fails.
    """
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passed(middle) else (low, middle)
    return low
