"""Outputs of a model that has several: their names, targets and predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Output:
    """One of a model's outputs.

    Attributes:
        name: its name, as in Keras' logs.
        index: its index among the flattened outputs.
        names: the names of all outputs, in that order.
    """

    name: str
    index: int
    names: tuple[str, ...]

    def of_predictions(self, y_pred: Any) -> Any:
        """The predictions of this output, from the model's nest of outputs."""
        return keras.tree.flatten(y_pred)[self.index]

    def of_targets(self, y_true: Any) -> Any:
        """The targets of this output, from the nest of targets: by its name, else by its index."""
        if isinstance(y_true, dict) and self.name in y_true:
            return y_true[self.name]
        return keras.tree.flatten(y_true)[self.index]

    def of_argument(self, value: Any) -> Any:
        """The value for this output in an argument of `compile`: by name, by index, or one for all."""
        if isinstance(value, dict):
            return value.get(self.name)
        if isinstance(value, (list, tuple)) and len(value) == len(self.names):
            return value[self.index]
        return value


def outputs_of(model: Any) -> list[Output]:
    """The outputs of a model with several outputs, named as in Keras' logs; else an empty list.

    The outputs of a model written in Python aren't known before it has run. They are then the keys of
    the `loss` dict that `compile` was given; without such a dict the list is empty.
    """
    names = tuple(_names(model))
    return [Output(name, index, names) for index, name in enumerate(names)] if len(names) > 1 else []


def _names(model: Any) -> list[str]:
    tensors = getattr(model, "outputs", None) or []
    if not tensors:
        given = getattr(model, "loss", None)
        return sorted(given) if isinstance(given, dict) else []
    if len(tensors) == 1:
        return ["output"]
    paths = [path for path, _ in keras.tree.flatten_with_path(model.output)]
    if all(path and all(isinstance(key, str) for key in path) for path in paths):
        return ["/".join(path) for path in paths]
    return [str(name) for name in model.output_names]
