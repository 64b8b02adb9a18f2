"""What holds for every registered method, whatever it computes."""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest

from keras_importance import compute_importance
from keras_importance.methods import METHODS

# Methods that train networks of their own need a fit around them: tests/methods/test_lofo.py.
pytestmark = pytest.mark.parametrize("method", [name for name in METHODS if not METHODS[name].trains])


def importance(model, data, method, **arguments):
    return compute_importance(model, data, methods=method, **arguments)[method]


@pytest.fixture
def trained(small_model, small_data):
    model = small_model()
    model.fit(*small_data, epochs=3, verbose=0)
    return model


def test_unused_feature_has_zero_importance(method, linear_model, small_data):
    result = importance(linear_model([2.0, -1.0, 0.0, 0.5]), small_data, method)
    assert result.importances_mean[2] == pytest.approx(0, abs=1e-6)
    assert result.std_error[2] == pytest.approx(0, abs=1e-6)
    assert np.all(result.importances_mean[:2] > 0.5)


def test_reordering_columns_reorders_the_answer(method, linear_model, small_data):
    x, y = small_data
    order, weights = [2, 0, 3, 1], np.array([2.0, -1.0, 0.0, 0.5])
    plain = importance(linear_model(weights), (x, y), method)
    moved = importance(linear_model(weights[order]), (x[:, order], y), method)
    assert moved.importances == pytest.approx(plain.importances[order], rel=1e-4, abs=1e-6)
    assert moved.std_error == pytest.approx(plain.std_error[order], rel=1e-4, abs=1e-6)


def test_a_group_of_one_equals_the_feature(method, trained, small_data):
    plain = importance(trained, small_data, method)
    grouped = importance(trained, small_data, method, features={"x1": [1]})
    assert grouped.feature_names == plain.feature_names
    np.testing.assert_array_equal(grouped.importances, plain.importances)
    np.testing.assert_array_equal(grouped.std_error, plain.std_error)


@pytest.mark.parametrize("container", [dict, list], ids=["dict", "list"])
def test_several_inputs_equal_one_array(method, container, small_data, linear_model):
    x, y = small_data
    weights = np.array([2.0, -1.0, 0.0, 0.5])
    inputs = {"a": keras.Input((1,), name="a"), "b": keras.Input((3,), name="b")}
    dense = keras.layers.Dense(1)
    output = dense(keras.layers.concatenate(list(inputs.values())))
    nest = inputs if container is dict else list(inputs.values())
    model = keras.Model(nest, output)
    dense.set_weights([weights[:, None], np.zeros(1)])
    model.compile(loss="mse")
    parts = {"a": x[:, :1], "b": x[:, 1:]}
    data = parts if container is dict else list(parts.values())
    group = {"pair": [("a", 0), ("b", 1)]}
    apart, joint = (importance(model, (data, y), method, features=each) for each in (None, group))
    plain = importance(linear_model(weights), (x, y), method)
    plain_joint = importance(linear_model(weights), (x, y), method, features={"pair": [0, 2]})
    assert apart.feature_names == ("a", "b/x0", "b/x1", "b/x2")
    assert apart.importances == pytest.approx(plain.importances, rel=1e-4, abs=1e-6)
    assert joint.importances == pytest.approx(plain_joint.importances, rel=1e-4, abs=1e-6)
    assert joint.std_error == pytest.approx(plain_joint.std_error, rel=1e-4, abs=1e-6)


def test_nothing_of_the_users_is_touched(method, trained, small_data):
    x, y = small_data[0].copy(), small_data[1].copy()
    weights = [value.copy() for value in trained.get_weights()]
    metrics = {key: float(value) for key, value in trained.get_metrics_result().items()}
    optimizer = [keras.ops.convert_to_numpy(value) for value in trained.optimizer.variables]
    states = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    importance(trained, (x, y), method)
    np.testing.assert_array_equal(x, small_data[0])
    np.testing.assert_array_equal(y, small_data[1])
    for before, after in zip(weights, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    for before, after in zip(optimizer, trained.optimizer.variables, strict=True):
        np.testing.assert_array_equal(before, keras.ops.convert_to_numpy(after))
    assert metrics == {key: float(value) for key, value in trained.get_metrics_result().items()}
    assert random.getstate() == states[0]
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002


def test_the_same_seed_gives_the_same_numbers(method, trained, small_data):
    first, second = (importance(trained, small_data, method, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.importances, second.importances)
    np.testing.assert_array_equal(first.std_error, second.std_error)


def test_rescaling_an_input_against_its_weight_changes_nothing(method, linear_model, small_data):
    x, y = small_data
    scales = np.array([1.0, 1000.0, 0.01, 1.0])
    weights = np.array([2.0, -1.0, 0.3, 0.5])
    plain = importance(linear_model(weights), (x, y), method)
    scaled = importance(linear_model(weights / scales), (x * scales, y), method)
    assert scaled.importances == pytest.approx(plain.importances, rel=1e-3, abs=1e-5)


def test_equal_weights_equal_no_weights(method, trained, small_data):
    plain = importance(trained, small_data, method)
    weighted = importance(trained, (*small_data, np.full(300, 2.5)), method)
    assert weighted.importances == pytest.approx(plain.importances, rel=1e-6)
    assert weighted.std_error == pytest.approx(plain.std_error, rel=1e-6)


def test_the_result_keeps_its_shapes(method, trained, small_data):
    result = importance(trained, small_data, method)
    assert result.method == method
    assert result.importances.shape == (4, result.n_repeats)
    for values in (result.importances_mean, result.std_error, result.ci_low, result.ci_high):
        assert values.shape == (4,)
    assert np.all(result.ci_low <= result.importances_mean)
    assert result.n_samples == 300
    assert result.by_step is None


def test_a_method_has_a_readable_name_and_repr(method):
    assert METHODS[method]().name == method
    assert METHODS[method](name="mine_2").name == "mine_2"
    assert repr(METHODS[method]()).startswith(METHODS[method].__name__)
    with pytest.raises(ValueError, match="letters, digits"):
        METHODS[method](name="a/b")
