"""Truth: what the predictions for each row are scored against."""

from __future__ import annotations

from typing import Any, NamedTuple


class Truth(NamedTuple):
    """What predictions are scored against, row by row.

    Attributes:
        targets: the nest of targets; None without targets.
        weights: weights that are more than one number a row: an array `(n_rows, n_steps)`, or a nest
            with an array for each output; None where there are none.
        masks: for each output with a Keras mask the `(n_rows, n_steps)` mask, by the output's index as
            text; steps with False don't count. Empty where nothing is masked or the masks aren't known.
    """

    targets: Any
    weights: Any = None
    masks: Any = {}  # noqa: RUF012 (never changed)
