"""Hypothesis strategies: models with their rows, and arguments that are right and wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from hypothesis import strategies as st

from keras_importance import (
    AblationImportance,
    ConditionalLOFO,
    ConditionalPermutation,
    GradientImportance,
    IntegratedGradients,
    LinearisedPermutation,
    LOFOImportance,
    PermutationImportance,
    UselessFeatureDetector,
)

layers = keras.layers
IS_TENSORFLOW = keras.backend.backend() == "tensorflow"

METHOD_CLASSES: dict[str, type[Any]] = {
    "gradient": GradientImportance,
    "integrated_gradients": IntegratedGradients,
    "permutation": PermutationImportance,
    "linearised_permutation": LinearisedPermutation,
    "conditional_permutation": ConditionalPermutation,
    "ablation": AblationImportance,
    "conditional_lofo": ConditionalLOFO,
    "lofo": LOFOImportance,
}

# --- what nobody should pass -----------------------------------------------------------------------

NAMES = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["", " ", "x0", "x1", "a/b", "é", "日本", "\ud800", "a" * 400, "0", "-1", "\n", "%s{}"]
    ),
)
ODD = st.sampled_from(
    [
        object(), int, np.float32(1.5), np.float64("nan"), np.int8(-1), np.uint64(2**63), np.bool_(True),
        np.array(3), np.array([0, 1]), np.array(["x0"]), np.zeros((2, 0)), 1j, b"x0", len, range(2), ...,
        frozenset({0}), {"x0"}, {}, (), [], [[]], {"x0": "x0"}, ValueError("x"), float("inf"), 10**30, "loss",
    ]
)  # fmt: skip
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 12), st.floats(), NAMES)
JUNK = st.one_of(
    SCALARS,
    ODD,
    st.lists(SCALARS, max_size=4),
    st.lists(SCALARS, max_size=3).map(tuple),
    st.dictionaries(NAMES, SCALARS, max_size=2),
)
MEMBERS = st.one_of(
    JUNK,
    st.lists(st.one_of(st.integers(-2, 4), st.sampled_from(["x0", "x1", "x2", "a", "b"])), max_size=3),
    st.lists(
        st.tuples(st.one_of(st.integers(-2, 2), NAMES), st.one_of(st.integers(-2, 3), NAMES)), max_size=2
    ),
)
FEATURES = st.one_of(
    JUNK,
    st.lists(NAMES, min_size=1, max_size=6),
    st.dictionaries(st.one_of(NAMES, st.integers(0, 2), st.none()), MEMBERS, max_size=3),
    st.just("correlated"),
)

# --- models ----------------------------------------------------------------------------------------


@dataclass
class Loss:
    """A head of a model, with the loss of its rows in NumPy."""

    units: int
    activation: str | None
    argument: str
    of_rows: Callable[[Any, Any], Any]
    targets: Callable[[np.random.Generator, int, int], Any]


def _mean(values: Any) -> Any:
    return values.reshape(len(values), -1).mean(axis=1)


def _huber(y: Any, p: Any) -> Any:
    size = np.abs(y - p)
    return _mean(np.where(size <= 1, size**2 / 2, size - 0.5))


def _clipped(p: Any) -> Any:
    return np.clip(p, 1e-7, 1 - 1e-7)


def _numbers(rng: np.random.Generator, n: int, units: int) -> Any:
    return rng.standard_normal((n, units)).astype("float32")


def _one_hot(rng: np.random.Generator, n: int, units: int) -> Any:
    return np.eye(units, dtype="float32")[rng.integers(units, size=n)]


def _cross_entropy(y: Any, p: Any) -> Any:
    return -np.sum(y * np.log(_clipped(p / p.sum(axis=-1, keepdims=True))), axis=-1)


def _of_labels(y: Any, p: Any) -> Any:
    return _cross_entropy(np.eye(p.shape[-1])[np.asarray(y, int).reshape(-1)], p)


LOSSES = [
    Loss(1, None, "mse", lambda y, p: _mean((y - p) ** 2), _numbers),
    Loss(2, None, "mae", lambda y, p: _mean(np.abs(y - p)), _numbers),
    Loss(3, "tanh", "huber", _huber, _numbers),
    Loss(
        1, "sigmoid", "binary_crossentropy",
        lambda y, p: _mean(-(y * np.log(_clipped(p)) + (1 - y) * np.log(_clipped(1 - p)))),
        lambda rng, n, units: rng.integers(2, size=(n, units)).astype("float32"),
    ),
    Loss(3, "softmax", "categorical_crossentropy", _cross_entropy, _one_hot),
    Loss(
        3, "softmax", "sparse_categorical_crossentropy", _of_labels,
        lambda rng, n, units: rng.integers(units, size=n).astype("int32"),
    ),
]  # fmt: skip

NUMERIC = ("float32", "float16", "float64", "int8", "int64", "uint8", "uint32", "bool")


@dataclass
class Part:
    """One input: its rows, and the part of the network that takes it."""

    kind: str
    n_columns: int
    n_steps: int
    dtype: str
    ignored: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        if self.kind == "flat":
            return ()
        return (self.n_steps, self.n_columns) if self.kind in SEQUENCES else (self.n_columns,)

    @property
    def input_dtype(self) -> str:
        if self.kind == "texts":
            return "string"
        return "int32" if self.kind.startswith("embedding") else "float32"

    def rows(self, rng: np.random.Generator, n: int) -> Any:
        shape = (n, *self.shape)
        if self.kind == "texts":
            return rng.choice(["Oslo", "Bonn", "Rom", ""], size=shape)
        if self.kind.startswith("embedding"):
            return rng.integers(5, size=shape).astype(self.dtype)
        if np.dtype(self.dtype).kind == "f":
            return rng.standard_normal(shape).astype(self.dtype)
        return rng.integers(0, 2 if self.dtype == "bool" else 100, size=shape).astype(self.dtype)

    def tower(self, x: Any, shared: dict[Any, Any]) -> Any:
        if self.kind == "texts":
            x = layers.StringLookup(vocabulary=["Oslo", "Bonn", "Rom"])(x)
            return layers.Flatten()(layers.Embedding(4, 2)(x))
        if self.kind.startswith("embedding"):
            x = layers.Embedding(5, 2, mask_zero="mask" in self.kind)(x)
            return layers.GRU(2)(x) if "mask" in self.kind else layers.Flatten()(x)
        if self.kind == "flat":
            x = keras.ops.expand_dims(x, -1)
        if "masked" in self.kind:
            x = layers.Masking()(x)
        make = {
            "lstm": lambda: layers.LSTM(2),
            "masked gru": lambda: layers.GRU(2),
            "conv": lambda: layers.Conv1D(2, 1, activation="relu"),
            "steps": lambda: layers.Dense(2, activation="tanh"),
        }.get(self.kind, lambda: layers.Dense(3, activation="tanh"))
        first = shared.setdefault((self.kind, self.n_columns, self.ignored), make())
        x = first(x)
        if self.ignored is not None:
            kernel = getattr(first, "cell", first).kernel
            values = keras.ops.convert_to_numpy(kernel).copy()
            values[..., self.ignored, :] = 0
            kernel.assign(values)
        return layers.Flatten()(x)


SEQUENCES = ("lstm", "masked gru", "conv", "steps")
KINDS = (
    "dense",
    "flat",
    *SEQUENCES,
    "embedding",
    "embedding, masked",
    *(("texts",) if IS_TENSORFLOW else ()),
)


@st.composite
def parts(draw: Any) -> Part:
    kind = draw(st.sampled_from(("dense", "dense", *KINDS)))
    n_columns = 1 if kind == "flat" else draw(st.integers(1, 4))
    dtype = draw(st.sampled_from(("int32", "int64", "uint8") if "embedding" in kind else NUMERIC))
    may_ignore = kind in ("dense", "lstm", "conv", "steps") and n_columns > 1
    ignored = draw(st.one_of(st.none(), st.integers(0, n_columns - 1))) if may_ignore else None
    return Part(kind, n_columns, draw(st.integers(1, 4)), dtype, ignored)


class Wrapped(keras.Model):
    """A model whose layers Keras can't see through."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def call(self, x: Any) -> Any:
        return self.inner(x)


@dataclass
class Case:
    """A compiled model with rows that it takes."""

    parts: list[Part]
    container: type
    style: str
    losses: list[Loss]
    outputs_in: type
    loss_weights: list[float] | None
    n_rows: int
    seed: int
    spoilt: str
    extras: tuple[str, ...] = ()
    built: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> list[str]:
        return [f"in{i}" for i in range(len(self.parts))]

    def nest(self, leaves: list[Any]) -> Any:
        if self.container is dict:
            return dict(zip(self.names, leaves, strict=True))
        return leaves[0] if self.container is tuple else leaves

    def model(self) -> Any:
        keras.utils.set_random_seed(self.seed)
        given = [
            keras.Input(part.shape, name=name, dtype=part.input_dtype)
            for part, name in zip(self.parts, self.names, strict=True)
        ]
        shared: dict[Any, Any] = {}
        towers = [part.tower(x, shared) for part, x in zip(self.parts, given, strict=True)]
        x = layers.Concatenate()(towers) if len(towers) > 1 else towers[0]
        if "normalised" in self.extras:
            x = layers.BatchNormalization()(x)
        if "dropout" in self.extras:
            x = layers.Dropout(0.2)(x)
        heads = [
            layers.Dense(loss.units, activation=loss.activation, name=f"out{i}")(x)
            for i, loss in enumerate(self.losses)
        ]
        named = {f"out{i}": head for i, head in enumerate(heads)}
        outputs = heads[0] if len(heads) == 1 else (named if self.outputs_in is dict else heads)
        model = keras.Model(self.nest(given), outputs)
        if self.style == "wrapped":
            model = Wrapped(model)
        if self.style == "sequential":
            model = keras.Sequential(
                [keras.Input(self.parts[0].shape, dtype=self.parts[0].input_dtype), model]
            )
        compiled = [loss.argument for loss in self.losses]
        weights = self.loss_weights
        if len(heads) == 1:
            loss: Any = compiled[0]
            weights = None
        elif self.outputs_in is dict:
            loss = dict(zip(named, compiled, strict=True))
            weights = weights and dict(zip(named, weights, strict=True))
        else:
            loss = compiled
        metrics = None if len(heads) > 1 else ["mae"]
        model.compile("sgd", loss, loss_weights=weights, metrics=metrics)
        if self.style == "wrapped":
            model(self.nest([self.tensor(leaf[:1]) for leaf in self.leaves()]))
        return model

    def tensor(self, leaf: Any) -> Any:
        if leaf.dtype.kind in "US":
            import tensorflow as tf

            return tf.constant(leaf)
        return leaf.astype("float32") if leaf.dtype.kind == "f" else leaf

    def leaves(self) -> list[Any]:
        rng = np.random.default_rng(self.seed)
        found = [part.rows(rng, self.n_rows) for part in self.parts]
        first = found[0]
        if first.dtype.kind == "f":
            column = first if first.ndim == 1 else first[..., 0]
            # The least and the largest of a float16 are far nearer.
            tiny, huge = (6e-8, 6e4) if first.dtype == np.float16 else (1e-42, 1e30)
            values = {"constant": 1.5, "huge": column * huge, "tiny": column * tiny, "zero": 0.0}.get(
                self.spoilt
            )
            if values is not None:
                with np.errstate(all="ignore"):
                    column[...] = values
            if self.spoilt in ("nan", "inf"):
                column.reshape(-1)[:1] = 0
                first.reshape(-1)[0] = float(self.spoilt)
        return found

    def targets(self) -> list[Any]:
        rng = np.random.default_rng(self.seed + 1)
        return [loss.targets(rng, self.n_rows, loss.units) for loss in self.losses]

    def y(self) -> Any:
        values = self.targets()
        if len(values) == 1:
            return values[0]
        return {f"out{i}": one for i, one in enumerate(values)} if self.outputs_in is dict else values

    def loss_of_rows(self, targets: list[Any], outputs: Any) -> Any:
        """The compiled loss of each row, by hand."""
        weights = (
            self.loss_weights if self.loss_weights and len(self.losses) > 1 else [1.0] * len(self.losses)
        )
        flat = [
            np.asarray(keras.ops.convert_to_numpy(one), "float64") for one in keras.tree.flatten(outputs)
        ]
        each = zip(weights, self.losses, targets, flat, strict=True)
        return sum(weight * loss.of_rows(y, p) for weight, loss, y, p in each)


@st.composite
def cases(draw: Any) -> Case:
    given = draw(st.lists(parts(), min_size=1, max_size=3))
    container = (
        draw(st.sampled_from([list, dict]))
        if len(given) > 1
        else draw(st.sampled_from([tuple, tuple, dict]))
    )
    is_single = container is tuple and given[0].kind != "texts"
    styles = ["functional", "wrapped", *(["sequential"] if is_single else [])]
    losses = draw(st.lists(st.sampled_from(LOSSES), min_size=1, max_size=2))
    return Case(
        parts=given,
        container=container,
        style=draw(st.sampled_from(styles)),
        losses=losses,
        outputs_in=draw(st.sampled_from([list, dict])),
        loss_weights=draw(st.one_of(st.none(), st.just([1.0, 0.5][: len(losses)]))),
        n_rows=draw(st.one_of(st.integers(7, 24), st.sampled_from([1, 2, 3, 6]))),
        seed=draw(st.integers(0, 2**16)),
        spoilt=draw(st.sampled_from([""] * 6 + ["constant", "zero", "huge", "tiny", "nan", "inf"])),
        extras=tuple(draw(st.sets(st.sampled_from(["normalised", "dropout"])))),
    )


# --- arguments that are right ----------------------------------------------------------------------


@st.composite
def right_methods(draw: Any, *, trains: bool = False) -> list[Any]:
    """Names and instances, with settings; "lofo" only where there is a training."""
    n_repeats = draw(st.integers(2, 4))
    of = draw(st.sampled_from(["auto", "output", "loss"]))
    made = {
        "gradient": lambda: GradientImportance(of, aggregation=draw(st.sampled_from(["mean", "rms"]))),
        "integrated_gradients": lambda: IntegratedGradients(draw(st.integers(1, 4)), of=of),
        "permutation": lambda: PermutationImportance(n_repeats),
        "linearised_permutation": lambda: LinearisedPermutation(n_repeats),
        "conditional_permutation": lambda: ConditionalPermutation(n_repeats),
        "ablation": AblationImportance,
        "conditional_lofo": lambda: ConditionalLOFO(n_repeats),
        **({"lofo": LOFOImportance} if trains else {}),
    }
    names = draw(st.lists(st.sampled_from(list(made)), min_size=1, max_size=3, unique=True))
    return [made[name]() if draw(st.booleans()) else name for name in names]


@st.composite
def right_features(draw: Any, columns: list[list[str]]) -> Any:
    """None, names, or groups of some of the columns, of inputs with so many columns."""
    n_columns = sum(map(len, columns))
    kind = draw(st.sampled_from(["none", "none", "names", "groups", "correlated"]))
    if kind == "names":
        names = st.text(min_size=1, max_size=5) | st.sampled_from(
            ["é", "日本", "a/b", "a" * 300, "%s{}"]
        )
        clean = names.map(lambda name: name.encode("utf-8", "replace").decode())
        return draw(st.lists(clean, min_size=n_columns, max_size=n_columns, unique=True))
    if kind == "groups":
        all_columns = [(i, c) for i, names in enumerate(columns) for c in range(len(names))]
        taken = draw(st.lists(st.sampled_from(all_columns), min_size=1, unique=True))
        cut = draw(st.integers(1, len(taken)))
        groups = {"group one": taken[:cut], "group/two": taken[cut:]}
        return {name: members for name, members in groups.items() if members}
    return {"none": None, "correlated": "correlated"}[kind]


RIGHT_CALLBACK = st.fixed_dictionaries(
    {
        "every": st.integers(1, 3),
        "max_samples": st.one_of(st.none(), st.integers(8, 5000)),
        "time_budget": st.one_of(st.none(), st.floats(1e-6, 10)),
        "detectors": st.one_of(
            st.none(),
            st.just(()),
            st.builds(
                lambda share, alpha, patience: [UselessFeatureDetector(share, alpha, patience)],
                st.floats(0.001, 0.9), st.floats(0.001, 0.9), st.integers(1, 3),
            ),
        ),
        "add_to_logs": st.booleans(),
        "seed": st.integers(0, 2**40),
    }
)  # fmt: skip
