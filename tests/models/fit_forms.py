"""Every form of targets, weights and masks that `fit` takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from models.own_scores import SITUATIONS as OWN
from models.own_scores import sgd
from models.situations import (
    N_COLUMNS,
    N_ROWS,
    Rows,
    Situation,
    classes,
    network,
    noisy,
    predicted,
    table,
    with_fixed_weights,
)

layers, ops = keras.layers, keras.ops
N_STEPS = 5

Form = Callable[[Any], Any]


def _rng() -> np.random.Generator:
    return np.random.default_rng(2)


def weights_of_rows(n_rows: int = N_ROWS) -> Any:
    return _rng().uniform(0.2, 3.0, n_rows).astype("float32")


# --- targets of one output ----------------------------------------------------------------------------


def on_table(
    loss: Any,
    targets: Callable[[Any], Any],
    n_outputs: int = 1,
    activation: Any = None,
    weights: Any = None,
    compiled: dict[str, Any] | None = None,
    **further: Any,
) -> Situation:
    """A network on a table with targets in some form, made from what it predicts."""

    def make() -> tuple[Any, Rows]:
        model, x = with_fixed_weights(network(n_outputs, activation)), table()
        y = targets(predicted(model, x))
        model.compile(sgd(), loss, **(compiled or {}))
        return model, Rows(x, y, weights)

    return Situation(make, **further)


def near(outputs: Any) -> Any:
    return noisy(outputs, _rng())


def of_classes(outputs: Any) -> Any:
    return classes(outputs, _rng())


def with_holes(outputs: Any) -> Any:
    return np.where(_rng().random(outputs.shape) < 0.4, np.nan, near(outputs)).astype("float32")


def skipping(y_true: Any, y_pred: Any) -> Any:
    """The mean over the targets that aren't missing."""
    known = ops.logical_not(ops.isnan(y_true))
    error = ops.where(known, y_true - y_pred, 0.0)
    return ops.sum(error**2) / ops.maximum(ops.sum(ops.cast(known, "float32")), 1)


def skipping_rows(y_true: Any, y_pred: Any) -> Any:
    """Of each row the sum over the targets that aren't missing."""
    known = ops.logical_not(ops.isnan(y_true))
    return ops.sum(ops.where(known, y_true - y_pred, 0.0) ** 2, axis=-1)


TARGETS = {
    "y (n,)": on_table("mse", lambda p: near(p)[:, 0]),
    "y (n, 1)": on_table("mse", near),
    "y (n, 3)": on_table("mse", near, 3),
    "y (n,) of whole numbers": on_table("mse", lambda p: np.round(2 * near(p)[:, 0]).astype("int64")),
    "y (n,) of booleans": on_table("binary_crossentropy", lambda p: near(p)[:, 0] > 0.5, 1, "sigmoid"),
    "y (n,) of float64": on_table("mae", lambda p: near(p)[:, 0].astype("float64")),
    "y (n, 3) one-hot": on_table(
        "categorical_crossentropy", lambda p: np.eye(3)[of_classes(p)], 3, "softmax"
    ),
    "y (n, 3) one-hot, whole numbers": on_table(
        "categorical_crossentropy", lambda p: np.eye(3, dtype="int32")[of_classes(p)], 3, "softmax"
    ),
    "y (n,) of classes": on_table("sparse_categorical_crossentropy", of_classes, 3, "softmax"),
    "y (n, 1) of classes": on_table(
        "sparse_categorical_crossentropy", lambda p: of_classes(p)[:, None], 3, "softmax"
    ),
    "y (n,) of classes, logits": on_table(
        keras.losses.SparseCategoricalCrossentropy(from_logits=True), of_classes, 3
    ),
    "NaN for missing, mean over all known": on_table(skipping, with_holes, 3),
    "NaN for missing, sum of each row": on_table(skipping_rows, with_holes, 3),
    "ignore_class": on_table(
        keras.losses.SparseCategoricalCrossentropy(ignore_class=0), of_classes, 3, "softmax"
    ),
    "no targets, add_loss": OWN["VAE, add_loss alone, no targets"],
}

# --- weights ------------------------------------------------------------------------------------------

_SOME_ZERO = np.where(np.arange(N_ROWS) % 3 == 1, 0, weights_of_rows()).astype("float32")
_WEIGHTED: dict[str, Any] = {"weighted_metrics": []}

WEIGHTS = {
    "weights (n,)": on_table("mse", near, weights=weights_of_rows(), compiled=_WEIGHTED),
    "weights (n, 1)": on_table("mse", near, weights=weights_of_rows()[:, None], compiled=_WEIGHTED),
    "weights (n,) of whole numbers": on_table(
        "mse", near, weights=1 + np.arange(N_ROWS) % 4, compiled=_WEIGHTED
    ),
    "weights with zeros": on_table("mse", near, weights=_SOME_ZERO, compiled=_WEIGHTED),
    "weights and a loss that couples rows": on_table(
        keras.losses.Dice(), lambda p: np.eye(3)[of_classes(p)], 3, "softmax",
        weights=None, compiled=_WEIGHTED,
    ),
    "weights and a weighted metric": on_table(
        "mse", near, weights=weights_of_rows(), compiled={"weighted_metrics": ["mae"]},
        metric="mae", logged="mae",
    ),
    "weights and a metric without weights": on_table(
        "mse", near, weights=weights_of_rows(), compiled={"metrics": ["mae"], "weighted_metrics": []},
        metric="mae", logged="mae",
    ),
    "weights and a loss of all rows that takes none": on_table(
        skipping, with_holes, 3, weights=weights_of_rows(), compiled=_WEIGHTED
    ),
    "class_weight": on_table(
        "sparse_categorical_crossentropy", of_classes, 3, "softmax",
        fit={"class_weight": {0: 1.0, 1: 3.0, 2: 0.5}},
    ),
}  # fmt: skip

# --- several outputs ----------------------------------------------------------------------------------


def with_outputs(
    kind: str,
    *,
    loss: Any = None,
    weights: str = "",
    compiled: dict[str, Any] | None = None,
    **further: Any,
) -> Situation:
    """Two outputs in a dict, list or tuple, with targets and weights in the same form."""

    def make() -> tuple[Any, Rows]:
        given = keras.Input((N_COLUMNS,))
        hidden = layers.Dense(8, "tanh")(given)
        parts = {"a": layers.Dense(1, name="a")(hidden), "b": layers.Dense(2, name="b")(hidden)}
        outputs = parts if kind == "dict" else list(parts.values())
        model, x = with_fixed_weights(keras.Model(given, outputs)), table()
        made = predicted(model, x)
        each = {name: near(value) for name, value in zip("ab", keras.tree.flatten(made), strict=True)}
        model.compile(sgd(), loss or _in_form(kind, {"a": "mse", "b": "mae"}), **(compiled or {}))
        of_output = {"a": weights_of_rows(), "b": weights_of_rows()[::-1].copy()}
        if weights == "unequal":
            of_output["b"] = 5 * of_output["b"]
        w = {"": None, "rows": weights_of_rows()}.get(weights, _in_form(kind, of_output))
        return model, Rows(x, _in_form(kind, each), w)

    return Situation(make, **further)


def _in_form(kind: str, each: dict[str, Any]) -> Any:
    return {
        "dict": dict,
        "list": lambda one: list(one.values()),
        "tuple": lambda one: tuple(one.values()),
    }[kind](each)  # type: ignore[operator]


_SCALES = {"loss_weights": {"a": 0.3, "b": 2.0}}
OUTPUTS = {
    "dict of outputs": with_outputs("dict"),
    "list of outputs": with_outputs("list"),
    "tuple of outputs": with_outputs("tuple"),
    "one loss for all outputs": with_outputs("dict", loss="mse"),
    "loss_weights in a dict": with_outputs("dict", compiled=_SCALES),
    "loss_weights in a list": with_outputs("list", compiled={"loss_weights": [0.3, 2.0]}),
    "a loss for one output alone": with_outputs("dict", loss={"a": "mse"}),
    "the loss of one output": with_outputs("dict", metric="a_loss", logged="a_loss"),
    "weights of rows, two outputs": with_outputs("dict", weights="rows"),
    "weights of outputs in a dict": with_outputs("dict", weights="outputs", is_scaled_freely=True),
    "weights of outputs in a list": with_outputs("list", weights="outputs", is_scaled_freely=True),
    "unequal weights of outputs": with_outputs("dict", weights="unequal", is_scaled_freely=True),
    "weights of outputs and loss_weights": with_outputs(
        "dict", weights="outputs", compiled=_SCALES, is_scaled_freely=True
    ),
}

# --- sequences ----------------------------------------------------------------------------------------


def sequences(*, padded: bool) -> Any:
    """`(n, steps, columns)`; padded rows end in zeros, in three lengths."""
    x = np.random.default_rng(0).standard_normal((N_ROWS, N_STEPS, N_COLUMNS)) * [1.3, 0.8, 0.5]
    if padded:
        x[np.arange(N_STEPS) >= lengths()[:, None]] = 0
    return x.astype("float32")


def lengths() -> Any:
    return 2 + np.arange(N_ROWS) % 3


def on_sequences(
    form: Form = near,
    *,
    loss: Any = "mse",
    padded: bool = True,
    every_step: bool = True,
    weights: Any = None,
    last: Callable[[], Any] = lambda: layers.Dense(1),
    **further: Any,
) -> Situation:
    """A recurrent network with an output for each step, or for each row; it masks what is padded."""

    def make() -> tuple[Any, Rows]:
        given = keras.Input((N_STEPS, N_COLUMNS))
        masked = layers.Masking()(given) if padded else given
        hidden = layers.GRU(6, return_sequences=every_step)(masked)
        model, x = with_fixed_weights(keras.Model(given, last()(hidden))), sequences(padded=padded)
        y = form(predicted(model, x))
        model.compile(sgd(), loss, weighted_metrics=[])
        return model, Rows(x, y, weights)

    return Situation(make, has_padding=padded, **further)


def on_words(*, every_step: bool) -> Situation:
    """Whole numbers, of which 0 is padding."""

    def make() -> tuple[Any, Rows]:
        given = keras.Input((N_STEPS,), dtype="int32")
        hidden = layers.Embedding(9, 4, mask_zero=True)(given)
        model = with_fixed_weights(
            keras.Model(given, layers.Dense(1)(layers.GRU(6, return_sequences=every_step)(hidden)))
        )
        x = _rng().integers(1, 9, (N_ROWS, N_STEPS)).astype("int32")
        x[np.arange(N_STEPS) >= lengths()[:, None]] = 0
        model.compile(sgd(), "mse")
        return model, Rows(x, near(predicted(model, x)))

    return Situation(make, has_padding=True)


_STEP_WEIGHTS = (np.arange(N_STEPS) < lengths()[:, None]) * weights_of_rows()[:, None]
_ALL_STEPS = _rng().uniform(0.2, 3, (N_ROWS, N_STEPS)).astype("float32")

SEQUENCES = {
    "y (n, steps, 1)": on_sequences(padded=False),
    "y (n, steps)": on_sequences(lambda p: near(p)[..., 0], padded=False),
    "y (n, steps) of classes": on_sequences(
        of_classes, loss="sparse_categorical_crossentropy", padded=False,
        last=lambda: layers.Dense(3, "softmax"),
    ),
    "y (n, steps, 3) one-hot": on_sequences(
        lambda p: np.eye(3)[of_classes(p)], loss="categorical_crossentropy", padded=False,
        last=lambda: layers.Dense(3, "softmax"),
    ),
    "weights (n,), y (n, steps, 1)": on_sequences(
        padded=False, weights=weights_of_rows(), expected="Keras refuses"
    ),
    "weights (n, 1), y (n, steps, 1)": on_sequences(padded=False, weights=weights_of_rows()[:, None]),
    "weights (n, steps)": on_sequences(padded=False, weights=_ALL_STEPS, is_scaled_freely=True),
    "weights (n, steps) with zeros": on_sequences(
        padded=False, weights=_STEP_WEIGHTS.astype("float32"), is_scaled_freely=True
    ),
    "weights (n, steps, 1)": on_sequences(
        padded=False, weights=_ALL_STEPS[..., None], is_scaled_freely=True
    ),
    "Masking, an output of each row": on_sequences(every_step=False),
    "Masking, an output of each step": on_sequences(),
    "Masking, y (n, steps)": on_sequences(lambda p: near(p)[..., 0], expected="Keras refuses"),
    "Masking, weights (n, 1)": on_sequences(weights=weights_of_rows()[:, None]),
    "mask_zero, an output of each row": on_words(every_step=False),
    "mask_zero, an output of each step": on_words(every_step=True),
    "Masking, weights (n, steps)": on_sequences(weights=_ALL_STEPS, is_scaled_freely=True),
    "Masking, ignore_class": on_sequences(
        of_classes, loss=keras.losses.SparseCategoricalCrossentropy(ignore_class=0),
        last=lambda: layers.Dense(3, "softmax"),
    ),
    "ignore_class of steps": on_sequences(
        of_classes, loss=keras.losses.SparseCategoricalCrossentropy(ignore_class=0), padded=False,
        last=lambda: layers.Dense(3, "softmax"),
    ),
}  # fmt: skip

SITUATIONS: dict[str, Situation] = {**TARGETS, **WEIGHTS, **OUTPUTS, **SEQUENCES}
