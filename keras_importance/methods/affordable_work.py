"""How much work fits into a limited time, and which features are scored first."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from keras_importance.results.result import ImportanceResult
from keras_importance.statistics.arrays import Floats, Integers

MIN_ROWS = 500
"""Fewest rows to score all features with: with fewer, an interval says little. Features go instead."""

LEAST_ROWS = 100
"""Fewest rows to score at all; between them and `MIN_ROWS` only for the fewest features."""

_MIN_REPEATS = 2
MIN_FEATURES = 40
"""Fewest features to score exactly."""

# The most important features, which are scored exactly in each evaluation.
_N_TOP = 20


@dataclass(frozen=True)
class Work:
    """How many rows, repeats and features an evaluation scores exactly."""

    n_rows: int
    n_repeats: int
    n_features: int


def affordable(n_scores: float, full: Work, *, takes_part: bool = True) -> Work:
    """The most work that needs at most `n_scores` scores: rows x repeats x features.

    Repeats are cut first, down to 2, because they narrow an interval least. Then rows are cut, down to
    500, then features, down to 40, then rows again, down to 100. This least work is returned even if it
    needs more scores.

    Args:
        n_scores: how many scores may be computed. One score is that of one row with one feature
            replaced, in one repeat.
        full: the work without a limit.
        takes_part: whether a part of the rows may be scored; else rows are never cut.
    """
    n_repeats = min(full.n_repeats, _MIN_REPEATS)
    per_repeat = full.n_rows * full.n_features
    if n_scores >= per_repeat * n_repeats:
        return replace(full, n_repeats=int(min(full.n_repeats, n_scores // per_repeat)))
    n_rows = int(max(n_scores, 0.0) // (full.n_features * n_repeats))
    if takes_part and n_rows >= min(full.n_rows, MIN_ROWS):
        return Work(n_rows, n_repeats, full.n_features)
    n_rows = min(full.n_rows, MIN_ROWS) if takes_part else full.n_rows
    n_features = int(max(n_scores, 0.0) // (n_rows * n_repeats))
    least = min(full.n_features, MIN_FEATURES)
    if takes_part and n_features < least:
        n_rows = int(max(n_scores, 0.0) // (least * n_repeats))
        n_rows = max(n_rows, min(full.n_rows, LEAST_ROWS))
    return Work(n_rows, n_repeats, max(n_features, least))


def most_urgent(screened: Floats, previous: ImportanceResult | None, n_features: int) -> Integers:
    """Indices of the features to score exactly now, in increasing order.

    First come the 20 features with the largest importance, by the newest result or the screen; or half
    as many as are chosen. Of the others, half are the features in most doubt:

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
        largest = doubt
    else:
        mean, error = np.nan_to_num(previous.importances_mean), np.nan_to_num(previous.std_error)
        is_undecided = np.abs(mean) <= 2 * error
        moved = np.where(np.isnan(screened), error, np.abs(known - mean))
        doubt = moved + np.where(is_undecided, error, 0.0)
        waited = -np.nan_to_num(previous.exact_epoch, nan=-math.inf)
        largest = np.maximum(mean, known)
    by_doubt = np.argsort(-doubt, kind="stable")
    by_waiting = np.lexsort((-np.abs(known), -waited))
    top = np.argsort(-largest, kind="stable")[: min(_N_TOP, n_features // 2)]
    in_turn = np.concatenate([top, np.stack([by_doubt, by_waiting], axis=1).ravel()])
    _, first = np.unique(in_turn, return_index=True)
    return np.sort(in_turn[np.sort(first)][:n_features])
