"""Models and validation data of every kind, with weights that are the same on every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import keras
import numpy as np

layers = keras.layers

N_ROWS = 64
N_STEPS = 5

Rng = np.random.Generator


@dataclass(frozen=True)
class ModelKind:
    """A model with its rows.

    Attributes:
        make: makes the model, not compiled.
        rows: `rng -> inputs`, in the nest that the model takes.
        targets: `rng -> targets`.
        compiled: arguments of `compile`.
        metric: what importance is measured in.
        not_on: why Keras itself doesn't run it on some backends, by their names.
        draws: whether its training draws at random, and so something else on each backend.
        is_half_precision: whether its numbers have three digits only.
    """

    make: Callable[[], Any]
    rows: Callable[[Rng], Any]
    targets: Callable[[Rng], Any] = lambda rng: rng.standard_normal((N_ROWS, 1)).astype("float32")
    compiled: dict[str, Any] = field(default_factory=dict)
    metric: Any = "loss"
    not_on: dict[str, str] = field(default_factory=dict)
    draws: bool = False
    is_half_precision: bool = False

    def compile(self, model: Any) -> Any:
        """The model, compiled so that training leaves the weights as they are."""
        arguments = {"loss": "mse", "optimizer": keras.optimizers.SGD(0.0), **self.compiled}
        if "metrics" in arguments:
            arguments["metrics"] = arguments["metrics"]()
        model.compile(**arguments)
        return model


def with_fixed_weights(model: Any, seed: int = 1) -> Any:
    """The model with weights that depend on the seed and their shapes, not on the backend."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        scale = 1 / np.sqrt(max(1, np.prod(variable.shape[:-1])))
        variable.assign(rng.normal(0, scale, tuple(variable.shape)).astype("float32"))
    return model


# --- rows ---------------------------------------------------------------------------------------


def table(rng: Rng) -> Any:
    return rng.standard_normal((N_ROWS, 4)).astype("float32")


def sequence(rng: Rng) -> Any:
    return rng.standard_normal((N_ROWS, N_STEPS, 3)).astype("float32")


def padded(rng: Rng) -> Any:
    x = sequence(rng)
    x[::2, 3:] = 0
    return x


def image(rng: Rng) -> Any:
    return rng.standard_normal((N_ROWS, 6, 6, 3)).astype("float32")


def two(rng: Rng) -> dict[str, Any]:
    return {"a": table(rng)[:, :2], "b": table(rng)[:, :3]}


def codes(rng: Rng) -> dict[str, Any]:
    return {
        "colour": rng.integers(5, size=(N_ROWS, 1)).astype("int32"),
        "size": rng.standard_normal((N_ROWS, 1)).astype("float32"),
    }


def texts(rng: Rng) -> dict[str, Any]:
    return {
        "city": rng.choice(["Oslo", "Bonn", "Rom"], size=(N_ROWS, 1)),
        "size": rng.standard_normal((N_ROWS, 1)).astype("float32"),
    }


def classes(rng: Rng) -> Any:
    return rng.integers(3, size=N_ROWS).astype("int32")


def binary(rng: Rng) -> Any:
    return rng.integers(2, size=(N_ROWS, 1)).astype("float32")


def two_targets(rng: Rng) -> dict[str, Any]:
    return {"p": rng.standard_normal((N_ROWS, 1)), "q": rng.standard_normal((N_ROWS, 2))}


# --- models -------------------------------------------------------------------------------------


def mlp(x: Any, n_outputs: int = 1, activation: str | None = None) -> Any:
    return layers.Dense(n_outputs, activation=activation)(layers.Dense(6, activation="tanh")(x))


def on(
    shape: tuple[int | None, ...], function: Callable[[Any], Any], cls: Any = keras.Model
) -> Callable[[], Any]:
    def make() -> Any:
        inputs = keras.Input(shape)
        return cls(inputs, function(inputs))

    return make


def of_two(container: type) -> Callable[[], Any]:
    def make() -> Any:
        inputs = {"a": keras.Input((2,), name="a"), "b": keras.Input((3,), name="b")}
        joined = layers.Concatenate()([inputs["a"], inputs["b"]])
        return keras.Model(inputs if container is dict else list(inputs.values()), mlp(joined))

    return make


def of_nested() -> Any:
    a, b, c = (keras.Input((n,), name=name) for n, name in ((2, "a"), (3, "b"), (2, "c")))
    return keras.Model({"pair": [a, b], "single": c}, mlp(layers.Concatenate()([a, b, c])))


def shared() -> Any:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    layer = layers.Dense(3, activation="tanh")
    return keras.Model({"a": a, "b": b}, layers.Dense(1)(layers.Concatenate()([layer(a), layer(b)])))


def of_two_outputs(container: type) -> Callable[[], Any]:
    def make() -> Any:
        inputs = keras.Input((4,))
        hidden = layers.Dense(6, activation="tanh")(inputs)
        p, q = layers.Dense(1, name="p")(hidden), layers.Dense(2, name="q")(hidden)
        return keras.Model(inputs, {"p": p, "q": q} if container is dict else [p, q])

    return make


def embedded() -> Any:
    colour, size = keras.Input((1,), name="colour", dtype="int32"), keras.Input((1,), name="size")
    parts = [layers.Flatten()(layers.Embedding(5, 3)(colour)), size]
    return keras.Model({"colour": colour, "size": size}, mlp(layers.Concatenate()(parts)))


def looked_up() -> Any:
    city, size = keras.Input((1,), name="city", dtype="string"), keras.Input((1,), name="size")
    number = layers.StringLookup(vocabulary=["Oslo", "Bonn", "Rom"])(city)
    parts = [layers.Flatten()(layers.Embedding(4, 3)(number)), size]
    return keras.Model({"city": city, "size": size}, mlp(layers.Concatenate()(parts)))


def hashed() -> Any:
    city, size = keras.Input((1,), name="city", dtype="string"), keras.Input((1,), name="size")
    parts = [layers.Flatten()(layers.Embedding(8, 3)(layers.Hashing(8)(city))), size]
    return keras.Model({"city": city, "size": size}, mlp(layers.Concatenate()(parts)))


def feature_space() -> Any:
    import tensorflow as tf

    space = keras.utils.FeatureSpace({"city": "string_categorical", "size": "float_normalized"})
    rows = texts(np.random.default_rng(0))
    space.adapt(tf.data.Dataset.from_tensor_slices(rows).batch(16))
    return keras.Model(space.get_inputs(), mlp(space.get_encoded_features()))


def prepared() -> Any:
    inputs = {
        "age": keras.Input((1,), name="age"),
        "colour": keras.Input((1,), name="colour", dtype="int32"),
    }
    scaled = layers.Normalization(mean=[1.0], variance=[4.0])(inputs["age"])
    encoded = layers.CategoryEncoding(num_tokens=5, output_mode="one_hot")(inputs["colour"])
    return keras.Model(inputs, mlp(layers.Concatenate()([scaled, encoded])))


def normalised(x: Any) -> Any:
    hidden = layers.BatchNormalization()(layers.Dense(6)(x))
    return layers.Dense(1)(layers.Dropout(0.3)(layers.Activation("relu")(hidden)))


def attention(x: Any) -> Any:
    return layers.Dense(1)(layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(2, 3)(x, x)))


def convolved(x: Any) -> Any:
    return layers.Dense(1)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(x)))


def mixed_precision() -> Any:
    dtype = keras.DTypePolicy("mixed_float16")
    inputs = keras.Input((4,))
    hidden = layers.Dense(6, activation="tanh", dtype=dtype)(inputs)
    return keras.Model(inputs, layers.Dense(1, dtype="float32")(hidden))


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = layers.Dense(6, activation="tanh"), layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.out(self.hidden(x))


class OwnStep(keras.Model):
    """Trains and tests by steps of its own, on top of Keras'."""

    def train_step(self, *arguments: Any, **keywords: Any) -> Any:
        return super().train_step(*arguments, **keywords)

    def test_step(self, *arguments: Any, **keywords: Any) -> Any:
        return super().test_step(*arguments, **keywords)


class OwnLoss(keras.Model):
    """Its loss is no compiled one."""

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: Any = True,
    ) -> Any:
        del x, sample_weight, training
        return keras.ops.mean(keras.ops.abs(y - y_pred) ** 1.5)


NO_TEXT_TENSORS = dict.fromkeys(("jax", "torch"), "Keras: texts are no tensors on JAX and torch")

MODELS = {
    "Sequential": ModelKind(lambda: keras.Sequential([keras.Input((4,)), layers.Dense(6, "tanh"), layers.Dense(1)]), table),
    "Functional, BatchNormalization and Dropout": ModelKind(on((4,), normalised), table, draws=True),
    "subclassed": ModelKind(Subclassed, table),
    "nested": ModelKind(on((4,), lambda x: layers.Dense(1)(keras.Sequential([layers.Dense(5, "tanh"), layers.Dense(3)])(x))), table),
    "shared layer": ModelKind(shared, lambda rng: {"a": table(rng), "b": table(rng)}),
    "inputs in a list": ModelKind(of_two(list), lambda rng: list(two(rng).values())),
    "inputs in a dict": ModelKind(of_two(dict), two),
    "inputs in a nest": ModelKind(of_nested, lambda rng: {"pair": list(two(rng).values()), "single": table(rng)[:, :2]}),
    "outputs in a list, loss_weights": ModelKind(
        of_two_outputs(list), table, lambda rng: list(two_targets(rng).values()), {"loss": ["mse", "mae"], "loss_weights": [1.0, 0.5]}
    ),
    "outputs in a dict, one of them": ModelKind(
        of_two_outputs(dict), table, two_targets, {"loss": {"p": "mse", "q": "mae"}}, metric="q_loss"
    ),
    "classifier": ModelKind(on((4,), lambda x: mlp(x, 3, "softmax")), table, classes, {"loss": "sparse_categorical_crossentropy"}),
    "AUC": ModelKind(
        on((4,), lambda x: mlp(x, 1, "sigmoid")), table, binary,
        {"loss": "binary_crossentropy", "metrics": lambda: [keras.metrics.AUC(name="auc")]}, metric="auc",
    ),
    "integers, Embedding": ModelKind(embedded, codes),
    "Normalization, CategoryEncoding": ModelKind(
        prepared, lambda rng: {"age": codes(rng)["size"], "colour": codes(rng)["colour"]}
    ),
    "texts, StringLookup": ModelKind(looked_up, texts, not_on=NO_TEXT_TENSORS),
    "texts, Hashing": ModelKind(hashed, texts, not_on=NO_TEXT_TENSORS),
    "texts, FeatureSpace": ModelKind(feature_space, texts, not_on=NO_TEXT_TENSORS),
    "LSTM": ModelKind(on((N_STEPS, 3), lambda x: layers.Dense(1)(layers.LSTM(4)(x))), sequence),
    "GRU, Masking, padded": ModelKind(
        on((N_STEPS, 3), lambda x: layers.Dense(1)(layers.GRU(4)(layers.Masking()(x)))), padded
    ),
    "Conv1D": ModelKind(on((N_STEPS, 3), lambda x: layers.Dense(1)(layers.Flatten()(layers.Conv1D(4, 3)(x)))), sequence),
    "attention": ModelKind(on((N_STEPS, 3), attention), sequence),
    "Conv2D, by channel": ModelKind(on((6, 6, 3), convolved), image),
    "mixed precision": ModelKind(mixed_precision, table, is_half_precision=True),
    "own train_step": ModelKind(on((4,), mlp, OwnStep), table),
    "own compute_loss": ModelKind(on((4,), mlp, OwnLoss), table),
    "run_eagerly": ModelKind(on((4,), mlp), table, compiled={"run_eagerly": True}),
    "jit_compile": ModelKind(on((4,), mlp), table, compiled={"jit_compile": True}),
    "steps_per_execution": ModelKind(on((4,), mlp), table, compiled={"steps_per_execution": 4}, not_on={"torch": "Keras: one step at a time on torch"}),
}  # fmt: skip


# --- validation data ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """What `fit` and the callback get.

    Attributes:
        training: what `fit` trains on.
        of_fit: further arguments of `fit`.
        of_callback: `validation_data` of the callback; None for that of `fit`.
    """

    training: tuple[Any, ...]
    of_fit: dict[str, Any] = field(default_factory=dict)
    of_callback: Any = None


@dataclass(frozen=True)
class DataKind:
    """Rows in some form.

    Attributes:
        of: `(x, y) -> Given`, or why the form can't hold them.
    """

    of: Callable[[Any, Any], Given | str]


def holds_texts(x: Any) -> bool:
    """Whether an input holds texts, which Keras takes in a dataset alone."""
    return any(np.asarray(leaf).dtype.kind in "UO" for leaf in keras.tree.flatten(x))


def as_dataset(x: Any, y: Any, batch: int | None = 16) -> Any:
    """A `tf.data.Dataset` of the rows; lists are tuples there."""
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((tuples(x), tuples(y)))
    return data if batch is None else data.batch(batch)


def tuples(nest: Any) -> Any:
    """The nest with tuples for lists, which datasets take for tensors."""
    if isinstance(nest, dict):
        return {key: tuples(one) for key, one in nest.items()}
    return tuple(map(tuples, nest)) if isinstance(nest, list) else nest


def training_on(x: Any, y: Any) -> tuple[Any, ...]:
    return (as_dataset(x, y),) if holds_texts(x) else (x, y)


NO_TEXTS = "Keras takes texts in a tf.data.Dataset alone"


def validating_on(
    make: Callable[[Any, Any], Any], *, texts: bool = False, **further: Any
) -> Callable[[Any, Any], Given | str]:
    """Rows in the form that `make` gives them, or why it can't, as validation data of `fit`."""

    def of(x: Any, y: Any) -> Given | str:
        if holds_texts(x) and not texts:
            return NO_TEXTS
        made = make(x, y)
        return (
            made
            if isinstance(made, str)
            else Given(training_on(x, y), {"validation_data": made, **further})
        )

    return of


class Batches(keras.utils.PyDataset):
    """Batches of arrays."""

    def __init__(self, x: Any, y: Any) -> None:
        super().__init__()
        self.rows = (tuples(x), tuples(y))

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        rows = slice(16 * index, 16 * index + 16)
        return keras.tree.map_structure(lambda leaf: leaf[rows], self.rows)


def generated(x: Any, y: Any) -> Iterator[Any]:
    data = Batches(x, y)
    yield from (data[index] for index in range(len(data)))


def loader(x: Any, y: Any) -> Any:
    if keras.backend.backend() == "tensorflow" and any(isinstance(one, list) for one in (x, y)):
        return "Keras on TensorFlow takes no batches that hold lists, which a DataLoader makes of tuples"
    torch: Any = import_module("torch")
    tensors = keras.tree.map_structure(
        lambda leaf: torch.as_tensor(np.asarray(leaf)), (tuples(x), tuples(y))
    )

    class Rows(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return N_ROWS

        def __getitem__(self, index: int) -> Any:
            return keras.tree.map_structure(lambda leaf: leaf[index], tensors)

    return torch.utils.data.DataLoader(Rows(), batch_size=16)


def grains(x: Any, y: Any) -> Any:
    grain = import_module("grain")
    rows = [
        keras.tree.map_structure(lambda leaf, i=i: leaf[i], (tuples(x), tuples(y)))
        for i in range(N_ROWS)
    ]
    return grain.MapDataset.source(rows).batch(16)


def frame(x: Any, y: Any) -> Any:
    import pandas as pd

    if not isinstance(x, np.ndarray) or x.ndim != 2:
        return "a DataFrame is one table"
    return pd.DataFrame(x, columns=[f"x{column}" for column in range(x.shape[1])]), y


def weighted(x: Any, y: Any) -> Any:
    return x, y, np.full(N_ROWS, 2.0, "float32")


def split(x: Any, y: Any) -> Given | str:
    if holds_texts(x):
        return NO_TEXTS
    doubled = keras.tree.map_structure(lambda leaf: np.concatenate([leaf, leaf]), (x, y))
    return Given(doubled, {"validation_split": 0.5})


DATA = {
    "arrays": DataKind(validating_on(lambda x, y: (x, y))),
    "arrays of the callback's own": DataKind(lambda x, y: Given(training_on(x, y), of_callback=(x, y))),
    "DataFrame": DataKind(validating_on(frame)),
    "validation_split": DataKind(split),
    "sample weights": DataKind(validating_on(weighted)),
    "tf.data, batched": DataKind(validating_on(as_dataset, texts=True)),
    "tf.data, shuffled": DataKind(validating_on(lambda x, y: as_dataset(x, y, None).shuffle(64, seed=1).batch(16), texts=True)),
    "tf.data, infinite with validation_steps": DataKind(
        validating_on(lambda x, y: as_dataset(x, y).repeat(), texts=True, validation_steps=4)
    ),
    "tf.data, unbatched": DataKind(lambda x, y: Given(training_on(x, y), of_callback=as_dataset(x, y, None))),
    "PyDataset": DataKind(validating_on(Batches)),
    "torch DataLoader": DataKind(validating_on(loader)),
    "grain": DataKind(validating_on(grains)),
    "Python generator": DataKind(validating_on(generated, validation_steps=4)),
}  # fmt: skip

# One model for each form of inputs.
OF_EACH_STRUCTURE = (
    "Functional, BatchNormalization and Dropout", "inputs in a list", "inputs in a dict", "outputs in a list, loss_weights",
    "integers, Embedding", "texts, StringLookup", "LSTM", "Conv2D, by channel",
)  # fmt: skip
