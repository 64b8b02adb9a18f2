"""How much work fits into a limited time, and which features are scored first."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from keras_importance.results.result import ImportanceResult
from keras_importance.statistics.arrays import Floats, Integers

MIN_ROWS = 500
"""Fewest rows to score: with fewer, an interval says little, so features are left to the screen."""

_MIN_REPEATS = 2
_MIN_FEATURES = 32


@dataclass(frozen=True)
class Work:
    """How many rows, repeats and features an evaluation scores exactly."""

    n_rows: int
    n_repeats: int
    n_features: int


def affordable(n_scores: float, full: Work, rows_in_block: int = 1) -> Work:
    """The most work that needs at most `n_scores` scores: rows x repeats x features.

    Repeats are cut first, down to 2, because they narrow an interval least. Then rows are cut, down to
    500, then features, down to 32. This least work is returned even if it needs more scores.

    Args:
        n_scores: how many scores there is time for. One score is that of one row with one feature
            replaced, in one repeat.
        full: the work without a time limit.
        rows_in_block: how many rows are scored at once. Part of a block costs as much as all of it.
    """
    per_repeat = full.n_rows * full.n_features
    n_repeats = min(full.n_repeats, _MIN_REPEATS)
    if n_scores >= per_repeat * n_repeats:
        n_repeats = int(min(full.n_repeats, n_scores // per_repeat))
        return Work(full.n_rows, n_repeats, full.n_features)
    least = min(full.n_rows, math.ceil(MIN_ROWS / rows_in_block) * rows_in_block)
    n_rows = int(max(n_scores, 0.0) // (full.n_features * n_repeats * rows_in_block)) * rows_in_block
    if n_rows >= least:
        return Work(min(n_rows, full.n_rows), n_repeats, full.n_features)
    n_rows = least
    n_features = int(n_scores // (n_rows * n_repeats)) if n_scores > 0 else 0
    n_features = min(full.n_features, max(n_features, _MIN_FEATURES))
    return Work(n_rows, n_repeats, n_features)


def most_urgent(screened: Floats, previous: ImportanceResult | None, n_features: int) -> Integers:
    """Indices of the features to score exactly now, in increasing order.

    Half of them are the features in most doubt:

        doubt = |screened - mean| + (std_error if |mean| <= 2 std_error else 0)

    with the mean and standard error of the newest result. Without a screened value the first term is the
    standard error. Without a result, doubt is `|screened|`, or infinite without a screened value. The
    other half are the features whose last exact score is oldest, so that every feature gets its turn.

    Args:
        screened: `(n_features,)` importances by the screen, the model's first-order approximation; NaN
            where it has no value.
        previous: the newest result; None for none.
        n_features: how many features to choose.
    """
    known = np.nan_to_num(screened)
    if previous is None:
        doubt, waited = np.where(np.isnan(screened), math.inf, np.abs(known)), np.zeros(len(known))
    else:
        mean, error = np.nan_to_num(previous.importances_mean), np.nan_to_num(previous.std_error)
        is_undecided = np.abs(mean) <= 2 * error
        moved = np.where(np.isnan(screened), error, np.abs(known - mean))
        doubt = moved + np.where(is_undecided, error, 0.0)
        waited = -np.nan_to_num(previous.exact_epoch, nan=-math.inf)
    by_doubt = np.argsort(-doubt, kind="stable")
    by_waiting = np.lexsort((-np.abs(known), -waited))
    in_turn = np.stack([by_doubt, by_waiting], axis=1).ravel()
    _, first = np.unique(in_turn, return_index=True)
    return np.sort(in_turn[np.sort(first)][:n_features])
