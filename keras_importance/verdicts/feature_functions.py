"""FeatureFunctions: what of each feature can't be predicted from the others, computed once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from keras_importance.data.features import Feature
from keras_importance.data.validation_data import ValidationData
from keras_importance.statistics.arrays import Array, Floats
from keras_importance.statistics.score_test import ScoreTest
from keras_importance.verdicts.feature_values import (
    Columns,
    bins_of,
    lengths_of,
    lines_of,
    standardised,
    values_of,
)

# Multiples of the number of rows: large enough to be stable, too small to hide a correlation.
_RIDGE = 1e-3
_RIDGE_PER_COLUMN = 0.1
# Features whose functions are computed at once, and the most values that are kept: 64 MB.
_FEATURES_AT_ONCE = 64
_MAX_KEPT_VALUES = 1 << 24


class FeatureFunctions:
    """Functions of each feature, minus their prediction from the other features.

    All depend on the rows alone. They are computed when they are first asked for, and kept in float32;
    functions beyond 64 MB are computed anew each time.

    Args:
        data: the rows.
        features: the features.
    """

    def __init__(self, data: ValidationData, features: Sequence[Feature]) -> None:
        self._data = data
        self._features = features
        self._test_of: dict[int, ScoreTest] = {}
        self._n_kept = 0

    def tests(self, indices: Sequence[int]) -> dict[int, ScoreTest]:
        """For each index of a feature the score test with the functions of that feature."""
        missing = [index for index in indices if index not in self._test_of]
        tests = {index: self._test_of[index] for index in indices if index in self._test_of}
        for first in range(0, len(missing), _FEATURES_AT_ONCE):
            some = missing[first : first + _FEATURES_AT_ONCE]
            for index, basis in zip(some, self._bases(some), strict=True):
                tests[index] = ScoreTest(basis.astype(np.float32), self._data.blocks)
                if self._n_kept + basis.size <= _MAX_KEPT_VALUES:
                    self._test_of[index] = tests[index]
                    self._n_kept += basis.size
        return {index: tests[index] for index in indices}

    # --- functions minus their prediction -------------------------------------------------------

    def _bases(self, indices: Sequence[int]) -> list[Floats]:
        """For each feature its functions, minus their prediction from all other features.

            residuals = ridge · (Z Z' - z z' + ridge I)^-1 basis

        with `Z` the regressors of all features and `z` the regressors of this feature. By Woodbury's
        identity, a single inverse `(Z Z' + ridge I)^-1` serves all features.
        """
        functions = self._functions(indices)
        own = [self._regressors_of(index) for index in indices]
        every = [part for pair in zip(functions, own, strict=True) for part in pair]
        applied = self._inverse_times(np.concatenate(every, axis=1))
        ends = np.cumsum([part.shape[1] for part in every])
        parts = np.split(applied, ends[:-1], axis=1)
        residuals = []
        for basis, z, of_basis, of_own in zip(functions, own, parts[::2], parts[1::2], strict=True):
            inner = np.eye(z.shape[1]) - z.T @ of_own
            of_others = of_basis + of_own @ np.linalg.solve(inner, of_own.T @ basis)
            residuals.append(np.asarray(of_others * self._ridge))
        return residuals

    def _functions(self, indices: Sequence[int]) -> list[Floats]:
        """For each feature `(n_rows, n_functions)` functions such as a network could learn from it.

        For a number: the value itself and indicators of its quantile bins; else the regressors.
        """
        values = {index: values_of(self._features[index], self._data) for index in indices}
        single = [i for i in indices if values[i].dtype.kind == "f" and values[i].shape[1] == 1]
        functions = {index: self._regressors_of(index) for index in set(indices) - set(single)}
        if single:
            numbers = np.concatenate([values[index] for index in single], axis=1)
            of_each = np.concatenate([numbers[:, :, None], bins_of(numbers)], axis=2)
            functions |= zip(single, np.moveaxis(standardised(of_each), 1, 0), strict=True)
        return [functions[index] for index in indices]

    def _regressors_of(self, index: int) -> Floats:
        """`(n_rows, n_regressors)` lines of a feature and their squares."""
        parts = [self.lines.of(index), self._squares.of(index)]
        return np.concatenate(parts, axis=1).astype(np.float64)

    @property
    def lines(self) -> Columns:
        """For each feature its lines: principal directions, or indicators of categories."""
        return self._lines_and_kinds[0]

    @cached_property
    def _lines_and_kinds(self) -> tuple[Columns, Array]:
        """The lines; and `(n_features,)` whether a feature is one category."""
        columns, counts, are_categories = [], [], []
        for first in range(0, len(self._features), _FEATURES_AT_ONCE):
            some = self._features[first : first + _FEATURES_AT_ONCE]
            values = [values_of(feature, self._data) for feature in some]
            lines = [lines_of(of_feature) for of_feature in values]
            counts += [of_feature.shape[1] for of_feature in lines]
            are_categories += [of_feature.dtype.kind != "f" for of_feature in values]
            columns.append(standardised(np.concatenate(lines, axis=1)).astype(np.float32))
        lines_of_all = Columns(np.concatenate(columns, axis=1), np.cumsum([0, *counts]))
        return lines_of_all, np.array(are_categories, bool)

    @cached_property
    def _squares(self) -> Columns:
        """For each feature the squares of its lines; none for a category, whose lines are indicators."""
        lines, are_categories = self._lines_and_kinds
        n_lines = np.diff(lines.starts)
        counts = np.where(are_categories, 0, n_lines)
        columns = lines.columns[:, np.repeat(~are_categories, n_lines)]
        blocks = np.array_split(columns, max(1, columns.shape[1] // 512), axis=1)
        squares = [standardised(np.square(block.astype(np.float64))) for block in blocks]
        return Columns(
            np.concatenate(squares, axis=1).astype(np.float32), np.cumsum(np.append(0, counts))
        )

    # --- the ridge ------------------------------------------------------------------------------

    def _inverse_times(self, vectors: Floats) -> Floats:
        """`(Z Z' + ridge I)^-1 vectors`, by the smaller one of the matrices `Z Z'` and `Z' Z`."""
        regressors, inverse = self._factors
        if regressors is None:
            return np.asarray(inverse @ vectors)
        return np.asarray((vectors - regressors @ (inverse @ (regressors.T @ vectors))) / self._ridge)

    @cached_property
    def _factors(self) -> tuple[Floats | None, Floats]:
        """`Z` and `(Z' Z + ridge I)^-1`; None and `(Z Z' + ridge I)^-1` for fewer rows than columns."""
        parts: list[Array] = [self.lines.columns, self._squares.columns, *lengths_of(self._data)]
        if self._n_columns < self._data.n_rows:
            every = np.concatenate(parts, axis=1).astype(np.float64)
            gram = every.T @ every + self._ridge * np.eye(self._n_columns)
            return every, np.asarray(np.linalg.inv(gram), np.float64)
        gram = self._ridge * np.eye(self._data.n_rows)
        for part in parts:
            for columns in np.array_split(part, max(1, part.shape[1] // 512), axis=1):
                block = columns.astype(np.float64)
                gram += block @ block.T
        return None, np.asarray(np.linalg.inv(gram), np.float64)

    @cached_property
    def _ridge(self) -> float:
        return _RIDGE * self._data.n_rows + _RIDGE_PER_COLUMN * self._n_columns

    @cached_property
    def _n_columns(self) -> int:
        of_lengths = sum(lengths.shape[1] for lengths in lengths_of(self._data))
        return int(self.lines.columns.shape[1] + self._squares.columns.shape[1] + of_lengths)
