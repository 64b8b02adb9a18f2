"""Counted work: multiplications follow from the shapes of layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_importance import FeatureImportance, PermutationImportance
from keras_importance.engine.cut.products import products_of_model, turns_of_model
from keras_importance.engine.planned_work import seconds_of_epoch
from keras_importance.methods.preparation import prepared_evaluator

L = keras.layers
ELEMENT = 8


def data_of(model):
    shape = [size or 6 for size in model.inputs[0].shape[1:]]
    x = np.zeros((3, *shape), "float32")
    y = np.zeros((3, *[size or 6 for size in model.outputs[0].shape[1:]]), "float32")
    model.compile(loss="mse")
    method = PermutationImportance(1)
    return prepared_evaluator(
        model, (x, y), [method], features=None, metric="loss", max_samples=None, seed=0
    )


@pytest.mark.parametrize(
    ("shape", "layer", "expected"),
    [
        # kernel x positions, and 8 for each element of the output
        ((5,), L.Dense(7), 5 * 7 + ELEMENT * 7),
        ((6, 5), L.Dense(7), 6 * 5 * 7 + ELEMENT * 6 * 7),
        ((None, 5), L.Dense(7), 6 * 5 * 7 + ELEMENT * 6 * 7),
        ((6, 5), L.Conv1D(7, 3), 4 * 3 * 5 * 7 + ELEMENT * 4 * 7),
        ((6, 6, 2), L.Conv2D(4, 3), 16 * 9 * 2 * 4 + ELEMENT * 16 * 4),
        ((6, 5), L.LSTM(4), 6 * (5 + 4) * 16 + ELEMENT * 4),
        ((6, 5), L.GRU(4, return_sequences=True), 6 * (5 + 4) * 12 + ELEMENT * 6 * 4),
        ((6, 5), L.Bidirectional(L.LSTM(4)), 2 * 6 * (5 + 4) * 16 + ELEMENT * 8),
        ((6, 5), L.Flatten(), ELEMENT * 30),
        ((6,), L.Embedding(10, 4), ELEMENT * 24),  # looked up, not multiplied
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_layer_takes_its_kernel_at_each_position(shape, layer, expected):
    model = keras.Sequential([keras.Input(shape), layer])
    evaluator = data_of(model)
    # GRU has a bias of two rows, which counts as a kernel.
    extra = 6 * 2 * 12 if isinstance(layer, L.GRU) else 0
    assert products_of_model(model, evaluator.data) == expected + extra


def test_a_nested_model_takes_what_its_layers_take():
    inner = [L.Dense(7), L.Dense(3)]
    flat = keras.Sequential([keras.Input((5,)), *inner])
    nested = keras.Sequential([keras.Input((5,)), keras.Sequential([keras.Input((5,)), *inner])])
    assert products_of_model(nested, data_of(nested).data) == products_of_model(flat, data_of(flat).data)


def test_a_model_written_in_python_counts_its_weights():
    class Written(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.out = L.Dense(7), L.Dense(1)

        def call(self, x):
            return self.out(self.hidden(x))

    model = Written()
    x = np.zeros((3, 5), "float32")
    model.compile(loss="mse")
    model.predict(x, verbose=0)
    evaluator = prepared_evaluator(
        model, (x, x[:, :1]), [PermutationImportance(1)], features=None, metric="loss",
        max_samples=None, seed=0,
    )  # fmt: skip
    assert products_of_model(model, evaluator.data) == 5 * 7 + 7 + ELEMENT * 5


def test_a_model_without_kernels_takes_its_inputs_and_is_evaluated():
    """Its weights are vectors of its own, in no layer: nothing is multiplied that could be counted."""

    class Weighted(keras.Model):
        def __init__(self):
            super().__init__()
            self.w = self.add_weight(shape=(4,), initializer="ones")

        def call(self, x):
            return keras.ops.sum(x * self.w, axis=-1, keepdims=True)

    x = np.random.default_rng(0).standard_normal((300, 4)).astype("float32")
    model, importance = Weighted(), FeatureImportance(detectors=())
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1], validation_split=0.5, verbose=0, callbacks=[importance])
    assert np.isfinite(importance.results["gradient"].importances_mean).all()
    assert np.isfinite(importance.results["permutation"].importances_mean).all()


def test_recurrent_layers_take_their_steps_in_turn():
    model = keras.Sequential([keras.Input((6, 5)), L.LSTM(4, return_sequences=True), L.GRU(4)])
    assert turns_of_model(model, data_of(model).data) == 12


def test_an_epoch_of_more_steps_rows_or_units_takes_longer():
    small = data_of(keras.Sequential([keras.Input((5,)), L.Dense(4)]))
    large = data_of(keras.Sequential([keras.Input((5,)), L.Dense(4000)]))
    assert seconds_of_epoch(small, 20, 32) == 2 * seconds_of_epoch(small, 10, 32)
    assert seconds_of_epoch(small, 10, 64) > seconds_of_epoch(small, 10, 32)
    assert seconds_of_epoch(large, 10, 32) > seconds_of_epoch(small, 10, 32)


def test_scores_and_gradients_are_counted_as_they_are_planned(rng):
    """The meter stands at what the plan said, up to padding of the last block."""
    x = rng.standard_normal((600, 10)).astype("float32")
    model = keras.Sequential([keras.Input((10,)), L.Dense(16), L.Dense(1)])
    model.compile(loss="mse")
    method = PermutationImportance(2)
    evaluator = prepared_evaluator(
        model, (x, x[:, :1]), [method], features=None, metric="loss", max_samples=None, seed=0
    )
    method(evaluator)
    planned = 600 * (2 * 10 + 1) * evaluator.scorer(method.scoring).seconds_per_score
    assert evaluator.meter.seconds == pytest.approx(planned, rel=0.2)
