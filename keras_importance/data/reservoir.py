"""A random sample of fixed size of rows that arrive in batches, stratified for classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_importance.data.arrays import leaves_of, mapped
from keras_importance.data.unequal_lengths import Padding, PaddingValues, common_shape, padded
from keras_importance.statistics.arrays import Array, Floats, Integers

_MAX_CLASSES = 100
# Rows of a class that are kept beyond the expected number: so many of its standard deviations, and rows.
_SPARE_DEVIATIONS = 6
_SPARE_ROWS = 10
# Rows that aren't needed are dropped once the rows in memory are this many times the needed ones.
_SLACK = 1.25


class Reservoir:
    """A random sample of at most `size` rows without replacement, kept in their order.

    Every row draws a key, and the rows with the smallest keys are the sample. It depends on the order of
    the rows and on the seed, not on the batches in which they arrive. At most a few times the sample
    is in memory.

    If the targets are classes, the sample is stratified: each class has the same fraction of the sample
    as of all rows, rounded by largest remainders. Classes are a single target of whole numbers,
    booleans or texts of shape `(n,)` or `(n, 1)`, or of one-hot rows, with at most 100 distinct values.
    Means over the sample are unbiased up to the rounding. Standard errors for a simple random sample
    are slightly too large: they include the differences between the means of classes, which do not
    vary here.

    Source: Cochran (1977), Sampling Techniques, chapter 5.

    Attributes:
        n_seen: how many rows were added so far.
        size: how many rows to keep; None for all.
        padding: how rows of unequal lengths are padded.

    Args:
        size: how many rows to keep; None keeps all.
        rng: source of the keys.
        padding: the value of padded steps.
    """

    def __init__(self, size: int | None, rng: np.random.Generator, padding: PaddingValues = 0.0) -> None:
        self.size = size
        self.padding = Padding(padding)
        self.n_seen = 0
        self._rng = rng
        self._classes = _Classes()
        # Each part: keys, positions, labels and a nest of rows, all of one length.
        self._parts: list[tuple[Floats, Integers, Integers, Any]] = []
        self._fill: Any = None
        self._bounds = np.full(_MAX_CLASSES, np.inf)
        self._n_kept = 0
        self._limit = 2.0 * (size or 0)

    def add(self, rows: Any, targets: Any, n_rows: int, fill: Any) -> None:
        """Adds the next rows.

        Args:
            rows: a nest of arrays.
            targets: their targets, a nest of arrays.
            n_rows: how many rows there are.
            fill: the nest of the values of their padded steps.
        """
        self._fill = fill
        if not n_rows:
            return
        keys = self._rng.random(n_rows)
        positions = np.arange(self.n_seen, self.n_seen + n_rows)
        labels = self._classes.labels(None if self.size is None else targets, n_rows)
        part = (keys, positions, labels, rows)
        self.n_seen += n_rows
        kept = np.flatnonzero(keys <= self._bounds[labels])
        if len(kept) < n_rows:
            part = mapped(lambda leaf: leaf[kept], part)
        if len(kept):
            self._parts.append(part)
            self._n_kept += len(kept)
        if self.size is not None and self._n_kept > self._limit:
            self._shrink(self.size)

    def rows(self) -> tuple[Any, Integers]:
        """The nest of the sampled rows, and their `(n_rows,)` positions in the source."""
        keys, labels = self._keys(), self._labels()
        if self.size is None or self.n_seen <= self.size:
            kept = np.arange(len(keys))
        else:
            ranks, counts = _ranks(keys, labels), self._classes.counts
            kept = np.flatnonzero(ranks < _quotas(counts, self.size, keys, labels)[labels])
        if len(self._parts) > 1 or len(kept) < len(keys):
            self._keep(kept)
        _, positions, _, rows = self._parts[0]
        return rows, positions

    def _shrink(self, size: int) -> None:
        """Drops the rows that can no longer become part of a sample of this size."""
        keys, labels = self._keys(), self._labels()
        needed = size * self._classes.counts / self.n_seen
        if self._classes.are_known:
            needed = np.ceil(needed + _SPARE_DEVIATIONS * np.sqrt(needed) + _SPARE_ROWS)
        ranks = _ranks(keys, labels)
        last = ranks == needed[labels] - 1
        self._bounds = np.full(_MAX_CLASSES, np.inf)
        self._bounds[labels[last]] = keys[last]
        self._keep(np.flatnonzero(ranks < needed[labels]))
        self._limit = _SLACK * self._n_kept + 1

    def _keys(self) -> Floats:
        return np.concatenate([keys for keys, _, _, _ in self._parts])

    def _labels(self) -> Integers:
        """Labels of all rows that are kept; zeros if later targets turned out to be no classes."""
        labels = np.concatenate([labels for _, _, labels, _ in self._parts])
        return labels if self._classes.are_known else np.zeros_like(labels)

    def _keep(self, kept: Integers) -> None:
        """Joins the parts, and keeps the rows of these indices, in ascending order."""
        ends = np.cumsum([len(keys) for keys, _, _, _ in self._parts])
        of_part = np.split(kept, np.searchsorted(kept, ends[:-1]))
        starts = [0, *ends[:-1]]
        rows_of_part = [rows - start for rows, start in zip(of_part, starts, strict=True)]
        is_before = self.padding.is_before
        self._parts = [
            mapped(
                lambda fill, *leaves: _joined(leaves, rows_of_part, fill, is_before=is_before),
                (0.0, 0, 0, self._fill),
                *self._parts,
            )
        ]
        self._n_kept = len(kept)


class _Classes:
    """Labels 0, 1, ... for the classes of targets that arrive in batches.

    Attributes:
        are_known: whether all targets so far are classes; else all rows have the label 0.
        counts: `(100,)` how many rows of each label there were.
    """

    def __init__(self) -> None:
        self.are_known = True
        self.counts = np.zeros(_MAX_CLASSES, np.int64)
        self._label_of: dict[Any, int] = {}

    def labels(self, targets: Any, n_rows: int) -> Integers:
        """`(n_rows,)` the label of each row."""
        values = _class_values(targets) if self.are_known else None
        labels = None if values is None else self._labelled(values)
        if labels is None:
            self.are_known = False
            self.counts[0], self.counts[1:] = self.counts.sum(), 0
            labels = np.zeros(n_rows, np.int64)
        self.counts += np.bincount(labels, minlength=_MAX_CLASSES)
        return labels

    def _labelled(self, values: Array) -> Integers | None:
        """The labels of values; None for more than 100 classes."""
        distinct, inverse = np.unique(values, return_inverse=True)
        if len(distinct) > _MAX_CLASSES:
            return None
        for value in distinct.tolist():
            self._label_of.setdefault(value, len(self._label_of))
        if len(self._label_of) > _MAX_CLASSES:
            return None
        return np.array([self._label_of[value] for value in distinct.tolist()], np.int64)[inverse]


def _class_values(targets: Any) -> Array | None:
    """`(n_rows,)` values that are equal within a class; None for targets that are no classes."""
    leaves = [leaf for leaf in leaves_of(targets) if leaf is not None]
    if len(leaves) != 1 or leaves[0].ndim > 2:
        return None
    values: Array = leaves[0]
    if values.ndim == 2 and values.shape[1] != 1:
        is_one_hot = (
            values.dtype.kind in "fiub"
            and np.all((values == 0) | (values == 1))
            and np.all(values.sum(axis=1) == 1)
        )
        return np.asarray(values.argmax(axis=1), np.int64) if is_one_hot and values.size else None
    values = values.reshape(-1)
    if values.dtype.kind == "f" and not np.array_equal(values, np.round(values)):
        return None
    return values.astype(str) if values.dtype.kind == "O" else values


def _ranks(keys: Floats, labels: Integers) -> Integers:
    """`(n_rows,)` rank of each key among those of its label, from 0."""
    order = np.lexsort((keys, labels))
    counts = np.bincount(labels)
    ranks = np.empty(len(keys), np.int64)
    ranks[order] = np.arange(len(keys)) - np.repeat(np.cumsum(counts) - counts, counts)
    return ranks


def _quotas(counts: Integers, size: int, keys: Floats, labels: Integers) -> Integers:
    """`(n_classes,)` how many rows of each class are in a sample of `size`, by largest remainders.

    Among equal remainders the class with the smallest key, which is random, comes first.

    Args:
        counts: `(n_classes,)` how many rows of each class there were.
        size: size of the sample.
        keys: random keys of the rows.
        labels: classes of the rows.
    """
    quotas, remainders = np.divmod(size * counts, counts.sum())
    smallest = np.full(len(counts), np.inf)
    np.minimum.at(smallest, labels, keys)
    order = np.lexsort((smallest, -remainders))
    quotas[order[: size - quotas.sum()]] += 1
    return quotas


def _joined(
    leaves: tuple[Array, ...], rows_of_leaf: list[Integers], fill: Any, *, is_before: bool
) -> Array:
    """Some rows of each array, padded to one shape and concatenated without a copy of all rows.

    Raises:
        NotEvaluableError: for arrays whose rows differ in rank.
    """
    shape = common_shape(leaves)
    dtype = np.result_type(*leaves)
    joined = np.empty((sum(map(len, rows_of_leaf)), *shape), dtype)
    start = 0
    for leaf, rows in zip(leaves, rows_of_leaf, strict=True):
        joined[start : start + len(rows)] = padded(leaf[rows], shape, fill, is_before=is_before)
        start += len(rows)
    return joined
