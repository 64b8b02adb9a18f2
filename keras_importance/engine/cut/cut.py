"""Where to cut a model, so that a replaced feature leaves most of it as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_importance.data.features import FeatureSet
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.cut.block_sizes import declared_batch, values_in_row, widest_layer
from keras_importance.engine.cut.dependence import OTHERS, UNTOUCHED, Dependence, labels_after, moved
from keras_importance.engine.cut.graph import Graph, LayerCall
from keras_importance.engine.cut.linear_layers import LinearForm, linear_form

# Beyond as many sets of inputs that features touch, one cut serves all.
_MAX_TOUCHED = 64
_EXACT_TYPES = ("float32", "float64")
_ONCE = OTHERS - 1  # stands for UNTOUCHED where that means padding


@dataclass(frozen=True, eq=False)
class Entry:
    """A tensor through which replaced values enter the rest of the model.

    Attributes:
        tensor: what the rest of the model takes.
        source: what is computed of the rows and of the replaced rows; the tensor itself, or the input of
            the linear layer that makes it.
        labels: the features of the source's elements; for a linear layer those of its last axis.
        form: the linear layer, which is updated and not run anew; None where elements are replaced.
    """

    tensor: Any
    source: Any
    labels: Dependence
    form: LinearForm | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether no feature of the cut reaches it: it stays what it is for the rows."""
        return self.form is None and bool(np.all(self.labels < 0))


@dataclass(frozen=True, eq=False)
class Cut:
    """A model in two parts: what is run once for the rows, and what is run for each feature.

    Attributes:
        features: numbers of the features that it serves.
        entries: where the two parts meet.
        head: from `(call, inputs)` to the sources of the given entries.
        tail: from `(call, values of the entries' tensors)` to the model's outputs.
        widest: how many values the widest layer of the tail holds for a row.
        held: how many values are held for a row and repeat; None for as many as the inputs have.
        is_whole: whether all of the model is run for each feature.
    """

    features: tuple[int, ...]
    entries: tuple[Entry, ...]
    head: Callable[[Any, list[Any], Sequence[Entry]], list[Any]]
    tail: Callable[[Any, list[Any]], Any]
    widest: int
    held: int | None = None
    is_whole: bool = False


def whole_model(model: Any, data: ValidationData, features: FeatureSet) -> Cut:
    """The cut at the inputs, which serves every model: features are replaced, and all is run."""
    labels = input_labels(data, features)
    numbers = list(range(len(labels)))

    def head(_call: Any, leaves: list[Any], entries: Sequence[Entry]) -> list[Any]:
        return [leaves[entry.source] for entry in entries]

    return Cut(
        features=tuple(range(len(features))),
        entries=tuple(Entry(number, number, labels[number]) for number in numbers),
        head=head,
        tail=lambda call, values: call(data.pack(values)),
        widest=2 * widest_layer(model, data),  # more than the widest layer is alive at once
        is_whole=True,
    )


def cuts(model: Any, data: ValidationData, features: FeatureSet) -> list[Cut]:
    """The cuts that leave least to run for each feature; each feature belongs to one.

    Exact, up to rounding: a feature is followed through the layers as long as its values stay apart from
    those of others, and into the first linear layer that mixes them, which is updated by the
    difference. Features of inputs that meet late leave the branches of other inputs untouched.
    """
    graph = Graph.of(model)
    inputs = None if graph is None else _inputs_in_order(model, graph, data)
    is_fixed = declared_batch(model) is not None
    if graph is None or inputs is None or is_fixed or not all(map(_is_followed, graph.calls)):
        return [whole_model(model, data, features)]
    labels = input_labels(data, features)
    found: dict[Any, Cut] = {}
    for touched, members in _by_touched_inputs(features).items():
        known = {
            id(tensor): _row_labels(one if number in touched else np.full_like(one, OTHERS), tensor)
            for number, (one, tensor) in enumerate(zip(labels, inputs, strict=True))
        }
        entries = _entries(graph, known)
        if _spares_nothing(entries, graph):
            entries = ()
        key = tuple((id(one.tensor), one.form is None, one.is_fixed) for one in entries)
        if not entries:
            others = found[key].features if key in found else ()
            found[key] = replace(whole_model(model, data, features), features=(*others, *members))
        elif key in found:
            found[key] = _joined(found[key], members, entries)
        else:
            widest = _widest(graph, entries, data)
            found[key] = _cut(model, graph, inputs, members, entries, widest)
    return list(found.values())


def input_labels(data: ValidationData, features: FeatureSet) -> list[Dependence]:
    """For each input, the number of the feature that each element of a row belongs to."""
    labels = []
    for values, masks in zip(data.inputs, features.memberships(), strict=True):
        of_columns = np.argmax(masks, axis=0) if len(masks) else np.zeros(masks.shape[1], np.int64)
        labels.append(np.broadcast_to(of_columns, values.shape[1:] or (1,)).astype(np.int64))
    return labels


def _by_touched_inputs(features: FeatureSet) -> dict[frozenset[int], tuple[int, ...]]:
    """The features, sorted by the inputs that their columns lie in."""
    found: dict[frozenset[int], tuple[int, ...]] = {}
    for number, feature in enumerate(features.features):
        touched = frozenset(column[0] for column in feature.columns)
        found[touched] = (*found.get(touched, ()), number)
    if len(found) <= _MAX_TOUCHED:
        return found
    return {frozenset(range(len(features.inputs))): tuple(range(len(features)))}


# --- the model's side ---------------------------------------------------------------------------


def _inputs_in_order(model: Any, graph: Graph, data: ValidationData) -> list[Any] | None:
    """The symbolic input for each input of the data; None where they can't be matched."""
    inputs: list[Any] = list(graph.inputs)
    if isinstance(data.structure, dict):
        names = [one.name for one in inputs]
        nest = getattr(model, "input", None)
        if sorted(data.structure) == sorted(names):
            inputs = [inputs[names.index(name)] for name in sorted(data.structure)]
        elif not isinstance(nest, dict) or sorted(nest) != sorted(data.structure):
            return None
    if len(inputs) != len(data.inputs):
        return None
    for tensor, values in zip(inputs, data.inputs, strict=True):
        shape = values.shape[1:] or (1,)
        if len(tensor.shape) != len(shape) + 1:
            return None
        if any(known not in (None, size) for known, size in zip(tensor.shape[1:], shape, strict=True)):
            return None
    return inputs


def _is_followed(call: LayerCall) -> bool:
    """Whether a call's part in the model is all in its arguments and outputs, at full precision."""
    operation = call.operation
    if not isinstance(operation, keras.Layer):
        return True
    makes_masks = isinstance(operation, keras.layers.Masking) or getattr(operation, "mask_zero", False)
    masks_as_keras = type(operation).compute_mask.__module__.startswith("keras.")
    return not makes_masks and masks_as_keras and operation.compute_dtype in _EXACT_TYPES


def _row_labels(labels: Dependence, tensor: Any) -> Dependence:
    return labels.reshape(labels.shape if len(tensor.shape) == labels.ndim + 1 else (*labels.shape, 1))


def _entries(graph: Graph, known: Mapping[int, Dependence]) -> tuple[Entry, ...]:
    """Where features that enter with these labels come to mix."""
    labels = dict(known)
    linear: dict[int, Entry] = {}
    for call in graph.calls:
        if not all(id(tensor) in labels for tensor in call.inputs):
            continue
        after = labels_after(call, [labels[id(tensor)] for tensor in call.inputs])
        if after is not None:
            labels |= {id(tensor): one for tensor, one in zip(call.outputs, after, strict=True)}
        elif len(call.inputs) == 1:
            entry = _linear_entry(call, labels[id(call.inputs[0])])
            if entry is not None:
                linear[id(entry.tensor)] = entry
    run_anew = graph.needed([*labels, *linear], graph.outputs)
    taken = [tensor for call in run_anew for tensor in call.inputs]
    entries = {}
    for tensor in (*taken, *graph.outputs):
        if id(tensor) in linear:
            entries[id(tensor)] = linear[id(tensor)]
        elif id(tensor) in labels:
            entries[id(tensor)] = Entry(tensor, tensor, labels[id(tensor)])
    return tuple(entries.values())


def _spares_nothing(entries: Sequence[Entry], graph: Graph) -> bool:
    """Whether all features enter at the inputs, and all inputs may change."""
    inputs = {id(tensor) for tensor in graph.inputs}
    return all(one.form is None and not one.is_fixed and id(one.tensor) in inputs for one in entries)


def _linear_entry(call: LayerCall, labels: Dependence) -> Entry | None:
    """The entry behind a linear layer whose elements at all other axes belong to the same features."""
    form = linear_form(call.operation)
    if form is None:
        return None
    # Told apart from what a convolution pads, which is 0 in every row and may count as any feature's.
    apart = np.where(labels == UNTOUCHED, _ONCE, labels)
    found = moved(lambda values: [form.elements(values[0])], [apart])
    if found is None:
        return None
    everywhere = found[0].reshape(-1, found[0].shape[-1])
    is_padding = everywhere == UNTOUCHED
    of_elements = np.max(np.where(is_padding, _ONCE, everywhere), axis=0)
    if np.any((everywhere != of_elements) & ~is_padding):
        return None
    of_elements = np.where(of_elements == _ONCE, UNTOUCHED, of_elements)
    return Entry(call.outputs[0], call.inputs[0], of_elements, form)


def _widest(graph: Graph, entries: Sequence[Entry], data: ValidationData) -> int:
    run_anew = graph.needed([id(entry.tensor) for entry in entries], graph.outputs)
    tensors = [tensor for call in run_anew for tensor in call.outputs]
    return values_in_row([*(entry.tensor for entry in entries), *tensors], data)


def _cut(
    model: Any,
    graph: Graph,
    inputs: list[Any],
    members: tuple[int, ...],
    entries: tuple[Entry, ...],
    widest: int,
) -> Cut:
    def head(_call: Any, leaves: list[Any], wanted: Sequence[Entry]) -> list[Any]:
        given = {
            id(tensor): _as_declared(leaf, tensor) for leaf, tensor in zip(leaves, inputs, strict=True)
        }
        values = graph.run(given, [entry.source for entry in wanted])
        return [values[id(entry.source)] for entry in wanted]

    def tail(_call: Any, values: list[Any]) -> Any:
        given = {id(entry.tensor): value for entry, value in zip(entries, values, strict=True)}
        found = graph.run(given, graph.outputs)
        return _in_nest_of(model, [found[id(tensor)] for tensor in graph.outputs])

    return Cut(members, entries, head, tail, widest)


def _joined(cut: Cut, members: Iterable[int], entries: Sequence[Entry]) -> Cut:
    """The cut with the features of another one at the same place."""
    joined = tuple(
        replace(ours, labels=np.maximum(ours.labels, theirs.labels))
        for ours, theirs in zip(cut.entries, entries, strict=True)
    )
    return replace(cut, features=(*cut.features, *members), entries=joined)


def _as_declared(leaf: Any, tensor: Any) -> Any:
    """The rows in the shape and type that the model's input declares, as the model would bring them."""
    if len(leaf.shape) == len(tensor.shape) - 1:
        leaf = keras.ops.expand_dims(leaf, -1)
    return keras.ops.cast(leaf, tensor.dtype) if tensor.dtype != "string" else leaf


def _in_nest_of(model: Any, outputs: list[Any]) -> Any:
    if isinstance(model, keras.Sequential):
        return outputs[0]
    nest = keras.tree.pack_sequence_as(model.output, outputs)
    return nest[0] if isinstance(nest, (list, tuple)) and len(nest) == 1 else nest
