"""Batches of anything that `fit` accepts as validation data, read without disturbing it."""

from __future__ import annotations

import copy
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from types import GeneratorType
from typing import Any

import keras

from keras_importance.data.single_rows import ROWS_AT_ONCE, is_row, stacked
from keras_importance.errors import InvalidArgumentError, RowsError

Batch = tuple[Any, Any, Any]

ACCEPTED = "{arrays}, a tf.data.Dataset, a keras.utils.PyDataset, a torch DataLoader or a grain dataset"
_INFINITE = -1  # tf.data.INFINITE_CARDINALITY
# No dataset has so many batches; one of grain that repeats itself forever says it has more.
_ENDLESS = 2**40


def batches(source: Any, steps: int | None) -> Generator[Batch]:
    """Yields `(x, y, sample_weight)` of a source that can be read without being used up.

    A `tf.data.Dataset` or grain dataset whose elements are certainly single rows is read in batches; see
    `is_row`.

    Args:
        source: what `fit` accepts as `validation_data`.
        steps: how many elements to read of a dataset; None reads it to its end.

    Raises:
        InvalidArgumentError: for generators, infinite datasets and unknown types.
    """
    tf = sys.modules.get("tensorflow")
    if isinstance(source, keras.utils.PyDataset):
        yield from _of_pydataset(source, steps)
    elif tf is not None and isinstance(source, tf.data.Dataset):
        yield from _of_tf_dataset(tf, source, steps)
    elif _is_torch_loader(source):
        yield from _of_torch_loader(source, steps)
    elif _is_grain(source):
        yield from _of_grain(source, steps)
    elif hasattr(source, "__next__"):
        raise _used_up(source)
    elif isinstance(source, (tuple, list)):
        if not 1 <= len(source) <= 3:
            raise RowsError(f"got {{rows}} of {len(source)} parts. Pass {{argument}} as {ACCEPTED}.")
        yield keras.utils.unpack_x_y_sample_weight(source)
    elif isinstance(source, dict) or hasattr(source, "__array__"):
        yield source, None, None
    else:
        raise RowsError(
            f"got {{rows}} of type {type(source).__name__}. Pass {{argument}} as {ACCEPTED}."
        )


def check_is_batched(source: Any) -> None:
    """Refuses a dataset of single rows, which `fit` itself can't take.

    Raises:
        InvalidArgumentError: for elements that are certainly single rows.
    """
    tf = sys.modules.get("tensorflow")
    if tf is not None and isinstance(source, tf.data.Dataset):
        holds_rows = is_row(source.element_spec)
    else:
        holds_rows = _is_grain(source) and is_row(next(iter(source), None))
    if holds_rows:
        raise InvalidArgumentError(
            f"got a {type(source).__name__} of single rows as validation data of fit, where batches "
            "were expected. It needs .batch(n)."
        )


def _used_up(source: Any) -> InvalidArgumentError:
    is_generator = isinstance(source, GeneratorType)
    what = "a Python generator" if is_generator else f"an iterator ({type(source).__name__})"
    return RowsError(
        f"got {what} as {{rows}}, which can be read only once, so that reading it would use it up. Pass "
        f"{{argument}} as {ACCEPTED}: what the iterator is made from{{or_beside}}."
    )


def _is_torch_loader(source: Any) -> bool:
    torch = sys.modules.get("torch.utils.data")
    return torch is not None and isinstance(source, torch.DataLoader)


def _is_grain(source: Any) -> bool:
    grain = sys.modules.get("grain")
    names = ("MapDataset", "IterDataset", "DataLoader")
    return grain is not None and isinstance(source, tuple(getattr(grain, name) for name in names))


def _of_pydataset(source: Any, steps: int | None) -> Iterator[Batch]:
    n_batches = source.num_batches
    if n_batches is None and steps is None:
        raise RowsError("got an infinite PyDataset as {rows}. Give it a num_batches{or_steps}.")
    n_batches = min(n for n in (n_batches, steps) if n is not None)
    for index in range(n_batches):
        yield keras.utils.unpack_x_y_sample_weight(source[index])


def _of_tf_dataset(tf: Any, source: Any, steps: int | None) -> Iterator[Batch]:
    if steps is not None:
        source = source.take(steps)
    if int(source.cardinality()) == _INFINITE:
        raise RowsError(
            "got an infinite tf.data.Dataset as {rows}. Pass {argument}dataset.take(n){or_steps}."
        )
    source = _with_shuffles_of_its_own(tf, source)
    if not is_row(source.element_spec):
        yield from map(keras.utils.unpack_x_y_sample_weight, source)
        return
    shapes = (spec.shape for spec in tf.nest.flatten(source.element_spec))
    is_of_one_shape = all(shape.is_fully_defined() for shape in shapes)
    read = source.batch(ROWS_AT_ONCE) if is_of_one_shape else stacked(source)
    yield from map(keras.utils.unpack_x_y_sample_weight, read)


def _with_shuffles_of_its_own(tf: Any, source: Any) -> Any:
    """A copy of the dataset whose shuffles share no random state with the original.

    A shuffle keeps one seed generator for all datasets derived from it. So reading the validation set
    `shuffled.take(n)` would change the order of the training set `shuffled.skip(n)`. The older shuffle
    operation is seeded by value: rewritten to it, the copy has a state of its own.
    """
    if not _has_shuffle(source):
        return source
    variant = tf.data.experimental.to_variant(source)
    serialised = tf.raw_ops.DatasetToGraphV2(
        input_dataset=variant, external_state_policy=1, strip_device_assignment=True
    )
    graph = tf.compat.v1.GraphDef.FromString(serialised.numpy())
    for node in (node for node in graph.node if node.op == "ShuffleDatasetV3"):
        node.op = "ShuffleDataset"
        del node.input[4:]  # the seed generator
    private = tf.raw_ops.DatasetFromGraph(graph_def=graph.SerializeToString())
    return tf.data.experimental.from_variant(private, source.element_spec)


def _has_shuffle(source: Any) -> bool:
    """Whether the dataset derives from a shuffled one. Without one, no copy of its arrays is needed."""
    if "Shuffle" in type(source).__name__ or not hasattr(source, "_inputs"):
        return True
    return any(_has_shuffle(parent) for parent in source._inputs())


def _of_torch_loader(loader: Any, steps: int | None) -> Iterator[Batch]:
    if hasattr(loader.dataset, "__next__"):
        raise _used_up(loader.dataset)
    with _private_loader(loader) as private:
        yield from _of_elements(private, steps)


@contextmanager
def _private_loader(loader: Any) -> Iterator[Any]:
    """A copy of the loader with workers and samplers of its own; restores the states of its generators.

    A loader draws a seed each time it is read, from its own generator or the global one. If torch isn't
    the active backend, nothing else restores them.
    """
    torch = sys.modules["torch"]
    private = copy.copy(loader)
    private._iterator = None  # of persistent workers
    sampler, batch_sampler = copy.copy(loader.sampler), copy.copy(loader.batch_sampler)
    if getattr(batch_sampler, "sampler", None) is loader.sampler:
        batch_sampler.sampler = sampler
    private.__dict__.update(sampler=sampler, batch_sampler=batch_sampler)  # refused as attributes
    drawn_from = [
        owner.generator
        for owner in (loader, sampler, batch_sampler, loader.dataset)
        if isinstance(getattr(owner, "generator", None), torch.Generator)
    ]
    states = [generator.get_state() for generator in drawn_from]
    with torch.random.fork_rng(devices=[]):
        try:
            yield private
        finally:
            for generator, state in zip(drawn_from, states, strict=True):
                generator.set_state(state)


def _of_grain(source: Any, steps: int | None) -> Iterator[Batch]:
    if steps is None and _never_ends(source):
        raise RowsError(
            f"got an infinite grain {type(source).__name__} as {{rows}}. Repeat it a number of "
            "times{or_steps}."
        )
    yield from _of_elements(source, steps)


def _never_ends(source: Any) -> bool:
    """Whether a grain dataset repeats itself forever, or is made from one that does."""
    if getattr(source, "_num_epochs", 1) is None:
        return True
    if hasattr(source, "__len__") or type(source).__name__ == "LimitIterDataset":
        return hasattr(source, "__len__") and len(source) > _ENDLESS
    parents = [*getattr(source, "_parents", ()), getattr(source, "_sampler", None)]
    return any(_never_ends(parent) for parent in parents if parent is not None)


def _of_elements(elements: Iterable[Any], steps: int | None) -> Iterator[Batch]:
    """Batches from elements that are batches or single rows; single rows are stacked."""
    stream = islice(elements, steps)
    for first in stream:
        read = chain([first], stream)
        yield from map(keras.utils.unpack_x_y_sample_weight, stacked(read) if is_row(first) else read)
