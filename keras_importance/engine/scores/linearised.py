"""Scores of a model's first-order approximation: one backward pass serves all features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_importance.engine.backends.backend import Inference, gather
from keras_importance.engine.cut.cut import Cut, Entry, input_dependence
from keras_importance.engine.cut.dependence import Depends
from keras_importance.engine.cut.linear_layers import LinearForm
from keras_importance.engine.gradients.differentiator import Differentiator
from keras_importance.engine.keras_internals import function_arguments
from keras_importance.engine.meter import SECONDS_A_PRODUCT, SECONDS_A_SCORE
from keras_importance.engine.scores.context import ScoringContext
from keras_importance.engine.scores.cut_scorer import CutScorer
from keras_importance.engine.scores.programs import Prepared, by_element, replacing
from keras_importance.engine.scores.sample import Block, FeatureScores, Sample, Values
from keras_importance.statistics.arrays import Integers

MAX_OUTPUTS = 64
"""Most output values of a row that are differentiated: each takes a backward pass of its own."""

_BINARY = (keras.losses.BinaryCrossentropy, keras.losses.BinaryFocalCrossentropy)
_CATEGORICAL = (
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.SparseCategoricalCrossentropy,
)
_SMALLEST = 1e-7
# The effects of a column are gathered, multiplied and added up before the link.
_PRODUCTS_AN_OUTPUT = 50


class LinearisedScorer:
    """Scores features under `link(h(x) + dh/dx (x' - x))` in place of the model.

    `h` is the output, and `link` the identity. If the loss says that the output is a probability, `h` is
    its logit and `link` a sigmoid or softmax: probabilities are far from linear, and their approximation
    would leave [0, 1]. The approximation is cut like any model. Its tail is the link alone, which is run
    anew for each feature.

    Args:
        context: the model, rows, features and metric.
    """

    def __init__(self, context: ScoringContext) -> None:
        self._context = context
        self._compiler = context.compiler
        self._data = context.data
        self._features = context.features
        self._nest = context.outputs
        self._shapes = [output.shape[1:] for output in keras.tree.flatten(context.outputs)]
        self._n_outputs = sum(map(math.prod, self._shapes))
        self._link = _link_of(context.compiler.model)
        self._differentiator = Differentiator(
            context.compiler,
            context.data,
            context.meter,
            None if self._link is None else partial(_before_link, self._link),
        )
        self._cut_scorer: CutScorer | None = None

    @property
    def seconds_per_row(self) -> float:
        """Planned seconds for one row: a gradient of each output, then a score of each feature."""
        per_score = SECONDS_A_SCORE + SECONDS_A_PRODUCT * _PRODUCTS_AN_OUTPUT * self._n_outputs
        per_gradient = self._differentiator.seconds_per_row
        return self._n_outputs * per_gradient + len(self._features) * per_score

    def perturbed(self, sample: Sample, indices: Integers) -> Iterator[FeatureScores]:
        """Scores of the given features that have a gradient, a piece of them at a time."""
        is_all = np.array_equal(sample.rows, np.arange(self._data.n_rows))
        data = self._data if is_all else self._data.only(sample.rows)
        values = self._differentiator.values(data)
        passes = [self._differentiator.gradients(unit[None], data) for unit in np.eye(self._n_outputs)]
        known = [index for index in range(len(data.inputs)) if passes[0].has(index)]
        jacobians = [ops.stack([gradients.tensor(index) for gradients in passes]) for index in known]
        position = np.zeros(self._data.n_rows, np.int32)
        position[sample.rows] = np.arange(len(sample.rows))
        if self._cut_scorer is None:
            self._cut_scorer = self._new_cut_scorer(known)
        tensors = _Linearisation(
            _only(sample.tensors, known), self._compiler.on_device(position), values, jacobians
        )
        for scores in self._cut_scorer.scored(Sample(sample.rows, sample.donors, tensors), indices):
            yield self._unknown_where_missing(scores)

    def _unknown_where_missing(self, scores: FeatureScores) -> FeatureScores:
        """The scores, NaN for features with missing values, between which there is no difference."""
        missing = self._data.missing
        if not missing:
            return scores
        features = (self._features.features[index] for index in scores.indices)
        lacks = [any(column in missing for column in feature.columns) for feature in features]
        known = np.array(scores.scores)
        known[np.array(lacks)] = math.nan
        return replace(scores, scores=known)

    def _new_cut_scorer(self, known: list[int]) -> CutScorer:
        """The scorer of a cut with one entry, the argument of the link; each column adds its effect.

        Args:
            known: indices of the inputs that have a gradient.
        """
        dependence = input_dependence(self._data, self._features)
        of_columns = [dependence[i].reshape(-1, dependence[i].shape[-1])[0] for i in known]
        of_elements = np.repeat(
            np.concatenate([*of_columns, [Depends.ON_NOTHING]])[:-1], self._n_outputs
        )
        n_columns = len(of_elements) // self._n_outputs
        units = np.tile(np.eye(self._n_outputs, dtype=keras.config.floatx()), (n_columns, 1))
        structure = keras.tree.map_structure(lambda _: 0, self._nest)
        form = LinearForm(
            elements=lambda z: z,
            kernel=lambda: ops.convert_to_tensor(units),
            finish=lambda h: h,
        )
        cut = Cut(
            features=tuple(int(feature) for feature in np.unique(of_elements)),
            entries=(Entry(None, None, of_elements, form),),
            head=lambda _call, leaves, _entries: leaves,
            tail=partial(_outputs_of, self._link, self._shapes, structure),
            widest=self._n_outputs,
            products=_PRODUCTS_AN_OUTPUT * self._n_outputs,
            held=n_columns * self._n_outputs,
        )
        return CutScorer(self._context, cut, _effects)


# --- the link -----------------------------------------------------------------------------------


def _before_link(link: str, outputs: Any) -> Any:
    p = ops.clip(outputs, _SMALLEST, 1 - _SMALLEST)
    return ops.log(p) - ops.log(1 - p) if link == "sigmoid" else ops.log(p)


def _outputs_of(
    link: str | None, shapes: Sequence[tuple[int, ...]], structure: Any, _call: Any, values: list[Any]
) -> Any:
    """The nest of outputs, from the only entry: the arguments of the link, `(n_rows, n_outputs)`."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1].tolist()
    flat = ops.split(values[0], ends, axis=-1) if ends else [values[0]]
    outputs = [ops.reshape(part, (-1, *shape)) for part, shape in zip(flat, shapes, strict=True)]
    if link is not None:
        outputs = [getattr(ops, link)(output) for output in outputs]
    return keras.tree.pack_sequence_as(structure, outputs)


class _Linearisation(NamedTuple):
    """Tensors of the rows of a sample.

    Attributes:
        values: the inputs that have a gradient, and what replaces them.
        position: for each row of the data its position in the sample.
        outputs: `(n_rows, n_outputs)` values of `h`, in the order of the sample.
        jacobians: for each input `(n_outputs, n_rows, ...)` derivatives of `h`.
    """

    values: Values
    position: Any
    outputs: Any
    jacobians: list[Any]


def _only(values: Values, indices: Sequence[int]) -> Values:
    """The values of some of the inputs."""

    def some(tensors: list[Any]) -> list[Any]:
        return [tensors[index] for index in indices]

    kept, steps = (None if part is None else some(part) for part in (values.kept, values.steps))
    return Values(some(values.inputs), some(values.donated), kept, steps)


def _effects(_call: Inference, linearisation: _Linearisation, block: Block) -> Prepared:
    """`h` of the rows of a block, and the effect of each replaced column on it, `dh/dx (x' - x)`.

    Returns:
        One entry: `(n_rows, n_outputs)` values of `h`, and `(n_repeats * n_columns * n_outputs, n_rows)`
        effects, summed over steps.
    """
    n_repeats, n_rows = block.donor.shape
    position = gather(linearisation.position, block.row)
    new = replacing(linearisation.values, block)
    effects = []
    for index, jacobian in enumerate(linearisation.jacobians):
        g = ops.take(jacobian, position, axis=1)
        n_outputs = g.shape[0]
        columns = g.shape[-1] if len(g.shape) > 2 else 1
        # Cast first: booleans can't be subtracted, and unsigned numbers wrap around.
        own = gather(linearisation.values.inputs[index], block.row)
        change = ops.cast(new[index], g.dtype) - ops.cast(own, g.dtype)
        # An effect that is NaN would spread to all features: they are sums of products with 0 and 1.
        change = ops.where(ops.isfinite(change), change, ops.zeros_like(change))
        change = ops.reshape(change, (1, n_repeats, n_rows, -1, columns))
        effect = ops.sum(ops.reshape(g, (n_outputs, 1, n_rows, -1, columns)) * change, axis=3)
        effects.append(ops.reshape(ops.moveaxis(effect, 0, -1), (n_repeats, n_rows, -1)))
    return [(gather(linearisation.outputs, position), by_element(ops.concatenate(effects, axis=-1)))]


def _link_of(model: Any) -> str | None:
    """`"sigmoid"` or `"softmax"`, if the loss says that the output is a probability; else None."""
    loss = getattr(model, "loss", None)
    loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    name = getattr(loss, "__name__", "")
    is_binary = isinstance(loss, _BINARY) or name.startswith("binary_")
    is_categorical = isinstance(loss, _CATEGORICAL) or "categorical_" in name
    if not (is_binary or is_categorical) or "crossentropy" not in (name or type(loss).__name__.lower()):
        return None
    if function_arguments(loss).get("from_logits", False):
        return None
    return "sigmoid" if is_binary else "softmax"
