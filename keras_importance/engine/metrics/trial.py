"""Trial: the model's own predictions, on which the forms of a metric are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import keras
import numpy as np

from keras_importance.data.arrays import mapped
from keras_importance.data.truth import Truth
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.metrics.losses import Forms
from keras_importance.engine.metrics.row_form import Term, number
from keras_importance.statistics.arrays import Array, Floats, Integers, unit_weights

# Relative difference below which two scores count as the same.
_SAME = 1e-3
_TINY = 1e-6
_SOME_ROWS = 256


@dataclass(frozen=True, eq=False)
class Trial:
    """Rows, and the model's predictions for them.

    Attributes:
        truth: what the predictions are scored against.
        predicted: the nest of the model's outputs for these rows.
        weights: `(n_rows,)` weights of the rows; None for equal ones.
    """

    truth: Truth
    predicted: Any
    weights: Floats | None

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(keras.tree.flatten(self.predicted)[0])

    def only(self, rows: Any) -> Trial:
        """The trial with some of the rows; the predictions stay those of the model."""
        parts = mapped(lambda leaf: leaf[rows], (self.truth, self.predicted, self.weights))
        return Trial(*parts)

    def with_other_predictions(self) -> Iterator[Trial]:
        """The same rows with the model's predictions, with those of other rows, and with half of them.

        Two forms that agree on all of these agree on what replacing a feature does to the predictions.
        """
        n_rows = self.n_rows
        rolled = mapped(lambda leaf: np.roll(leaf, 1 + n_rows // 3, axis=0), self.predicted)

        def half(own: Array, other: Array) -> Array:
            is_own = np.arange(n_rows) % 2 == 0
            return np.where(is_own.reshape(-1, *[1] * (own.ndim - 1)), own, other)

        yield self
        yield replace(self, predicted=rolled)
        yield replace(self, predicted=mapped(half, self.predicted, rolled))

    def score(self, forms: Forms) -> float:
        """The score of all rows, as Keras computes it."""
        weights = None if self.weights is None else unit_weights(self.weights, self.n_rows)
        return number(forms.of_all(self.truth, self.predicted, weights))

    def values(self, term: Term) -> tuple[Floats, Floats | None]:
        """`(n_rows,)` numerators and denominators of a term."""
        truth, predicted = mapped(keras.ops.convert_to_tensor, (self.truth, self.predicted))
        numerator, denominator = term(truth, predicted)
        parts = [None if part is None else _array(part) for part in (numerator, denominator)]
        if parts[0] is None or parts[0].shape != (self.n_rows,):
            raise ValueError("the rows have no values of their own")
        return parts[0], parts[1]

    def score_of_rows(self, term: Term) -> float:
        """The score of all rows by the values of a term."""
        numerator, denominator = self.values(term)
        weights = np.ones(self.n_rows) if self.weights is None else self.weights
        counted = weights if denominator is None else weights * denominator
        return float(np.sum(weights * numerator) / np.sum(counted))

    def agreeing_term(self, forms: Forms) -> Term | None:
        """The first term of rows whose mean is the score of all rows; None if there is none.

        The mean must agree on several predictions, and the values of a row must not depend on which
        other rows are scored with it.
        """
        if not forms.of_rows:
            return None
        of_all = [other.score(forms) for other in self.with_other_predictions()]
        for term in forms.of_rows:
            try:
                of_rows = [other.score_of_rows(term) for other in self.with_other_predictions()]
                if _agree(of_all, of_rows, forms) and self._stands_alone(term):
                    return term
            except Exception:  # noqa: BLE001, S112 (a form that this loss or metric doesn't have)
                continue
        return None

    def _stands_alone(self, term: Term) -> bool:
        """Whether the values of half of the rows are the same without the other half."""
        half = np.arange(max(1, self.n_rows // 2))
        together, alone = self.values(term)[0][half], self.only(half).values(term)[0]
        return bool(np.allclose(together, alone, rtol=_SAME, atol=_TINY * _scale(together)))

    def size(self, term: Term) -> float | None:
        """The weighted mean of a term's denominators; None where it has none."""
        _, denominator = self.values(term)
        return None if denominator is None else float(np.average(denominator, weights=self.weights))


@dataclass(eq=False)
class Trials:
    """The rows of some data with the model's own predictions, as far as they are asked for.

    Attributes:
        data: the rows.
        predictions: from indices of rows to the model's outputs for these rows, as a nest of arrays.
        batch_size: how many rows the model must get at once; one batch is then all that is tried.
        is_weighted: whether sample weights count.
    """

    data: ValidationData
    predictions: Callable[[Integers], Any]
    batch_size: int | None = None
    is_weighted: bool = True

    @cached_property
    def some(self) -> Trial:
        """At most 256 rows, evenly spread over the data; or the first batch."""
        n_rows = self.data.n_rows
        if self.batch_size is not None:
            return self._of(np.arange(min(n_rows, self.batch_size)))
        return self._of(np.unique(np.linspace(0, n_rows - 1, min(n_rows, _SOME_ROWS)).astype(np.int64)))

    @cached_property
    def every(self) -> Trial:
        """All rows; or the first batch."""
        return self._of(np.arange(self.data.n_rows)) if self.batch_size is None else self.some

    @cached_property
    def blank(self) -> Trial:
        """All rows, with zeros for predictions."""

        def zeros(leaf: Array) -> Array:
            return np.zeros((self.data.n_rows, *leaf.shape[1:]), leaf.dtype)

        return self._trial(self.data, mapped(zeros, self.some.predicted))

    @property
    def n_available(self) -> int:
        """How many validation rows there are, also those that weren't sampled."""
        return self.data.n_available

    def _of(self, rows: Integers) -> Trial:
        some = self.data.only(rows)
        return self._trial(some, self.predictions(rows))

    def _trial(self, data: ValidationData, predicted: Any) -> Trial:
        if not self.is_weighted:
            return Trial(data.truth._replace(weights=None), predicted, None)
        return Trial(data.truth, predicted, data.row_weights)


def _array(value: Any) -> Floats:
    return np.asarray(keras.ops.convert_to_numpy(value), np.float64)


def _agree(of_all: Sequence[float], of_rows: Sequence[float], forms: Forms) -> bool:
    """Whether the scores agree; those of a sum may differ by one factor for all predictions."""
    everything, rows = np.array(of_all), np.array(of_rows)
    if forms.is_sum and np.any(rows != 0):
        largest = np.argmax(np.abs(rows))
        rows = rows * (everything[largest] / rows[largest])
    return bool(np.allclose(everything, rows, rtol=_SAME, atol=_TINY * _scale(everything)))


def _scale(values: Array) -> float:
    return float(np.max(np.abs(values), initial=0.0))
