"""Importance of one of several outputs, on request."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_importance import FeatureImportance, GradientImportance, compute_importance

# Output "price" is 2 x0 - x1, output "risk" 3 x2, and x3 feeds neither.
WEIGHTS = {"price": [[2.0], [-1.0], [0.0], [0.0]], "risk": [[0.0], [0.0], [3.0], [0.0]]}


def made(container, **arguments):
    """A model with two outputs, in the container, that is right about its targets."""
    inputs = keras.Input((4,))
    dense = {name: keras.layers.Dense(1, name=name, use_bias=False) for name in WEIGHTS}
    outputs = {name: one(inputs) for name, one in dense.items()}
    model = keras.Model(inputs, outputs if container is dict else list(outputs.values()))
    for name, one in dense.items():
        one.set_weights([np.array(WEIGHTS[name])])
    arguments = {"loss": ["mse", "mse"], "loss_weights": [1.0, 10.0]} | arguments
    if container is dict:
        arguments = {
            key: dict(zip(WEIGHTS, value, strict=True)) if isinstance(value, list) else value
            for key, value in arguments.items()
        }
    model.compile("sgd", **arguments)
    return model


def rows(container, rng):
    x = rng.standard_normal((400, 4)).astype("float32")
    y = {name: x @ np.array(weights) for name, weights in WEIGHTS.items()}
    return x, y if container is dict else list(y.values())


containers = pytest.mark.parametrize("container", [dict, list])


@containers
@pytest.mark.parametrize("metric", ["{}_loss", "{}_mse", "{}_r2_score"])
def test_a_metric_of_one_output_sees_its_features_alone(container, metric, rng):
    metrics = [["mse", keras.metrics.R2Score()], ["mse", keras.metrics.R2Score()]]
    model, data = made(container, metrics=metrics), rows(container, rng)
    found = {
        name: compute_importance(model, data, methods="permutation", metric=metric.format(name))
        for name in WEIGHTS
    }
    price, risk = (found[name]["permutation"].importances_mean for name in WEIGHTS)
    assert np.all(price[:2] > 0.1)
    assert price[2:] == pytest.approx(0, abs=1e-6)
    assert risk[2] > 0.1
    assert risk[[0, 1, 3]] == pytest.approx(0, abs=1e-6)


@containers
def test_the_losses_of_the_outputs_add_up_to_the_loss_with_their_weights(container, rng):
    model, data = made(container), rows(container, rng)
    whole, price, risk = (
        compute_importance(model, data, methods="permutation", metric=one)["permutation"]
        for one in ("loss", "price_loss", "risk_loss")
    )
    assert whole.importances == pytest.approx(price.importances + 10 * risk.importances, rel=1e-5)


@containers
def test_a_metric_of_one_output_is_compared_with_its_best_constant(container, rng):
    """What price explains beyond its mean is its variance, 2² + 1² for standard normal rows."""
    model, data = made(container), rows(container, rng)
    result = compute_importance(model, data, methods="permutation", metric="price_loss")["permutation"]
    assert result.explained.reference == "constant"
    price = data[1]["price"] if container is dict else data[1][0]
    assert result.explained.loss == pytest.approx(price.var(), rel=1e-3)


@containers
def test_the_gradient_of_one_output_is_its_own(container, rng):
    methods = [GradientImportance(output=name, name=name) for name in WEIGHTS]
    model, data = made(container), rows(container, rng)
    found = compute_importance(model, data, methods=methods)
    for name, weights in WEIGHTS.items():
        expected = np.abs(np.ravel(weights)) * data[0].std(axis=0)
        assert found[name].importances_mean == pytest.approx(expected, rel=1e-4)


@containers
def test_unknown_outputs_and_metrics_are_named_with_what_there_is(
    container, small_model, small_data, rng
):
    model, data = made(container, metrics=["mse", "mae"]), rows(container, rng)
    importance = FeatureImportance(data, metric="mae")
    with pytest.raises(ValueError, match="'price_loss', 'price_mse', 'risk_loss', 'risk_mae'"):
        model.fit(*data, verbose=0, callbacks=[importance])
    importance = FeatureImportance(data, methods=[GradientImportance(output="cost")])
    with pytest.raises(ValueError, match="output='cost', and a model with 'price', 'risk'"):
        model.fit(*data, verbose=0, callbacks=[importance])
    importance = FeatureImportance(small_data, methods=[GradientImportance(output="cost")])
    with pytest.raises(ValueError, match="a model with one output alone"):
        small_model().fit(*small_data, verbose=0, callbacks=[importance])


def test_the_loss_of_all_outputs_and_one_output_exclude_each_other():
    with pytest.raises(ValueError, match="that of all outputs"):
        GradientImportance("loss", output="price")
