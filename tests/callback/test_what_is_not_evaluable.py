"""What can't be evaluated: one warning that says what, why and what mends it; the training goes on."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

from keras_importance import (
    FeatureImportance,
    ImportanceMethod,
    ImportanceWarning,
    compute_importance,
)

NOT_ON_JAX = pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="steps of JAX have another form: they return their state"
)


def fitted(model, data, importance, epochs=2, **fit):
    """The weights after a `fit`, and the messages of the warnings that the callback gave."""
    keras.utils.set_random_seed(1)
    callbacks = [] if importance is None else [importance]
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        model.fit(*data, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks, **fit)
    messages = [str(one.message) for one in given if one.category is ImportanceWarning]
    return model.get_weights(), [one for one in messages if "whose error rate" not in one]


def test_without_targets_the_methods_that_need_none_run(small_model, small_data):
    """The gradient of outputs needs no targets; the detector goes with the method that it judges."""
    importance = FeatureImportance((small_data[0], None))
    _, messages = fitted(small_model(), small_data, importance)
    assert len(messages) == 1
    assert "can't evaluate all of this training" in messages[0]
    assert "For 'permutation' it got validation data without targets" in messages[0]
    assert messages[0].endswith("Pass (x, y).")
    assert list(importance.results) == ["gradient"]
    assert importance.history.judged == ()


def _windows():
    series = np.random.default_rng(0).standard_normal((80, 3))
    x = np.lib.stride_tricks.sliding_window_view(series, 48, axis=0).transpose(0, 2, 1)
    return x, np.zeros(len(x))


def _recurrent():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((48, 3)), keras.layers.GRU(2), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def test_where_nothing_can_be_evaluated_the_training_is_as_without_us():
    """More steps than overlapping rows: one warning, the same weights, no results."""
    importance, data = FeatureImportance(), _windows()
    found, messages = fitted(_recurrent(), data, importance, validation_data=data)
    expected, _ = fitted(_recurrent(), data, None, validation_data=data)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(messages) == 1
    assert "FeatureImportance can't evaluate this training, which goes on." in messages[0]
    assert "For 'gradient' and 'permutation' it got 33 rows of validation data" in messages[0]
    assert "Pass more than 48 rows" in messages[0]
    assert importance.results == {}
    assert importance.useless_features == []


def test_what_a_warning_says_in_fit_is_an_error_of_the_standalone_function():
    with pytest.raises(
        ValueError, match=r"compute_importance got 33 rows of validation data.*Pass more"
    ):
        compute_importance(_recurrent(), _windows())


def test_results_of_an_earlier_training_do_not_pass_for_those_of_one_without_any(
    small_model, small_data
):
    x, y = small_data
    model, importance = small_model(), FeatureImportance(methods="permutation", detectors=())
    fitted(model, small_data, importance, validation_data=(x, y))
    assert importance.history.epochs == (0, 1)
    fitted(model, small_data, importance, epochs=3, initial_epoch=2, validation_data=(x[:1], y[:1]))
    assert importance.history.epochs == (0, 1)
    fitted(model, small_data, importance, validation_data=(x[:1], y[:1]))
    assert importance.results == {}


class Unready(ImportanceMethod):
    """Fails in its check, in a way that nobody foresaw."""

    name = "unready"

    def check(self, evaluator):
        raise ZeroDivisionError("nothing to divide by")

    def compute(self, evaluator, effort):
        raise NotImplementedError


def test_a_method_that_fails_in_its_check_is_left_out(small_model, small_data):
    importance = FeatureImportance(methods=["gradient", Unready()])
    _, messages = fitted(small_model(), small_data, importance, validation_data=small_data)
    assert messages == [
        "FeatureImportance can't evaluate all of this training, which goes on. For 'unready' it failed: "
        "ZeroDivisionError: nothing to divide by."
    ]
    assert list(importance.results) == ["gradient"]


@NOT_ON_JAX
def test_a_model_without_a_loss_has_gradients_alone(small_data):
    """Its own `train_step` trains it; the compiled loss is what permutation measures."""

    class Own(keras.Model):
        def train_step(self, *arguments):
            return {"loss": 0.0}

        def test_step(self, *arguments):
            return {"loss": 0.0}

    inputs = keras.Input((4,))
    model = Own(inputs, keras.layers.Dense(1)(inputs))
    model.compile("adam")
    importance = FeatureImportance()
    _, messages = fitted(model, small_data, importance, validation_data=small_data)
    assert len(messages) == 1
    assert "For 'permutation' it got metric='loss' and a model that was compiled without" in messages[0]
    assert list(importance.results) == ["gradient"]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="Keras itself calls the model first")
def test_a_model_that_is_called_by_its_own_steps_alone_is_trained(small_data):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.built = True

        def call(self, inputs):
            raise NotImplementedError("use my steps")

        def train_step(self, *arguments):
            return {"loss": 0.0}

        test_step = train_step

    model = Own()
    model.compile("adam", "mse", run_eagerly=True)
    _, messages = fitted(model, small_data, FeatureImportance(), validation_data=small_data)
    assert len(messages) == 1
    assert "use my steps" in messages[0]


def test_lock_step_needs_what_it_trains_on_and_the_others_do_not(small_model, small_data):
    importance = FeatureImportance(methods=["gradient", "lofo"])
    _, messages = fitted(
        small_model(), small_data, importance, steps_per_epoch=3, batch_size=100, validation_data=small_data
    )  # fmt: skip
    assert len(messages) == 1
    assert "For 'lofo' it got a fit with steps_per_epoch=3" in messages[0]
    assert list(importance.results) == ["gradient"]
