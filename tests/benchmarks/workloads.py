"""The data and networks that the benchmark of speed runs on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Build = Callable[[], Any]

_DECAY = 0.85
_NOISE = 0.3
_N_NUMERIC, _N_CATEGORICAL = 8, 12


@dataclass(frozen=True, eq=False)
class Workload:
    """Training and validation rows of equal number, and a network for them.

    Attributes:
        name: what it is, with its sizes.
        x_train: as `x`.
        y_train: as `y`.
        x: an array whose last axis holds the features, or a dict of arrays of one column each.
        y: `(n_rows, 1)`.
        build: makes the network, compiled and untrained.
    """

    name: str
    x_train: Any
    y_train: Array
    x: Any
    y: Array
    build: Build

    def trained(self, epochs: int = 2) -> Any:
        """A network trained a little, so that its weights are not random."""
        keras.utils.set_random_seed(0)
        model = self.build()
        model.fit(self.x_train, self.y_train, epochs=epochs, verbose=0)
        return model

    @property
    def n_rows(self) -> int:
        """How many rows the validation data have."""
        return len(self.y)

    @property
    def n_features(self) -> int:
        """How many features are to be rated; all leaves count."""
        return sum(leaf.shape[-1] for leaf in self.leaves)

    @property
    def leaves(self) -> list[Array]:
        """The validation inputs, those of a dict in the order of their sorted keys."""
        return [self.x[key] for key in sorted(self.x)] if isinstance(self.x, dict) else [self.x]

    def pack(self, leaves: Sequence[Any]) -> Any:
        """The leaves as the network takes them."""
        return dict(zip(sorted(self.x), leaves, strict=True)) if isinstance(self.x, dict) else leaves[0]


def all_workloads(shrink: int = 1) -> list[Callable[[], Workload]]:
    """Makers of the four workloads, with rows and features divided by `shrink`."""
    return [
        partial(mlp, 5000 // shrink, 100 // shrink, (128, 64)),
        partial(mlp, 2000 // shrink, 1000 // shrink, (256, 64)),
        partial(lstm, 2000 // shrink, 24, 20 // shrink),
        partial(embedded, 5000 // shrink),
    ]


def mlp(n_rows: int, n_features: int, units: Sequence[int]) -> Workload:
    """A table of numbers, twenty of its columns of use."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2 * n_rows, n_features), dtype=np.float32)
    y = _target(x[:, :20], rng)
    name = f"MLP {'-'.join(map(str, units))}, {n_rows} x {n_features}"
    return _halved(name, x, y, partial(_mlp_network, n_features, units))


def lstm(n_rows: int, n_steps: int, n_features: int) -> Workload:
    """Sequences, eight of their features of use through their mean over the steps."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2 * n_rows, n_steps, n_features), dtype=np.float32)
    y = _target(x[:, :, :8].mean(axis=1) * np.sqrt(n_steps), rng)
    name = f"LSTM(64), {n_rows} x {n_steps} x {n_features}"
    return _halved(name, x, y, partial(_lstm_network, n_steps, n_features))


def gru(n_rows: int, n_steps: int, n_features: int) -> Workload:
    """The same kind of sequences for another recurrent network."""
    sequences = lstm(n_rows, n_steps, n_features)
    name = f"GRU(64), {n_rows} x {n_steps} x {n_features}"
    return replace(sequences, name=name, build=partial(_gru_network, n_steps, n_features))


def embedded(n_rows: int) -> Workload:
    """A dict of numbers and categories of one column each, six of either kind of use."""
    rng = np.random.default_rng(0)
    sizes = {f"c{i}": int(size) for i, size in enumerate(np.linspace(10, 50, _N_CATEGORICAL))}
    shape = (2 * n_rows, 1)
    x: dict[str, Array] = {
        f"n{i}": rng.standard_normal(shape, dtype=np.float32) for i in range(_N_NUMERIC)
    }
    effects = []
    for name, size in sizes.items():
        x[name] = rng.integers(size, size=shape, dtype=np.int32)
        effects.append(rng.standard_normal(size)[x[name]])
    useful = [part for i in range(6) for part in (x[f"n{i}"], effects[i])]
    y = _target(np.concatenate(useful, axis=1), rng)
    name = f"{_N_NUMERIC} numeric + {_N_CATEGORICAL} embedded categorical, {n_rows} rows"
    return _halved(name, x, y, partial(_embedded_network, sizes))


def _target(useful: Array, rng: np.random.Generator) -> Array:
    """Effects that decay from column to column, every other one bent, and noise."""
    effects = np.where(np.arange(useful.shape[1]) % 2, np.abs(useful) + useful, useful)
    signal = effects @ _DECAY ** np.arange(useful.shape[1])
    signal = (signal - signal.mean()) / signal.std()
    noisy = signal + _NOISE * rng.standard_normal(len(useful))
    return np.asarray(noisy[:, None], np.float32)


def _halved(name: str, x: Any, y: Array, build: Build) -> Workload:
    half = len(y) // 2
    train, held_out = (
        keras.tree.map_structure(lambda leaf, rows=rows: leaf[rows], x)
        for rows in (slice(half), slice(half, None))
    )
    return Workload(name, train, y[:half], held_out, y[half:], build)


# --- networks -----------------------------------------------------------------------------------


def _mlp_network(n_features: int, units: Sequence[int]) -> Any:
    hidden = [keras.layers.Dense(width, activation="relu") for width in units]
    return _compiled(keras.Sequential([keras.Input((n_features,)), *hidden, keras.layers.Dense(1)]))


def _lstm_network(n_steps: int, n_features: int) -> Any:
    layers = [keras.Input((n_steps, n_features)), keras.layers.LSTM(64), keras.layers.Dense(1)]
    return _compiled(keras.Sequential(layers))


def _gru_network(n_steps: int, n_features: int) -> Any:
    layers = [keras.Input((n_steps, n_features)), keras.layers.GRU(64), keras.layers.Dense(1)]
    return _compiled(keras.Sequential(layers))


def _embedded_network(sizes: dict[str, int]) -> Any:
    inputs = {f"n{i}": keras.Input((1,), name=f"n{i}") for i in range(_N_NUMERIC)}
    inputs |= {name: keras.Input((1,), name=name, dtype="int32") for name in sizes}
    parts = [
        keras.layers.Flatten()(keras.layers.Embedding(sizes[name], 8, name=f"of_{name}")(inputs[name]))
        if name in sizes
        else inputs[name]
        for name in sorted(inputs)
    ]
    hidden = keras.layers.Dense(64, activation="relu")(keras.layers.Concatenate()(parts))
    return _compiled(keras.Model(inputs, keras.layers.Dense(1)(hidden)))


def _compiled(model: Any) -> Any:
    model.compile("adam", "mse")
    return model
