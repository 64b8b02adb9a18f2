"""Budget: how much work each evaluation may take, planned before the first one and kept.

An evaluation may take a fraction of the time that an epoch takes. Both are counted in products, not
measured by a clock, so a busy machine changes no result; see `engine/meter.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from keras_importance.arguments import fraction
from keras_importance.engine.meter import Meter

SHORTEST_EPOCH = 0.5
"""Seconds that an epoch counts as at least: 10% of it are 50 ms.

With it an epoch of milliseconds still pays for all features of a small table; see docs/cost.md.
"""

# Of the seconds of an evaluation, those that scores and gradients may take. Statistics, verdicts and
# files take the others.
_SCORING_FRACTION = 2 / 3
# Pictures take at most this fraction of what the epochs pay for.
_PICTURES_FRACTION = 1 / 4
# TensorBoard keeps ten pictures of a tag.
_MAX_PICTURES = 10
# Processor time within a factor of 3 of the plan is as planned.
_OFF = 3.0


@dataclass(frozen=True)
class Measured:
    """Processor time of an epoch and of its evaluation, in seconds; compilation in neither.

    Attributes:
        epoch: processor time of the epoch.
        evaluation: processor time of its evaluation.
        planned: the work that the meter counted in the evaluation.
        is_cut: whether the evaluation scored less than it would without a limit.
    """

    epoch: float
    evaluation: float
    planned: float
    is_cut: bool


class Budget:
    """How many seconds of counted work each evaluation may take.

        seconds = 2/3 · fraction · every · max(epoch_seconds, 0.5)

    The same number holds for every evaluation. It is mended once, if processor time shows that the plan
    is off by more than a factor of 3. The mended factor is a power of 2, so noise in the measurement
    hardly changes it.

    Args:
        fraction: fraction of an epoch's duration that an evaluation may take; None for no limit.
        epoch_seconds: seconds of an epoch at the rates of `engine.meter`; 0 if they can't be counted.
        every: epochs from one evaluation to the next.

    Attributes:
        is_mended: whether the plan was compared with processor time.
    """

    def __init__(self, fraction: float | None, epoch_seconds: float = 0.0, every: int = 1) -> None:
        self.fraction = fraction
        self.epoch_seconds = epoch_seconds
        self.is_mended = fraction is None
        self._every = every

    @property
    def seconds(self) -> float:
        """Seconds of counted work for the scores and gradients of an evaluation."""
        return _SCORING_FRACTION * self.paid

    @property
    def paid(self) -> float:
        """Seconds that the epochs up to an evaluation pay for."""
        if self.fraction is None:
            return math.inf
        return self.fraction * self._every * max(self.epoch_seconds, SHORTEST_EPOCH)

    def mend(self, meter: Meter, measured: Measured) -> None:
        """Compares the plan with processor time, once; changes it if it is off by more than 3.

        An evaluation that is complete and no longer than is paid for stays as it is.

        Args:
            meter: its factor is set to how many times as long as planned the work takes.
            measured: the times of an epoch and of its evaluation.
        """
        self.is_mended = True
        if _is_off(max(measured.epoch, SHORTEST_EPOCH), max(self.epoch_seconds, SHORTEST_EPOCH)):
            self.epoch_seconds = _rounded(measured.epoch)
        expected = measured.planned / _SCORING_FRACTION
        is_needed = measured.is_cut or measured.evaluation > _OFF * self.paid
        if is_needed and expected > 0 and _is_off(measured.evaluation, expected):
            meter.factor *= _rounded(measured.evaluation / expected)


def budget_from_argument(time_budget: Any) -> float | None:
    """The fraction that the user's `time_budget` argument stands for; None for no limit.

    Raises:
        InvalidArgumentError: unless it is above 0 and at most 1.
    """
    if time_budget is None:
        return None
    return fraction(
        "time_budget",
        time_budget,
        below=math.nextafter(1, 2),
        example="a fraction of the epochs' time up to 1, such as 0.1, or None for no limit",
    )


class PicturePlan:
    """Which evaluations draw pictures: the last one, and at most nine before it.

    Args:
        budget: what epochs pay for.
        n_evaluations: how many evaluations are planned; None if that isn't known.
        picture_seconds: seconds to draw all pictures once.
    """

    def __init__(self, budget: Budget, n_evaluations: int | None, picture_seconds: float) -> None:
        self._budget = budget
        self._n_evaluations = n_evaluations
        self._picture_seconds = picture_seconds
        self._n_drawn = 0
        self._n_since = 0

    def draws(self, *, is_last: bool) -> bool:
        """Whether this evaluation draws pictures; to be asked once in each evaluation."""
        self._n_since += 1
        is_due = (
            self._n_drawn < _MAX_PICTURES - 1
            and self._n_since >= self._spacing
            and _PICTURES_FRACTION * self._n_since * self._budget.paid >= self._picture_seconds
        )
        if is_due or is_last:
            self._n_drawn += 1
            self._n_since = 0
        return is_due or is_last

    @property
    def _spacing(self) -> int:
        """Evaluations from one picture to the next: equal steps, doubling ones for an unknown number."""
        if self._n_evaluations is None:
            return 1 << self._n_drawn
        return math.ceil(self._n_evaluations / _MAX_PICTURES)


def _is_off(measured: float, planned: float) -> bool:
    return planned <= 0 or not 1 / _OFF <= measured / planned <= _OFF


def _rounded(seconds: float) -> float:
    """The nearest power of 2."""
    return 2.0 ** round(math.log2(max(seconds, 1e-6)))
