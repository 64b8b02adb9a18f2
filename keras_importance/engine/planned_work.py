"""Planned seconds of what an evaluator computes, and the rows that fit into them."""

from __future__ import annotations

import math

from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.cut.products import products_of_model, turns_of_model
from keras_importance.engine.effort import Effort
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.meter import seconds_of_training
from keras_importance.engine.scores.linearised import MAX_OUTPUTS, LinearisedScorer
from keras_importance.engine.scores.scoring import EXACT, LINEARISED, CountedScorer, Scoring

# Fewest rows that are differentiated, where only some can be afforded.
_LEAST_ROWS = 100


def seconds_of_epoch(evaluator: Evaluator, n_steps: int, batch_size: int) -> float:
    """Planned seconds of an epoch that trains so many batches; see `engine.meter`."""
    model, data = evaluator.model, evaluator.data
    n_products, n_turns = products_of_model(model, data), turns_of_model(model, data)
    return seconds_of_training(n_steps, batch_size, n_products, n_turns)


def takes_part(evaluator: Evaluator) -> bool:
    """Whether a part of the rows can be scored; False where the model gets whole batches."""
    return evaluator.context.batch_size is None


def seconds_per_score(evaluator: Evaluator, scoring: Scoring = EXACT) -> float:
    """Planned seconds for the score of one row, for one (feature, repeat) pair.

    Raises:
        TypeError: for `LINEARISED`, whose cost lies in its backward passes.
    """
    scorer = evaluator.scorer(scoring)
    if not isinstance(scorer, CountedScorer):
        raise TypeError(f"{scoring} has no cost for each score.")
    return evaluator.meter.factor * scorer.seconds_per_score


def rows_to_screen(evaluator: Evaluator, seconds: float) -> int:
    """How many rows the first-order approximation can be scored for in one repeat.

    At least 100; none for a model that mixes its rows, or has too many outputs. A backward pass for each
    output would cost more than it saves.
    """
    if evaluator.outputs.n_values > MAX_OUTPUTS or evaluator.mixed_rows.are_mixed:
        return 0
    n_rows = max(seconds / seconds_to_screen(evaluator, 1), _LEAST_ROWS)
    return int(min(n_rows, evaluator.data.n_rows))


def seconds_to_screen(evaluator: Evaluator, n_rows: int) -> float:
    """Planned seconds to score the first-order approximation for so many rows in one repeat."""
    if not n_rows:
        return 0.0
    scorer = evaluator.scorer(LINEARISED)
    assert isinstance(scorer, LinearisedScorer)  # noqa: S101 (what LINEARISED makes)
    return n_rows * evaluator.meter.factor * scorer.seconds_per_row


def affordable_data(evaluator: Evaluator, n_gradients: int, effort: Effort) -> ValidationData:
    """The rows that can be differentiated so many times within the seconds of an effort.

    These are `floor(seconds / (n_gradients · seconds_per_row))` rows, at least 100.

    Args:
        evaluator: the model and the validation rows.
        n_gradients: how many gradients of each row are computed.
        effort: limits the planned seconds.
    """
    if math.isinf(effort.seconds) or evaluator.mixed_rows.are_mixed:
        return evaluator.data
    per_row = n_gradients * evaluator.meter.factor * evaluator.differentiator.seconds_per_row
    return evaluator.subsamples.data(max(int(effort.seconds / per_row), _LEAST_ROWS))
