"""Rows of a training over several processes: shards are joined, copies count once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_importance.data.arrays import array_hash
from keras_importance.data.training_data import TrainingData
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends.compiler import replicas_of
from keras_importance.engine.backends.replicas import Replicas
from keras_importance.statistics.arrays import Integers, generator


def joined_rows(
    data: ValidationData, model: Any, *, max_samples: int | None, seed: int
) -> ValidationData:
    """The rows that all processes validate on together; every process gets the same rows.

    If all processes hold the same rows, these rows are returned. Else each process holds a shard, and
    the shards are joined. From more than `max_samples` joined rows a random sample is drawn, from each
    shard in proportion to the rows that were available to it.

    Args:
        data: the rows of this process.
        model: the model, whose distribution tells the processes.
        max_samples: the most rows to keep; None for all.
        seed: seed of the sample.
    """
    replicas = replicas_of(model)
    if _are_copies(data, replicas):
        return data
    shards = replicas.of_each_process(data)
    joined = shards[0]
    for shard in shards[1:]:
        joined = joined.followed_by(shard)
    if max_samples is None or joined.n_rows <= max_samples:
        return joined
    return joined.only(_in_proportion(shards, max_samples, seed))


def joined_training_rows(training: TrainingData, model: Any) -> TrainingData:
    """The rows that all processes train on together.

    If the processes hold different rows, a step takes a batch of each: `batch_size` is the sum.
    """
    replicas = replicas_of(model)
    if _are_copies(training.data, replicas):
        return training
    data = joined_rows(training.data, model, max_samples=None, seed=0)
    n_processes = len(replicas.of_each_process(None))
    return replace(training, data=data, batch_size=training.batch_size * n_processes)


def tell_failure(failure: Exception, model: Any) -> None:
    """Tells the other processes, which wait for the rows of this one, that it can't read them.

    Raises:
        Exception: the failure, if there are other processes.
    """
    if isinstance(model, keras.Model):
        replicas_of(model).tell(failure)


def _are_copies(data: ValidationData, replicas: Replicas) -> bool:
    return len(set(replicas.of_each_process(_digest(data)))) == 1


def _digest(data: ValidationData) -> str:
    leaves = keras.tree.flatten((data.inputs, data.targets, data.weights))
    return "\n".join("None" if leaf is None else array_hash(leaf) for leaf in leaves)


def _in_proportion(shards: list[ValidationData], n_rows: int, seed: int) -> Integers:
    """Sorted indices of the joined rows to keep, from each shard in proportion to its available rows."""
    ends = np.cumsum([shard.n_available for shard in shards])
    bounds = np.rint(ends / ends[-1] * n_rows).astype(np.int64)
    wanted = np.diff(bounds, prepend=0)
    rng, first, kept = generator(seed, "shards"), 0, []
    for shard, size in zip(shards, wanted, strict=True):
        kept.append(first + rng.permutation(shard.n_rows)[:size])
        first += shard.n_rows
    return np.sort(np.concatenate(kept))
