"""Where to cut a model, so that a replaced feature leaves most of it as it was.

A **cut** divides the layers of a model into a **head** and a **tail**. The head is run once for a block
of rows, and once for the values that replace them. The tail is run anew for each feature. They meet at
**entries**: the tensors that the tail takes from the head.

At an entry each element still depends on a single feature. So replacing the feature means replacing its
elements there. If a linear layer follows, the entry lies behind it: the difference of the feature's
elements updates the layer's output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_importance.data.features import FeatureSet
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.cut.block_sizes import declared_batch, values_in_row, widest_layer
from keras_importance.engine.cut.dependence import (
    Dependence,
    Depends,
    dependence_after,
    dependence_after_move,
)
from keras_importance.engine.cut.graph import Graph, LayerCall, inputs_in_order
from keras_importance.engine.cut.linear_layers import LinearForm, linear_form
from keras_importance.engine.cut.products import (
    products_of_calls,
    products_of_elements,
    products_of_model,
)
from keras_importance.engine.keras_internals import is_of_keras

# Where features touch more different sets of inputs than this, a single cut serves all features.
_MAX_TOUCHED = 64
_EXACT_TYPES = ("float32", "float64")


@dataclass(frozen=True, eq=False)
class Entry:
    """A tensor that the tail of a cut takes from its head.

    Attributes:
        tensor: the symbolic tensor; in a cut at the inputs, the index of the input.
        source: the tensor that the head computes, for the rows and for the values that replace them. It
            is the entry's own tensor, or the input of the linear layer that makes the tensor.
        dependence: for each element of a row of the source, the feature that it depends on; for a linear
            layer, for each of `LinearForm.elements` along their last axis.
        form: the linear layer, whose output is updated; None if elements are replaced.
    """

    tensor: Any
    source: Any
    dependence: Dependence
    form: LinearForm | None = None

    @property
    def is_fixed(self) -> bool:
        """True if no feature of the cut reaches the entry: it keeps the value of the rows."""
        return self.form is None and bool(np.all(self.dependence < 0))


@dataclass(frozen=True, eq=False)
class Cut:
    """A model in two parts: the head is run once for the rows, the tail for each feature.

    Attributes:
        features: indices of the features that the cut serves.
        entries: the tensors where the two parts meet.
        head: from `(call, inputs, entries)` to the values of these entries' sources.
        tail: from `(call, values of the tensors of all entries)` to the model's outputs.
        widest: how many values a row has in the widest layer of the tail.
        products: multiplications of the tail for a row.
        held: how many replacing values are held for a row and repeat; None for as many as the inputs
            have.
        is_whole: True if the tail is the whole model.
    """

    features: tuple[int, ...]
    entries: tuple[Entry, ...]
    head: Callable[[Any, list[Any], Sequence[Entry]], list[Any]]
    tail: Callable[[Any, list[Any]], Any]
    widest: int
    products: float
    held: int | None = None
    is_whole: bool = False


def whole_model(model: Any, data: ValidationData, features: FeatureSet) -> Cut:
    """The cut at the inputs, which serves every model: the head is empty, the tail the whole model."""
    packing = data.packing

    def head(_call: Any, leaves: list[Any], entries: Sequence[Entry]) -> list[Any]:
        return [leaves[entry.source] for entry in entries]

    return Cut(
        features=tuple(range(len(features))),
        entries=tuple(
            Entry(index, index, dependence)
            for index, dependence in enumerate(input_dependence(data, features))
        ),
        head=head,
        tail=lambda call, values: call(packing(values)),
        widest=2 * widest_layer(model, data),  # more than the widest layer is alive at once
        products=products_of_model(model, data),
        is_whole=True,
    )


def cuts(model: Any, data: ValidationData, features: FeatureSet) -> list[Cut]:
    """The cuts with the smallest tails; each feature belongs to exactly one cut.

    A feature is followed through the layers as long as no element depends on another feature too. Then
    it is followed into the first linear layer that mixes features. If inputs meet late, the layers of
    one input aren't run anew for a feature of another input. The cuts are exact, up to rounding.
    """
    graph = Graph.of(model)
    inputs = None if graph is None else inputs_in_order(graph, data)
    is_fixed = declared_batch(model) is not None or bool(data.columns_first)
    if graph is None or inputs is None or is_fixed or not all(map(_runs_alone, graph.calls)):
        return [whole_model(model, data, features)]
    dependences = input_dependence(data, features)
    by_entries: dict[Any, Cut] = {}
    for touched, members in _by_touched_inputs(features).items():
        entries = _entries(graph, _known_dependence(dependences, inputs, touched))
        if _spares_nothing(entries, graph):
            entries = ()
        key = tuple((id(entry.tensor), entry.form is None, entry.is_fixed) for entry in entries)
        if not entries:
            others = by_entries[key].features if key in by_entries else ()
            by_entries[key] = replace(whole_model(model, data, features), features=(*others, *members))
        elif key in by_entries:
            by_entries[key] = _joined(by_entries[key], members, entries)
        else:
            by_entries[key] = _cut(model, graph, inputs, members, entries, data)
    return list(by_entries.values())


def input_dependence(data: ValidationData, features: FeatureSet) -> list[Dependence]:
    """For each input, the index of the feature that each element of a row belongs to."""
    dependences = []
    for values, of_columns in zip(data.inputs, features.of_columns(), strict=True):
        in_row = np.broadcast_to(of_columns, values.shape[1:] or (1,))
        dependences.append(in_row.astype(np.int64))
    return dependences


def _by_touched_inputs(features: FeatureSet) -> dict[frozenset[int], tuple[int, ...]]:
    """Indices of the features, by the inputs that their columns lie in."""
    members: dict[frozenset[int], list[int]] = {}
    for index, feature in enumerate(features.features):
        touched = frozenset(input_index for input_index, _ in feature.columns)
        members.setdefault(touched, []).append(index)
    if len(members) <= _MAX_TOUCHED:
        return {touched: tuple(indices) for touched, indices in members.items()}
    return {frozenset(range(len(features.inputs))): tuple(range(len(features)))}


def _known_dependence(
    dependences: Sequence[Dependence], inputs: Sequence[Any], touched: frozenset[int]
) -> dict[int, Dependence]:
    """The dependence of the inputs, by the `id` of their tensors; untouched inputs are `ON_OTHERS`."""
    return {
        id(tensor): _in_shape_of(
            tensor, dependence if index in touched else np.full_like(dependence, Depends.ON_OTHERS)
        )
        for index, (dependence, tensor) in enumerate(zip(dependences, inputs, strict=True))
    }


# --- the model's side ---------------------------------------------------------------------------


def _runs_alone(call: LayerCall) -> bool:
    """True if the layer neither makes nor changes a mask, and computes in float32 or float64.

    Run alone on its arguments, such a layer returns the same outputs as in the model.
    """
    operation = call.operation
    if not isinstance(operation, keras.Layer):
        return True
    makes_masks = isinstance(operation, keras.layers.Masking) or getattr(operation, "mask_zero", False)
    masks_as_keras = is_of_keras(type(operation).compute_mask)
    return not makes_masks and masks_as_keras and operation.compute_dtype in _EXACT_TYPES


def _in_shape_of(tensor: Any, dependence: Dependence) -> Dependence:
    """The dependence in the shape of a row of the tensor; flat columns get its axis of length 1."""
    has_axis = len(tensor.shape) == dependence.ndim + 1
    return dependence.reshape(dependence.shape if has_axis else (*dependence.shape, 1))


def _entries(graph: Graph, known: Mapping[int, Dependence]) -> tuple[Entry, ...]:
    """The entries of the cut with the smallest tail.

    Args:
        graph: the model.
        known: the dependence of the inputs, by the `id` of their tensors.
    """
    dependence, linear = _followed(graph, known)
    run_anew = graph.needed([*dependence, *linear], graph.outputs)
    needed = [tensor for call in run_anew for tensor in call.inputs]
    entries = {}
    for tensor in (*needed, *graph.outputs):
        if id(tensor) in linear:
            entries[id(tensor)] = linear[id(tensor)]
        elif id(tensor) in dependence:
            entries[id(tensor)] = Entry(tensor, tensor, dependence[id(tensor)])
    return tuple(entries.values())


def _followed(
    graph: Graph, known: Mapping[int, Dependence]
) -> tuple[dict[int, Dependence], dict[int, Entry]]:
    """Follows the features through the layers, as long as each element depends on a single feature.

    Returns:
        The dependence of each tensor that is reached, and the entry behind each linear layer in which
        features mix; both by the `id` of the tensors.
    """
    dependence = dict(known)
    linear: dict[int, Entry] = {}
    for call in graph.calls:
        if not all(id(tensor) in dependence for tensor in call.inputs):
            continue
        after = dependence_after(call, [dependence[id(tensor)] for tensor in call.inputs])
        if after is not None:
            dependence |= zip(map(id, call.outputs), after, strict=True)
        elif len(call.inputs) == 1:
            entry = _linear_entry(call, dependence[id(call.inputs[0])])
            if entry is not None:
                linear[id(entry.tensor)] = entry
    return dependence, linear


def _spares_nothing(entries: Sequence[Entry], graph: Graph) -> bool:
    """True if features are replaced at the inputs alone, so that the tail is the whole model."""
    inputs = {id(tensor) for tensor in graph.inputs}
    return all(
        entry.form is None and not entry.is_fixed and id(entry.tensor) in inputs for entry in entries
    )


def _linear_entry(call: LayerCall, dependence: Dependence) -> Entry | None:
    """The entry behind a linear layer; None unless elements depend on the same feature at all positions.

    The padding of a convolution is 0 in every row, so it may count as any feature's.
    """
    form = linear_form(call.operation)
    if form is None:
        return None
    moved = dependence_after_move(
        lambda values: [form.elements(values[0])], [dependence], Depends.PADDING
    )
    if moved is None:
        return None
    at_positions = moved[0].reshape(-1, moved[0].shape[-1])
    of_elements = np.max(at_positions, axis=0)
    if np.any((at_positions != of_elements) & (at_positions != Depends.PADDING)):
        return None
    of_elements = np.where(of_elements == Depends.PADDING, Depends.ON_NOTHING, of_elements)
    return Entry(call.outputs[0], call.inputs[0], of_elements, form)


def _cut(
    model: Any,
    graph: Graph,
    inputs: list[Any],
    members: tuple[int, ...],
    entries: tuple[Entry, ...],
    data: ValidationData,
) -> Cut:
    run_anew = graph.needed([id(entry.tensor) for entry in entries], graph.outputs)
    met = [entry.tensor for entry in entries]
    written = [tensor for call in run_anew for tensor in call.outputs]

    def head(_call: Any, leaves: list[Any], wanted: Sequence[Entry]) -> list[Any]:
        given = {
            id(tensor): _as_declared(leaf, tensor) for leaf, tensor in zip(leaves, inputs, strict=True)
        }
        values = graph.run(given, [entry.source for entry in wanted])
        return [values[id(entry.source)] for entry in wanted]

    def tail(_call: Any, values: list[Any]) -> Any:
        given = {id(entry.tensor): value for entry, value in zip(entries, values, strict=True)}
        outputs = graph.run(given, graph.outputs)
        return _in_nest_of(model, [outputs[id(tensor)] for tensor in graph.outputs])

    return Cut(
        features=members,
        entries=entries,
        head=head,
        tail=tail,
        widest=values_in_row([*met, *written], data),
        products=products_of_calls(run_anew, data) + products_of_elements(met, data),
    )


def _joined(cut: Cut, members: Iterable[int], entries: Sequence[Entry]) -> Cut:
    """The cut with further features added, whose own cut has the same entries."""
    joined = tuple(
        replace(ours, dependence=np.maximum(ours.dependence, theirs.dependence))
        for ours, theirs in zip(cut.entries, entries, strict=True)
    )
    return replace(cut, features=(*cut.features, *members), entries=joined)


def _as_declared(leaf: Any, tensor: Any) -> Any:
    """The rows in the shape and type of the model's input, to which the model would convert them."""
    if len(leaf.shape) == len(tensor.shape) - 1:
        leaf = keras.ops.expand_dims(leaf, -1)
    return keras.ops.cast(leaf, tensor.dtype) if tensor.dtype != "string" else leaf


def _in_nest_of(model: Any, outputs: list[Any]) -> Any:
    """The flat outputs in the nest that the model returns."""
    if isinstance(model, keras.Sequential):
        return outputs[0]
    nest = keras.tree.pack_sequence_as(model.output, outputs)
    return nest[0] if isinstance(nest, (list, tuple)) and len(nest) == 1 else nest
