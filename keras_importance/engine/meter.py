"""Meter: counts the work of evaluations and of epochs, in seconds at fixed rates.

Work is planned by what it counts, not by a clock. So a busy machine changes no result, and two runs
with the same seed score the same rows.
"""

from __future__ import annotations

# Measured with TensorFlow on two CPU cores. Only their ratios matter for a plan, and a plan that is off
# by a factor is mended: see callback/budget.py.
SECONDS_A_PRODUCT = 3e-11
"""Seconds for a multiplication in a large block of rows."""

SECONDS_A_SCORE = 2e-8
"""Seconds for the statistics of a score: that of one row for one (feature, repeat) pair."""

SECONDS_A_STEP = 1.5e-3
"""Seconds for what a training step takes, however small the model: Python, dispatch, the optimizer."""

SECONDS_A_TURN = 1e-4
"""Seconds that each step of a sequence takes in a training step, beside its multiplications."""

SECONDS_A_TRAINED_PRODUCT = 6e-11
"""Seconds for a multiplication in a training step, whose batches are smaller."""

PASSES_TO_DIFFERENTIATE = 3
"""A backward pass takes twice as long as a forward pass, which it needs first."""


class Meter:
    """Counts the work of evaluations so far.

    Attributes:
        seconds: the work so far, in seconds at the rates of this file, times `factor`.
        factor: how many times as long as planned the work takes on this machine.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.factor = 1.0

    def count(self, seconds: float) -> None:
        """Adds work, in seconds at the rates of this file."""
        self.seconds += self.factor * seconds


def seconds_of_training(
    n_steps: int, n_rows_in_step: int, products_a_row: float, n_turns: int = 0
) -> float:
    """Seconds that an epoch takes, at the rates of this file.

        n_steps · (SECONDS_A_STEP + n_turns · SECONDS_A_TURN
                   + 3 · n_rows_in_step · products_a_row · SECONDS_A_TRAINED_PRODUCT)

    Args:
        n_steps: how many batches are trained.
        n_rows_in_step: how many rows a batch has.
        products_a_row: multiplications of a forward pass for a row.
        n_turns: steps of sequences that recurrent layers take one after another.
    """
    n_products = PASSES_TO_DIFFERENTIATE * n_rows_in_step * products_a_row
    in_step = SECONDS_A_STEP + SECONDS_A_TURN * n_turns + SECONDS_A_TRAINED_PRODUCT * n_products
    return n_steps * in_step
