"""Gradient importance: how strongly the output responds to each input, in the input's own scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance.data import ValidationData
from keras_importance.engine import Evaluator
from keras_importance.engine.gradients import InputGradients
from keras_importance.features import Column
from keras_importance.methods.base import ImportanceMethod, Scores, need_targets
from keras_importance.statistics import Floats, influence_standard_error, weighted_mean

Array = NDArray[Any]

Of = Literal["auto", "output", "loss"]
Aggregation = Literal["mean", "rms"]

# Up to here each output is differentiated by itself; beyond, they are added up with random signs.
_MAX_OUTPUTS = 16
_CROSSENTROPIES = (
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.SparseCategoricalCrossentropy,
)
_CROSSENTROPY_NAMES = ("categorical_crossentropy", "sparse_categorical_crossentropy")


class GradientImportance(ImportanceMethod):
    """Mean size of the gradient with respect to each feature, times the feature's spread.

        importance_j = mean_{i,t} sqrt(g_itj' S_j g_itj),    g = d output / d x

    over rows `i` and time steps `t`, with `S_j` the covariance of the feature's columns: for one
    column `s_j · mean |g|`, what a step of one standard deviation does to the output, in the output's
    unit. The size is taken before the average, so effects of opposite sign don't cancel. Rescaling an
    input (and its weights against it) changes nothing; in a one-hot block only differences between
    categories count.

    Several outputs count by the length of the gradients of all of them, `sqrt(sum_m g_m²)`; beyond 16
    outputs that is estimated with random signs, 1.6% too low on average. A classifier trained with
    categorical cross-entropy is differentiated at the log-probability of the true class: the
    probabilities sum to 1, and so have no gradient of their sum.

    `direction` is the signed mean `s_j · mean g` of a single output, never the ranking: it vanishes
    where effects change sign. An input of whole numbers has no gradient; it gets NaN and a note.

    Source: Sobol & Kucherenko (2009), Math. Comput. Simul. 79; Hutchinson (1990) for random signs.

    Args:
        of: `"output"`, `"loss"`, or `"auto"`: the loss for categorical cross-entropy, else the output.
        aggregation: `"mean"` of the sizes, or `"rms"`, their root mean square, which stresses the
            rows with large gradients; over steps the squares are then added up, not averaged.
        name: name in results and tags.
    """

    name = "gradient"

    def __init__(
        self, of: Of = "auto", *, aggregation: Aggregation = "mean", name: str | None = None
    ) -> None:
        super().__init__(name=name)
        for argument, value, known in (("of", of, Of), ("aggregation", aggregation, Aggregation)):
            if value not in get_args(known):
                choices = ", ".join(map(repr, get_args(known)))
                raise ValueError(
                    f"{type(self).__name__} got {argument}={value!r}. Pass one of {choices}."
                )
        self.of = of
        self.aggregation = aggregation

    def check(self, evaluator: Evaluator) -> None:
        """Raises `InvalidArgumentError` where the loss is differentiated and there are no targets."""
        if self._of_loss(evaluator):
            need_targets(self, evaluator)

    def compute(self, evaluator: Evaluator) -> Scores:
        """One forward and backward pass for each output, or one for the loss."""
        of_loss = self._of_loss(evaluator)
        started = evaluator.clock()
        data = evaluator.affordable_data(self.name)
        passes = [evaluator.loss_gradients(data)] if of_loss else _output_gradients(evaluator, data)
        notes = _notes(evaluator, passes[0])
        parts = []
        for (n_steps, width), members in _parts(evaluator, notes).items():
            # Sums over rows suffice for single columns, and are computed where the gradients are.
            if width == 1 and self.aggregation == "mean" and data.blocks is None:
                parts += _parts_of_columns(evaluator, data, members, passes)
            else:
                parts.append(_part(data, (n_steps, width), members, passes, self.aggregation))
        arrays = _joined(evaluator, data, parts, signed=not of_loss and len(passes) == 1)
        evaluator.learn_rate(self.name, started, data.n_rows)
        return Scores(metric="loss" if of_loss else "output", notes=notes, n_rows=data.n_rows, **arrays)

    def _of_loss(self, evaluator: Evaluator) -> bool:
        return self.of == "loss" or (
            self.of == "auto" and _is_crossentropy(getattr(evaluator.model, "loss", None))
        )


# --- which scalars are differentiated -----------------------------------------------------------


def _is_crossentropy(loss: Any) -> bool:
    if isinstance(loss, str):
        return loss in _CROSSENTROPY_NAMES or loss in {one.__name__ for one in _CROSSENTROPIES}
    return isinstance(loss, _CROSSENTROPIES) or (getattr(loss, "__name__", None) in _CROSSENTROPY_NAMES)


def _output_gradients(evaluator: Evaluator, data: ValidationData) -> list[InputGradients]:
    """Gradients whose squares add up to those of all outputs, exactly or on average over signs."""
    n_outputs = sum(math.prod(shape[1:]) for shape in evaluator.output_shapes)
    if n_outputs <= _MAX_OUTPUTS:
        return [evaluator.output_gradients(one[None], data) for one in np.eye(n_outputs)]
    rng = evaluator.rng()
    scale = 1 / math.sqrt(_MAX_OUTPUTS)
    return [
        evaluator.output_gradients(scale * rng.choice([-1.0, 1.0], size=(data.n_rows, n_outputs)), data)
        for _ in range(_MAX_OUTPUTS)
    ]


def _notes(evaluator: Evaluator, gradients: InputGradients) -> dict[str, str]:
    """Why a feature has no gradient, by its name."""
    numbers = range(len(evaluator.data.inputs))
    reasons = {n: evaluator.why_no_gradient(n) for n in numbers if not gradients.has(n)}
    return {
        feature.name: reason
        for feature in evaluator.features.features
        for number, _ in feature.columns
        if (reason := reasons.get(number)) is not None
    }


# --- sizes of the gradients ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Part:
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


_PartKey = tuple[int, int]
"""Number of steps and number of columns."""
_Members = list[tuple[int, tuple[Column, ...]]]
"""Number of a feature, and those of its columns that have as many steps."""


def _parts(evaluator: Evaluator, notes: Mapping[str, str]) -> dict[_PartKey, _Members]:
    """The features with a gradient, sorted by the shape of their columns."""
    steps = [math.prod(values.shape[1:-1]) for values in evaluator.data.inputs]
    parts: dict[_PartKey, _Members] = {}
    for number, feature in enumerate(evaluator.features.features):
        if feature.name in notes:
            continue
        by_steps: dict[int, list[Column]] = {}
        for column in feature.columns:
            by_steps.setdefault(steps[column[0]], []).append(column)
        for n_steps, columns in by_steps.items():
            parts.setdefault((n_steps, len(columns)), []).append((number, tuple(columns)))
    return parts


def _parts_of_columns(
    evaluator: Evaluator, data: ValidationData, members: _Members, passes: Sequence[InputGradients]
) -> list[_Part]:
    """Features of a single column each: the same as `_part`, from sums over rows.

    With `r_i` the mean length of a row's gradients over its steps, `q_i` the mean square of its centred
    values, `s² = mean(w q)` and weights `w` of mean 1, the score is `s · mean(w r)`, on which a row has
    the influence `w_i [s (r_i - mean(w r)) + b (q_i - s²)]` with `b = mean(w r) / (2 s)`.
    """
    found = []
    n_rows = data.n_rows
    numbers = sorted({columns[0][0] for _, columns in members})
    known = [number for number in numbers if passes[0].has(number)]
    moments = dict(zip(known, evaluator.gradient_moments(passes, known, data), strict=True))
    for number in numbers:
        own = [(feature, columns[0][1]) for feature, columns in members if columns[0][0] == number]
        features, columns = [feature for feature, _ in own], [column for _, column in own]
        if number not in moments:  # the model ignores the input
            n_steps, zeros = math.prod(data.inputs[number].shape[1:-1]), np.zeros(len(own))
            found.append(_Part(features, zeros, None, np.zeros((n_steps, len(own))), zeros, zeros))
            continue
        spread, sums = data.spreads[number], moments[number]
        s = np.sqrt(spread.variance)
        by_step = sums.by_step / n_rows
        r = by_step.mean(axis=0)
        b = np.divide(r / 2, s, out=np.zeros_like(s), where=s > 0)
        rr, rq, r1 = sums.rr / n_rows, sums.rq / n_rows, sums.r / n_rows
        q, w2 = spread.variance, spread.weight_squared
        of_r = rr - 2 * r * r1 + r**2 * w2
        of_both = rq - q * r1 - r * spread.q + r * q * w2
        of_q = spread.q_squared - 2 * q * spread.q + q**2 * w2
        variance = s**2 * of_r + 2 * s * b * of_both + b**2 * of_q
        error = np.sqrt(np.maximum(variance, 0.0) / max(n_rows - 1, 1))
        found.append(
            _Part(
                features=features,
                score=(s * r)[columns],
                influence=None,
                by_step=(s * by_step)[:, columns],
                direction=(s * sums.signed / n_rows)[columns],
                std_error=error[columns],
            )
        )
    return found


def _part(
    data: ValidationData,
    key: _PartKey,
    members: _Members,
    passes: Sequence[InputGradients],
    aggregation: Aggregation,
) -> _Part:
    n_steps, width = key
    weights = np.ones(data.n_rows) if data.weights is None else data.weights
    weights = weights / weights.mean()
    columns = [column for _, group in members for column in group]

    def gathered(leaves: Sequence[Array | None]) -> Array:
        """The columns of the parts as `(n_rows, n_steps, n_parts, width)`."""
        taken = [_column(leaves[number], column, data.n_rows, n_steps) for number, column in columns]
        return np.stack(taken, axis=-1).reshape(data.n_rows, n_steps, len(members), width)

    x = gathered(data.inputs).astype(np.float64)
    x -= weighted_mean(x.mean(axis=1), weights, axis=0)
    g = np.stack([gathered(gradients.arrays) for gradients in passes])
    covariance = np.einsum("n,nsfv,nsfw->fvw", weights, x, x, optimize=True) / x[..., 0, 0].size
    squares = np.maximum(
        np.einsum("mnsfv,fvw,mnsfw->nsf", g, covariance, g, optimize=True, dtype=np.float64), 0.0
    )
    if aggregation == "mean":
        sizes = np.sqrt(squares)
        by_step = weighted_mean(sizes, weights, axis=0)
        score = by_step.mean(axis=0)
        rows = sizes.mean(axis=1)
        # How the score changes with the covariance of the columns, which is an estimate too.
        slope = np.divide(0.5, sizes, out=np.zeros_like(sizes), where=sizes > 0) / n_steps
        chain = np.ones_like(score)
    else:
        by_step = np.sqrt(weighted_mean(squares, weights, axis=0))
        score = np.sqrt(np.sum(by_step**2, axis=0))
        rows = squares.sum(axis=1)
        slope = np.ones_like(squares)
        chain = np.divide(0.5, score, out=np.zeros_like(score), where=score > 0)
    by_covariance = (
        np.einsum("n,nsf,mnsfv,mnsfw->fvw", weights, slope, g, g, optimize=True) / data.n_rows
    )
    spread = np.einsum("nsfv,fvw,nsfw->nf", x, by_covariance, x, optimize=True) / n_steps
    influence = (
        chain
        * weights[:, None]
        * (rows - weighted_mean(rows, weights, axis=0) + spread - weighted_mean(spread, weights, axis=0))
    )
    direction = np.full(len(members), math.nan)
    if width == 1:
        mean_gradient = weighted_mean(g[0, :, :, :, 0].mean(axis=1), weights, axis=0)
        direction = np.sqrt(covariance[:, 0, 0]) * mean_gradient
    return _Part([number for number, _ in members], score, influence, by_step, direction)


def _column(leaf: Array | None, column: int, n_rows: int, n_steps: int) -> Array:
    """`(n_rows, n_steps)`; zeros for an input that the model ignores."""
    if leaf is None:
        return np.zeros((n_rows, n_steps))
    return leaf.reshape(n_rows, n_steps, -1)[:, :, column]


def _joined(
    evaluator: Evaluator, data: ValidationData, parts: Sequence[_Part], *, signed: bool
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


def _by_step(evaluator: Evaluator, parts: Sequence[_Part]) -> Floats | None:
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
