"""A situation: a compiled model with fixed weights and its rows, for a loss, a metric or a form of data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

layers = keras.layers
N_ROWS = 120
N_COLUMNS = 3

Draw = np.random.Generator


@dataclass(frozen=True)
class Rows:
    """What `fit` takes as validation data."""

    x: Any
    y: Any = None
    weights: Any = None

    def as_tuple(self) -> tuple[Any, ...]:
        return (self.x, self.y) if self.weights is None else (self.x, self.y, self.weights)


@dataclass(frozen=True)
class Situation:
    """A model that is compiled, with its rows, and what is asked of it.

    Attributes:
        make: makes the compiled model and the rows; the same each time.
        metric: the user's `metric` argument.
        logged: the name of the score in `model.evaluate`.
        worse_is: +1 if a larger score is worse, -1 if it is better.
        fit: further arguments of `fit`.
        is_scaled_freely: whether the scale of the weights is a convention, as it is for weights of steps
            and of outputs; then importances are compared up to a factor.
        has_padding: whether rows have padded steps; a replaced value is then drawn in another way, and
            importances agree only up to the noise of the draws.
        expected: `"right"`; `"reason"` where there is no right answer; `"Keras refuses"` where `fit` itself
            doesn't take it.
    """

    make: Callable[[], tuple[Any, Rows]]
    metric: Any = "loss"
    logged: str = "loss"
    worse_is: int = 1
    fit: Mapping[str, Any] = field(default_factory=dict)
    is_scaled_freely: bool = False
    has_padding: bool = False
    expected: str = "right"


def network(n_outputs: int = 1, activation: Any = None, *, inputs: Any = None) -> Any:
    """A small network on a table, whose columns matter unequally."""
    given = keras.Input((N_COLUMNS,)) if inputs is None else inputs
    hidden = layers.Dense(8, activation="tanh")(given)
    return keras.Model(given, layers.Dense(n_outputs, activation=activation)(hidden))


def with_fixed_weights(model: Any) -> Any:
    """The model with weights that don't depend on the backend, large enough for importances."""
    rng = np.random.default_rng(7)
    model.set_weights(
        [
            0.9 * rng.standard_normal(value.shape) if value.dtype.kind == "f" else value
            for value in model.get_weights()
        ]
    )
    return model


def table(n_rows: int = N_ROWS) -> Any:
    """Independent columns, the later the smaller."""
    scales = np.linspace(1.2, 0.4, N_COLUMNS)
    return (np.random.default_rng(0).standard_normal((n_rows, N_COLUMNS)) * scales).astype("float32")


def predicted(model: Any, x: Any) -> Any:
    return keras.tree.map_structure(
        lambda leaf: np.asarray(keras.ops.convert_to_numpy(leaf)), model(x, training=False)
    )


# --- targets that the model predicts well, but not perfectly -----------------------------------------


def noisy(outputs: Any, rng: Draw, scale: float = 0.5) -> Any:
    return (outputs + scale * rng.standard_normal(outputs.shape)).astype("float32")


def numbers(outputs: Any, rng: Draw) -> Any:
    return noisy(outputs, rng)


def positive(outputs: Any, rng: Draw) -> Any:
    return (outputs * np.exp(0.4 * rng.standard_normal(outputs.shape))).astype("float32")


def coins(outputs: Any, rng: Draw) -> Any:
    return (rng.random(outputs.shape) < outputs).astype("float32")


def signs(outputs: Any, rng: Draw) -> Any:
    return np.sign(noisy(outputs, rng, 0.3)).astype("float32")


def classes(outputs: Any, rng: Draw) -> Any:
    """`(n,)` classes, drawn with the model's own probabilities or logits."""
    logits = outputs if outputs.min() < 0 else np.log(outputs + 1e-7)
    return np.argmax(logits + rng.gumbel(size=outputs.shape), axis=-1).astype("int32")


def one_hot(outputs: Any, rng: Draw) -> Any:
    return np.eye(outputs.shape[-1], dtype="float32")[classes(outputs, rng)]


def whole(outputs: Any, rng: Draw) -> Any:
    return np.round(noisy(outputs, rng, 0.3))


def units(values: Any) -> Any:
    """Rows of length 1."""
    return values / keras.ops.sqrt(keras.ops.sum(values**2, axis=-1, keepdims=True) + 1e-6)


def nearest_axis(outputs: Any, rng: Draw) -> Any:
    """`(n,)` the class of each embedding."""
    return np.argmax(noisy(outputs, rng, 0.2), axis=-1).astype("int32")


@dataclass(frozen=True)
class Problem:
    """A head of a network, and targets for it."""

    n_outputs: int
    activation: Any
    targets: Callable[[Any, Draw], Any]

    def model(self) -> Any:
        return with_fixed_weights(network(self.n_outputs, self.activation))

    def situation(self, loss: Any, *, metrics: Any = None, **further: Any) -> Situation:
        """The problem with a loss: an object, a name, or a function that makes one from nothing."""

        def make() -> tuple[Any, Rows]:
            model, x = self.model(), table()
            y = self.targets(predicted(model, x), np.random.default_rng(1))
            compiled = metrics() if callable(metrics) else metrics
            model.compile(keras.optimizers.SGD(1e-3), loss(), metrics=compiled)
            return model, Rows(x, y)

        return Situation(make, **further)


def _rounded(values: Any) -> Any:
    return keras.ops.round(values)


PROBLEMS = {
    "numbers": Problem(1, None, numbers),
    "two numbers": Problem(2, None, numbers),
    "three numbers": Problem(3, None, numbers),
    "positive": Problem(1, "softplus", positive),
    "coins": Problem(1, "sigmoid", coins),
    "signs": Problem(1, "tanh", signs),
    "one-hot": Problem(3, "softmax", one_hot),
    "classes": Problem(3, "softmax", classes),
    "many classes": Problem(9, "softmax", one_hot),
    "many labels": Problem(9, "softmax", classes),
    "whole": Problem(1, _rounded, whole),
    "embeddings": Problem(3, units, nearest_axis),
}
