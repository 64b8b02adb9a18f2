"""What one evaluation by one method may cost, and what it can build on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from keras_importance.results.result import ImportanceResult


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
