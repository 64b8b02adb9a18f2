"""A test for each name that Keras doesn't promise to keep: a new release that lacks one fails here."""

from __future__ import annotations

import keras
import numpy as np

from keras_importance.engine import keras_internals as internals


def model_of(*layers, **compiled):
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile(**compiled)
    return model


class OwnModel(keras.Model):
    def train_step(self, *arguments):
        return super().train_step(*arguments)


class OwnDense(keras.layers.Dense):
    pass


def test_a_mask_stays_with_its_tensor():
    tensor = keras.ops.zeros((2, 3))
    assert internals.get_keras_mask(tensor) is None
    mask = keras.ops.ones((2, 3), "bool")
    internals.set_keras_mask(tensor, mask)
    assert internals.get_keras_mask(tensor) is mask
    masked = keras.layers.Masking(0.0)(np.zeros((1, 2, 1), "float32"))
    assert internals.get_keras_mask(masked) is not None


def test_classes_are_keras_or_the_users():
    assert internals.is_of_keras(keras.layers.Dense)
    assert not internals.is_of_keras(OwnDense)
    model = OwnModel()
    assert internals.is_overridden(model, "train_step")
    assert not internals.is_overridden(model, "fit")


def test_all_layers_are_found_inside_of_others_too():
    inner = keras.Sequential([keras.layers.Dense(2, name="inside")])
    model = model_of(inner, keras.layers.Dense(1, name="outside"), loss="mse")
    names = {layer.name for layer in internals.layers_of(model)}
    assert {"inside", "outside"} <= names
    assert internals.layers_of(object()) == []


def test_layers_that_hold_layers_are_told_apart():
    assert internals.has_sublayers(keras.layers.Bidirectional(keras.layers.LSTM(2)))
    assert not internals.has_sublayers(keras.layers.Dense(2))


def test_the_call_behind_a_tensor_is_found():
    given = keras.Input((3,))
    dense = keras.layers.Dense(2)
    output = dense(given)
    call = internals.inbound_call(output)
    assert call.operation is dense
    assert call.arguments.keras_tensors[0] is given
    assert call.outputs[0] is output
    args, kwargs = call.arguments.fill_in({id(given): np.ones((1, 3), "float32")})
    np.testing.assert_array_equal(args[0], np.ones((1, 3)))
    assert kwargs == {} or "training" in kwargs


def test_loss_weights_are_those_of_compile():
    given = keras.Input((3,))
    model = keras.Model(given, [keras.layers.Dense(1)(given), keras.layers.Dense(1)(given)])
    model.compile(loss=["mse", "mae"], loss_weights=[0.25, 0.75])
    assert internals.compiled_loss_weights(model) == [0.25, 0.75]
    assert internals.compiled_loss_weights(model_of(keras.layers.Dense(1), loss="mse")) is None
    assert internals.compiled_loss_weights(OwnModel()) is None


def test_metrics_are_those_of_compile_before_any_training_step():
    model = model_of(
        keras.layers.Dense(1), loss="mse", metrics=["mae"], weighted_metrics=["mean_squared_error"]
    )
    assert internals.compiled_metrics(model) == [["mae"], ["mean_squared_error"]]
    assert internals.compiled_metrics(model_of(keras.layers.Dense(1), loss="mse")) == [[], []]


def test_metrics_say_which_way_they_point():
    assert internals.metric_direction(keras.metrics.BinaryAccuracy()) == "up"
    assert internals.metric_direction(keras.metrics.MeanSquaredError()) == "down"


def test_a_mean_over_rows_has_its_function_and_arguments():
    metric = keras.metrics.BinaryCrossentropy(from_logits=True)
    assert callable(internals.metric_function(metric))
    assert internals.function_arguments(metric)["from_logits"] is True
    assert internals.function_arguments(keras.losses.BinaryCrossentropy(from_logits=True))["from_logits"]
    assert internals.metric_function(keras.metrics.AUC()) is None


def test_the_global_generator_can_be_seen_and_forgotten():
    internals.forget_global_generator()
    assert internals.global_generator() is None
    keras.random.normal((1,))
    generator = internals.global_generator()
    assert generator is not None
    assert hasattr(generator, "state")
    internals.forget_global_generator()
    assert internals.global_generator() is None
