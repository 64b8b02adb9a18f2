"""Interactions: score tests with products of slopes and linear functions of the other features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from keras_importance.statistics.arrays import Array, Floats, Integers, Singles, generator
from keras_importance.statistics.score_test import ScoreTest, upper_tail
from keras_importance.verdicts.feature_values import Columns

_MAX_PRODUCTS = 256
# Neighbours share most of the other features; below so many features or lines it isn't worth it.
_MOST_AT_ONCE = 128
_MOST_NEIGHBOURS, _FEWEST_NEIGHBOURS = 16, 4
_FEW_LINES = 32


@dataclass(frozen=True, eq=False)
class _Neighbours:
    """Features next to one another, whose linear functions of the others differ in a few columns.

    The inner products of the rows' functions are `P P' + Z N Z'`, with `P` and `N` for all of them.

    Attributes:
        indices: indices of the features.
        common: `(n_rows, n_columns)` columns `P`.
        squares: `(n_rows, n_rows)` squares of `P P'`.
        moving: for each feature the `(n_rows, z)` columns `Z`.
        inner: `(z, z)` matrix `N`.
        shared: the columns that `moving` is taken from; None where no feature shares any.
        kept: for each feature which of the shared columns are its `Z`.
    """

    indices: list[int]
    common: Singles
    squares: Singles
    moving: list[Singles]
    inner: Singles
    shared: Singles | None = None
    kept: Sequence[Integers] = ()


class Interactions:
    """Tests the products of slopes with linear functions of the other features.

    The linear functions are the lines of the other features. If there would be more than 256 products,
    they are projected on random directions first, the same in each evaluation.

    Args:
        lines: linear functions of each feature.
        seed: seed of the random directions.
    """

    def __init__(self, lines: Columns, seed: int) -> None:
        self._lines = lines
        self._seed = seed
        self._signs_of: dict[int, Singles] = {}

    def p_values(self, tests: dict[int, ScoreTest], slopes: Sequence[Singles]) -> dict[int, float]:
        """The p-value of each feature, by its index.

        Args:
            tests: for each index of a feature, the test with its functions.
            slopes: for each of the features `(n_rows, n_slopes)` slopes.
        """
        of_index = dict(zip(tests, slopes, strict=True))
        at_once: dict[int, float] = {}
        n_lines = self._lines.columns.shape[1]
        are_single = all(of_feature.shape[1] == 1 for of_feature in slopes)
        has_blocks = any(test.blocks is not None for test in tests.values())
        if are_single and not has_blocks and n_lines > _FEW_LINES:
            for neighbours in self._neighbours(sorted(tests)):
                at_once |= _p_values_of(neighbours, tests, of_index)
        return {
            index: at_once[index] if index in at_once else self._plain(index, test, of_index[index])
            for index, test in tests.items()
        }

    def _plain(self, index: int, test: ScoreTest, slopes: Singles) -> float:
        others = self._others(index, max(1, _MAX_PRODUCTS // slopes.shape[1]))
        return test.p_value((slopes[:, :, None] * others[:, None]).reshape(len(slopes), -1))

    def _others(self, index: int, at_most: int) -> Singles:
        """`(n_rows, n_columns)` lines of the others, projected on `at_most` directions if more."""
        lines, (first, end) = self._lines.columns, self._lines.span(index)
        n_others = lines.shape[1] - (end - first)
        if n_others <= at_most:
            return np.concatenate([lines[:, :first], lines[:, end:]], axis=1)
        signs = self._signs(at_most)
        product = lines[:, :first] @ signs[:first] + lines[:, end:] @ signs[first:n_others]
        return np.asarray(product * np.float32(n_others**-0.5))

    def _signs(self, n_directions: int) -> Singles:
        """`(n_lines, n_directions)` random signs."""
        if n_directions not in self._signs_of:
            signs = random_signs(self._seed, self._lines.columns.shape[1], n_directions)
            self._signs_of[n_directions] = signs.astype(np.float32)
        return self._signs_of[n_directions]

    # --- many features at once ------------------------------------------------------------------

    def _neighbours(self, indices: list[int]) -> Iterator[_Neighbours]:
        """The features in groups of neighbours; features without enough neighbours are left out."""
        n_lines = self._lines.columns.shape[1]
        projected = []
        for index in indices:
            first, end = self._lines.span(index)
            if n_lines - (end - first) > _MAX_PRODUCTS:
                projected.append(index)
        direct = sorted(set(indices) - set(projected))
        for at in range(0, len(direct), _MOST_AT_ONCE):
            yield self._direct(direct[at : at + _MOST_AT_ONCE])
        for run in self._runs(projected):
            yield self._projected(run)

    def _runs(self, indices: Sequence[int]) -> Iterator[list[int]]:
        """Runs of consecutive indices of features with as many lines each."""
        run: list[int] = []
        for index in [*indices, -1]:
            follows = bool(run) and index == run[-1] + 1
            if follows and len(run) < _MOST_NEIGHBOURS and self._width(index) == self._width(run[0]):
                run.append(index)
                continue
            if len(run) >= _FEWEST_NEIGHBOURS:
                yield run
            run = [index]

    def _width(self, index: int) -> int:
        first, end = self._lines.span(index)
        return end - first

    @cached_property
    def _squares(self) -> Singles:
        """`(n_rows, n_rows)` squares of the inner products of the rows' lines."""
        return np.asarray(np.square(self._lines.columns @ self._lines.columns.T))

    def _direct(self, indices: list[int]) -> _Neighbours:
        """The inner products of the lines of all features, less those of the feature's own."""
        width = max(map(self._width, indices))
        moving = [_padded(self._lines.of(index), width) for index in indices]
        inner = -np.eye(width, dtype=np.float32)
        return _Neighbours(indices, self._lines.columns, self._squares, moving, inner)

    def _projected(self, indices: list[int]) -> _Neighbours:
        """The inner products of the projected lines of all others.

        The other lines meet the signs in their order. So those before and behind all neighbours meet the
        same signs whichever neighbour is left out. With `L` the lines of the other neighbours and `R`
        their signs the projection is `P + L R`.
        """
        lines, signs = self._lines.columns, self._signs(_MAX_PRODUCTS)
        first, end = self._lines.span(indices[0])[0], self._lines.span(indices[-1])[1]
        width = self._width(indices[0])
        rest = signs[end - width : lines.shape[1] - width]
        common = lines[:, :first] @ signs[:first] + lines[:, end:] @ rest
        of_own = signs[first : end - width]
        shared = np.concatenate([lines[:, first:end], common @ of_own.T], axis=1)
        kept = [
            np.delete(np.arange(shared.shape[1]), np.s_[at : at + width])
            for at in range(0, end - first, width)
        ]
        moving = [shared[:, columns] for columns in kept]
        unit = np.eye(len(of_own), dtype=np.float32)
        inner = np.block([[of_own @ of_own.T, unit], [unit, 0 * unit]])
        squares = np.square(common @ common.T)
        return _Neighbours(indices, common, squares, moving, inner, shared, kept)


def _p_values_of(
    neighbours: _Neighbours, tests: dict[int, ScoreTest], slopes: dict[int, Singles]
) -> dict[int, float]:
    """The p-value of each of the neighbours, by its index; see `ScoreTest` for the moments.

    With `s` the slopes, `w` their squares and `K = P P' + Z N Z'`, the products `G` have

        tr(G' G) = sum_i w_i K_ii
        ||G' G||² = sum_ik w_i w_k K_ik²
        ||b' G||² = (s b)' K (s b)

    for a function `b`. Subtracting the means `m` of the products gives `tr(G' G) - n m'm` and
    `||G' G||² - 2 n m' G' G m + n² (m'm)²`. Products of all neighbours together are few and large.
    """
    indices, common, inner = neighbours.indices, neighbours.common, neighbours.inner
    n_rows, z = len(common), len(inner)
    s = np.stack([slopes[index][:, 0] for index in indices])
    w = np.square(s)
    ones = np.ones((n_rows, 1), np.float32)
    given = [
        np.concatenate(
            [moving * of_w[:, None], tests[index].basis * of_s[:, None], ones * of_s[:, None]], axis=1
        )
        for index, moving, of_w, of_s in zip(indices, neighbours.moving, w, s, strict=True)
    ]
    ends = np.cumsum([of_feature.shape[1] for of_feature in given])[:-1]
    joined = np.concatenate(given, axis=1)
    by_common = np.split(common.T @ joined, ends, axis=1)
    by_moving = _by_moving(neighbours, given, joined, ends)
    of_inner = [inner @ of_feature for of_feature in by_moving]
    whole = _dot(w @ neighbours.squares, w)
    diagonal = w.astype(np.float64) @ _dot(common, common)
    images = common @ np.stack([of_feature[:, -1] for of_feature in by_common], axis=1)
    images += _moved(neighbours, [of_feature[:, -1] for of_feature in of_inner])
    p_values = {}
    for k, index in enumerate(indices):
        across, turned = by_common[k], of_inner[k][:, :z]
        square = whole[k] + 2 * _dot(inner, across[:, :z].T @ across[:, :z]).sum()
        square += _dot(turned, turned.T).sum()
        of_functions, of_own = across[:, z:].T, by_moving[k][:, z:].T
        lengths = _dot(of_functions, of_functions) + _dot(of_own, of_inner[k][:, z:].T)
        of_means = lengths[-1] / n_rows
        image = s[k] * images[:, k]
        square += of_means**2 - 2 * _dot(image[None], image[None])[0] / n_rows
        trace = diagonal[k] + np.trace(turned, dtype=np.float64) - of_means
        test = tests[index]
        mean, variance = test.trace * trace / n_rows, 2 * test.square * square / n_rows**2
        p_values[index] = upper_tail(float(lengths[:-1].sum()) / n_rows, float(mean), float(variance))
    return p_values


def _by_moving(
    neighbours: _Neighbours, given: Sequence[Singles], joined: Singles, ends: Integers
) -> list[Array]:
    """For each feature the products of its moving columns with what is given for it."""
    if neighbours.shared is None:
        return [
            moving.T @ of_feature for moving, of_feature in zip(neighbours.moving, given, strict=True)
        ]
    by_shared = np.split(neighbours.shared.T @ joined, ends, axis=1)
    return [of_feature[kept] for of_feature, kept in zip(by_shared, neighbours.kept, strict=True)]


def _moved(neighbours: _Neighbours, weights: Sequence[Array]) -> Array:
    """`(n_rows, n_features)` sums of each feature's moving columns times its `(z,)` weights."""
    if neighbours.shared is None:
        pairs = zip(neighbours.moving, weights, strict=True)
        return np.stack([moving @ of_feature for moving, of_feature in pairs], axis=1)
    every = np.zeros((neighbours.shared.shape[1], len(weights)), np.float32)
    for k, (kept, of_feature) in enumerate(zip(neighbours.kept, weights, strict=True)):
        every[kept, k] = of_feature
    return np.asarray(neighbours.shared @ every)


def _dot(left: Singles, right: Singles) -> Floats:
    """`(n,)` sums of the products of the rows of two matrices, in float64."""
    return np.asarray(np.einsum("ij,ij->i", left, right, dtype=np.float64))


def _padded(columns: Singles, width: int) -> Singles:
    return np.pad(columns, ((0, 0), (0, width - columns.shape[1])))


def random_signs(seed: int, n: int, n_directions: int) -> Floats:
    """`(n, n_directions)` random signs; fewer rows are the first rows of more."""
    return np.asarray(generator(seed, "directions").choice([-1.0, 1.0], (n, n_directions)))
