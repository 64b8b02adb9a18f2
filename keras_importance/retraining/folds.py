"""Folds: which rows are trained on and held out, from the `cv` argument as scikit-learn has it."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_importance.errors import InvalidArgumentError, reason_of
from keras_importance.statistics.arrays import Integers, generator


@dataclass(frozen=True, eq=False)
class Fold:
    """Which rows are trained on, and which are held out.

    Attributes:
        training: `(n_training,)` indices of the rows that models are trained on.
        held_out: `(n_held_out,)` indices of the rows that models are scored on.
    """

    training: Integers
    held_out: Integers


def folds(
    cv: Any,
    n_rows: int,
    *,
    x: Any = None,
    y: Any = None,
    groups: Any = None,
    blocks: Integers | None = None,
    seed: int,
) -> list[Fold]:
    """The folds that the `cv` argument stands for.

    Args:
        cv: a number of folds; a splitter with `split(X, y, groups)`, as scikit-learn's; or pairs of row
            indices `(training, held_out)`. For a number, rows are drawn at random, and a block of rows
            stays together.
        n_rows: how many rows there are.
        x: the rows, for splitters that look at them.
        y: targets of the rows, for splitters that stratify.
        groups: the group of each row, for splitters that keep groups together.
        blocks: `(n_rows,)` blocks of rows that depend on one another, as copies of a row do; None for
            independent rows.
        seed: seed of the random draw.

    Raises:
        InvalidArgumentError: for any other `cv`, for fewer rows than folds, for a fold without training
            or held-out rows, for rows that are both trained on and held out, and for groups that `cv`
            ignores.
    """
    if groups is not None and not hasattr(cv, "split"):
        raise InvalidArgumentError(
            f"got groups and cv={reprlib.repr(cv)}, which doesn't heed them. Pass a splitter that does, "
            "such as sklearn.model_selection.GroupKFold(5), or no groups."
        )
    if isinstance(cv, (int, np.integer)) and not isinstance(cv, bool):
        return _random_folds(int(cv), np.arange(n_rows) if blocks is None else blocks, seed)
    if hasattr(cv, "split") and not isinstance(cv, str):
        if isinstance(cv, type):
            raise InvalidArgumentError(f"got the class {cv.__name__} as cv. Pass {cv.__name__}().")
        pairs = _split(cv, _rows_for_splitter(x, n_rows), y, groups, n_rows)
    elif isinstance(cv, Iterable) and not isinstance(cv, (str, dict)):
        try:
            pairs = list(cv)
        except Exception as error:
            raise InvalidArgumentError(
                f"got cv={cv!r}, which fails when it is read ({reason_of(error)}). Pass a list of pairs "
                "of row numbers (training, held_out)."
            ) from error
    else:
        raise InvalidArgumentError(
            f"got cv={reprlib.repr(cv)}, a {type(cv).__name__} without split. Pass a number of folds, a "
            "splitter such as sklearn.model_selection.KFold(5), or pairs of row numbers (training, "
            "held_out)."
        )
    if not pairs:
        raise InvalidArgumentError(f"got cv={cv!r}, which makes no fold. Pass one that makes some.")
    return [_checked(index, pair, n_rows) for index, pair in enumerate(pairs)]


def among(schemed: Sequence[Fold], kept: NDArray[np.bool_]) -> list[Fold]:
    """Folds of all rows, restricted to the kept rows; the new indices count the kept rows only.

    Args:
        schemed: folds of all rows.
        kept: `(n_rows,)` True for the rows that are kept.

    Raises:
        InvalidArgumentError: for a fold of which no training or no held-out rows are kept.
    """
    index_among_kept = np.cumsum(kept) - 1
    folds_of_kept = []
    for index, fold in enumerate(schemed):
        parts = [index_among_kept[rows[kept[rows]]] for rows in (fold.training, fold.held_out)]
        if not all(map(len, parts)):
            raise InvalidArgumentError(
                f"got no rows of a weight above 0 in a part of fold {index} of cv. Pass fewer folds."
            )
        folds_of_kept.append(Fold(*parts))
    return folds_of_kept


def _random_folds(n_folds: int, blocks: Integers, seed: int) -> list[Fold]:
    """Folds with nearly equal numbers of held-out blocks, drawn at random."""
    if n_folds < 2:
        raise InvalidArgumentError(f"got cv={n_folds}. Pass 2 folds or more, or a splitter.")
    labels = np.unique(blocks)
    if len(labels) < n_folds:
        what = "rows" if len(labels) == len(blocks) else "separate blocks of rows"
        raise InvalidArgumentError(
            f"got {len(labels)} {what} for cv={n_folds} folds. Pass more rows, or fewer folds."
        )
    parts = np.array_split(generator(seed, "folds").permutation(labels), n_folds)
    is_held_out = [np.isin(blocks, part) for part in parts]
    return [Fold(np.flatnonzero(~of_rows), np.flatnonzero(of_rows)) for of_rows in is_held_out]


def _split(cv: Any, x: Any, y: Any, groups: Any, n_rows: int) -> list[Any]:
    """The pairs of row indices that a splitter makes; those of classes for one-hot targets.

    scikit-learn's splitters that stratify take classes of shape `(n_rows,)`, and refuse one-hot rows.
    """
    try:
        return list(cv.split(x, y, groups))
    except Exception as error:
        classes = _classes_of_one_hot(y)
        if classes is not None:
            return _split(cv, x, classes, groups, n_rows)
        stratifies = "Stratified" in type(cv).__name__
        remedy = (
            "It needs one class per row: pass the splits it makes of classes, "
            "cv=list(splitter.split(x, classes)), or a KFold."
            if stratifies and not _has_classes(y)
            else "Pass more rows, fewer folds, groups= where it needs them, or another scheme."
        )
        raise InvalidArgumentError(
            f"got cv={cv!r}, which can't split the {n_rows} rows ({reason_of(error)}). {remedy}"
        ) from error


def _classes_of_one_hot(y: Any) -> Integers | None:
    """`(n_rows,)` classes of one-hot rows; None for any other targets."""
    if isinstance(y, (dict, list, tuple)) or np.ndim(y) != 2 or np.shape(y)[1] < 2:
        return None
    values = np.asarray(y)
    is_one_hot = np.isin(values, (0, 1)).all() and np.all(values.sum(axis=1) == 1)
    return values.argmax(axis=1) if is_one_hot else None


def _has_classes(y: Any) -> bool:
    """Whether the targets are whole numbers, bools or texts, one per row."""
    values = None if isinstance(y, (dict, list, tuple)) else np.asarray(y)
    return (
        values is not None
        and values.ndim == 1
        and (values.dtype.kind != "f" or np.array_equal(values, np.round(values)))
    )


def _rows_for_splitter(x: Any, n_rows: int) -> Any:
    """The rows as the user passed them if they are one table, else `(n_rows, 1)` zeros."""
    is_table = hasattr(x, "shape") and len(x) == n_rows
    return x if is_table else np.zeros((n_rows, 1))


def _checked(index: int, pair: Any, n_rows: int) -> Fold:
    """A fold from a pair of row indices or masks; raises `InvalidArgumentError` for anything else."""
    try:
        training, held_out = (np.asarray(part) for part in pair)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"got {reprlib.repr(pair)} as fold {index} of cv. Pass pairs of row numbers (training, "
            "held_out)."
        ) from error
    training, held_out = (
        np.flatnonzero(rows) if rows.dtype == bool and rows.shape == (n_rows,) else rows
        for rows in (training, held_out)
    )
    for what, rows in (("training", training), ("held-out", held_out)):
        if rows.ndim != 1 or rows.dtype == bool:
            raise InvalidArgumentError(
                f"got {what} rows of shape {rows.shape} and type {rows.dtype} in fold {index} of cv. "
                f"Pass a list of row numbers, or a mask of {n_rows} booleans."
            )
        if not len(rows):
            raise InvalidArgumentError(
                f"got no {what} rows in fold {index} of cv. Pass a scheme with rows in both parts."
            )
        if rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= n_rows:
            raise InvalidArgumentError(
                f"got {what} rows in fold {index} of cv that are no row numbers from 0 to "
                f"{n_rows - 1}. Pass numbers of rows of x."
            )
    n_shared = len(np.intersect1d(training, held_out))
    if n_shared:
        raise InvalidArgumentError(
            f"got {n_shared} rows in fold {index} of cv that are trained on and held out. Held-out "
            "rows must be new to the model: leave them out of the training part."
        )
    return Fold(training.astype(np.int64), held_out.astype(np.int64))
