"""How much work one evaluation by one method may take, and the result that it can build on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from keras_importance.results.result import ImportanceResult


@dataclass(frozen=True, eq=False)
class Effort:
    """How much work one evaluation by one method may take, and the result that it can build on.

    Attributes:
        seconds: how many seconds of counted work the evaluation may take; see `engine.meter`.
        previous: the method's newest result; None before its first.
        verbose: whether a long evaluation shows its progress.
    """

    seconds: float = math.inf
    previous: ImportanceResult | None = None
    verbose: bool = False
