"""Interactions: score tests with products of slopes and linear functions of the other features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from keras_importance.statistics.arrays import Floats, Singles, generator
from keras_importance.statistics.score_test import ScoreTest, upper_tail
from keras_importance.verdicts.feature_values import Columns

_MAX_PRODUCTS = 256
# Neighbours share most of the other features; below so many features or lines it isn't worth it.
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
    """

    indices: list[int]
    common: Singles
    squares: Singles
    moving: list[Singles]
    inner: Singles


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
        is_plain = any(of_one.shape[1] > 1 or tests[i].blocks is not None for i, of_one in of_index.items())
        if not is_plain and n_lines > _FEW_LINES:
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
        """`(n_rows, n_columns)` lines of the other features, projected on `at_most` directions if more."""
        lines, (first, end) = self._lines.columns, self._lines.span(index)
        n_others = lines.shape[1] - (end - first)
        if n_others <= at_most:
            return np.concatenate([lines[:, :first], lines[:, end:]], axis=1)
        signs = self._signs(at_most)
        product = lines[:, :first] @ signs[:first] + lines[:, end:] @ signs[first:n_others]
        return product * np.float32(n_others**-0.5)

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
        for at in range(0, len(direct), _MOST_NEIGHBOURS):
            yield self._direct(direct[at : at + _MOST_NEIGHBOURS])
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
        return np.square(self._lines.columns @ self._lines.columns.T)

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
        met = common @ of_own.T
        moving = [
            np.concatenate([np.delete(lines[:, first:end], np.s_[at : at + width], axis=1), met], axis=1)
            for at in range(0, end - first, width)
        ]
        unit = np.eye(len(of_own), dtype=np.float32)
        inner = np.block([[of_own @ of_own.T, unit], [unit, 0 * unit]])
        return _Neighbours(indices, common, np.square(common @ common.T), moving, inner)


def _p_values_of(
    neighbours: _Neighbours, tests: dict[int, ScoreTest], slopes: dict[int, Singles]
) -> dict[int, float]:
    """The p-value of each of the neighbours, by its index; see `ScoreTest` for the moments.

    With `s` the slopes, `w` their squares and `K = P P' + Z N Z'`, the products `G` have

        tr(G' G) = sum_i w_i K_ii
        ||G' G||² = sum_ik w_i w_k K_ik²
        ||b' G||² = (s b)' K (s b)

    for a function `b`. Subtracting the means `m` of the products gives `tr(G' G) - n m'm` and
    `||G' G||² - 2 n m' G' G m + n² (m'm)²`.
    """
    indices, common, inner = neighbours.indices, neighbours.common, neighbours.inner
    n_rows, n_features = len(common), len(indices)
    s = np.stack([slopes[index][:, 0] for index in indices])
    w = np.square(s)
    moving = np.stack(neighbours.moving)
    z = moving.shape[2]
    weighted = w[:, :, None] * moving
    ones = np.ones((n_rows, 1), np.float32)
    functions = [np.concatenate([tests[index].basis, ones], axis=1) for index in indices]
    ends = np.cumsum([of_one.shape[1] for of_one in functions])
    given = np.concatenate(
        [*weighted, *(of_one * of_s[:, None] for of_one, of_s in zip(functions, s, strict=True))], axis=1
    )
    by_common = common.T @ given
    whole = _dot(w @ neighbours.squares, w)
    diagonal = w.astype(np.float64) @ _dot(common, common)
    sums = by_common[:, n_features * z + ends - 1]
    image = common @ sums
    p_values = {}
    for k, index in enumerate(indices):
        own = weighted[k].T @ moving[k]
        turned = inner @ own
        across = by_common[:, k * z : (k + 1) * z]
        square = whole[k] + 2 * _dot(inner, across.T @ across).sum() + _dot(turned, turned.T).sum()
        trace = float(diagonal[k]) + float(np.trace(turned))
        columns = slice(n_features * z + ends[k] - functions[k].shape[1], n_features * z + ends[k])
        by_moving = moving[k].T @ given[:, columns]
        of_inner = inner @ by_moving
        lengths = _dot(by_common[:, columns].T, by_common[:, columns].T) + _dot(by_moving.T, of_inner.T)
        of_means = float(lengths[-1])
        products = s[k] * (image[:, k] + moving[k] @ of_inner[:, -1])
        square += -2 * float(_dot(products[None], products[None])[0]) / n_rows + (of_means / n_rows) ** 2
        trace -= of_means / n_rows
        test = tests[index]
        mean, variance = test.trace * trace / n_rows, 2 * test.square * square / n_rows**2
        p_values[index] = upper_tail(float(lengths[:-1].sum()) / n_rows, mean, variance)
    return p_values


def _dot(left: Singles, right: Singles) -> Floats:
    """`(n,)` sums of the products of the rows of two matrices, in float64."""
    return np.asarray(np.einsum("ij,ij->i", left, right, dtype=np.float64))


def _padded(columns: Singles, width: int) -> Singles:
    return np.pad(columns, ((0, 0), (0, width - columns.shape[1])))


def random_signs(seed: int, n: int, n_directions: int) -> Floats:
    """`(n, n_directions)` random signs; fewer rows are the first rows of more."""
    return np.asarray(generator(seed, "directions").choice([-1.0, 1.0], (n, n_directions)))
