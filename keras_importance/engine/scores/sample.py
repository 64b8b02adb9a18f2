"""What is scored: rows, donors, replacements; and the scores that come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends.compiler import Compiler
from keras_importance.statistics.arrays import Array, Integers
from keras_importance.statistics.donors import Donors


@dataclass(frozen=True, eq=False)
class Replacement:
    """What a row gets in place of a feature: what it keeps of its own plus what its donor gives.

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
class Sample:
    """The rows of one evaluation, and what the programs need of them.

    Attributes:
        rows: `(n_rows,)` numbers of the rows in the data.
        donors: `(n_repeats, n_rows)` numbers of their donors in the data.
        tensors: what the preparing program takes besides the rows and donors of a block.
    """

    rows: Integers
    donors: Integers
    tensors: tuple[Any, ...]


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
        self.targets = keras.tree.map_structure(self._on_device, data.targets, none_is_leaf=False)

    def sample(self, replacement: Replacement, donors: Donors, rows: Integers) -> Sample:
        """The sample of an evaluation; donors are positions in `rows`."""
        kept = replacement.kept
        tensors = (
            self.inputs,
            self._leaves(replacement.donated),
            None if kept is None else self._leaves(kept),
        )
        return Sample(rows, rows[donors.rows], tensors)

    def _leaves(self, leaves: tuple[Array | None, ...]) -> list[Any]:
        """The leaves as tensors; those of the data are there already."""
        pairs = zip(leaves, self._arrays, self.inputs, strict=True)
        return [
            there if leaf is own else None if leaf is None else self._on_device(leaf)
            for leaf, own, there in pairs
        ]


@dataclass(frozen=True, eq=False)
class FeatureScores:
    """Scores of some features, for the rows that were asked for.

    Attributes:
        numbers: `(f,)` numbers of the features.
        scores: `(f, n_repeats, n_rows)` row scores with the feature replaced; `(f, n_repeats)` where the
            metric needs all rows at once.
        baseline: `(n_rows,)` scores of the untouched rows, or `()`, from the same program: a feature
            that the model ignores differs by nothing at all.
    """

    numbers: Integers
    scores: Array
    baseline: Array


def rows_of(nest: Any, rows: Any) -> Any:
    """The rows of each array of a nest."""
    return keras.tree.map_structure(lambda leaf: leaf[rows], nest, none_is_leaf=False)
