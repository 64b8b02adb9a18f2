"""Donor tables: the values that rows donate, and which row donates to which, for each feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from keras_importance.data.features import Feature
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.scores.sample import Replacement, ScoreRequest
from keras_importance.statistics.arrays import Array, Integers
from keras_importance.statistics.donors import Donors, Orders, can_be_systematic

# One for each method; a method with new values in each evaluation pushes out its own.
_MAX_KEPT = 4


def common_request(
    evaluator: Evaluator, replacement: Replacement, n_rows: int, n_repeats: int
) -> ScoreRequest:
    """The request with random donors, the same for all features."""
    donors = Donors.draw(n_rows, n_repeats, evaluator.rng())
    return ScoreRequest(replacement, donors, evaluator.subsamples.rows(n_rows))


def request_by_feature(
    evaluator: Evaluator, replacement: Replacement, n_rows: int, n_repeats: int
) -> ScoreRequest:
    """The request with systematic donors, for features that are replaced one at a time.

    The donors are random, as in `common_request`, where rows donate nothing, where sequences are padded
    (a donor's values depend on its length too), and with fewer than 10 rows for each repeat.
    """
    if not _can_be_systematic(evaluator, replacement, n_rows, n_repeats):
        return common_request(evaluator, replacement, n_rows, n_repeats)
    tables = evaluator.once("donor tables", lambda: _Tables(evaluator))
    table = tables.of(replacement.donated, n_rows, n_repeats)
    moved = replace(replacement, donated=table.donated)
    return ScoreRequest(moved, table.donors, evaluator.subsamples.rows(n_rows))


def request_of_set(
    evaluator: Evaluator, replacement: Replacement, members: Integers, n_rows: int, n_repeats: int
) -> ScoreRequest:
    """The request for features that are replaced together, with the donors that their group would have.

    Args:
        evaluator: the model and the rows.
        replacement: the values that take the features' place.
        members: indices of the features.
        n_rows: how many rows are scored.
        n_repeats: donors of each row.
    """
    if not _can_be_systematic(evaluator, replacement, n_rows, n_repeats):
        return common_request(evaluator, replacement, n_rows, n_repeats)
    rows, features = evaluator.subsamples.rows(n_rows), evaluator.features.features
    group = Feature("", tuple(column for index in members for column in features[index].columns))
    orders = donation_orders([group], _of_rows(replacement.donated, rows), n_rows)
    donors = Donors.systematic(orders, n_repeats, evaluator.rng())
    return ScoreRequest(replacement, donors.listed(0), rows)


def _can_be_systematic(
    evaluator: Evaluator, replacement: Replacement, n_rows: int, n_repeats: int
) -> bool:
    is_padded = any(valid is not None for valid in evaluator.data.valid)
    return replacement.has_donors and not is_padded and can_be_systematic(n_rows, n_repeats)


def _of_rows(donated: Sequence[Array | None], rows: Integers | None) -> list[Array | None]:
    """The values that some of the rows donate; None stands for all rows."""
    return [values if values is None or rows is None else values[rows] for values in donated]


@dataclass(frozen=True, eq=False)
class _Table:
    """The values that rows donate, in the order of each feature.

    Attributes:
        of: the values in the order of the rows. They are held here: while they live, no other tuple has
            their identity.
        donated: the values in the order of each feature, in arrays of the same shapes.
        donors: the systematic donors.
    """

    of: tuple[Array | None, ...]
    donated: tuple[Array | None, ...]
    donors: Donors


class _Key(NamedTuple):
    """What a table is made of: the numbers of rows and repeats, and the identity of the donated values.

    It is that of the tuple: a method may write new values into the same arrays.
    """

    n_rows: int
    n_repeats: int
    donated: int


class _Tables:
    """The newest tables; an order of all rows for each feature is worth keeping.

    Args:
        evaluator: the rows and the features.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self._features = evaluator.features.features
        self._rows = evaluator.subsamples.rows
        self._rng = evaluator.rng
        self._newest: dict[_Key, _Table] = {}

    def of(self, donated: tuple[Array | None, ...], n_rows: int, n_repeats: int) -> _Table:
        """The table of donated values."""
        key = _Key(n_rows, n_repeats, id(donated))
        table = self._newest.pop(key, None) or self._made(donated, n_rows, n_repeats)
        self._newest[key] = table
        if len(self._newest) > _MAX_KEPT:
            del self._newest[next(iter(self._newest))]
        return table

    def _made(self, donated: tuple[Array | None, ...], n_rows: int, n_repeats: int) -> _Table:
        used = _of_rows(donated, self._rows(n_rows))
        orders = donation_orders(self._features, used, n_rows)
        donors = Donors.systematic(orders, n_repeats, self._rng())
        return _Table(donated, _in_order(self._features, donated, used, donors), donors)


def donation_orders(features: Sequence[Feature], donated: Sequence[Array | None], n_rows: int) -> Orders:
    """`(n_features, n_rows)` for each feature the rows in the order of the values that they donate.

    Values are compared by the feature's first column, then by its second one and so on; a column of a
    sequence by its mean over the steps. Equal rows stay in their order.

    Args:
        features: the features.
        donated: for each input the values `(n_rows, ...)` that rows donate; None if they give nothing.
        n_rows: how many rows there are.
    """
    orders = np.empty((len(features), n_rows), np.int32)
    for order, feature in zip(orders, features, strict=True):
        keys = [
            _comparable(_column(values, column))
            for index, column in feature.columns
            if (values := donated[index]) is not None
        ]
        order[:] = _sorted(keys) if keys else np.arange(n_rows)
    return orders


def _sorted(keys: Sequence[Array]) -> Integers:
    """The rows by the first key; rows of equal keys by the next one, and last as they stand."""
    order = np.argsort(keys[0], kind="stable")
    first = keys[0][order]
    has_ties = len(keys) > 1 and bool(np.any(first[1:] == first[:-1]))
    return np.lexsort(keys[::-1]) if has_ties else order


def _in_order(
    features: Sequence[Feature],
    donated: Sequence[Array | None],
    used: Sequence[Array | None],
    donors: Donors,
) -> tuple[Array | None, ...]:
    """The donated values, with the columns of each feature in its order.

    The arrays keep their shapes, so that programs serve any number of rows: rows beyond those that are
    used stay as they are.
    """
    moved = [None if values is None else values.copy() for values in donated]
    for position, feature in enumerate(features):
        order = donors.order_of(position)
        for index, column in feature.columns:
            target, values = moved[index], used[index]
            if target is not None and values is not None:
                _column(target, column)[: len(order)] = _column(values, column)[order]
    return tuple(moved)


def _column(values: Array, column: int) -> Array:
    """A view of one column of an input, with its steps."""
    return values if values.ndim == 1 else values[..., column]


def _comparable(values: Array) -> Integers | Array:
    """`(n_rows,)` what rows are compared by: the mean over steps; of texts the first step."""
    if values.ndim == 1:
        return values
    steps = values.reshape(len(values), -1)
    return steps.mean(axis=1) if values.dtype.kind in "biuf" else steps[:, 0]
