"""Every loss and every metric of Keras, each with a problem that it suits."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keras
import numpy as np
from models.situations import PROBLEMS, Rows, Situation, predicted
from models.situations import with_fixed_weights as fixed

layers = keras.layers

# What the modules hold beside losses and metrics.
NO_SCORES = {"get", "serialize", "deserialize", "Loss", "Metric"}

# The first part of the name that fits, in this order.
_PROBLEM_OF = {
    "sparse_top_k": "many labels", "sparsetopk": "many labels", "sparse": "classes", "generalized": "classes", "top_k": "many classes", "topk": "many classes", "onehot": "one-hot", "categorical": "one-hot",
    "binary": "coins", "auc": "coins", "precision": "coins", "recall": "coins", "specificity": "coins",
    "sensitivity": "coins", "positives": "coins", "negatives": "coins", "f1": "one-hot", "fbeta": "one-hot",
    "dice": "one-hot", "tversky": "one-hot", "iou": "classes", "circle": "embeddings", "hinge": "signs",
    "kl": "one-hot", "poisson": "positive", "log_error": "positive", "logarithmic": "positive",
    "percentage": "positive", "cosine": "two numbers", "accuracy": "whole", "mean": "numbers",
    "huber": "numbers", "log": "numbers", "r2": "numbers", "pearson": "three numbers", "concordance": "three numbers",
    "rootmean": "numbers", "sum": "numbers",
}  # fmt: skip

# Metrics of one value, which `compile` doesn't take: their second argument is the weight of the first.
_OF_ONE_VALUE = "Keras computes it from values, not from targets and predictions"
NOT_IN_COMPILE = {"Mean": _OF_ONE_VALUE, "Sum": _OF_ONE_VALUE}

_METRIC_ARGUMENTS: dict[str, dict[str, Any]] = {
    "IoU": {"num_classes": 3, "target_class_ids": [0], "sparse_y_pred": False},
    "MeanIoU": {"num_classes": 3, "sparse_y_pred": False},
    "OneHotIoU": {"num_classes": 3, "target_class_ids": [0]},
    "OneHotMeanIoU": {"num_classes": 3},
    "PrecisionAtRecall": {"recall": 0.6},
    "RecallAtPrecision": {"precision": 0.6},
    "SensitivityAtSpecificity": {"specificity": 0.6},
    "SpecificityAtSensitivity": {"sensitivity": 0.6},
}
_NEEDED = {"q": 0.5}

# Names of metrics of which a larger value is better.
_BETTER = (
    "accuracy", "auc", "iou", "score", "precision", "recall", "specificity", "sensitivity", "correlation",
    "true", "cosinesimilarity",
)  # fmt: skip


def problem_of(name: str) -> str:
    """The name of the problem that a loss or metric suits.

    Raises:
        KeyError: for one that nobody has thought of.
    """
    lower = name.lower()
    for part, problem in _PROBLEM_OF.items():
        if part in lower:
            return problem
    raise KeyError(f"keras has {name!r}, which no problem suits. Add it to _PROBLEM_OF.")


def names_in(module: Any) -> list[str]:
    """The names of the losses or metrics of a module of Keras."""
    return [name for name in dir(module) if not name.startswith("_") and name not in NO_SCORES]


def losses() -> Iterator[tuple[str, Situation]]:
    """Every loss of Keras with its name."""
    for name in names_in(keras.losses):
        member = getattr(keras.losses, name)
        make = member if inspect.isclass(member) else partial(_with_all_arguments, member)
        if name.lower() == "ctc":
            yield name, Situation(_characters(make))
        else:
            yield name, PROBLEMS[problem_of(name)].situation(make)


def _with_all_arguments(function: Any) -> Any:
    """The function, or one that gives it the arguments that it needs beside targets and predictions."""
    parameters = list(inspect.signature(function).parameters.values())[2:]
    needed = {p.name: _NEEDED[p.name] for p in parameters if p.default is inspect.Parameter.empty}

    def given(y_true: Any, y_pred: Any) -> Any:
        return function(y_true, y_pred, **needed)

    return given if needed else function


def _characters(loss: Callable[[], Any]) -> Callable[[], tuple[Any, Rows]]:
    """A network with an output for each step, and the characters to be heard in them."""

    def make() -> tuple[Any, Rows]:
        given = keras.Input((6, 3))
        hidden = layers.GRU(5, return_sequences=True)(given)
        model = fixed(keras.Model(given, layers.Dense(4)(hidden)))
        rng = np.random.default_rng(0)
        x = rng.standard_normal((60, 6, 3)).astype("float32")
        heard = predicted(model, x)[:, ::2].argmax(-1)
        model.compile(keras.optimizers.SGD(1e-3), loss())
        return model, Rows(x, np.maximum(heard, 1).astype("int32"))

    return make


def make_metric(name: str) -> Any:
    """The metric of a name: an instance, or a function."""
    member: Any = getattr(keras.metrics, name)
    if name == "MeanMetricWrapper":
        return member(keras.losses.huber, name="wrapped")
    arguments: dict[str, Any] = _METRIC_ARGUMENTS.get(name, {}) | {"name": name.lower()}
    return member(**arguments) if inspect.isclass(member) else member


def logged_name(name: str) -> str:
    """The name that the metric has in Keras' logs."""
    return "wrapped" if name == "MeanMetricWrapper" else (name if name == name.lower() else name.lower())


def worse_is(name: str) -> int:
    """+1 if a larger value of a metric is worse, -1 if it is better."""
    return -1 if any(part in name.lower() for part in _BETTER) else 1


def metrics_of_problems() -> dict[str, list[str]]:
    """The names of the metrics of Keras by the problem that they suit."""
    found: dict[str, list[str]] = {}
    for name in names_in(keras.metrics):
        found.setdefault(problem_of(name), []).append(name)
    return found


LOSS_OF = {
    "numbers": "mse", "two numbers": "mse", "three numbers": "mse", "positive": "mse", "coins": "binary_crossentropy", "signs": "hinge",
    "one-hot": "categorical_crossentropy", "classes": "sparse_categorical_crossentropy", "whole": "mse",
    "many classes": "categorical_crossentropy", "many labels": "sparse_categorical_crossentropy",
}  # fmt: skip


def with_metrics(problem: str, names: list[str]) -> tuple[Any, Rows]:
    """The model of a problem, compiled with these metrics, and its rows."""
    situation = PROBLEMS[problem].situation(
        lambda: LOSS_OF[problem], metrics=lambda: [make_metric(name) for name in names]
    )
    return situation.make()
