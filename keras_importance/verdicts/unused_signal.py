"""Do the data hold signal of a feature that the network does not use? A score test with it masked."""

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

    The feature takes the value of another row, so that the model's loss knows nothing of it. With `s`
    the slope of each row's loss in the outputs, and `b` functions of the feature (quantile bins and a
    line; categories; principal directions of groups and trajectories, and their squares) without what
    the other features say of them, `s` is independent of `b` where the feature says nothing more about
    the target, however badly the model is trained; and so is `s` times lines in the other features,
    which sees interactions. The smaller of both p-values counts, doubled: see `score_test`.

    Args:
        evaluator: the evaluator; its metric must be a loss that is a mean over rows.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        n_rows = min(evaluator.data.n_rows, _MAX_ROWS)
        self._data = evaluator.subsamples.data(n_rows)
        rng = generator(evaluator.seed, "masked score")
        self._donors = Donors.draw(n_rows, 1, rng).rows[0]
        self._n_tested = 0
        self._known: dict[int, float] = {}
        self._turns: dict[int, int] = {}
        self._bases: dict[int, Floats] = {}

    def p_values(self, numbers: Sequence[int], is_time_left: Callable[[], bool]) -> Floats:
        """p-values for some features, those first that wait longest; NaN for none yet.

        Those that there is no time for keep their last one: it is about the data, and holds whatever the
        model was. At least one is tested.
        """
        in_turn = sorted(numbers, key=lambda number: self._turns.get(number, -1))
        for place, number in enumerate(in_turn):
            if place and not is_time_left():
                break
            self._known[number] = self.p_value(number)
            self._n_tested += 1
            self._turns[number] = self._n_tested
        return np.array([self._known.get(number, np.nan) for number in numbers])

    def p_value(self, number: int) -> float:
        """The p-value for one feature; NaN where the loss is no mean over rows."""
        if not self._evaluator.has_row_loss:
            return float("nan")
        basis, slopes, blocks = self._basis(number), self._slopes(number), self._data.blocks
        of_itself = score_test(basis, slopes, blocks)
        with_others = score_test(basis, self._interactions(slopes, number), blocks)
        return min(1.0, 2 * min(of_itself, with_others))

    # --- slopes ---------------------------------------------------------------------------------

    def _slopes(self, number: int) -> Floats:
        """`(n_rows, n_outputs)` slopes of the loss in the outputs, with the feature masked."""
        slopes = self._evaluator.loss_slopes(self._masked(number))
        if self._data.weights is not None:
            slopes = slopes * self._data.weights[:, None]
        if slopes.shape[1] > _MAX_OUTPUTS:
            slopes = slopes @ _signs(self._evaluator.seed, slopes.shape[1], _MAX_OUTPUTS)
        return slopes

    def _interactions(self, slopes: Floats, number: int) -> Floats:
        """`(n_rows, n_values)` slopes times lines in the other features."""
        others = [lines for other, lines in enumerate(self._lines) if other != number]
        if not others:
            return np.zeros((len(slopes), 1))
        lines = np.concatenate(others, axis=1)
        at_most = max(1, _MAX_INTERACTIONS // slopes.shape[1])
        if lines.shape[1] > at_most:
            lines = lines @ _signs(self._evaluator.seed, lines.shape[1], at_most)
        return np.asarray((slopes[:, :, None] * lines[:, None]).reshape(len(slopes), -1))

    def _masked(self, number: int) -> ValidationData:
        """The rows with the feature's values of other rows."""
        inputs = list(self._data.inputs)
        for place, column in self._evaluator.features.features[number].columns:
            values = inputs[place].copy()
            if values.ndim == 1:
                values = values[self._donors]
            else:
                values[..., column] = values[self._donors][..., column]
            inputs[place] = values
        return self._data.with_inputs(tuple(inputs))

    # --- functions of a feature -----------------------------------------------------------------

    def _basis(self, number: int) -> Floats:
        """Functions of a feature without what the others linearly say of them: once for a training."""
        if number not in self._bases:
            basis = _functions(self._elements[number])
            own = self._regressors[number]
            self._bases[number] = self._without_others(basis, own).astype(np.float32)
        return self._bases[number].astype(np.float64)

    def _without_others(self, basis: Floats, own: Floats) -> Floats:
        """Residuals of a ridge regression on the regressors of all features but one.

        `ridge · (Z Z' + ridge I)^-1 basis`, with the feature's own columns of `Z` taken out by
        Woodbury's identity.
        """
        inverse = self._inverse
        both = inverse @ np.concatenate([basis, own], axis=1)
        of_basis, of_own = both[:, : basis.shape[1]], both[:, basis.shape[1] :]
        inner = np.eye(own.shape[1]) - own.T @ of_own
        return np.asarray(of_basis + of_own @ np.linalg.solve(inner, own.T @ of_basis)) * self._ridge

    @cached_property
    def _inverse(self) -> Floats:
        every = np.concatenate(self._regressors, axis=1)
        gram = every @ every.T
        return np.asarray(np.linalg.inv(gram + self._ridge * np.eye(len(gram))))

    @cached_property
    def _ridge(self) -> float:
        n_columns = sum(one.shape[1] for one in self._regressors)
        return float(_RIDGE * self._data.n_rows + _RIDGE_PER_COLUMN * n_columns)

    @cached_property
    def _regressors(self) -> list[Floats]:
        """Of each feature its standardised directions and their squares."""
        return [_standardised(_lines_and_squares(elements)) for elements in self._elements]

    @cached_property
    def _lines(self) -> list[Floats]:
        """Of each feature its standardised directions, or categories."""
        return [
            _standardised(_directions_of(one) if one.dtype.kind == "f" else _one_hot(one))
            for one in self._elements
        ]

    @cached_property
    def _elements(self) -> list[Array]:
        """`(n_rows, n_elements)` values of each feature; whole numbers where all of them are."""
        return [self._elements_of(one) for one in self._evaluator.features.features]

    def _column(self, place: int, column: int) -> Array:
        values = self._data.inputs[place]
        return values if values.ndim == 1 else values[..., column]

    def _elements_of(self, feature: Feature) -> Array:
        n_rows = self._data.n_rows
        parts = [self._column(*column).reshape(n_rows, -1) for column in feature.columns]
        whole = all(part.dtype.kind in "iub" for part in parts) and len(parts) == 1 == parts[0].shape[1]
        joined = np.concatenate(parts, axis=1)
        return joined if whole else joined.astype(np.float64)


def _functions(elements: Array) -> Floats:
    """Functions of a feature that together see most of what a network could make of it."""
    if elements.dtype.kind != "f" or elements.shape[1] > 1:
        return _standardised(_lines_and_squares(elements))
    values = elements[:, 0]
    edges = np.unique(np.quantile(values, np.arange(1, _N_BINS) / _N_BINS))
    return _standardised(np.column_stack([values, _one_hot(np.digitize(values, edges)[:, None])]))


def _directions_of(elements: Floats) -> Floats:
    """The elements, or of many their principal directions."""
    standardised = _standardised(elements)
    if elements.shape[1] <= _MAX_DIRECTIONS:
        return standardised
    left, size, _ = np.linalg.svd(standardised, full_matrices=False)
    return np.asarray(left[:, :_MAX_DIRECTIONS] * size[:_MAX_DIRECTIONS])


def _lines_and_squares(elements: Array) -> Floats:
    """Principal directions and their squares; of whole numbers the categories."""
    if elements.dtype.kind != "f":
        return _one_hot(elements)
    lines = _directions_of(elements)
    return np.concatenate([lines, np.square(_standardised(lines))], axis=1)


def _one_hot(values: Array) -> Floats:
    """A column for each category, the most frequent ones of many."""
    found, counts = np.unique(values, return_counts=True)
    frequent = found[np.argsort(-counts, kind="stable")[:_MAX_CATEGORIES]]
    return np.asarray(values.reshape(-1, 1) == frequent, np.float64)


def _standardised(values: Floats) -> Floats:
    """Columns of mean 0 and variance 1; constant ones of 0."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    is_constant = spread <= 1e-9 * np.maximum(np.abs(values).max(axis=0), 1e-30)
    return np.asarray(np.where(is_constant, 0.0, centred / np.where(is_constant, 1.0, spread)))


def _signs(seed: int, n: int, n_directions: int) -> Floats:
    """Random directions, the same in each evaluation, along which many values are looked at."""
    rng = generator(seed, "directions")
    return np.asarray(rng.choice([-1.0, 1.0], (n, n_directions)) / np.sqrt(n))
