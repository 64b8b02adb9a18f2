"""UnusedSignalTest: a score test for information in a feature that the model does not use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.meter import SECONDS_A_PRODUCT
from keras_importance.engine.planned_work import seconds_per_score
from keras_importance.engine.scores.cut_scorer import values_in_outputs
from keras_importance.engine.scores.sample import Replacement, ScoreRequest
from keras_importance.engine.scores.scoring import LOSS_SLOPES
from keras_importance.statistics.arrays import Floats, Singles, generator
from keras_importance.statistics.donors import Donors
from keras_importance.verdicts.feature_functions import FeatureFunctions
from keras_importance.verdicts.interactions import Interactions, random_signs

_MAX_ROWS = 1000
_MAX_OUTPUTS = 16
_MAX_INTERACTIONS = 256
# In an evaluation at least so many features are tested.
_FEWEST = 8


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
    The p-value is twice the smaller p-value of the two tests, at most 1; see `ScoreTest`.

    What depends on the rows alone is computed once a training. The derivatives of all features that are
    tested come from the programs that score features.

    Args:
        evaluator: the model and the validation rows. The test needs a compiled loss that is a mean over
            rows; without one all p-values are NaN.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        n_rows = min(evaluator.data.n_rows, _MAX_ROWS)
        self._rows = evaluator.subsamples.rows(n_rows)
        self._data = evaluator.subsamples.data(n_rows)
        # The text is part of the seed: another text would draw other donors.
        self._donors = Donors.draw(n_rows, 1, generator(evaluator.seed, "masked score"))
        self._functions = FeatureFunctions(self._data, evaluator.features.features)
        self._n_calls = 0
        self._p_value_of: dict[int, float] = {}
        self._tested_at: dict[int, int] = {}
        self._due_at: dict[int, int] = {}

    def p_values(self, indices: Sequence[int], seconds: float = math.inf) -> Floats:
        """`(n_indices,)` p-values of some features; NaN for features that were never tested.

        A feature is tested when it is first asked for, and again after 1, 2, 4, ... calls: what its
        p-value says of the data holds for any model, so another model rarely changes it. Of the features
        that are due, those tested longest ago are tested, as many as the work allows, and 8 at least.
        The others keep their last p-value.

        Args:
            indices: indices of the features.
            seconds: how many seconds of planned work the test may take, at the rates of `engine.meter`.
                What is tested doesn't depend on how busy the machine is.
        """
        if self._evaluator.has_row_loss:
            self._n_calls += 1
            due = [index for index in indices if self._due_at.get(index, 0) <= self._n_calls]
            longest_ago_first = sorted(due, key=lambda index: self._tested_at.get(index, -1))
            n_tested = max(_FEWEST, int(min(seconds / self._seconds_a_feature, len(due))))
            tested = longest_ago_first[:n_tested]
            for index in tested:
                waited = self._n_calls - self._tested_at.get(index, self._n_calls)
                self._tested_at[index] = self._n_calls
                self._due_at[index] = self._n_calls + max(1, 2 * waited)
            if tested:
                self._p_value_of |= self._computed(tested)
            self._evaluator.meter.count(len(tested) * self._seconds_of_products)
        return np.array([self._p_value_of.get(index, np.nan) for index in indices])

    def p_value(self, index: int) -> float:
        """The p-value of the feature with this index; NaN if the loss is no mean over rows."""
        return self._computed([index])[index] if self._evaluator.has_row_loss else math.nan

    def _computed(self, indices: Sequence[int]) -> dict[int, float]:
        """The p-value of each feature, by its index."""
        request = ScoreRequest(
            Replacement(self._evaluator.data.inputs), self._donors, self._rows, np.sort(indices)
        )
        p_values: dict[int, float] = {}
        for piece in self._evaluator.scores(request, LOSS_SLOPES):
            tests = self._functions.tests(piece.indices.tolist())
            slopes = [self._weighted(of_feature) for of_feature in piece.scores[:, 0]]
            with_others = self._interactions.p_values(tests, slopes)
            for (index, test), of_feature in zip(tests.items(), slopes, strict=True):
                p_values[index] = min(1.0, 2 * min(test.p_value(of_feature), with_others[index]))
        return p_values

    @cached_property
    def _interactions(self) -> Interactions:
        return Interactions(self._functions.lines, self._evaluator.seed)

    def _weighted(self, slopes: Singles) -> Singles:
        """`(n_rows, n_slopes)` weighted slopes; more than 16 are projected on 16 random directions."""
        weights, n_outputs = self._data.weights, slopes.shape[1]
        weighted = slopes if weights is None else slopes * weights[:, None]
        if n_outputs > _MAX_OUTPUTS:
            signs = random_signs(self._evaluator.seed, n_outputs, _MAX_OUTPUTS)
            weighted = weighted @ signs / math.sqrt(n_outputs)
        return np.asarray(weighted, np.float32)

    @cached_property
    def _seconds_a_feature(self) -> float:
        """Planned seconds for a feature: its rows through the model, and products of the statistics."""
        return self._data.n_rows * planned_seconds_per_score(self._evaluator) + self._seconds_of_products

    @cached_property
    def _seconds_of_products(self) -> float:
        n_slopes = min(_MAX_OUTPUTS, values_in_outputs(self._evaluator.outputs.few))
        n_lines = self._functions.lines.columns.shape[1]
        n_values = n_slopes * min(_MAX_INTERACTIONS // n_slopes, n_lines)
        return float(SECONDS_A_PRODUCT * self._data.n_rows * n_values**2)


def planned_seconds_per_score(evaluator: Evaluator) -> float:
    """Planned seconds for one row with one feature replaced, at the rates of `engine.meter`."""
    return seconds_per_score(evaluator) / evaluator.meter.factor
