"""What the other columns don't say about a column: linear residuals of all columns from one inverse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from keras_importance.statistics.arrays import Floats, Integers, unit_weights

_RIDGES = 10.0 ** np.arange(-4, 4)
# The least ridge that predicts nearly as well as the best: a ridge leaves in the residuals some of what
# the other columns do say, a little too little of it only makes them noisier.
_TOLERANCE = np.log(1.1)
_PREDICTED_WELL = 1e-3  # predicting a column better than this counts no further
_MAX_TRIED = 200
_COLUMNS_AT_ONCE = 512
# Variation of a column relative to its mean that is rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Residuals:
    """What each column is beyond its mean given the columns of other groups.

    Attributes:
        values: `(n_rows, n_columns)` residuals, in the columns' units.
        scale: `(n_columns,)` what a residual is multiplied with to stand in for another row's: adding it
            to an estimated mean then spreads as the column itself does.
        ridge: the ridge that was chosen.
    """

    values: Floats
    scale: Floats
    ridge: float


def residuals(
    columns: Floats,
    groups: Sequence[Integers],
    weights: Floats | None = None,
    blocks: Integers | None = None,
) -> Residuals:
    """Residuals of each group of columns given all others, each row's by a fit without that row.

    Of the standardised columns `Z` one inverse serves every group `G`:

        P = (Z'Z / n + ridge I)^-1,  r_G = (Z P)_G P_GG^-1,  h = (1 + diag(Z P Z') - r_G P_GG r_G') / n,

    and `r_G / (1 - h)` is the residual by a fit that leaves the row out, without another fit: residuals
    of the rows that were fitted would be too small, all 0 where there are as many columns as rows. With
    more columns than rows the inverse is that of the `n x n` matrix `Z Z' / n + ridge I`, the same by
    Woodbury's identity, at a cost of `n² p`. The ridge is the least one, from 1e-4 to 1e3, that
    predicts nearly as well as the best.

    Args:
        columns: `(n_rows, n_columns)`.
        groups: for each group the numbers of its columns; every column belongs to one.
        weights: `(n_rows,)` weights of the rows, above 0; None for equal ones.
        blocks: `(n_rows,)` numbers of the blocks that are left out together, where rows of a block
            depend on one another; None for single rows.

    Source: Whittaker (1990), Graphical Models, 5.8; Cook & Weisberg (1982) for leaving out.
    """
    root = np.sqrt(unit_weights(weights, len(columns)))[:, None]
    z, unit = _standardised(columns, root)
    z *= root
    members = [] if blocks is None else _members(blocks)
    some = [groups[number] for number in _evenly(len(groups), _MAX_TRIED)]
    fit = _least_ridge(z, root[:, 0], some, members)
    values, scale = np.empty_like(z), np.ones(z.shape[1])
    for one in fit.left_out(groups):
        values[:, one.group] = one.values
        scale[one.group] = one.scale
    values *= unit
    values /= root
    return Residuals(values, scale, fit.ridge)


def _standardised(columns: Floats, root: Floats) -> tuple[Floats, Floats]:
    """Columns of mean 0 and variance 1, constant ones of 0, and the units they were in."""
    shares = np.square(root[:, 0]) / len(columns)
    mean = shares @ columns
    z = columns - mean
    unit = np.sqrt(np.einsum("n,np,np->p", shares, z, z))
    is_constant = unit <= _ROUNDING * np.abs(mean)
    unit[is_constant] = 1.0
    z[:, is_constant] = 0.0
    z /= unit
    return z, unit


def _members(blocks: Integers) -> list[Integers]:
    """For each size above 1 the rows of the blocks of that size, `(n_blocks, size)`."""
    order = np.argsort(blocks, kind="stable")
    _, first, sizes = np.unique(blocks[order], return_index=True, return_counts=True)
    return [
        order[first[sizes == size][:, None] + np.arange(size)] for size in np.unique(sizes) if size > 1
    ]


def _evenly(n: int, at_most: int) -> Integers:
    return np.unique(np.linspace(0, n - 1, min(n, at_most)).astype(np.int64))


def _least_ridge(
    z: Floats, root: Floats, groups: Sequence[Integers], members: Sequence[Integers]
) -> _Fit:
    """The fit of the least ridge whose left-out errors are near the smallest, for some of the groups."""
    inner = z.T @ z if z.shape[1] <= len(z) else z @ z.T
    values, vectors = np.linalg.eigh(inner / len(z))

    def fit(ridge: float) -> _Fit:
        return _Fit(z, root, values, vectors, ridge, members)

    errors = [_error(fit(ridge), groups) for ridge in _RIDGES]
    near = np.flatnonzero(np.array(errors) <= min(errors) + _TOLERANCE)
    return fit(float(_RIDGES[near[0]]))


def _error(fit: _Fit, groups: Sequence[Integers]) -> float:
    """Mean logarithm of the left-out errors."""
    squares = [np.mean(np.square(one.values)) for one in fit.left_out(groups)]
    return float(np.mean(np.log(np.array(squares) + _PREDICTED_WELL)))


@dataclass(frozen=True, eq=False)
class _Regression:
    """The regression of one group on all others.

    Attributes:
        group: the numbers of its columns.
        values: `(n_rows, n_columns)` residuals, each row's by a fit without it.
        noise: variance of the estimated means over that of the group's own noise.
    """

    group: Integers
    values: Floats
    noise: float

    @property
    def scale(self) -> float:
        """What makes an estimated mean plus another row's residual spread as the column does.

        The mean spreads by `noise` too much, and the residual by `1 + noise`.
        """
        return float(np.sqrt(max(0.0, (1 - self.noise) / (1 + self.noise))))


class _Fit:
    """All regressions of one ridge: one inverse of `Z'Z / n + ridge I` or `ZZ' / n + ridge I`.

    Args:
        z: `(n_rows, n_columns)` standardised columns, times the roots of the weights.
        root: `(n_rows,)` roots of the weights: the constant, which leaving a row out estimates anew.
        values: eigenvalues of the smaller of the two matrices.
        vectors: its eigenvectors.
        ridge: the ridge.
        members: `(n_blocks, n_rows)` rows that are left out together, blocks of one size after another;
            all others are left out by themselves.
    """

    def __init__(
        self,
        z: Floats,
        root: Floats,
        values: Floats,
        vectors: Floats,
        ridge: float,
        members: Sequence[Integers],
    ) -> None:
        self.ridge = ridge
        self._z = z
        self._constant = root / np.sqrt(len(root))
        self._members = members
        self._is_dual = z.shape[1] > len(z)
        self._inverse = (vectors / (values + ridge)) @ vectors.T
        # What P leaves of Z P is Z (P - ridge P²): a hat matrix shrinks what it has fitted.
        squared = (vectors / (values + ridge) ** 2) @ vectors.T
        self._shrunk = self._inverse - ridge * squared

    def left_out(self, groups: Sequence[Integers]) -> Iterator[_Regression]:
        """The regressions of the groups."""
        for some in _pieces(groups):
            columns = np.concatenate(some)
            both = self._times(self._inverse, columns), self._times(self._shrunk, columns)
            ends = np.cumsum([len(group) for group in some])
            for group, end in zip(some, ends, strict=True):
                yield self._of(group, *(one[:, end - len(group) : end] for one in both))

    def _of(self, group: Integers, u: Floats, fitted: Floats) -> _Regression:
        """The regression of a group, given `Z P` and `H Z P` in its columns.

        With `H` the hat matrix of all columns and the constant its own is `H - r P_GG r' / n`.
        """
        n, precision = len(u), self._precision(group, u)
        r = _solved(precision, u.T).T
        h = self._leverage - _of_rows(u, r) / n
        lengths = self._lengths - 2 / n * _of_rows(u, _solved(precision, fitted.T).T)
        lengths += _of_rows(u @ (r.T @ r), u) / n**2
        noise = np.mean((lengths - h**2) / (1 - h) ** 2)
        return _Regression(group, self._without(r, u, h), max(0.0, float(noise)))

    def _times(self, inner: Floats, columns: Integers) -> Floats:
        if self._is_dual:
            return np.asarray(inner @ self._z[:, columns])
        return np.asarray(self._z @ inner[:, columns])

    def _precision(self, group: Integers, u: Floats) -> Floats:
        """`P` in the columns of a group."""
        if not self._is_dual:
            return np.asarray(self._inverse[np.ix_(group, group)])
        return np.asarray((np.eye(len(group)) - self._z[:, group].T @ u / len(u)) / self.ridge)

    def _without(self, r: Floats, u: Floats, h: Floats) -> Floats:
        """Residuals by fits that leave out the row, or the whole block of it."""
        found = np.asarray(r / (1 - h)[:, None])
        for rows, hat in zip(self._members, self._hat_in_blocks, strict=True):
            own = hat - u[rows] @ r[rows].transpose(0, 2, 1) / len(r)
            found[rows] = _solved(np.eye(rows.shape[1]) - own, r[rows])
        return found

    @cached_property
    def _hat_in_blocks(self) -> list[Floats]:
        """The hat matrix of all columns and the constant, within each block."""
        return [self._hat(rows) for rows in self._members]

    def _hat(self, rows: Integers) -> Floats:
        constant = self._constant[rows]
        outer = constant[:, :, None] * constant[:, None, :]
        if self._is_dual:
            inverse = self._inverse[rows[:, :, None], rows[:, None, :]]
            return np.asarray(outer + np.eye(rows.shape[1]) - self.ridge * inverse)
        z = self._z[rows]
        return np.asarray(outer + z @ self._inverse @ z.transpose(0, 2, 1) / len(self._z))

    @cached_property
    def _leverage(self) -> Floats:
        """Diagonal of the hat matrix of all columns and the constant."""
        if self._is_dual:
            return np.asarray(self._constant**2 + 1 - self.ridge * np.diagonal(self._inverse))
        fitted = _of_rows(self._z @ self._inverse, self._z) / len(self._z)
        return np.asarray(self._constant**2 + fitted)

    @cached_property
    def _lengths(self) -> Floats:
        """Squared lengths of its rows."""
        if self._is_dual:
            hat = np.eye(len(self._inverse)) - self.ridge * self._inverse
            return np.asarray(self._constant**2 + _of_rows(hat, hat))
        fitted = _of_rows(self._z @ self._shrunk, self._z) / len(self._z)
        return np.asarray(self._constant**2 + fitted)


def _of_rows(left: Floats, right: Floats) -> Floats:
    """Inner products of the rows."""
    return np.asarray(np.einsum("np,np->n", left, right))


def _solved(matrix: Floats, right: Floats) -> Floats:
    return np.asarray(np.linalg.solve(matrix, right))


def _pieces(groups: Sequence[Integers]) -> Iterator[list[Integers]]:
    """The groups, as many at once as fill a matrix product without filling memory."""
    piece: list[Integers] = []
    for group in groups:
        if piece and sum(map(len, piece)) + len(group) > _COLUMNS_AT_ONCE:
            yield piece
            piece = []
        piece.append(group)
    if piece:
        yield piece
