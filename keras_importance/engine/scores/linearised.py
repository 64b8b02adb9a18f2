"""A model's first-order approximation: one backward pass in place of a forward pass per feature."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_importance.data.features import FeatureSet
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends.backend import Inference, gather
from keras_importance.engine.backends.compiler import Compiler
from keras_importance.engine.cut.cut import Cut, Entry, input_dependence
from keras_importance.engine.cut.dependence import Depends
from keras_importance.engine.cut.linear_layers import LinearForm
from keras_importance.engine.gradients.differentiator import Differentiator
from keras_importance.engine.metrics.metric import Metric
from keras_importance.engine.scores.cut_scorer import CutScorer
from keras_importance.engine.scores.programs import Prepared, by_element, replacing
from keras_importance.engine.scores.sample import DeviceData, FeatureScores, Sample
from keras_importance.statistics.arrays import Integers

MAX_OUTPUTS = 64
"""As many values of the output are differentiated, each by a backward pass of its own."""

_BINARY = (keras.losses.BinaryCrossentropy, keras.losses.BinaryFocalCrossentropy)
_CATEGORICAL = (
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.SparseCategoricalCrossentropy,
)
_SMALLEST = 1e-7


class LinearisedScorer:
    """Scores features under `link(h(x) + dh/dx (x' - x))` in place of the model.

    `h` is the output, or its logit where the loss says that it is a probability: those are far from
    linear and would leave [0, 1]. Cut as any model is, what is run anew for a feature is the link alone.

    Args:
        compiler: compiles for the model.
        data: the rows.
        on_device: the same rows as tensors.
        features: the features.
        metric: the metric, tried out.
        outputs: the model's outputs for a few rows.
        in_parts: whether parts of the rows will be asked for.
    """

    def __init__(
        self,
        compiler: Compiler,
        data: ValidationData,
        on_device: DeviceData,
        features: FeatureSet,
        metric: Metric,
        outputs: Any,
        *,
        in_parts: bool,
    ) -> None:
        self._compiler = compiler
        self._data = data
        self._on_device = on_device
        self._features = features
        self._metric = metric
        self._shapes = [output.shape[1:] for output in keras.tree.flatten(outputs)]
        self._nest = outputs
        self._n_outputs = sum(map(math.prod, self._shapes))
        self._link = _link_of(compiler.model)
        self._differentiator = Differentiator(compiler, data, self._before_link, in_parts=in_parts)
        self._part: CutScorer | None = None

    def perturbed(self, sample: Sample, numbers: Integers) -> Iterator[FeatureScores]:
        """Scores of those of the given features that have a gradient."""
        inputs, donated, kept = sample.tensors
        is_all = np.array_equal(sample.rows, np.arange(self._data.n_rows))
        data = self._data if is_all else self._data.only(sample.rows)
        values = self._differentiator.values(data)
        passes = [self._differentiator.gradients(one[None], data) for one in np.eye(self._n_outputs)]
        known = [number for number in range(len(inputs)) if passes[0].has(number)]
        jacobians = [ops.stack([one.tensor(number) for one in passes]) for number in known]
        place = np.zeros(self._data.n_rows, np.int32)
        place[sample.rows] = np.arange(len(sample.rows))
        if self._part is None:
            self._part = self._part_of(known)

        def of(leaves: list[Any]) -> list[Any]:
            return [leaves[number] for number in known]

        tensors = (
            of(inputs),
            of(donated),
            None if kept is None else of(kept),
            self._compiler.on_device(place),
            values,
            jacobians,
        )
        yield from self._part.scored(Sample(sample.rows, sample.donors, tensors), numbers)

    def _part_of(self, known: list[int]) -> CutScorer:
        """The part whose only entry is the argument of the link: every column adds its own effect."""
        dependence = input_dependence(self._data, self._features)
        of_columns = [
            dependence[number].reshape(-1, dependence[number].shape[-1])[0] for number in known
        ]
        of_elements = np.repeat(
            np.concatenate([*of_columns, [Depends.ON_NOTHING]])[:-1], self._n_outputs
        )
        n_columns = len(of_elements) // self._n_outputs
        units = np.tile(np.eye(self._n_outputs, dtype=keras.config.floatx()), (n_columns, 1))
        form = LinearForm(
            elements=lambda z: z,
            kernel=lambda: ops.convert_to_tensor(units),
            finish=lambda h: h,
        )
        cut = Cut(
            features=tuple(int(number) for number in np.unique(of_elements)),
            entries=(Entry(None, None, of_elements, form),),
            head=lambda _call, leaves, _entries: leaves,
            tail=lambda _call, values: self._after_link(values[0]),
            widest=self._n_outputs,
            held=n_columns * self._n_outputs,
        )
        n_features = len(self._features)
        return CutScorer(
            self._compiler, self._data, self._on_device, self._metric, cut, n_features, _effects
        )

    # --- the link -------------------------------------------------------------------------------

    def _before_link(self, outputs: Any) -> Any:
        if self._link is None:
            return outputs
        p = ops.clip(outputs, _SMALLEST, 1 - _SMALLEST)
        return ops.log(p) - ops.log(1 - p) if self._link == "sigmoid" else ops.log(p)

    def _after_link(self, h: Any) -> Any:
        ends = np.cumsum([math.prod(shape) for shape in self._shapes])[:-1].tolist()
        flat = ops.split(h, ends, axis=-1) if ends else [h]
        outputs = [
            ops.reshape(part, (-1, *shape)) for part, shape in zip(flat, self._shapes, strict=True)
        ]
        if self._link is not None:
            outputs = [getattr(ops, self._link)(output) for output in outputs]
        return keras.tree.pack_sequence_as(self._nest, outputs)


def _effects(
    _call: Inference,
    inputs: list[Any],
    donated: list[Any],
    kept: list[Any] | None,
    place: Any,
    values: Any,
    jacobians: list[Any],
    row: Any,
    donor: Any,
) -> Prepared:
    """`h` of the rows of a block, and what each column's replacement adds to it, to first order."""
    n_repeats, n_rows = donor.shape
    position = gather(place, row)
    new = replacing(inputs, donated, kept, row, donor)
    effects = []
    for number, jacobian in enumerate(jacobians):
        g = ops.take(jacobian, position, axis=1)
        n_outputs = g.shape[0]
        columns = g.shape[-1] if len(g.shape) > 2 else 1
        # Cast first: booleans can't be subtracted, and unsigned numbers wrap around.
        own = gather(inputs[number], row)
        change = ops.cast(new[number], g.dtype) - ops.cast(own, g.dtype)
        change = ops.reshape(change, (1, n_repeats, n_rows, -1, columns))
        effect = ops.sum(ops.reshape(g, (n_outputs, 1, n_rows, -1, columns)) * change, axis=3)
        effects.append(ops.reshape(ops.moveaxis(effect, 0, -1), (n_repeats, n_rows, -1)))
    return [(gather(values, position), by_element(ops.concatenate(effects, axis=-1)))]


def _link_of(model: Any) -> str | None:
    """What made the output, if the loss says that it is a probability."""
    loss = getattr(model, "loss", None)
    loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    name = getattr(loss, "__name__", "")
    is_binary = isinstance(loss, _BINARY) or name.startswith("binary_")
    is_categorical = isinstance(loss, _CATEGORICAL) or "categorical_" in name
    if not (is_binary or is_categorical) or "crossentropy" not in (name or type(loss).__name__.lower()):
        return None
    arguments = getattr(loss, "_fn_kwargs", {})
    if arguments.get("from_logits", False):
        return None
    return "sigmoid" if is_binary else "softmax"
