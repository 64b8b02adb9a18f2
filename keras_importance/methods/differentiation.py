"""The loop shared by all methods that differentiate the model, and the scalars they differentiate."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args

import keras
import numpy as np

from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.effort import Effort
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.gradients.differentiator import Scalar, Scalars
from keras_importance.engine.metrics.outputs import Output, outputs_of
from keras_importance.engine.planned_work import affordable_data
from keras_importance.errors import InvalidArgumentError, NotEvaluableError
from keras_importance.methods.base import ImportanceMethod, need_targets
from keras_importance.methods.feature_parts import (
    FeaturePart,
    FeatureValues,
    Members,
    PartShape,
    by_step_of,
    parts_of,
)
from keras_importance.results.scores import Scores
from keras_importance.statistics.arrays import Floats, Integers

Of = Literal["auto", "output", "loss"]

WHY_MISSING = "some of its values are missing (NaN), and no gradient leads from or to these"

# Up to this many outputs are differentiated one by one; more are summed with random signs.
WHY_MISSING = (
    "some of its values are missing (NaN): a gradient tells nothing of the way from or to these"
)
_MAX_OUTPUTS = 16
_CROSSENTROPIES = (
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.SparseCategoricalCrossentropy,
)
_CROSSENTROPY_NAMES = ("categorical_crossentropy", "sparse_categorical_crossentropy")


class PartScorer(Protocol):
    """Scores feature parts by the gradients that it holds."""

    @property
    def has_gradient(self) -> Sequence[bool]:
        """For each input whether there is a gradient with respect to it."""
        ...

    def scored(self, shape: PartShape, members: Members) -> FeaturePart:
        """The scores of parts of one shape."""
        ...


class DifferentiatingMethod(ImportanceMethod):
    """Scores features by derivatives of the outputs, or of the loss, with respect to the inputs.

    A subclass says in `part_scorer` how gradients become scores.

    Several outputs `m` are combined into the length `sqrt(sum_m g_m²)` of their gradients. Beyond 16
    outputs the length is estimated with random signs, 1.6% too low on average. For a classifier trained
    with categorical cross-entropy, the log-probability of the true class is differentiated. The
    probabilities themselves sum to 1, so their sum has no gradient.

    Source: Hutchinson (1990), Communications in Statistics 19(2), for random signs.

    Args:
        of: `"output"`, `"loss"`, or `"auto"`: the loss for categorical cross-entropy, else the output.
        output: name of the output to differentiate, where there are several; None for all.
        name: name in results and tags; None for the name that the class has.

    Raises:
        ValueError: for another `of`, for an `output` that is no text, or for an output of the loss.
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
        """Checks the output, and the targets that the loss needs.

        Raises:
            InvalidArgumentError: for an output that the model doesn't have, or a loss without targets.
        """
        if self.is_of_loss(evaluator):
            need_targets(self, evaluator)
            if not self._has_row_loss(evaluator):
                raise NotEvaluableError(
                    f"got {self.name!r} importance of a loss that is no mean over rows, so no row has a "
                    "gradient of its own. Pass of='output'."
                )
        if self.output is not None and self.output not in _by_name(evaluator):
            known = ", ".join(map(repr, _by_name(evaluator))) or "one output alone"
            raise InvalidArgumentError(
                f"got {self.name!r} importance of output={self.output!r}, and a model with {known}. "
                "Pass one of its outputs, or None for all."
            )

    def is_of_loss(self, evaluator: Evaluator) -> bool:
        """Whether the loss is differentiated, rather than the outputs."""
        return self.of == "loss" or (
            self.of == "auto"
            and self.output is None
            and _is_crossentropy(getattr(evaluator.model, "loss", None))
            and self._has_row_loss(evaluator)
        )

    @staticmethod
    def _has_row_loss(evaluator: Evaluator) -> bool:
        """Whether rows have a loss of their own; True as long as that can't be known."""
        is_known = evaluator.model.built and evaluator.data.targets is not None
        return not is_known or evaluator.has_row_loss

    def scalars(self, evaluator: Evaluator, data: ValidationData) -> Scalars:
        """The scalars to differentiate for each row: the loss, each output, or sums of many outputs.

        Their squared gradients sum to the squared length of the gradients of all outputs. For more than
        16 outputs this holds on average.
        """
        if self.is_of_loss(evaluator):
            return [evaluator.row_loss]
        units = np.eye(evaluator.outputs.n_values)[self._columns(evaluator)]
        if len(units) <= _MAX_OUTPUTS:
            return list(units[:, None])
        return _RandomSigns(units, data.n_rows, evaluator.rng)

    def n_gradients(self, evaluator: Evaluator) -> int:
        """How many gradients of each row are computed: one of each scalar."""
        return len(self.scalars(evaluator, evaluator.data))

    @abstractmethod
    def part_scorer(self, evaluator: Evaluator, data: ValidationData, scalars: Scalars) -> PartScorer:
        """Differentiates the scalars, and returns a scorer that holds their gradients.

        Args:
            evaluator: the model and the validation rows.
            data: the rows to use, all of them or a part.
            scalars: the scalars to differentiate.
        """

    def compute(self, evaluator: Evaluator, effort: Effort) -> Scores:
        """Scores the parts of all features, and joins them to scores of the features."""
        data = affordable_data(evaluator, self.n_gradients(evaluator), effort)
        scalars = self.scalars(evaluator, data)
        scorer = self.part_scorer(evaluator, data, scalars)
        notes = _notes(evaluator, scorer.has_gradient)
        parts = [scorer.scored(*part) for part in parts_of(evaluator, without=notes).items()]
        scores = self._scores(evaluator, data, parts, notes, n_scalars=len(scalars))
        notes_of_missing = _notes_of_missing(evaluator, scores.importances)
        return replace(scores, notes={**notes_of_missing, **scores.notes})

    def _scores(
        self,
        evaluator: Evaluator,
        data: ValidationData,
        parts: Sequence[FeaturePart],
        notes: Mapping[str, str],
        *,
        n_scalars: int,
    ) -> Scores:
        """Joins the scores of the parts. `notes` say why a feature has no parts, by its name."""
        values = FeatureValues.of(parts, len(evaluator.features), data.blocks)
        wrong = false_zeros(evaluator, values.score[:, None])
        values = values.without(list(wrong))
        names = evaluator.features.names
        is_of_loss = self.is_of_loss(evaluator)
        return Scores(
            importances=values.score[:, None],
            metric="loss" if is_of_loss else "output",
            std_error=values.std_error,
            direction=None if is_of_loss or n_scalars > 1 else values.direction,
            by_step=by_step_of(evaluator, parts),
            notes={**notes, **{names[index]: reason for index, reason in wrong.items()}},
            n_samples=data.n_rows,
        )

    def _columns(self, evaluator: Evaluator) -> Integers:
        """Indices of the output values to differentiate, among the values of all outputs of a row."""
        sizes = [math.prod(shape[1:]) for shape in evaluator.outputs.shapes]
        if self.output is None:
            return np.arange(sum(sizes))
        index = _by_name(evaluator)[self.output].index
        return sum(sizes[:index]) + np.arange(sizes[index])

    def _one_of(self, argument: str, value: Any, known: Any) -> Any:
        if not isinstance(value, str) or value not in get_args(known):
            choices = ", ".join(map(repr, get_args(known)))
            raise ValueError(f"{type(self).__name__} got {argument}={value!r}. Pass one of {choices}.")
        return value


# --- which scalars are differentiated -----------------------------------------------------------


def _is_crossentropy(loss: Any) -> bool:
    if isinstance(loss, str):
        return loss in _CROSSENTROPY_NAMES or loss in {kind.__name__ for kind in _CROSSENTROPIES}
    return isinstance(loss, _CROSSENTROPIES) or (getattr(loss, "__name__", None) in _CROSSENTROPY_NAMES)


def _by_name(evaluator: Evaluator) -> dict[str, Output]:
    return {output.name: output for output in outputs_of(evaluator.model)}


@dataclass(frozen=True, eq=False)
class _RandomSigns:
    """16 sums of all outputs with random signs.

    On average, the sum of their squared gradients equals the sum over all outputs. The signs are the
    same each time that the sums are iterated over. They are drawn during the iteration, because the
    signs of many outputs would fill the memory.

    Attributes:
        units: `(n_differentiated, n_outputs)` rows of the unit matrix, for the outputs to differentiate.
        n_rows: how many rows get signs of their own.
        rng: makes the same random generator in each call.
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


# --- why features have no gradient ----------------------------------------------------------------


def _notes(evaluator: Evaluator, has_gradient: Sequence[bool]) -> dict[str, str]:
    """For each feature without a gradient the reason, by the name of the feature.

    Args:
        evaluator: the model and the validation rows.
        has_gradient: for each input whether there is a gradient with respect to it.
    """
    support = evaluator.gradient_support
    reasons = {
        index: support.why_no_gradient(index)
        for index, is_there in enumerate(has_gradient)
        if not is_there
    }
    notes = partial_gradients(evaluator)
    if not reasons:
        return notes
    return notes | {
        feature.name: reason
        for feature in evaluator.features.features
        for input_index, _ in feature.columns
        if (reason := reasons.get(input_index)) is not None
    }


def _notes_of_missing(evaluator: Evaluator, importances: Floats) -> dict[str, str]:
    """For each feature without importance that lacks values the reason, by the name of the feature."""
    missing, features = evaluator.data.missing, evaluator.features.features
    unknown = np.flatnonzero(np.isnan(importances).any(axis=1)) if missing else ()
    return {
        features[index].name: WHY_MISSING
        for index in unknown
        if any(column in missing for column in features[index].columns)
    }


def partial_gradients(evaluator: Evaluator) -> dict[str, str]:
    """For each feature that has a gradient in some of its columns alone the reason, by its name."""
    if not evaluator.data.codes:
        return {}
    support = evaluator.gradient_support
    reasons = {
        feature.name: support.why_part_has_none(feature) for feature in evaluator.features.features
    }
    return {name: reason for name, reason in reasons.items() if reason is not None}


def false_zeros(evaluator: Evaluator, importances: Floats) -> dict[int, str]:
    """For each feature whose importance is 0 only for lack of a gradient the reason, by feature index.

    Args:
        evaluator: the model and the validation rows.
        importances: `(n_features, n_repeats)` importances.
    """
    zero = np.flatnonzero(np.all(importances == 0, axis=1)).tolist()
    features = [evaluator.features.features[index] for index in zero]
    reasons = evaluator.gradient_support.why_zeros_are_no_gradients(features)
    return {index: why for index, why in zip(zero, reasons, strict=True) if why is not None}
