"""What somebody who knows the backend would write by hand: the bars that the project is measured at.

All that the benchmark knows about a backend is here: `_compiled` and `_input_gradients`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import keras
import numpy as np
from workloads import Workload

from keras_importance.data.features import Feature
from keras_importance.methods.donor_tables import donation_orders
from keras_importance.statistics.arrays import Floats, Integers, generator
from keras_importance.statistics.donors import Donors

# The best of 5,000 to 40,000 on two cores, or within a quarter of it.
_BLOCK_ROWS = 20_000


def hand_written_permutation(
    workload: Workload, model: Any, n_repeats: int, seed: int
) -> Callable[[], Floats]:
    """The importances by full forward passes, several (feature, repeat) pairs in one static block."""
    n_rows, n_features = workload.n_rows, workload.n_features
    n_wanted = n_features * n_repeats
    # One pair at least that moves nothing: it gives the baseline, and more of them fill the last block.
    n_blocks = math.ceil((n_wanted + 1) * n_rows / _BLOCK_ROWS)
    n_pairs = math.ceil((n_wanted + 1) / n_blocks)
    n_filling = n_blocks * n_pairs - n_wanted
    own = np.arange(n_rows)
    drawn = _donors_of_columns(workload, n_repeats, seed)
    features = np.repeat(np.arange(n_features), n_repeats)
    features = np.concatenate([features, np.zeros(n_filling, int)]).astype(np.int32)
    donors = np.concatenate([*drawn, np.tile(own, (n_filling, 1))])
    donors = donors.astype(np.int32)
    leaves = [keras.ops.convert_to_tensor(leaf) for leaf in workload.leaves]
    target = keras.ops.convert_to_tensor(workload.y)
    program = _compiled(model, partial(_mean_squared_errors, workload.pack))

    def run() -> Floats:
        errors = [
            keras.ops.convert_to_numpy(
                program(
                    leaves,
                    target,
                    keras.ops.convert_to_tensor(features[start : start + n_pairs]),
                    keras.ops.convert_to_tensor(donors[start : start + n_pairs]),
                )
            )
            for start in range(0, len(features), n_pairs)
        ]
        found = np.concatenate(errors).astype(np.float64)
        moved = found[:n_wanted].reshape(n_features, n_repeats)
        return np.asarray(moved.mean(axis=1) - found[-1])

    return run


def _donors_of_columns(workload: Workload, n_repeats: int, seed: int) -> list[Integers]:
    """For each column `(n_repeats, n_rows)` the donors that permutation importance draws."""
    columns = [(i, c) for i, leaf in enumerate(workload.leaves) for c in range(leaf.shape[-1])]
    features = [Feature(str(column), (column,)) for column in columns]
    orders = donation_orders(features, workload.leaves, workload.n_rows)
    donors = Donors.systematic(orders, n_repeats, generator(seed, "evaluation"))
    return [donors.rows_for(feature) for feature in range(len(features))]


def _mean_squared_errors(
    pack: Callable[[Sequence[Any]], Any],
    call: Callable[[Any], Any],
    leaves: Sequence[Any],
    target: Any,
    features: Any,
    donors: Any,
) -> Any:
    """`(n_pairs,)` errors, each with one feature of all rows taken from the donors."""
    moved, first = [], 0
    for leaf in leaves:
        moved.append(_moved(leaf, features - first, donors))
        first += leaf.shape[-1]
    outputs = call(pack(moved))
    squares = keras.ops.square(keras.ops.reshape(outputs, donors.shape) - target[:, 0])
    return keras.ops.mean(squares, axis=1)


def _moved(leaf: Any, columns: Any, donors: Any) -> Any:
    """`(n_pairs * n_rows, ...)` rows with one column donated; none where it is not of this leaf."""
    n_columns = leaf.shape[-1]
    # Only the donated column is gathered: whole donor rows would be most of the traffic of wide tables.
    by_column = keras.ops.moveaxis(leaf, -1, 0)
    wanted = keras.ops.clip(columns, 0, n_columns - 1)
    gathered = keras.ops.take(by_column, wanted, axis=0)
    steps = [1] * (len(leaf.shape) - 2)
    index = keras.ops.reshape(donors, (*donors.shape, *steps))
    index = keras.ops.broadcast_to(index, gathered.shape)
    donated = keras.ops.take_along_axis(gathered, index, axis=1)
    mask = keras.ops.arange(n_columns, dtype="int32") == columns[:, None]
    mask = keras.ops.reshape(mask, (donors.shape[0], 1, *steps, n_columns))
    rows = keras.ops.where(mask, donated[..., None], leaf[None])
    return keras.ops.reshape(rows, (-1, *leaf.shape[1:]))


def hand_written_gradient(workload: Workload, model: Any) -> Callable[[], Floats]:
    """Mean sizes of the gradient of the output, by one compiled pass over all rows."""
    is_float = [leaf.dtype.kind == "f" for leaf in workload.leaves]
    tensors = [keras.ops.convert_to_tensor(leaf) for leaf in workload.leaves]
    floats = [tensor for tensor, moves in zip(tensors, is_float, strict=True) if moves]

    def with_floats(moving: Sequence[Any]) -> Any:
        given = iter(moving)
        pairs = zip(tensors, is_float, strict=True)
        return workload.pack([next(given) if moves else fixed for fixed, moves in pairs])

    program = _input_gradients(model, with_floats)

    def run() -> Floats:
        found = [keras.ops.convert_to_numpy(leaf) for leaf in program(floats)]
        sizes = [np.abs(leaf).mean(axis=tuple(range(leaf.ndim - 1))) for leaf in found]
        return np.concatenate(sizes).astype(np.float64)

    return run


# --- what knows the backend ---------------------------------------------------------------------


def backend_version() -> str:
    """Name and version of the active backend."""
    name = keras.backend.backend()
    return f"{name} {import_module(name).__version__}"


def _compiled(model: Any, program: Callable[..., Any]) -> Callable[..., Any]:
    """`program(call, *arguments)` as fast as the backend runs it, where `call` is the inference."""
    name = keras.backend.backend()
    if name == "jax":
        return _jax_compiled(model, program)
    whole: Callable[..., Any] = partial(program, partial(model, training=False))
    if name == "tensorflow":
        compiled: Callable[..., Any] = import_module("tensorflow").function(whole, jit_compile=True)
        return compiled
    without: Callable[..., Any] = import_module("torch").no_grad()(whole)
    return without


def _jax_compiled(model: Any, program: Callable[..., Any]) -> Callable[..., Any]:
    def pure(variables: Any, *arguments: Any) -> Any:
        def call(x: Any) -> Any:
            return model.stateless_call(*variables, x, training=False)[0]

        return program(call, *arguments)

    compiled = import_module("jax").jit(pure)
    return lambda *arguments: compiled(_jax_variables(model), *arguments)


def _jax_variables(model: Any) -> tuple[list[Any], list[Any]]:
    kinds = (model.trainable_variables, model.non_trainable_variables)
    trainable, fixed = ([variable.value for variable in kind] for kind in kinds)
    return trainable, fixed


def _input_gradients(model: Any, pack: Callable[[Sequence[Any]], Any]) -> Callable[[list[Any]], Any]:
    """Gradients of the sum of the outputs with respect to the leaves that `pack` takes."""
    makers = {
        "tensorflow": _tensorflow_gradients,
        "jax": _jax_gradients,
        "torch": _torch_gradients,
    }
    return makers[keras.backend.backend()](model, pack)


def _tensorflow_gradients(model: Any, pack: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    tf: Any = import_module("tensorflow")

    def program(leaves: list[Any]) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(leaves)
            total = tf.reduce_sum(model(pack(leaves), training=False))
        return tape.gradient(total, leaves)

    compiled: Callable[[list[Any]], Any] = tf.function(program, jit_compile=True)
    return compiled


def _jax_gradients(model: Any, pack: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    jax: Any = import_module("jax")

    def total(leaves: list[Any], variables: Any) -> Any:
        return model.stateless_call(*variables, pack(leaves), training=False)[0].sum()

    compiled = jax.jit(jax.grad(total))
    return lambda leaves: compiled(leaves, _jax_variables(model))


def _torch_gradients(model: Any, pack: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    torch: Any = import_module("torch")

    def program(leaves: list[Any]) -> Any:
        watched = [leaf.detach().requires_grad_() for leaf in leaves]
        return torch.autograd.grad(model(pack(watched), training=False).sum(), watched)

    return program
