"""Losses, metrics and trainings written by hand, as users write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from models.situations import (
    N_COLUMNS,
    PROBLEMS,
    Rows,
    Situation,
    coins,
    nearest_axis,
    network,
    noisy,
    numbers,
    predicted,
    table,
    units,
    with_fixed_weights,
)

layers, ops = keras.layers, keras.ops


def sgd() -> Any:
    return keras.optimizers.SGD(1e-3)


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)


def of_network(
    loss: Any,
    targets: Callable[[Any, np.random.Generator], Any] = numbers,
    n_outputs: int = 1,
    activation: Any = None,
    *,
    model: Callable[..., Any] = network,
    compiled: Callable[[], dict[str, Any]] = dict,
    **further: Any,
) -> Situation:
    """A network with a loss, compiled with further arguments."""

    def make() -> tuple[Any, Rows]:
        made, x = with_fixed_weights(model(n_outputs, activation)), table()
        y = targets(predicted(made, x), _rng())
        made.compile(sgd(), loss, **compiled())
        return made, Rows(x, y)

    return Situation(make, **further)


# --- losses that couple the rows ----------------------------------------------------------------------


def survival(outputs: Any, rng: np.random.Generator) -> Any:
    """`(n, 2)` times, and whether the event was seen."""
    death = rng.exponential(np.exp(-outputs[:, 0]))
    censored = rng.exponential(2.0, len(outputs))
    return np.stack([np.minimum(death, censored), death <= censored], axis=1).astype("float32")


def cox(y_true: Any, y_pred: Any) -> Any:
    time, event, risk = y_true[:, 0], y_true[:, 1], y_pred[:, 0]
    at_risk = ops.cast(time[None, :] >= time[:, None], "float32")
    parts = event * (risk - ops.log(ops.sum(at_risk * ops.exp(risk)[None, :], axis=1)))
    return -ops.sum(parts) / (ops.sum(event) + 1e-7)


def overlap(y_true: Any, y_pred: Any) -> Any:
    """The Dice loss of all rows."""
    both = ops.sum(y_true * y_pred)
    return 1 - (2 * both + 1) / (ops.sum(y_true) + ops.sum(y_pred) + 1)


def soft_f1(y_true: Any, y_pred: Any) -> Any:
    y_true = ops.cast(y_true, "float32")
    hits = ops.sum(y_true * y_pred, axis=0)
    wrong = ops.sum((1 - y_true) * y_pred, axis=0) + ops.sum(y_true * (1 - y_pred), axis=0)
    return 1 - ops.mean(2 * hits / (2 * hits + wrong + 1e-7))


def in_batch(y_true: Any, y_pred: Any) -> Any:
    """Each row's own answer against the answers of all other rows."""
    similar = ops.matmul(units(y_pred), ops.transpose(units(y_true))) / 0.3
    return -ops.mean(ops.diagonal(ops.log_softmax(similar, axis=-1)))


def batch_hard(y_true: Any, y_pred: Any) -> Any:
    """The triplet loss with the hardest pair of each row."""
    labels = ops.reshape(y_true, (-1,))
    same = ops.cast(labels[:, None] == labels[None, :], "float32")
    squares = ops.sum((y_pred[:, None, :] - y_pred[None, :, :]) ** 2, axis=-1)
    furthest = ops.max(squares * same, axis=1)
    nearest = ops.min(squares + 1e3 * same, axis=1)
    return ops.mean(ops.relu(furthest - nearest + 0.5))


def unexplained(y_true: Any, y_pred: Any) -> Any:
    """1 - R²."""
    mean = ops.mean(y_true, axis=0, keepdims=True)
    return ops.sum((y_true - y_pred) ** 2) / ops.sum((y_true - mean) ** 2)


def root_mean_square(y_true: Any, y_pred: Any) -> Any:
    return ops.sqrt(ops.mean((y_true - y_pred) ** 2))


def batch_centred(y_true: Any, y_pred: Any) -> Any:
    """The error after the batch's own mean is taken out, of each row."""
    error = y_true - y_pred
    return ops.mean((error - ops.mean(error, axis=0, keepdims=True)) ** 2, axis=-1)


# --- losses of rows -----------------------------------------------------------------------------------


def quantile(y_true: Any, y_pred: Any) -> Any:
    levels = ops.convert_to_tensor([[0.1, 0.5, 0.9]])
    error = y_true - y_pred
    return ops.mean(ops.maximum(levels * error, (levels - 1) * error), axis=-1)


def focal(y_true: Any, y_pred: Any) -> Any:
    right = ops.clip(ops.where(y_true > 0.5, y_pred, 1 - y_pred), 1e-6, 1.0)
    return ops.mean(-((1 - right) ** 2) * ops.log(right))


def best_alignment(y_true: Any, y_pred: Any) -> Any:
    """The best place of a short pattern among the steps of the output, smoothly, as CTC has it."""
    places = [ops.sum((y_pred[:, i : i + 2] - y_true) ** 2, axis=-1) for i in range(3)]
    return -ops.logsumexp(-ops.stack(places, axis=-1), axis=-1)


def known_only(y_true: Any, y_pred: Any) -> Any:
    """-1 marks a missing target."""
    known = ops.cast(y_true != -1.0, "float32")
    return ops.sum(known * (y_true - y_pred) ** 2) / ops.maximum(ops.sum(known), 1)


def packed(y_true: Any, y_pred: Any) -> Any:
    """The weight of a row stands in the last column of the targets."""
    weight = y_true[:, -1:]
    return ops.sum(weight * (y_true[:, :-1] - y_pred) ** 2) / ops.sum(weight)


class WithoutReduction(keras.losses.Loss):
    """Overrides `__call__`, as losses that reduce the rows themselves do."""

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        error = ops.cast(y_true, "float32") - y_pred
        return ops.sqrt(ops.mean(error**2))


class OfConstructor(keras.losses.Loss):
    """Keeps what its constructor got, and has no `get_config`."""

    def __init__(self, power: Any) -> None:
        super().__init__(name="powered")
        self.power = power

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.abs(y_true - y_pred) ** self.power, axis=-1)


# --- metrics ------------------------------------------------------------------------------------------


class Above(keras.metrics.Metric):
    """The fraction of errors below a limit; the limit is lost if the metric is made anew."""

    def __init__(self, limit: float = 1e9, name: str = "near") -> None:
        super().__init__(name=name)
        self.limit = limit
        self.near = self.add_weight(name="near_rows", initializer="zeros")
        self.rows = self.add_weight(name="all_rows", initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        near = ops.cast(ops.abs(y_true - y_pred) < self.limit, "float32")
        self.near.assign_add(ops.sum(near))
        self.rows.assign_add(ops.cast(ops.size(near), "float32"))

    def result(self) -> Any:
        return self.near / self.rows


class NeedsLimit(Above):
    """A limit has to be given; `get_config` doesn't hold it."""

    def __init__(self, limit: float) -> None:
        super().__init__(limit)


class InLists(keras.metrics.Metric):
    """Keeps all errors in a Python list, which works where the model runs eagerly."""

    def __init__(self, name: str = "median_error") -> None:
        super().__init__(name=name)
        self.errors: list[Any] = []

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.errors.append(keras.ops.convert_to_numpy(ops.abs(y_true - y_pred)).reshape(-1))

    def result(self) -> Any:
        return float(np.median(np.concatenate(self.errors))) if self.errors else 0.0

    def reset_state(self) -> None:
        self.errors = []


def r2(y_true: Any, y_pred: Any) -> Any:
    """R², as a function that is compiled as a metric."""
    return 1 - unexplained(y_true, y_pred)


r2.direction = "up"  # type: ignore[attr-defined]


# --- models -------------------------------------------------------------------------------------------


class OwnLoss(keras.Model):
    """Its `compute_loss` adds a term to the compiled loss."""

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, **rest: Any
    ) -> Any:
        return ops.mean((y - y_pred) ** 2) + 0.3 * ops.mean(ops.abs(y - y_pred))


class LossOfInputs(keras.Model):
    """Its `compute_loss` looks at the inputs."""

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, **rest: Any
    ) -> Any:
        return ops.mean((y - y_pred) ** 2) + 0.1 * ops.mean(x[:, :1] * y_pred)


class OwnSteps(keras.Model):
    """Trains and tests by steps of its own; no loss is compiled."""

    def train_step(self, *arguments: Any) -> Any:
        x, y = arguments[-1][:2]
        if keras.backend.backend() != "jax":
            return {"loss": ops.mean((y - self(x)) ** 2)}
        predicted, _ = self.stateless_call(*arguments[0][:2], x)
        return {"loss": ops.mean((y - predicted) ** 2)}, arguments[0]

    test_step = train_step


def as_class(kind: type[Any]) -> Callable[..., Any]:
    def make(n_outputs: int = 1, activation: Any = None) -> Any:
        plain = network(n_outputs, activation)
        return kind(plain.input, plain.output)

    return make


class Sampling(keras.layers.Layer):
    """The middle of a variational autoencoder; it draws only in training, and adds the divergence."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.seeds = keras.random.SeedGenerator(3)

    def call(self, given: Any, training: bool = False) -> Any:
        mean, log_variance = given
        self.add_loss(
            -0.05 * ops.mean(ops.sum(1 + log_variance - mean**2 - ops.exp(log_variance), axis=-1))
        )
        if not training:
            return mean
        noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
        return mean + ops.exp(0.5 * log_variance) * noise


class Reconstruction(keras.layers.Layer):
    def call(self, given: Any) -> Any:
        self.add_loss(ops.mean((given[0] - given[1]) ** 2))
        return given[1]


def autoencoder(*, has_targets: bool) -> Situation:
    """With targets the reconstruction is a compiled loss, else it is added inside."""

    def make() -> tuple[Any, Rows]:
        given = keras.Input((N_COLUMNS,))
        code = Sampling()([layers.Dense(2)(given), layers.Dense(2)(given)])
        copy = layers.Dense(N_COLUMNS)(code)
        model = keras.Model(given, copy if has_targets else Reconstruction()([given, copy]))
        with_fixed_weights(model)
        model.compile(sgd(), "mse" if has_targets else None)
        x = table()
        return model, Rows(x, np.roll(x, 1, axis=1) if has_targets else None)

    return Situation(make)


def activity() -> Situation:
    """An activity regulariser says nothing of the predictions, so its part of the loss doesn't count."""

    def model(n_outputs: int, activation: Any) -> Any:
        given = keras.Input((N_COLUMNS,))
        hidden = layers.Dense(8, "tanh", activity_regularizer=keras.regularizers.L2(0.1))(given)
        return keras.Model(given, layers.Dense(1, kernel_regularizer="l2")(hidden))

    return of_network("mse", model=model, compiled=lambda: {"metrics": ["mse"]}, logged="mse")


def several_outputs() -> Situation:
    """A number and a class, with a loss each."""

    def make() -> tuple[Any, Rows]:
        given = keras.Input((N_COLUMNS,))
        hidden = layers.Dense(8, "tanh")(given)
        outputs = {
            "number": layers.Dense(1, name="number")(hidden),
            "coin": layers.Dense(1, "sigmoid", name="coin")(hidden),
        }
        model, x, rng = with_fixed_weights(keras.Model(given, outputs)), table(), _rng()
        made = predicted(model, x)
        y = {"number": noisy(made["number"], rng), "coin": coins(made["coin"], rng)}
        model.compile(sgd(), {"number": root_mean_square, "coin": "binary_crossentropy"})
        return model, Rows(x, y)

    return Situation(make)


def towers() -> Situation:
    """Two towers whose rows belong together; the model returns the similarity of all pairs."""

    def make() -> tuple[Any, Rows]:
        left, right = keras.Input((2,), name="left"), keras.Input((2,), name="right")
        codes = [layers.Dense(3, "tanh")(side) for side in (left, right)]
        model = with_fixed_weights(
            keras.Model({"left": left, "right": right}, layers.Concatenate()(codes))
        )
        x = {"left": table()[:, :2], "right": table()[:, 1:] + table()[:, :2]}
        model.compile(sgd(), pairs)
        return model, Rows(x, np.zeros((len(table()), 1), "float32"))

    return Situation(make)


def pairs(y_true: Any, y_pred: Any) -> Any:
    return in_batch(y_pred[:, :3], y_pred[:, 3:])


def quantile_targets(outputs: Any, rng: np.random.Generator) -> Any:
    return noisy(outputs[:, 1:2], rng)


def aligned(outputs: Any, rng: np.random.Generator) -> Any:
    return noisy(outputs[:, 1:3], rng)


def with_missing(outputs: Any, rng: np.random.Generator) -> Any:
    return np.where(rng.random(outputs.shape) < 0.4, -1.0, noisy(outputs, rng)).astype("float32")


def with_weights(outputs: Any, rng: np.random.Generator) -> Any:
    weight = rng.uniform(0.1, 2, (len(outputs), 1))
    return np.concatenate([noisy(outputs, rng), weight], axis=1).astype("float32")


def own_metric(metric: Any, name: str, worse_is: int, **further: Any) -> dict[str, Situation]:
    """A metric by its name in the logs, and as the object itself."""

    def compiled() -> dict[str, Any]:
        return {"metrics": [metric()], **further}

    def situation(argument: Any) -> Situation:
        return of_network("mse", compiled=compiled, metric=argument, logged=name, worse_is=worse_is)

    return {"by name": situation(name), "the object": situation(metric())}


def correlation() -> Any:
    return keras.metrics.PearsonCorrelation(axis=0, name="correlation")


def always_1() -> Any:
    return keras.metrics.MeanMetricWrapper(lambda y_true, y_pred: ops.ones_like(y_pred), name="ones")


def _of_metric(make: Callable[[], Any], expected: str) -> Situation:
    return of_network("mse", metric=make(), expected=expected)


def _titled(title: str, situations: dict[str, Situation]) -> dict[str, Situation]:
    return {f"{title}, {how}": situation for how, situation in situations.items()}


SITUATIONS: dict[str, Situation] = {
    "Cox": of_network(cox, survival),
    "quantiles": of_network(quantile, quantile_targets, 3),
    "focal": of_network(focal, coins, activation="sigmoid"),
    "Dice of all rows": of_network(overlap, coins, activation="sigmoid"),
    "soft F1": of_network(soft_f1, coins, 2, "sigmoid"),
    "in-batch negatives": of_network(in_batch, numbers, 3),
    "two towers, one output": towers(),
    "triplets, hardest pairs": of_network(batch_hard, nearest_axis, 3),
    "best alignment, as in CTC": of_network(best_alignment, aligned, 4),
    "missing targets marked by -1": of_network(known_only, with_missing, 2),
    "weights packed in the targets": of_network(packed, with_weights),
    "1 - R²": of_network(unexplained),
    "root mean square, two outputs": of_network(root_mean_square, numbers, 2),
    "error centred in the batch": of_network(batch_centred),
    "sum over rows, told as a mean": of_network(
        keras.losses.MeanSquaredError(reduction="sum"), is_scaled_freely=True
    ),
    "Loss that overrides __call__": of_network(WithoutReduction()),
    "Loss without get_config": of_network(OfConstructor(1.5)),
    "several outputs, a loss each": several_outputs(),
    "own compute_loss": of_network(None, model=as_class(OwnLoss)),
    "own compute_loss of the inputs": of_network(None, model=as_class(LossOfInputs)),
    "own steps, no loss": of_network(None, model=as_class(OwnSteps), expected="reason"),
    "VAE, add_loss and a compiled loss": autoencoder(has_targets=True),
    "VAE, add_loss alone, no targets": autoencoder(has_targets=False),
    "activity regulariser, which doesn't count": activity(),
    **_titled("metric that loses its argument", own_metric(lambda: Above(0.4), "near", -1)),
    **_titled("metric without get_config", own_metric(lambda: NeedsLimit(0.4), "near", -1)),
    **_titled("metric with a list as state", own_metric(InLists, "median_error", 1, run_eagerly=True)),
    **_titled("R² as a function", own_metric(lambda: r2, "r2", -1)),
    **_titled("correlation over the rows", own_metric(correlation, "correlation", -1)),
    "correlation over one column": _of_metric(keras.metrics.PearsonCorrelation, "reason"),
    "a metric that is always 1": _of_metric(always_1, "reason"),
    '"crossentropy"': PROBLEMS["classes"].situation(lambda: "crossentropy"),
}
