"""A training leaves the same state behind with and without the callback, whatever its loss, metrics and rows."""

from __future__ import annotations

from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
from models.beside_evaluate import trained
from models.fit_forms import SITUATIONS as FORMS
from models.own_scores import SITUATIONS as OWN
from models.own_scores import of_network

from keras_importance import FeatureImportance
from keras_importance.methods import METHODS

# What the callback says of these rows and losses is tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::keras_importance.ImportanceWarning")

FIXED = [name for name, method in METHODS.items() if not method.trains]
SITUATIONS = {
    name: {**OWN, **FORMS}[name]
    for name in (
        "Masking, an output of each step",
        "Masking, weights (n, steps)",
        "weights (n, steps) with zeros",
        "weights of outputs in a dict",
        "NaN for missing, mean over all known",
        "VAE, add_loss and a compiled loss",
        "VAE, add_loss alone, no targets",
        "Cox",
        "error centred in the batch",
        "own compute_loss of the inputs",
        "class_weight",
    )
}


@cache
def without(name: str) -> dict[str, Any]:
    return trained(SITUATIONS[name], []).state


@pytest.mark.parametrize("name", SITUATIONS)
def test_padding_weights_and_losses_of_every_kind_leave_the_training_as_it_is(name):
    importance = FeatureImportance(methods=FIXED, time_budget=None)
    np.testing.assert_equal(trained(SITUATIONS[name], [importance]).state, without(name))
    assert "permutation" in importance.results


METRICS = {
    "auc": lambda: keras.metrics.AUC(name="scored"),
    "false positives": lambda: keras.metrics.FalsePositives(name="scored"),
    "mean of values": lambda: keras.metrics.RootMeanSquaredError(name="scored"),
    "r2": lambda: keras.metrics.R2Score(name="scored"),
}


def coins(outputs: Any, rng: np.random.Generator) -> Any:
    return (rng.random(outputs.shape) < outputs).astype("float32")


@pytest.mark.parametrize("by_name", [True, False], ids=["by name", "the compiled object"])
@pytest.mark.parametrize("make", METRICS.values(), ids=METRICS)
def test_the_state_of_the_compiled_metric_that_is_asked_for_belongs_to_the_training(make, by_name):
    """Keras tracks it over the batches of an epoch; the values in the history are the training's own."""
    compiled: list[Any] = []

    def arguments() -> dict[str, Any]:
        compiled.append(make())
        return {"metrics": compiled[-1:]}

    situation = of_network("binary_crossentropy", coins, activation="sigmoid", compiled=arguments)
    expected = trained(situation, []).state

    class OfFit(keras.callbacks.Callback):
        """Makes the callback when the metric exists."""

        def on_train_begin(self, logs: Any = None) -> None:
            metric = "scored" if by_name else compiled[-1]
            self.importance = FeatureImportance(methods="permutation", metric=metric, time_budget=None)
            self.importance.set_params(self.params)
            self.importance.set_model(self.model)
            self.importance.on_train_begin(logs)

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.importance.on_epoch_begin(epoch, logs)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.importance.on_epoch_end(epoch, logs)

        def on_train_end(self, logs: Any = None) -> None:
            self.importance.on_train_end(logs)

    callback = OfFit()
    np.testing.assert_equal(trained(situation, [callback]).state, expected)
    assert "permutation" in callback.importance.results
