"""The first-order approximation: exact where the model is linear, close where it is nearly so."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from models.architectures import ZOO

from keras_importance import LinearisedPermutation, PermutationImportance, compute_importance

METHODS = [PermutationImportance(4), LinearisedPermutation(4)]


def both(model, data, **arguments):
    found = compute_importance(model, data, methods=METHODS, **arguments)
    return found["permutation"], found["linearised_permutation"]


def test_it_is_exact_for_a_linear_model(linear_model, small_data):
    exact, linear = both(linear_model([2.0, -1.0, 0.0, 0.5]), small_data)
    np.testing.assert_allclose(linear.importances, exact.importances, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(linear.std_error, exact.std_error, rtol=1e-4, atol=1e-6)
    assert linear.baseline_score == pytest.approx(exact.baseline_score, rel=1e-5)


@pytest.mark.parametrize(
    ("units", "activation", "loss"),
    [
        (1, "sigmoid", "binary_crossentropy"),
        (1, "sigmoid", keras.losses.BinaryCrossentropy()),
        (3, "softmax", "sparse_categorical_crossentropy"),
        (3, None, keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
    ],
    ids=["sigmoid", "sigmoid object", "softmax", "logits"],
)
def test_it_is_exact_for_logistic_models(units, activation, loss, small_data):
    """The link is taken out before and put back after the model is linearised."""
    x, y = small_data
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation=activation)])
    model.compile(loss=loss)
    exact, linear = both(model, (x, (y > 0).astype("int32")))
    np.testing.assert_allclose(linear.importances, exact.importances, rtol=1e-3, atol=1e-5)


def test_it_is_exact_for_a_linear_model_of_sequences_with_groups_and_weights(rng):
    """A whole trajectory moves: the effects of its steps add up before the loss is taken."""
    x = rng.standard_normal((200, 5, 3)).astype("float32")
    model = keras.Sequential([keras.Input((5, 3)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile(loss="mse")
    data = (x, x[:, 0, 0], rng.random(200))
    exact, linear = both(model, data, features={"pair": [0, 2]})
    np.testing.assert_allclose(linear.importances, exact.importances, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(linear.std_error, exact.std_error, rtol=1e-3, atol=1e-6)


def test_it_is_exact_for_several_outputs(rng):
    x = rng.standard_normal((200, 5)).astype("float32")
    inputs = keras.Input((5,))
    model = keras.Model(inputs, {"a": keras.layers.Dense(2)(inputs), "b": keras.layers.Dense(6)(inputs)})
    model.compile(loss={"a": "mse", "b": "mae"})
    data = (x, {"a": rng.standard_normal((200, 2)), "b": rng.standard_normal((200, 6))})
    exact, linear = both(model, data)
    np.testing.assert_allclose(linear.importances, exact.importances, rtol=1e-3, atol=1e-5)


def test_it_is_close_for_a_smooth_model(rng):
    x = rng.standard_normal((800, 12)).astype("float32")
    y = x[:, 0] + 0.5 * x[:, 1] ** 2 - 0.7 * x[:, 2] * x[:, 3]
    model = keras.Sequential(
        [keras.Input((12,)), keras.layers.Dense(16, activation="tanh"), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(x, y, epochs=20, verbose=0)
    exact, linear = both(model, (x, y))
    assert np.corrcoef(exact.importances_mean, linear.importances_mean)[0, 1] > 0.85
    assert set(exact.rank[:4]) == set(linear.rank[:4]) == {1, 2, 3, 4}


def test_whole_numbers_have_none_and_say_why(rng):
    example = ZOO["embedded"]
    x, model = example.rows(rng), example.make()
    model.compile(loss="mse")
    _, linear = both(model, (x, rng.standard_normal((90, 1))))
    found = dict(zip(linear.feature_names, linear.importances_mean, strict=True))
    assert np.isfinite(found["size"])
    assert np.isnan(found["colour"])
    assert "no gradient" in linear.notes["colour"]


def test_an_input_that_the_model_ignores_has_zero(rng):
    class OnlyOne(keras.Model):
        def __init__(self):
            super().__init__()
            self.out = keras.layers.Dense(1)

        def call(self, x):
            return self.out(x["used"])

    x = {"used": rng.standard_normal((60, 2)), "unused": rng.standard_normal((60, 1))}
    model = OnlyOne()
    model.compile(loss="mse")
    _, linear = both(model, (x, x["used"][:, 0]))
    assert linear.importances_mean[linear.feature_names.index("unused")] == 0


def test_too_many_outputs_are_refused_before_training(rng):
    x = rng.standard_normal((50, 3))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(65)])
    model.compile(loss="mse")
    with pytest.raises(ValueError, match=r"65 output values.*stops at 64. Pass 'permutation'"):
        compute_importance(model, (x, np.zeros((50, 65))), methods="linearised_permutation")


def test_a_metric_of_all_rows_is_scored_on_the_approximation(linear_model, small_data):
    def r2(y_true, y_pred):
        return 1 - np.mean((y_true - y_pred[:, 0]) ** 2) / np.var(y_true)

    exact, linear = both(linear_model([2.0, -1.0, 0.0, 0.5]), small_data, metric=r2)
    np.testing.assert_allclose(linear.importances, exact.importances, rtol=1e-3, atol=1e-5)
