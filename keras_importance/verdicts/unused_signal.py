"""UnusedSignalTest: a score test for information in a feature that the model does not use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from keras_importance.data.features import Feature
from keras_importance.data.padding import filled, lent, of_values
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.evaluator import Evaluator
from keras_importance.statistics.arrays import Array, Floats, Integers, generator
from keras_importance.statistics.donors import Donors
from keras_importance.statistics.score_test import score_test

_MAX_ROWS = 1000
_N_BINS = 6
_MAX_CATEGORIES = 20
# Of all texts of a group together: their principal directions are computed.
_MAX_INDICATORS = 400
_MAX_DIRECTIONS = 8
_MAX_OUTPUTS = 16
_MAX_INTERACTIONS = 256
# Multiples of the number of rows: large enough to be stable, too small to hide a correlation.
_RIDGE = 1e-3
_RIDGE_PER_COLUMN = 0.1


class UnusedSignalTest:
    """Tests whether the target depends on a feature given the others, in a way a network could learn.

    H0: given the other features, the feature has no information about the target. The test compares two
    quantities of each row:

    - `s`: the derivatives of the loss with respect to the outputs, computed with the feature's value
      taken from another row. So `s` does not depend on the row's own value of the feature.
    - `b`: functions of the row's own value, minus their linear prediction from the other features. For a
      number: the value itself and indicators of quantile bins. For categories, which are whole numbers
      and texts: indicators. For groups and sequences: principal directions and their squares, a text
      being the fractions of its steps in each category. A missing number is the mean of the others, and
      an indicator says that it is missing.

    Under H0, `s` is independent of `b`, however badly the model is trained. A second test detects
    interactions: it uses products of `s` with linear functions of the other features in place of `s`.
    The p-value is twice the smaller p-value of the two tests, at most 1; see `score_test`.

    Args:
        evaluator: the model and the validation rows. The test needs a compiled loss that is a mean over
            rows; without one all p-values are NaN.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        n_rows = min(evaluator.data.n_rows, _MAX_ROWS)
        self._data = evaluator.subsamples.data(n_rows)
        # The text is part of the seed: another text would draw other donors.
        rng = generator(evaluator.seed, "masked score")
        self._donors = Donors.draw(n_rows, 1, rng).rows[0]
        self._n_tested = 0
        self._p_value_of: dict[int, float] = {}
        self._tested_at: dict[int, int] = {}
        self._basis_of: dict[int, Floats] = {}

    def p_values(self, indices: Sequence[int], is_time_left: Callable[[], bool]) -> Floats:
        """`(n_indices,)` p-values of some features; NaN for features that were never tested.

        The features tested longest ago are tested first, until the time is over. At least one is tested.
        The others keep their last p-value: it is a statement about the data and holds for any model.

        Args:
            indices: indices of the features.
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
        """The p-value of the feature with this index; NaN if the loss is no mean over rows."""
        if not self._evaluator.has_row_loss:
            return float("nan")
        basis, slopes, blocks = self._basis(index), self._slopes(index), self._data.blocks
        of_itself = score_test(basis, slopes, blocks)
        with_others = score_test(basis, self._interactions(slopes, index), blocks)
        return min(1.0, 2 * min(of_itself, with_others))

    def _slopes(self, index: int) -> Floats:
        """`(n_rows, n_outputs)` derivatives of each row's weighted loss with respect to the outputs.

        The feature has the value of another row. More than 16 outputs are projected on 16 random
        directions.
        """
        slopes = self._evaluator.loss_slopes(self._replaced(index))
        if self._data.weights is not None:
            slopes = slopes * self._data.weights[:, None]
        if slopes.shape[1] > _MAX_OUTPUTS:
            slopes = slopes @ _signs(self._evaluator.seed, slopes.shape[1], _MAX_OUTPUTS)
        return slopes

    def _interactions(self, slopes: Floats, index: int) -> Floats:
        """`(n_rows, n_values)` products of the slopes with linear functions of the other features.

        Many functions are projected on random directions, so that there are at most 256 products.
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
        """The rows, with the feature's values taken from their donors."""
        inputs = list(self._data.inputs)
        for input_index, column in self._evaluator.features.features[index].columns:
            values = inputs[input_index].copy()
            new = lent(values, self._data.valid[input_index], self._donors)
            if values.ndim == 1:
                values = new
            else:
                values[..., column] = new[..., column]
            inputs[input_index] = values
        return self._data.with_inputs(tuple(inputs))

    def _basis(self, index: int) -> Floats:
        """`(n_rows, n_functions)` functions of a feature, minus their prediction from the others.

        They depend only on the data, so they are computed once and kept.
        """
        if index not in self._basis_of:
            basis = _functions(self._elements[index])
            own = self._regressors[index]
            self._basis_of[index] = self._without_others(basis, own).astype(np.float32)
        return self._basis_of[index].astype(np.float64)

    def _without_others(self, basis: Floats, own: Floats) -> Floats:
        """Residuals of a ridge regression of functions of a feature on all other features.

            residuals = ridge · (Z Z' - z z' + ridge I)^-1 basis

        with `Z` the regressors of all features and `z` the regressors of this feature. By Woodbury's
        identity, a single inverse `(Z Z' + ridge I)^-1` serves all features.

        Args:
            basis: `(n_rows, n_functions)` functions of the feature.
            own: `(n_rows, n_regressors)` regressors `z` of the feature.
        """
        inverse = self._inverse
        both = inverse @ np.concatenate([basis, own], axis=1)
        of_basis, of_own = both[:, : basis.shape[1]], both[:, basis.shape[1] :]
        inner = np.eye(own.shape[1]) - own.T @ of_own
        return np.asarray(of_basis + of_own @ np.linalg.solve(inner, own.T @ of_basis)) * self._ridge

    @cached_property
    def _inverse(self) -> Floats:
        """`(n_rows, n_rows)` inverse `(Z Z' + ridge I)^-1`; see `_without_others`."""
        every = np.concatenate([*self._regressors, *self._lengths], axis=1)
        gram = every @ every.T
        return np.asarray(np.linalg.inv(gram + self._ridge * np.eye(len(gram))))

    @cached_property
    def _ridge(self) -> float:
        n_columns = sum(own.shape[1] for own in [*self._regressors, *self._lengths])
        return float(_RIDGE * self._data.n_rows + _RIDGE_PER_COLUMN * n_columns)

    @cached_property
    def _regressors(self) -> list[Floats]:
        """For each feature `(n_rows, n_regressors)` principal directions and their squares."""
        return [_standardised(_lines_and_squares(elements)) for elements in self._elements]

    @cached_property
    def _lines(self) -> list[Floats]:
        """For each feature `(n_rows, n_lines)` principal directions, or indicators of categories."""
        return [
            _standardised(_directions_of(elements) if elements.dtype.kind == "f" else _one_hot(elements))
            for elements in self._elements
        ]

    @cached_property
    def _elements(self) -> list[Array]:
        """For each feature `(n_rows, n_elements)` finite values; integers if it is one category."""
        return [self._elements_of(feature) for feature in self._evaluator.features.features]

    @cached_property
    def _lengths(self) -> list[Floats]:
        """For each input with padding, functions of a row's number of valid steps.

        Every feature of the input shows it, so it is known from the others.
        """
        n_valid = [valid.sum(axis=1)[:, None] for valid in self._data.valid if valid is not None]
        return [_standardised(np.concatenate([n, n**2, _one_hot(n)], axis=1)) for n in n_valid]

    def _column(self, input_index: int, column: int) -> Array:
        """`(n_rows, n_steps)` values of a column; codes of the categories in place of texts.

        Padded numbers are the mean of their step.
        """
        values, valid = self._data.inputs[input_index], self._data.valid[input_index]
        of_column = (values if values.ndim == 1 else values[..., column]).reshape(len(values), -1)
        if values.dtype.kind not in "fiub":
            return _codes(of_column)
        if valid is None or values.dtype.kind != "f":
            return of_column
        counted = of_values(values, valid)[..., column].reshape(len(values), -1)
        return filled(of_column, counted, self._data.weights)

    def _elements_of(self, feature: Feature) -> Array:
        columns = [self._column(*column) for column in feature.columns]
        (index, column), is_single = feature.columns[0], len(columns) == 1 == columns[0].shape[1]
        if is_single and self._data.are_categories[index][column]:
            return columns[0] if columns[0].dtype.kind != "f" else _codes(columns[0])
        are_texts = [self._data.inputs[index].dtype.kind not in "fiub" for index, _ in feature.columns]
        at_most = max(1, min(_MAX_CATEGORIES, _MAX_INDICATORS // max(1, sum(are_texts))))
        parts = [
            _fractions(column, at_most) if is_text else _finite(column)
            for column, is_text in zip(columns, are_texts, strict=True)
        ]
        return np.concatenate(parts, axis=1)


def _functions(elements: Array) -> Floats:
    """`(n_rows, n_functions)` functions of a feature, such as a network could learn from it."""
    if elements.dtype.kind != "f" or elements.shape[1] > 1:
        return _standardised(_lines_and_squares(elements))
    values = elements[:, 0]
    edges = np.unique(np.quantile(values, np.arange(1, _N_BINS) / _N_BINS))
    return _standardised(np.column_stack([values, _one_hot(np.digitize(values, edges)[:, None])]))


def _directions_of(elements: Floats) -> Floats:
    """The standardised elements if there are at most 8, else their first 8 principal components."""
    standardised = _standardised(elements)
    if elements.shape[1] <= _MAX_DIRECTIONS:
        return standardised
    left, size, _ = np.linalg.svd(standardised, full_matrices=False)
    return np.asarray(left[:, :_MAX_DIRECTIONS] * size[:_MAX_DIRECTIONS])


def _lines_and_squares(elements: Array) -> Floats:
    """Principal directions and their squares for floats; indicators of the categories for integers."""
    if elements.dtype.kind != "f":
        return _one_hot(elements)
    lines = _directions_of(elements)
    return np.concatenate([lines, np.square(_standardised(lines))], axis=1)


def _one_hot(values: Array) -> Floats:
    """A column of 0 and 1 for each category, or for the 20 most frequent categories."""
    return np.asarray(values.reshape(-1, 1) == _frequent(values, _MAX_CATEGORIES), np.float64)


def _fractions(codes: Integers, at_most: int) -> Floats:
    """`(n_rows, n_categories)` the fraction of a row's steps in each of the most frequent categories."""
    frequent = _frequent(codes, at_most)
    return np.stack([np.mean(codes == category, axis=1) for category in frequent], axis=1)


def _frequent(values: Array, at_most: int) -> Array:
    """The most frequent categories, most frequent first."""
    categories, counts = np.unique(values, return_counts=True)
    return np.asarray(categories[np.argsort(-counts, kind="stable")[:at_most]])


def _codes(texts: Array) -> Integers:
    """Whole numbers in place of texts; equal texts, also missing ones, have equal codes."""
    _, codes = np.unique([str(text) for text in texts.ravel()], return_inverse=True)
    return np.asarray(codes.reshape(texts.shape), np.int64)


def _finite(column: Array) -> Floats:
    """The values as floats, the mean in place of those that aren't finite, which a further column marks.

    Args:
        column: `(n_rows, n_steps)` numbers.
    """
    values = column.astype(np.float64)
    is_known = np.isfinite(values)
    if is_known.all():
        return values
    mean = values[is_known].mean() if is_known.any() else 0.0
    return np.concatenate(
        [np.where(is_known, values, mean), ~is_known.all(axis=1, keepdims=True)], axis=1
    )


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
