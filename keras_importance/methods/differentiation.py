"""What all methods that differentiate the model share: which scalars, and how a feature's parts join."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import keras
import numpy as np

from keras_importance.data.features import Column
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.gradients.differentiator import Scalar, Scalars
from keras_importance.engine.metrics.outputs import Output, outputs_of
from keras_importance.errors import InvalidArgumentError
from keras_importance.methods.base import ImportanceMethod, need_targets
from keras_importance.results.scores import Scores
from keras_importance.statistics.arrays import Array, Floats, Integers
from keras_importance.statistics.influence import influence_standard_error

Of = Literal["auto", "output", "loss"]

# Up to here each output is differentiated by itself; beyond, they are added up with random signs.
_MAX_OUTPUTS = 16
_CROSSENTROPIES = (
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.SparseCategoricalCrossentropy,
)
_CROSSENTROPY_NAMES = ("categorical_crossentropy", "sparse_categorical_crossentropy")


class DifferentiatingMethod(ImportanceMethod):
    """Differentiates the outputs, or the loss, with respect to the inputs.

    Several outputs count by the length of the gradients of all of them, `sqrt(sum_m g_m²)`; beyond 16
    outputs that is estimated with random signs, 1.6% too low on average. A classifier trained with
    categorical cross-entropy is differentiated at the log-probability of the true class: the
    probabilities sum to 1, and so have no gradient of their sum.

    Source: Hutchinson (1990), Communications in Statistics 19(2), for random signs.

    Args:
        of: `"output"`, `"loss"`, or `"auto"`: the loss for categorical cross-entropy, else the output.
        output: name of the one output to differentiate, of several; None for all.
        name: name in results and tags; None for the class's own.
    """

    def __init__(self, of: Of = "auto", *, output: str | None = None, name: str | None = None) -> None:
        super().__init__(name=name)
        self.of = self._one_of("of", of, Of)
        self.output = output
        if output is not None and not isinstance(output, str):
            raise ValueError(
                f"{type(self).__name__} got output={output!r}. Pass the name of an output, or None for "
                "all."
            )
        if output is not None and of == "loss":
            raise ValueError(
                f"{type(self).__name__} got of='loss' and output={output!r}. Pass one of them: the "
                "loss is that of all outputs."
            )

    def check(self, evaluator: Evaluator) -> None:
        """Raises `InvalidArgumentError` for an unknown output, or a loss without targets."""
        if self.is_of_loss(evaluator):
            need_targets(self, evaluator)
        if self.output is not None and self.output not in _by_name(evaluator):
            known = ", ".join(map(repr, _by_name(evaluator))) or "one output alone"
            raise InvalidArgumentError(
                f"got {self.name!r} importance of output={self.output!r}, and a model with {known}. "
                "Pass one of its outputs, or None for all."
            )

    def is_of_loss(self, evaluator: Evaluator) -> bool:
        """Whether the loss is differentiated, not the output."""
        return self.of == "loss" or (
            self.of == "auto"
            and self.output is None
            and _is_crossentropy(getattr(evaluator.model, "loss", None))
        )

    def scalars(self, evaluator: Evaluator, data: ValidationData) -> Scalars:
        """What is differentiated: the squares of several gradients add up to those of all outputs."""
        if self.is_of_loss(evaluator):
            return [evaluator.row_loss]
        units = np.eye(evaluator.n_outputs)[self._columns(evaluator)]
        if len(units) <= _MAX_OUTPUTS:
            return list(units[:, None])
        return _RandomSigns(units, data.n_rows, evaluator.rng)

    def scores(
        self,
        evaluator: Evaluator,
        data: ValidationData,
        parts: Sequence[FeaturePart],
        notes: Mapping[str, str],
        *,
        n_scalars: int,
    ) -> Scores:
        """The scores of the features from those of their parts, and why some have none."""
        of_loss = self.is_of_loss(evaluator)
        arrays = _joined(evaluator, data, parts, signed=not of_loss and n_scalars == 1)
        wrong = false_zeros(evaluator, arrays["importances"])
        for values in (arrays["importances"], arrays["std_error"]):
            values[list(wrong)] = math.nan
        names = evaluator.features.names
        return Scores(
            metric="loss" if of_loss else "output",
            notes={**notes, **{names[number]: reason for number, reason in wrong.items()}},
            n_samples=data.n_rows,
            **arrays,
        )

    def _columns(self, evaluator: Evaluator) -> Integers:
        """Which values of the outputs are differentiated."""
        sizes = [math.prod(shape[1:]) for shape in evaluator.output_shapes]
        if self.output is None:
            return np.arange(sum(sizes))
        number = _by_name(evaluator)[self.output].index
        return sum(sizes[:number]) + np.arange(sizes[number])

    def _one_of(self, argument: str, value: Any, known: Any) -> Any:
        if not isinstance(value, str) or value not in get_args(known):
            choices = ", ".join(map(repr, get_args(known)))
            raise ValueError(f"{type(self).__name__} got {argument}={value!r}. Pass one of {choices}.")
        return value


# --- which scalars are differentiated -----------------------------------------------------------


def _is_crossentropy(loss: Any) -> bool:
    if isinstance(loss, str):
        return loss in _CROSSENTROPY_NAMES or loss in {one.__name__ for one in _CROSSENTROPIES}
    return isinstance(loss, _CROSSENTROPIES) or (getattr(loss, "__name__", None) in _CROSSENTROPY_NAMES)


def _by_name(evaluator: Evaluator) -> dict[str, Output]:
    return {output.name: output for output in outputs_of(evaluator.model)}


@dataclass(frozen=True, eq=False)
class _RandomSigns:
    """Sums of outputs with random signs: their squared gradients add up to those of all on average.

    The same signs each time, drawn when they are asked for: those of many outputs are many.
    """

    units: Floats
    n_rows: int
    rng: Callable[[], np.random.Generator]

    def __len__(self) -> int:
        return _MAX_OUTPUTS

    def __iter__(self) -> Iterator[Scalar]:
        rng = self.rng()
        for _ in range(_MAX_OUTPUTS):
            signs = rng.choice([-1.0, 1.0], size=(self.n_rows, len(self.units)))
            yield signs @ self.units / math.sqrt(_MAX_OUTPUTS)


def notes_of(evaluator: Evaluator, of_inputs: Sequence[Any | None]) -> dict[str, str]:
    """Why a feature has no gradient, by its name; given what was found for each input, None for none."""
    support = evaluator.gradient_support
    reasons = {i: support.why_no_gradient(i) for i, one in enumerate(of_inputs) if one is None}
    if not reasons:
        return {}
    return {
        feature.name: reason
        for feature in evaluator.features.features
        for number, _ in feature.columns
        if (reason := reasons.get(number)) is not None
    }


def false_zeros(evaluator: Evaluator, importances: Floats) -> dict[int, str]:
    """Why some features of importance 0 have no gradient, by their numbers.

    Args:
        evaluator: the evaluator.
        importances: `(n_features, n_repeats)`.
    """
    features = evaluator.features.features
    zero = np.flatnonzero(np.all(importances == 0, axis=1))
    support = evaluator.gradient_support
    reasons = {int(one): support.why_zero_is_no_gradient(features[one]) for one in zero}
    return {number: reason for number, reason in reasons.items() if reason is not None}


# --- features and their parts ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FeaturePart:
    """Features, or parts of features, of as many steps and as many columns.

    Attributes:
        features: number of the feature, for each part.
        score: `(n_parts,)`.
        influence: `(n_rows, n_parts)` what each row adds to the score; None where `std_error` says
            all that is needed of it.
        by_step: `(n_steps, n_parts)`.
        direction: `(n_parts,)`, NaN where a part has several columns.
        std_error: `(n_parts,)` standard error of the score, where `influence` is None.
    """

    features: list[int]
    score: Floats
    influence: Floats | None
    by_step: Floats
    direction: Floats
    std_error: Floats | None = None


class PartKey(NamedTuple):
    """The shape of a part.

    Attributes:
        n_steps: of its inputs.
        width: how many columns it has.
        is_whole: whether it is all of its feature.
    """

    n_steps: int
    width: int
    is_whole: bool


Members = list[tuple[int, tuple[Column, ...]]]
"""Number of a feature, and those of its columns that have as many steps."""


def parts_of(evaluator: Evaluator, notes: Mapping[str, str] | None = None) -> dict[PartKey, Members]:
    """The features, those with a note left out, sorted by the shape of their columns."""
    parts = evaluator.once(parts_of, lambda: _parts_of(evaluator))
    if not notes:
        return parts
    names = evaluator.features.names
    kept = {
        key: [(number, columns) for number, columns in members if names[number] not in notes]
        for key, members in parts.items()
    }
    return {key: members for key, members in kept.items() if members}


def _parts_of(evaluator: Evaluator) -> dict[PartKey, Members]:
    steps = [math.prod(values.shape[1:-1]) for values in evaluator.data.inputs]
    parts: dict[PartKey, Members] = {}
    for number, feature in enumerate(evaluator.features.features):
        by_steps: dict[int, list[Column]] = {}
        for column in feature.columns:
            by_steps.setdefault(steps[column[0]], []).append(column)
        for n_steps, columns in by_steps.items():
            key = PartKey(n_steps, len(columns), len(by_steps) == 1)
            parts.setdefault(key, []).append((number, tuple(columns)))
    return parts


def column_of(leaf: Array | None, column: int, n_rows: int, n_steps: int) -> Array:
    """`(n_rows, n_steps)`; zeros for an input that the model ignores."""
    if leaf is None:
        return np.zeros((n_rows, n_steps))
    return leaf.reshape(n_rows, n_steps, -1)[:, :, column]


def _joined(
    evaluator: Evaluator, data: ValidationData, parts: Sequence[FeaturePart], *, signed: bool
) -> dict[str, Any]:
    """The arrays of a result; the parts of a feature over inputs of unequal steps add up in squares."""
    n_features = len(evaluator.features)
    squares = np.full(n_features, math.nan)
    direction = np.full(n_features, math.nan)
    std_error = np.full(n_features, math.nan)
    n_parts = np.zeros(n_features, int)
    chained: dict[int, Floats] = {}
    for part in parts:
        squares[part.features] = np.nan_to_num(squares[part.features]) + part.score**2
        direction[part.features] = part.direction
        n_parts[part.features] += 1
        if part.influence is None:
            std_error[part.features] = part.std_error
            continue
        for place, feature in enumerate(part.features):
            added = part.score[place] * part.influence[:, place]
            chained[feature] = chained.get(feature, 0.0) + added
    score = np.sqrt(squares)
    for feature, influence in chained.items():
        scaled = influence / score[feature] if score[feature] > 0 else 0.0 * influence
        std_error[feature] = influence_standard_error(scaled, data.blocks)
    direction[n_parts > 1] = math.nan
    return {
        "importances": score[:, None],
        "std_error": std_error,
        "direction": direction if signed else None,
        "by_step": _by_step(evaluator, parts),
    }


def _by_step(evaluator: Evaluator, parts: Sequence[FeaturePart]) -> Floats | None:
    """The map of steps x features, where the sequences have one common number of steps."""
    lengths = {values.shape[1] for values in evaluator.data.inputs if values.ndim == 3}
    if len(lengths) != 1 or any(values.ndim > 3 for values in evaluator.data.inputs):
        return None
    n_steps = lengths.pop()
    by_step = np.full((n_steps, len(evaluator.features)), math.nan)
    for part in parts:
        if len(part.by_step) == n_steps:
            by_step[:, part.features] = part.by_step
    return by_step
