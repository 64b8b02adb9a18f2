"""Models of every architecture that changes what may be recomputed, with rows for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

layers = keras.layers
N_ROWS = 90


@dataclass(frozen=True)
class Example:
    """A model, rows for it, and whether some of it should be spared.

    Attributes:
        make: makes the model.
        rows: makes its inputs.
        is_cut: whether less than the whole model is run for each feature.
    """

    make: Callable[[], Any]
    rows: Callable[[np.random.Generator], Any]
    is_cut: bool = True


def table(rng: np.random.Generator, n_columns: int = 5) -> Any:
    return rng.standard_normal((N_ROWS, n_columns)).astype("float32")


def sequence(rng: np.random.Generator) -> Any:
    return rng.standard_normal((N_ROWS, 6, 4)).astype("float32")


def on_table(function: Callable[[Any], Any], n_columns: int = 5) -> Callable[[], Any]:
    def make() -> Any:
        inputs = keras.Input((n_columns,))
        return keras.Model(inputs, function(inputs))

    return make


def on_sequence(function: Callable[[Any], Any]) -> Callable[[], Any]:
    def make() -> Any:
        inputs = keras.Input((6, 4))
        return keras.Model(inputs, function(inputs))

    return make


def chain(*parts: Any) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        for part in parts:
            x = part(x)
        return x

    return run


def dense(units: int = 7, activation: str | None = "tanh") -> Any:
    return layers.Dense(units, activation=activation)


def residual_of_the_input(x: Any) -> Any:
    return dense(1)(layers.Add()([x, dense(5)(x)]))


def gated(x: Any) -> Any:
    return dense(1)(layers.Multiply()([x, dense(5, "sigmoid")(x)]))


def residual_blocks(x: Any) -> Any:
    h = dense()(x)
    for _ in range(2):
        h = layers.LayerNormalization()(layers.Add()([h, dense()(h)]))
    return dense(1)(h)


def sliced(x: Any) -> Any:
    return dense(1)(layers.Concatenate()([dense(3)(x[:, :2]), dense(3)(keras.ops.exp(x[:, 2:]))]))


def of_each_column(x: Any) -> Any:
    towers = [dense(1)(dense(3)(x[:, i : i + 1])) for i in range(5)]
    return layers.Add()(towers)


def normalised(x: Any) -> Any:
    norm = layers.Normalization(mean=[0.1, 0.2, 0.0, -1.0, 2.0], variance=[1.0, 2.0, 3.0, 0.5, 0.1])
    return dense(1)(dense()(layers.BatchNormalization()(layers.Rescaling(2.0, 1.0)(norm(x)))))


def dropped(x: Any) -> Any:
    noisy = layers.GaussianNoise(0.5)(layers.Dropout(0.4)(x))
    return dense(1)(layers.Activation("relu")(dense()(layers.LeakyReLU()(noisy))))


def softmax_first(x: Any) -> Any:
    return dense(1)(dense()(layers.Activation("softmax")(x)))


def two_outputs() -> Any:
    inputs = keras.Input((5,))
    hidden = dense()(inputs)
    return keras.Model(inputs, {"a": dense(1)(hidden), "b": dense(2)(hidden)})


def an_input_as_output() -> Any:
    inputs = keras.Input((5,))
    return keras.Model(inputs, [layers.ReLU()(inputs), dense(1)(inputs)])


def shared_layer() -> Any:
    a, b = keras.Input((5,), name="a"), keras.Input((5,), name="b")
    shared = dense(4)
    return keras.Model({"a": a, "b": b}, dense(1)(layers.Concatenate()([shared(a), shared(b)])))


def towers() -> Any:
    series, flat = keras.Input((6, 4), name="series"), keras.Input((5,), name="flat")
    joined = layers.Concatenate()([layers.GRU(3)(series), flat])
    return keras.Model({"series": series, "flat": flat}, dense(1)(dense()(joined)))


def open_length() -> Any:
    series, flat = keras.Input((None, 4), name="series"), keras.Input((5,), name="flat")
    hidden = layers.GRU(3)(layers.GRU(3, return_sequences=True)(series))
    return keras.Model([series, flat], dense(1)(layers.Concatenate()([hidden, flat])))


def embedded(*, mask_zero: bool = False) -> Callable[[], Any]:
    def make() -> Any:
        inputs = {
            "colour": keras.Input((1,), name="colour", dtype="int32"),
            "size": keras.Input((1,), name="size"),
            "words": keras.Input((3,), name="words", dtype="int32"),
        }
        parts = [
            layers.Flatten()(layers.Embedding(7, 4)(inputs["colour"])),
            inputs["size"],
            layers.Flatten()(layers.Embedding(9, 2, mask_zero=mask_zero)(inputs["words"])),
        ]
        return keras.Model(inputs, dense(1)(dense()(layers.Concatenate()(parts))))

    return make


def nested() -> Any:
    inner = keras.Sequential([keras.Input((5,)), dense(4), dense(3)])
    inputs = keras.Input((5,))
    return keras.Model(inputs, dense(1)(inner(layers.Rescaling(0.5)(inputs))))


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = dense(), dense(1)

    def call(self, x: Any) -> Any:
        return self.out(self.hidden(x))


class SquaringDense(layers.Dense):
    """Is a Dense layer by name alone."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        return super().call(keras.ops.square(inputs))


class TwoHeads(layers.Layer):
    """Returns several outputs, also as the last layer of a Sequential model."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = [dense(1), dense(2)]

    def call(self, x: Any) -> Any:
        return [head(x) for head in self.heads]


class NamedHead(layers.Layer):
    """Returns its only output in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.head = dense(1)

    def call(self, x: Any) -> Any:
        return {"y": self.head(x)}


class Centring(layers.Layer):
    """Mixes all columns."""

    def call(self, x: Any) -> Any:
        return x - keras.ops.mean(x, axis=-1, keepdims=True)


def categories(rng: np.random.Generator) -> Any:
    return {
        "colour": rng.integers(7, size=(N_ROWS, 1)).astype("int32"),
        "size": table(rng, 1),
        "words": rng.integers(9, size=(N_ROWS, 3)).astype("int32"),
    }


def both(rng: np.random.Generator) -> Any:
    return {"series": sequence(rng), "flat": table(rng)}


def pair(rng: np.random.Generator) -> Any:
    return {"a": table(rng), "b": table(rng)}


def padded(rng: np.random.Generator) -> Any:
    x = sequence(rng)
    x[: N_ROWS // 2, 4:] = 0
    return x


def convolution(**arguments: Any) -> Callable[[], Any]:
    conv = {"filters": 3, "kernel_size": 3, "activation": "relu", **arguments}
    return on_sequence(lambda x: dense(1)(layers.Flatten()(layers.Conv1D(**conv)(x))))


ZOO = {
    "sequential": Example(lambda: keras.Sequential([keras.Input((5,)), dense(), dense(1)]), table),
    "sequential of a named output": Example(
        lambda: keras.Sequential([keras.Input((5,)), dense(), NamedHead()]), table, is_cut=False
    ),
    "sequential of two heads": Example(
        lambda: keras.Sequential([keras.Input((5,)), dense(), TwoHeads()]), table, is_cut=False
    ),
    "linear": Example(lambda: keras.Sequential([keras.Input((5,)), dense(1, None)]), table),
    "unbuilt": Example(lambda: keras.Sequential([dense(), dense(1)]), table),
    "normalised": Example(on_table(normalised), table),
    "dropout": Example(on_table(dropped), table),
    "residual blocks": Example(on_table(residual_blocks), table),
    "residual of the input": Example(on_table(residual_of_the_input), table),
    "gated": Example(on_table(gated), table),
    "sliced": Example(on_table(sliced), table),
    "of each column": Example(on_table(of_each_column), table),
    "two outputs": Example(two_outputs, table),
    "an input as output": Example(an_input_as_output, table),
    "shared layer": Example(shared_layer, pair),
    "towers": Example(towers, both),
    "open length": Example(open_length, lambda rng: list(both(rng).values())),
    "embedded": Example(embedded(), categories),
    "conv same": Example(convolution(padding="same"), sequence),
    "conv causal": Example(convolution(padding="causal", dilation_rate=2), sequence),
    "conv valid strided": Example(convolution(strides=2, use_bias=False), sequence),
    "dense of steps": Example(on_sequence(chain(dense(), layers.GlobalAveragePooling1D(), dense(1))), sequence),
    "einsum of steps": Example(
        on_sequence(chain(layers.EinsumDense("abc,cd->abd", (6, 3), bias_axes="d"), layers.Flatten(), dense(1))),
        sequence,
    ),
    "einsum of several axes": Example(
        on_sequence(chain(layers.EinsumDense("abc,bcde->ade", (3, 2)), layers.Flatten(), dense(1))), sequence
    ),
    "flattened sequence": Example(on_sequence(chain(layers.Flatten(), dense(), dense(1))), sequence),
    "repeated": Example(on_table(chain(layers.RepeatVector(3), layers.GRU(3), dense(1))), table),
    "recurrent": Example(on_sequence(chain(layers.LSTM(3), dense(1))), sequence, is_cut=False),
    "bidirectional": Example(on_sequence(chain(layers.Bidirectional(layers.GRU(2)), dense(1))), sequence, is_cut=False),
    "attention": Example(
        on_sequence(lambda x: dense(1)(layers.Flatten()(layers.MultiHeadAttention(2, 3)(x, x)))), sequence, is_cut=False
    ),
    "masked": Example(on_sequence(chain(layers.Masking(), layers.LSTM(3), dense(1))), padded, is_cut=False),
    "masked embedding": Example(embedded(mask_zero=True), categories, is_cut=False),
    "softmax first": Example(on_table(softmax_first), table, is_cut=False),
    "mixing layer": Example(on_table(chain(Centring(), dense(), dense(1))), table, is_cut=False),
    "dense by name": Example(on_table(chain(SquaringDense(4), dense(1))), table, is_cut=False),
    "nested": Example(nested, table),
    "subclassed": Example(Subclassed, table, is_cut=False),
}  # fmt: skip
