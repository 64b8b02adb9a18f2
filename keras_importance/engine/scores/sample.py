"""The rows, donors and replacements that are scored, and the resulting scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from keras_importance.data.arrays import mapped
from keras_importance.data.padding import Steps, awake
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends.compiler import Compiler
from keras_importance.statistics.arrays import Array, Integers
from keras_importance.statistics.donors import Donors


@dataclass(frozen=True, eq=False)
class Replacement:
    """The values that replace a feature: a value kept by the row plus a value from its donor.

        x_new[i] = kept[i] + donated[donor(i)]

    Padded steps keep their own values, and valid steps get the donor's values of valid steps; see
    `data.padding.Steps`. For permutation, `donated` holds the inputs and nothing is kept. For ablation,
    `kept` holds the means and nothing is donated.

    Attributes:
        donated: for each input an array `(n_rows, ...)` like the input; None if donors give nothing.
        kept: for each input an array `(n_rows, ...)` like the input, or for random values
            `(n_draws, n_rows, ...)`, a draw for each repeat; None if rows keep nothing.
    """

    donated: tuple[Array | None, ...]
    kept: tuple[Array | None, ...] | None = None

    @property
    def has_donors(self) -> bool:
        """Whether rows get values of other rows, so that a score depends on two rows."""
        return any(values is not None for values in self.donated)


@dataclass(frozen=True, eq=False)
class ScoreRequest:
    """Which features of which rows are replaced, and by what.

    Attributes:
        replacement: the values that replace a feature. For systematic donors, the donated values of
            each feature lie in the feature's own order, those of the rows that are scored first.
        donors: which row lends its value to which, as positions in `rows`, or in the features' orders.
        rows: `(n_rows,)` indices of the rows to score; None for all.
        features: indices of the features to replace, one at a time; None for all.
    """

    replacement: Replacement
    donors: Donors
    rows: Integers | None = None
    features: Integers | None = None


class ValidSteps(NamedTuple):
    """Tensors `(n_rows, n_steps)` of `data.padding.Steps` for all rows: what is replaced by what.

    Attributes:
        valid: whether a step counts.
        rank: how many valid steps the row has before this one.
        lending: the step that a row lends to a step of this rank; -1 if it lends nothing.
    """

    valid: Any
    rank: Any
    lending: Any


class Values(NamedTuple):
    """Tensors of all rows: the inputs, and a `Replacement` of them.

    Attributes:
        inputs: for each input the values `(n_rows, ...)`.
        donated: for each input `Replacement.donated`; None if donors give nothing.
        kept: for each input `Replacement.kept`; None if rows keep nothing.
        steps: for each input its valid steps; None where all steps count.
    """

    inputs: list[Any]
    donated: list[Any]
    kept: list[Any] | None
    steps: list[ValidSteps | None] | None = None


class Block(NamedTuple):
    """Tensors that say which rows go through a program at once.

    Attributes:
        row: `(n,)` indices of the rows.
        donor: `(n_repeats, n)` indices of their donors.
    """

    row: Any
    donor: Any


class Slots(NamedTuple):
    """Tensors that say which (feature, repeat) pairs go through a program at once.

    Attributes:
        feature: `(n_slots,)` indices of the features to replace; the number of features replaces none.
        repeat: `(n_slots,)` indices of the repeats that the replacing values come from.
    """

    feature: Any
    repeat: Any


@dataclass(frozen=True, eq=False)
class Sample:
    """The rows of one evaluation, their donors, and their tensors.

    Attributes:
        rows: `(n_rows,)` indices of the rows in the data.
        donors: `(n_repeats, n_rows)` indices of their donors in the donated values.
        tensors: the tensors that the preparing program takes: `Values`, or another nest.
    """

    rows: Integers
    donors: Integers
    tensors: Any


class DeviceData:
    """The rows as tensors, which stay on the device where the model computes.

    Args:
        compiler: puts arrays on the device.
        data: the rows.

    Attributes:
        inputs: one tensor for each input.
        truth: what predictions are scored against.
    """

    def __init__(self, compiler: Compiler, data: ValidationData) -> None:
        self._on_device = compiler.on_device
        self._arrays, self._valid = data.inputs, data.valid
        self.inputs = [self._on_device(values) for values in data.inputs]
        self.truth = mapped(self._on_device, data.truth)
        self._lent = self._tensors(self._never_padding(data.inputs))
        self._ordered: tuple[tuple[Array | None, ...], list[Any]] = (data.inputs, self._lent)
        self._steps = [None if valid is None else self._of_steps(Steps(valid)) for valid in data.valid]

    def sample(self, request: ScoreRequest) -> Sample:
        """The sample of a request: its rows, their donors, and the tensors of the replacement."""
        rows = np.arange(len(self._arrays[0])) if request.rows is None else request.rows
        donated, kept = request.replacement.donated, request.replacement.kept
        donors = request.donors
        if donors.orders is not None:
            lent = self._in_order(donated)
        else:
            lent = self._tensors(donated) if kept is not None else self._lent_of(donated)
        values = Values(
            self.inputs,
            lent,
            None if kept is None else self._tensors(self._never_padding(kept)),
            self._steps if any(steps is not None for steps in self._steps) else None,
        )
        return Sample(rows, rows[donors.rows] if donors.orders is None else donors.rows, values)

    def _in_order(self, donated: tuple[Array | None, ...]) -> list[Any]:
        """Tensors of values in the orders of features; the newest are kept for the next evaluation."""
        if self._ordered[0] is not donated:
            self._ordered = donated, self._tensors(donated)
        return self._ordered[1]

    def _lent_of(self, donated: tuple[Array | None, ...]) -> list[Any]:
        """Tensors of donated values; the data's own are on the device already."""
        if all(array is own for array, own in zip(donated, self._arrays, strict=True)):
            return self._lent
        return self._tensors(self._never_padding(donated))

    def _never_padding(self, arrays: tuple[Array | None, ...]) -> tuple[Array | None, ...]:
        return tuple(
            None if array is None else awake(array, values, valid)
            for array, values, valid in zip(arrays, self._arrays, self._valid, strict=True)
        )

    def _of_steps(self, steps: Steps) -> ValidSteps:
        return ValidSteps(
            self._on_device(steps.valid),
            self._on_device(steps.rank.astype(np.int32)),
            self._on_device(steps.lending.astype(np.int32)),
        )

    def _tensors(self, arrays: tuple[Array | None, ...]) -> list[Any]:
        """The arrays as tensors; an array of the data has its tensor already."""
        return [
            tensor if array is own else None if array is None else self._on_device(array)
            for array, own, tensor in zip(arrays, self._arrays, self.inputs, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class FeatureScores:
    """Scores of `f` features, for the rows of a request.

    Attributes:
        indices: `(f,)` indices of the features.
        scores: `(f, n_repeats, n_rows)` row scores with the feature replaced; `(f, n_repeats)` if the
            metric needs all rows at once.
        baseline: `(n_rows,)` scores of the untouched rows; `()` if the metric needs all rows at once.
            They come from the same program: a feature that the model ignores differs by exactly 0.
    """

    indices: Integers
    scores: Array
    baseline: Array


def rows_of(nest: Any, rows: Any) -> Any:
    """`array[rows]` for each array of a nest."""
    return mapped(lambda leaf: leaf[rows], nest)
