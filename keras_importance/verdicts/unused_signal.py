"""Do the data hold signal of a feature that the model does not use? A score test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from keras_importance.data.features import Feature
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.evaluator import Evaluator
from keras_importance.statistics.arrays import Array, Floats, generator
from keras_importance.statistics.donors import Donors
from keras_importance.statistics.score_test import score_test

_MAX_ROWS = 1000
_N_BINS = 6
_MAX_CATEGORIES = 20
_MAX_DIRECTIONS = 8
_MAX_OUTPUTS = 16
_MAX_INTERACTIONS = 256
# In units of the rows: enough to be stable, too little to hide a correlation.
_RIDGE = 1e-3
_RIDGE_PER_COLUMN = 0.1


class UnusedSignalTest:
    """Tests whether the target depends on a feature given the others, in a way a network could learn.

    H0: given the other features, the feature says nothing about the target. Two quantities of each row
    are compared:

    - `s`: the slopes of the loss in the outputs, where the feature has the value of another row. So the
      loss does not depend on the row's own value.
    - `b`: functions of the row's own value, minus their linear prediction from the other features: a
      line and quantile bins of a number; indicators of categories; principal directions, and their
      squares, of groups and of sequences.

    Under H0, `s` is independent of `b`, however badly the model is trained. So are the products of `s`
    with lines in the other features, which detect interactions. The p-value is twice the smaller one
    of both tests, at most 1; see `score_test`.

    Args:
        evaluator: the evaluator; its metric must be a loss that is a mean over rows.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        n_rows = min(evaluator.data.n_rows, _MAX_ROWS)
        self._data = evaluator.subsamples.data(n_rows)
        # These words are part of the seed: others would draw other donors.
        rng = generator(evaluator.seed, "masked score")
        self._donors = Donors.draw(n_rows, 1, rng).rows[0]
        self._n_tested = 0
        self._p_value_of: dict[int, float] = {}
        self._tested_at: dict[int, int] = {}
        self._basis_of: dict[int, Floats] = {}

    def p_values(self, indices: Sequence[int], is_time_left: Callable[[], bool]) -> Floats:
        """`(n_indices,)` p-values of some features; NaN for features that were never tested.

        The features that were tested longest ago come first, as long as there is time; at least one is
        tested. The others keep their last p-value, which is about the data and holds for any model.

        Args:
            indices: of the features.
            is_time_left: whether there is time for one more feature.
        """
        longest_ago_first = sorted(indices, key=lambda index: self._tested_at.get(index, -1))
        for n_tested_now, index in enumerate(longest_ago_first):
            if n_tested_now and not is_time_left():
                break
            self._p_value_of[index] = self.p_value(index)
            self._n_tested += 1
            self._tested_at[index] = self._n_tested
        return np.array([self._p_value_of.get(index, np.nan) for index in indices])

    def p_value(self, index: int) -> float:
        """The p-value of one feature; NaN where the loss is no mean over rows."""
        if not self._evaluator.has_row_loss:
            return float("nan")
        basis, slopes, blocks = self._basis(index), self._slopes(index), self._data.blocks
        of_itself = score_test(basis, slopes, blocks)
        with_others = score_test(basis, self._interactions(slopes, index), blocks)
        return min(1.0, 2 * min(of_itself, with_others))

    def _slopes(self, index: int) -> Floats:
        """`(n_rows, n_outputs)` weighted slopes of the loss in the outputs, with the feature replaced.

        More than 16 outputs are projected on 16 random directions.
        """
        slopes = self._evaluator.loss_slopes(self._replaced(index))
        if self._data.weights is not None:
            slopes = slopes * self._data.weights[:, None]
        if slopes.shape[1] > _MAX_OUTPUTS:
            slopes = slopes @ _signs(self._evaluator.seed, slopes.shape[1], _MAX_OUTPUTS)
        return slopes

    def _interactions(self, slopes: Floats, index: int) -> Floats:
        """`(n_rows, n_values)` products of the slopes with lines in the other features.

        Many lines are projected on random directions, so that there are at most 256 products.
        """
        others = [lines for other, lines in enumerate(self._lines) if other != index]
        if not others:
            return np.zeros((len(slopes), 1))
        lines = np.concatenate(others, axis=1)
        at_most = max(1, _MAX_INTERACTIONS // slopes.shape[1])
        if lines.shape[1] > at_most:
            lines = lines @ _signs(self._evaluator.seed, lines.shape[1], at_most)
        return np.asarray((slopes[:, :, None] * lines[:, None]).reshape(len(slopes), -1))

    def _replaced(self, index: int) -> ValidationData:
        """The rows, with the values that the feature has in their donors."""
        inputs = list(self._data.inputs)
        for input_index, column in self._evaluator.features.features[index].columns:
            values = inputs[input_index].copy()
            if values.ndim == 1:
                values = values[self._donors]
            else:
                values[..., column] = values[self._donors][..., column]
            inputs[input_index] = values
        return self._data.with_inputs(tuple(inputs))

    def _basis(self, index: int) -> Floats:
        """`(n_rows, n_functions)` functions of a feature, minus their prediction from the others.

        They depend on the data alone, so they are computed once and kept.
        """
        if index not in self._basis_of:
            basis = _functions(self._elements[index])
            own = self._regressors[index]
            self._basis_of[index] = self._without_others(basis, own).astype(np.float32)
        return self._basis_of[index].astype(np.float64)

    def _without_others(self, basis: Floats, own: Floats) -> Floats:
        """Residuals of a ridge regression of functions of a feature on all other features.

            residuals = ridge · (Z Z' - z z' + ridge I)^-1 basis

        with `Z` the regressors of all features and `z` the feature's own. By Woodbury's identity it
        takes only the inverse `(Z Z' + ridge I)^-1`, which serves all features.

        Args:
            basis: `(n_rows, n_functions)`.
            own: `(n_rows, n_regressors)` of the feature, `z`.
        """
        inverse = self._inverse
        both = inverse @ np.concatenate([basis, own], axis=1)
        of_basis, of_own = both[:, : basis.shape[1]], both[:, basis.shape[1] :]
        inner = np.eye(own.shape[1]) - own.T @ of_own
        return np.asarray(of_basis + of_own @ np.linalg.solve(inner, own.T @ of_basis)) * self._ridge

    @cached_property
    def _inverse(self) -> Floats:
        """`(Z Z' + ridge I)^-1`, `(n_rows, n_rows)`."""
        every = np.concatenate(self._regressors, axis=1)
        gram = every @ every.T
        return np.asarray(np.linalg.inv(gram + self._ridge * np.eye(len(gram))))

    @cached_property
    def _ridge(self) -> float:
        n_columns = sum(own.shape[1] for own in self._regressors)
        return float(_RIDGE * self._data.n_rows + _RIDGE_PER_COLUMN * n_columns)

    @cached_property
    def _regressors(self) -> list[Floats]:
        """Of each feature `(n_rows, n_regressors)`: principal directions and their squares."""
        return [_standardised(_lines_and_squares(elements)) for elements in self._elements]

    @cached_property
    def _lines(self) -> list[Floats]:
        """Of each feature `(n_rows, n_lines)`: principal directions, or indicators of categories."""
        return [
            _standardised(_directions_of(elements) if elements.dtype.kind == "f" else _one_hot(elements))
            for elements in self._elements
        ]

    @cached_property
    def _elements(self) -> list[Array]:
        """`(n_rows, n_elements)` values of each feature; whole numbers where all of them are."""
        return [self._elements_of(feature) for feature in self._evaluator.features.features]

    def _column(self, input_index: int, column: int) -> Array:
        values = self._data.inputs[input_index]
        return values if values.ndim == 1 else values[..., column]

    def _elements_of(self, feature: Feature) -> Array:
        n_rows = self._data.n_rows
        parts = [self._column(*column).reshape(n_rows, -1) for column in feature.columns]
        whole = all(part.dtype.kind in "iub" for part in parts) and len(parts) == 1 == parts[0].shape[1]
        joined = np.concatenate(parts, axis=1)
        return joined if whole else joined.astype(np.float64)


def _functions(elements: Array) -> Floats:
    """`(n_rows, n_functions)` functions of a feature: most of what a network could learn from it."""
    if elements.dtype.kind != "f" or elements.shape[1] > 1:
        return _standardised(_lines_and_squares(elements))
    values = elements[:, 0]
    edges = np.unique(np.quantile(values, np.arange(1, _N_BINS) / _N_BINS))
    return _standardised(np.column_stack([values, _one_hot(np.digitize(values, edges)[:, None])]))


def _directions_of(elements: Floats) -> Floats:
    """The standardised elements; of more than 8, their first 8 principal components."""
    standardised = _standardised(elements)
    if elements.shape[1] <= _MAX_DIRECTIONS:
        return standardised
    left, size, _ = np.linalg.svd(standardised, full_matrices=False)
    return np.asarray(left[:, :_MAX_DIRECTIONS] * size[:_MAX_DIRECTIONS])


def _lines_and_squares(elements: Array) -> Floats:
    """Principal directions and their squares; of whole numbers, indicators of the categories."""
    if elements.dtype.kind != "f":
        return _one_hot(elements)
    lines = _directions_of(elements)
    return np.concatenate([lines, np.square(_standardised(lines))], axis=1)


def _one_hot(values: Array) -> Floats:
    """A column of 0 and 1 for each category; of more than 20, for the most frequent ones."""
    categories, counts = np.unique(values, return_counts=True)
    frequent = categories[np.argsort(-counts, kind="stable")[:_MAX_CATEGORIES]]
    return np.asarray(values.reshape(-1, 1) == frequent, np.float64)


def _standardised(values: Floats) -> Floats:
    """The columns with mean 0 and variance 1; zeros for constant columns."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    is_constant = spread <= 1e-9 * np.maximum(np.abs(values).max(axis=0), 1e-30)
    return np.asarray(np.where(is_constant, 0.0, centred / np.where(is_constant, 1.0, spread)))


def _signs(seed: int, n: int, n_directions: int) -> Floats:
    """`(n, n_directions)` random directions to project `n` values on, the same in each evaluation."""
    rng = generator(seed, "directions")
    return np.asarray(rng.choice([-1.0, 1.0], (n, n_directions)) / np.sqrt(n))
