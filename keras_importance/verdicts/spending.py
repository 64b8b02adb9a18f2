"""Spending: which part of an error probability each evaluation of a training may spend."""

from __future__ import annotations

import math
from dataclasses import dataclass

# A `fit` may be continued by another one, of which nothing is known before: this part is left for those.
_LEFT = 1 / 4


@dataclass(frozen=True)
class Spending:
    """Which part of an error probability each evaluation of a training may spend.

    Each `fit` has a plan. The first plan spends 3/4 in all. The j-th `fit` that continues the training
    spends `1/4 · 6 / (pi j)²`, which sums to 1/4 over all j. A plan of `n` evaluations spends the same
    in each of them; a plan of unknown length spends `6 / (pi k)²` of its part in its k-th evaluation. So
    all evaluations together never spend more than 1, however often the training is continued.

    Attributes:
        n_evaluations: how many evaluations this plan has; None if that isn't known.
        n_continued: how many times the training was continued before; 0 for its first `fit`.
        n_earlier: how many evaluations the plans before had.
    """

    n_evaluations: int | None
    n_continued: int = 0
    n_earlier: int = 0

    def fraction(self, index: int) -> float:
        """The part that an evaluation may spend.

        Args:
            index: the evaluation's index in the training, from 1.
        """
        in_plan = max(index - self.n_earlier, 1)
        if self.n_evaluations is None:
            return self._of_plan * 6 / (math.pi * in_plan) ** 2
        return self._of_plan / max(self.n_evaluations, in_plan)

    @property
    def _of_plan(self) -> float:
        if not self.n_continued:
            return 1 - _LEFT
        return _LEFT * 6 / (math.pi * self.n_continued) ** 2
