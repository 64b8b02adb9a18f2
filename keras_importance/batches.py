"""Batches of anything that `fit` accepts as validation data, read without disturbing it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import keras

from keras_importance.errors import InvalidArgumentError

Batch = tuple[Any, Any, Any]

ACCEPTED = "(x, y) or (x, y, sample_weight) arrays, a tf.data.Dataset or a keras.utils.PyDataset"
_INFINITE = -1  # tf.data.INFINITE_CARDINALITY


def batches(source: Any, steps: int | None) -> Iterator[Batch]:
    """Yields `(x, y, sample_weight)` of a source that can be read without being used up.

    Args:
        source: what `fit` accepts as `validation_data`.
        steps: how many batches to read of a dataset; None reads it to its end.

    Raises:
        InvalidArgumentError: for generators, infinite datasets and unknown types.
    """
    tf = sys.modules.get("tensorflow")
    if isinstance(source, keras.utils.PyDataset):
        yield from _of_pydataset(source, steps)
    elif tf is not None and isinstance(source, tf.data.Dataset):
        yield from _of_tf_dataset(tf, source, steps)
    elif hasattr(source, "__next__"):
        raise InvalidArgumentError(
            f"got a Python generator ({type(source).__name__}) as validation data; reading it would "
            f"take rows away from fit. Pass validation_data= as {ACCEPTED}."
        )
    elif isinstance(source, (tuple, list)):
        if not 1 <= len(source) <= 3:
            raise InvalidArgumentError(
                f"got validation data of {len(source)} parts. Pass validation_data= as {ACCEPTED}."
            )
        yield keras.utils.unpack_x_y_sample_weight(source)
    elif isinstance(source, dict) or hasattr(source, "__array__"):
        yield source, None, None
    else:
        raise InvalidArgumentError(
            f"got validation data of type {type(source).__name__}. Pass validation_data= as {ACCEPTED}."
        )


def _of_pydataset(source: Any, steps: int | None) -> Iterator[Batch]:
    n_batches = source.num_batches
    if n_batches is None and steps is None:
        raise InvalidArgumentError(
            "got an infinite PyDataset as validation data. Give it a num_batches, or fit a "
            "validation_steps=."
        )
    n_batches = min(n for n in (n_batches, steps) if n is not None)
    for index in range(n_batches):
        yield keras.utils.unpack_x_y_sample_weight(source[index])


def _of_tf_dataset(tf: Any, source: Any, steps: int | None) -> Iterator[Batch]:
    if steps is not None:
        source = source.take(steps)
    if int(source.cardinality()) == _INFINITE:
        raise InvalidArgumentError(
            "got an infinite tf.data.Dataset as validation data. Pass validation_data=dataset.take(n), "
            "or give fit a validation_steps=."
        )
    for batch in _with_shuffles_of_its_own(tf, source):
        yield keras.utils.unpack_x_y_sample_weight(batch)


def _with_shuffles_of_its_own(tf: Any, source: Any) -> Any:
    """The same dataset, whose shuffles share no random state with the original.

    A shuffle keeps one seed generator for all datasets derived from it. Reading a validation set
    `shuffled.take(n)` would so change the order, and with it the training, of `shuffled.skip(n)`.
    Rewritten to the older operation, which is seeded by value, the shuffle is a private one.
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
    """Whether the dataset is made from a shuffled one; asked first, as serialising copies its arrays."""
    if "Shuffle" in type(source).__name__ or not hasattr(source, "_inputs"):
        return True
    return any(_has_shuffle(parent) for parent in source._inputs())
