"""Residuals of columns in linear regressions on all other columns, from one matrix inverse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from keras_importance.statistics.arrays import Floats, Integers, unit_weights

_RIDGES = 10.0 ** np.arange(-4, 4)
# The least ridge within 10% of the best error is taken: a ridge too large leaves in the residuals what
# the other columns predict, a ridge too small only makes them noisier.
_TOLERANCE = np.log(1.1)
_PREDICTED_WELL = 1e-3  # predicting a column better than this counts no further
_MAX_TRIED = 200
_COLUMNS_AT_ONCE = 512
# A column that varies less than this, relative to its mean, is constant up to rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Residuals:
    """The columns minus their predictions from the columns of other groups.

    Attributes:
        values: `(n_rows, n_columns)` residuals, in the columns' units.
        scale: `(n_columns,)` factor for residuals that are added to the predictions of other rows, so
            that the sums have the variance of the column.
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
    """Residuals of each group of columns given all others; each row's come from a fit without it.

    With `Z` the `(n, p)` standardised columns, one inverse serves every group `G`:

        P = (Z'Z / n + ridge I)^-1                          inverse of all columns
        r = (Z P)_G P_GG^-1                                 residuals of the fit with all rows
        h = (1 + diag(Z P Z') - diag(r P_GG r')) / n        leverages of that fit
        r / (1 - h)                                         residuals of the fits without the row

    Without `1 - h` the residuals would be too small: all 0 with as many columns as rows. With more
    columns than rows, the inverse of the `n x n` matrix `Z Z' / n + ridge I` gives the same by
    Woodbury's identity, at a cost of `n² p`. The ridge is the least one, from 1e-4 to 1e3, that
    predicts nearly as well as the best.

    Args:
        columns: `(n_rows, n_columns)`.
        groups: for each group the indices of its columns; every column belongs to one group.
        weights: `(n_rows,)` weights of the rows, above 0; None for equal ones.
        blocks: `(n_rows,)` blocks of rows that depend on one another, which are left out together; None
            for independent rows.

    Source: Whittaker (1990), Graphical Models, 5.8; Cook & Weisberg (1982) for leaving out.
    """
    root = np.sqrt(unit_weights(weights, len(columns)))[:, None]
    z, unit = _standardised(columns, root)
    z *= root
    members = [] if blocks is None else _members(blocks)
    tried = [groups[index] for index in _evenly(len(groups), _MAX_TRIED)]
    fit = _least_ridge(z, root[:, 0], tried, members)
    values, scale = np.empty_like(z), np.ones(z.shape[1])
    for regression in fit.left_out(groups):
        values[:, regression.group] = regression.values
        scale[regression.group] = regression.scale
    values *= unit
    values /= root
    return Residuals(values, scale, fit.ridge)


def _standardised(columns: Floats, root: Floats) -> tuple[Floats, Floats]:
    """The columns with weighted mean 0 and variance 1, and their standard deviations.

    A constant column becomes 0, with 1 for its standard deviation.

    Args:
        columns: `(n_rows, n_columns)`.
        root: `(n_rows, 1)` roots of the weights of mean 1.
    """
    fractions = np.square(root[:, 0]) / len(columns)
    mean = fractions @ columns
    z = columns - mean
    unit = np.sqrt(np.einsum("n,np,np->p", fractions, z, z))
    is_constant = unit <= _ROUNDING * np.abs(mean)
    unit[is_constant] = 1.0
    z[:, is_constant] = 0.0
    z /= unit
    return z, unit


def _members(blocks: Integers) -> list[Integers]:
    """For each size of blocks above 1, the `(n_blocks, size)` rows of the blocks of that size."""
    order = np.argsort(blocks, kind="stable")
    _, first, sizes = np.unique(blocks[order], return_index=True, return_counts=True)
    return [
        order[first[sizes == size][:, None] + np.arange(size)] for size in np.unique(sizes) if size > 1
    ]


def _evenly(n: int, at_most: int) -> Integers:
    """At most `at_most` indices from 0 to `n - 1`, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, at_most)).astype(np.int64))


def _least_ridge(
    z: Floats, root: Floats, groups: Sequence[Integers], members: Sequence[Integers]
) -> _Fit:
    """The fit with the least ridge whose error, over the given groups, is near the smallest."""
    inner = z.T @ z if z.shape[1] <= len(z) else z @ z.T
    values, vectors = np.linalg.eigh(inner / len(z))

    def fit(ridge: float) -> _Fit:
        return _Fit(z, root, values, vectors, ridge, members)

    errors = [_error(fit(ridge), groups) for ridge in _RIDGES]
    near = np.flatnonzero(np.array(errors) <= min(errors) + _TOLERANCE)
    return fit(float(_RIDGES[near[0]]))


def _error(fit: _Fit, groups: Sequence[Integers]) -> float:
    """Mean over groups of the logarithm of the mean squared residual."""
    squares = [np.mean(np.square(regression.values)) for regression in fit.left_out(groups)]
    return float(np.mean(np.log(np.array(squares) + _PREDICTED_WELL)))


@dataclass(frozen=True, eq=False)
class _Regression:
    """The regression of one group on all others.

    Attributes:
        group: the indices of its columns.
        values: `(n_rows, n_columns)` residuals; each row's come from a fit without it.
        noise: variance of the predictions that comes from estimating the fit, as a multiple of the
            variance of the residuals.
    """

    group: Integers
    values: Floats
    noise: float

    @property
    def scale(self) -> float:
        """Factor `f` with which a prediction plus `f` times another residual has the column's variance.

        In units of the true residual variance, the variance of a prediction is too large by `noise`,
        and the variance of a residual is `1 + noise`. So `noise + f² (1 + noise) = 1`, or
        `f² = (1 - noise) / (1 + noise)`.
        """
        return float(np.sqrt(max(0.0, (1 - self.noise) / (1 + self.noise))))


class _Fit:
    """All regressions with one ridge, from one inverse of `Z'Z / n + ridge I` or `ZZ' / n + ridge I`.

    `H` is the hat matrix of a fit on all columns and the constant.

    Args:
        z: `(n_rows, n_columns)` standardised columns, times the roots of the weights.
        root: `(n_rows,)` roots of the weights: the column of the constant, which is estimated too.
        values: eigenvalues of the smaller of the two matrices.
        vectors: its eigenvectors.
        ridge: the ridge.
        members: for each size of blocks the `(n_blocks, size)` rows that are left out together; all
            other rows are left out alone.
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
        # H Z P = Z (P - ridge P²).
        squared = (vectors / (values + ridge) ** 2) @ vectors.T
        self._shrunk = self._inverse - ridge * squared

    def left_out(self, groups: Sequence[Integers]) -> Iterator[_Regression]:
        """The regressions of the groups, one after the other."""
        for piece in _pieces(groups):
            columns = np.concatenate(piece)
            zp, hzp = self._times(self._inverse, columns), self._times(self._shrunk, columns)
            ends = np.cumsum([len(group) for group in piece])
            for group, end in zip(piece, ends, strict=True):
                own = slice(end - len(group), end)
                yield self._of(group, zp[:, own], hzp[:, own])

    def _of(self, group: Integers, u: Floats, hu: Floats) -> _Regression:
        """The regression of a group `G` on all other columns.

            (1)  r = u P_GG^-1                                      residuals, with u = (Z P)_G
            (2)  H_G = H - u r' / n                                 hat matrix of this regression
            (3)  h_i = H_ii - u_i r_i' / n                          its diagonal
            (4)  l_i = ||H_i||² - 2 (H u)_i r_i' / n
                       + u_i (r'r) u_i' / n²                        squared lengths of its rows
            (5)  noise = mean over i of (l_i - h_i²) / (1 - h_i)²   of predictions without the row

        Args:
            group: indices of its columns.
            u: `(n_rows, n_columns)` `Z P` in these columns.
            hu: `(n_rows, n_columns)` `H Z P` in these columns.
        """
        n, precision = len(u), self._precision(group, u)
        r = _solved(precision, u.T).T  # (1)
        h = self._leverage - _of_rows(u, r) / n  # (3)
        lengths = self._lengths - 2 / n * _of_rows(u, _solved(precision, hu.T).T)  # (4)
        lengths += _of_rows(u @ (r.T @ r), u) / n**2
        noise = np.mean((lengths - h**2) / (1 - h) ** 2)  # (5)
        return _Regression(group, self._without(r, u, h), max(0.0, float(noise)))

    def _times(self, inner: Floats, columns: Integers) -> Floats:
        """`Z f(Z'Z)` in some columns, given `f(Z'Z)`, or `f(ZZ')` with more columns than rows."""
        if self._is_dual:
            return np.asarray(inner @ self._z[:, columns])
        return np.asarray(self._z @ inner[:, columns])

    def _precision(self, group: Integers, u: Floats) -> Floats:
        """`P_GG`, `P` in the columns of a group."""
        if not self._is_dual:
            return np.asarray(self._inverse[np.ix_(group, group)])
        return np.asarray((np.eye(len(group)) - self._z[:, group].T @ u / len(u)) / self.ridge)

    def _without(self, r: Floats, u: Floats, h: Floats) -> Floats:
        """Residuals of the fits without the row, `r_i / (1 - h_i)`, or without its block `B`.

        The residuals of a block are `(I - H_BB + u_B r_B' / n)^-1 r_B`.
        """
        values = np.asarray(r / (1 - h)[:, None])
        for rows, hat in zip(self._members, self._hat_in_blocks, strict=True):
            own = hat - u[rows] @ r[rows].transpose(0, 2, 1) / len(r)
            values[rows] = _solved(np.eye(rows.shape[1]) - own, r[rows])
        return values

    @cached_property
    def _hat_in_blocks(self) -> list[Floats]:
        """For each size of blocks, `(n_blocks, size, size)` `H` within each block."""
        return [self._hat(rows) for rows in self._members]

    def _hat(self, rows: Integers) -> Floats:
        """`(n_blocks, size, size)` `H` within blocks of rows `(n_blocks, size)`."""
        constant = self._constant[rows]
        outer = constant[:, :, None] * constant[:, None, :]
        if self._is_dual:
            inverse = self._inverse[rows[:, :, None], rows[:, None, :]]
            return np.asarray(outer + np.eye(rows.shape[1]) - self.ridge * inverse)
        z = self._z[rows]
        return np.asarray(outer + z @ self._inverse @ z.transpose(0, 2, 1) / len(self._z))

    @cached_property
    def _leverage(self) -> Floats:
        """`(n_rows,)` diagonal of `H`."""
        if self._is_dual:
            return np.asarray(self._constant**2 + 1 - self.ridge * np.diagonal(self._inverse))
        fitted = _of_rows(self._z @ self._inverse, self._z) / len(self._z)
        return np.asarray(self._constant**2 + fitted)

    @cached_property
    def _lengths(self) -> Floats:
        """`(n_rows,)` squared lengths of the rows of `H`."""
        if self._is_dual:
            hat = np.eye(len(self._inverse)) - self.ridge * self._inverse
            return np.asarray(self._constant**2 + _of_rows(hat, hat))
        fitted = _of_rows(self._z @ self._shrunk, self._z) / len(self._z)
        return np.asarray(self._constant**2 + fitted)


def _of_rows(left: Floats, right: Floats) -> Floats:
    """`(n_rows,)` inner products of the rows of two matrices."""
    return np.asarray(np.einsum("np,np->n", left, right))


def _solved(matrix: Floats, right: Floats) -> Floats:
    """`matrix^-1 right`."""
    return np.asarray(np.linalg.solve(matrix, right))


def _pieces(groups: Sequence[Integers]) -> Iterator[list[Integers]]:
    """The groups in pieces of at most 512 columns, or one group: large products, little memory."""
    piece: list[Integers] = []
    for group in groups:
        if piece and sum(map(len, piece)) + len(group) > _COLUMNS_AT_ONCE:
            yield piece
            piece = []
        piece.append(group)
    if piece:
        yield piece
