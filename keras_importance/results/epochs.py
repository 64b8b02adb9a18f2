"""Results and verdicts in the order of their epochs: looking them up, and adding new ones at the end."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise, takewhile
from typing import TypeVar

from keras_importance.results.result import ImportanceResult
from keras_importance.results.verdict import Verdicts

Dated = TypeVar("Dated", bound="ImportanceResult | Verdicts")


def key_of(fact: ImportanceResult | Verdicts) -> tuple[str, int | None]:
    """What a result or verdicts are about; nothing else in a history has the same key."""
    return fact.method, fact.epoch


def epoch_of(fact: ImportanceResult | Verdicts) -> float:
    """The epoch; infinity outside training."""
    return math.inf if fact.epoch is None else fact.epoch


def merged(old: Sequence[Dated], new: Sequence[Dated]) -> tuple[Dated, ...]:
    """The old and the new facts by epoch; a new fact replaces the old one of its method and epoch."""
    by_key = {key_of(fact): fact for fact in (*old, *new)}
    return tuple(sorted(by_key.values(), key=epoch_of))


def follow(old: Sequence[Dated], new: Sequence[Dated]) -> bool:
    """Whether the new facts need no sorting behind the old ones, and replace none of them."""
    if not new or not old:
        return not new
    first, keys = epoch_of(new[0]), {key_of(fact) for fact in new}
    newest = takewhile(lambda fact: epoch_of(fact) >= first, reversed(old))
    are_sorted = all(epoch_of(earlier) <= epoch_of(later) for earlier, later in pairwise(new))
    others = {key_of(fact) for fact in newest}
    return are_sorted and epoch_of(old[-1]) <= first and len(keys) == len(new) and not keys & others


def before(facts: Sequence[Dated], epoch: float) -> int:
    """How many facts are of earlier epochs."""
    return bisect_left(facts, epoch, key=epoch_of)
