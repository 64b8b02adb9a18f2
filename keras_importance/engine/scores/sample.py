"""What is scored: rows, donors, replacements; and the scores that come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from keras_importance.data.arrays import mapped
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends.compiler import Compiler
from keras_importance.statistics.arrays import Array, Integers
from keras_importance.statistics.donors import Donors


@dataclass(frozen=True, eq=False)
class Replacement:
    """What a row gets in place of a feature: what it keeps of its own plus what its donor gives.

        x_new[i] = kept[i] + donated[donor(i)]

    Permutation donates the values and keeps nothing; ablation keeps the mean and donates nothing.

    Attributes:
        donated: for each input, an array like the input; None where donors give nothing.
        kept: for each input, an array like the input, or `(n_draws, ...)` of them, one for each repeat,
            as for what is drawn at random; None where a row keeps nothing.
    """

    donated: tuple[Array | None, ...]
    kept: tuple[Array | None, ...] | None = None

    @property
    def has_donors(self) -> bool:
        """Whether a row gets anything of other rows, so that two rows share a score."""
        return any(one is not None for one in self.donated)


@dataclass(frozen=True, eq=False)
class ScoreRequest:
    """Which features of which rows are replaced, and by what.

    Attributes:
        replacement: what takes a feature's place.
        donors: which row lends its value to which, as positions in `rows`.
        rows: `(n_rows,)` indices of the rows to score; None for all.
        features: indices of the features to replace, one at a time; None for all.
    """

    replacement: Replacement
    donors: Donors
    rows: Integers | None = None
    features: Integers | None = None


class Values(NamedTuple):
    """Tensors of all rows: what a row has, and what takes its place.

    Attributes:
        inputs: the inputs.
        donated: for each input what donors give; None for nothing.
        kept: for each input what rows keep of their own, for all repeats or for each; None for nothing.
    """

    inputs: list[Any]
    donated: list[Any]
    kept: list[Any] | None


class Block(NamedTuple):
    """Tensors that say which rows are computed at once.

    Attributes:
        row: `(n,)` indices of the rows.
        donor: `(n_repeats, n)` indices of their donors.
    """

    row: Any
    donor: Any


class Slots(NamedTuple):
    """Tensors that say which (feature, repeat) pairs are computed at once.

    Attributes:
        feature: `(n_slots,)` indices of the features to replace; the number of features for none.
        repeat: `(n_slots,)` repeats that the replaced values come from.
    """

    feature: Any
    repeat: Any


@dataclass(frozen=True, eq=False)
class Sample:
    """The rows of one evaluation, and what the programs need of them.

    Attributes:
        rows: `(n_rows,)` indices of the rows in the data.
        donors: `(n_repeats, n_rows)` indices of their donors in the data.
        tensors: `Values`, or what else the preparing program takes besides a block.
    """

    rows: Integers
    donors: Integers
    tensors: Any


class DeviceData:
    """The rows as tensors, which stay where the model computes.

    Attributes:
        inputs: one tensor for each input.
        targets: the nest of targets.
    """

    def __init__(self, compiler: Compiler, data: ValidationData) -> None:
        self._on_device = compiler.on_device
        self._arrays = data.inputs
        self.inputs = [self._on_device(values) for values in data.inputs]
        self.targets = mapped(self._on_device, data.targets)

    def sample(self, request: ScoreRequest) -> Sample:
        """The rows that are asked for, their donors, and the tensors of the replacement."""
        rows = np.arange(len(self._arrays[0])) if request.rows is None else request.rows
        donated, kept = request.replacement.donated, request.replacement.kept
        values = Values(
            self.inputs, self._tensors(donated), None if kept is None else self._tensors(kept)
        )
        return Sample(rows, rows[request.donors.rows], values)

    def _tensors(self, arrays: tuple[Array | None, ...]) -> list[Any]:
        """The arrays as tensors; those of the data are there already."""
        return [
            tensor if array is own else None if array is None else self._on_device(array)
            for array, own, tensor in zip(arrays, self._arrays, self.inputs, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class FeatureScores:
    """Scores of some features, for the rows that were asked for.

    Attributes:
        indices: `(f,)` indices of the features.
        scores: `(f, n_repeats, n_rows)` row scores with the feature replaced; `(f, n_repeats)` where the
            metric needs all rows at once.
        baseline: `(n_rows,)` scores of the untouched rows, or `()`, from the same program: a feature
            that the model ignores differs by nothing at all.
    """

    indices: Integers
    scores: Array
    baseline: Array


def rows_of(nest: Any, rows: Any) -> Any:
    """The rows of each array of a nest."""
    return mapped(lambda leaf: leaf[rows], nest)
