"""Importances whose values are known on paper or from a published table."""

from __future__ import annotations

import math
from dataclasses import replace

import keras
import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

from keras_importance import (
    GradientImportance,
    IntegratedGradients,
    PermutationImportance,
    compute_importance,
)
from keras_importance.data.features import FeatureSet
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.evaluator import Evaluator

WEIGHTS = np.array([1.0, -0.5, 3.0, 0.0])
SCALES = np.array([1.0, 2.0, 0.5, 1.0])


@pytest.fixture
def linear_data(rng):
    x = SCALES * rng.standard_normal((4000, 4))
    return x, x @ WEIGHTS


def test_permutation_of_a_linear_model_is_twice_the_squared_effect(linear_model, linear_data):
    """E (b x - b x')² = 2 b² Var(x) where the model is exact."""
    result = compute_importance(linear_model(WEIGHTS), linear_data)["permutation"]
    expected = 2 * (WEIGHTS * SCALES) ** 2
    assert np.all(np.abs(result.importances_mean - expected) <= 3 * result.std_error + 1e-9)
    assert result.baseline_score == pytest.approx(0, abs=1e-10)


def test_gradient_of_a_linear_model_is_the_size_of_the_effect(linear_model, linear_data):
    """|b| s; its standard error is that of a normal sample's standard deviation, |b| s / sqrt(2n)."""
    result = compute_importance(linear_model(WEIGHTS), linear_data)["gradient"]
    effect = np.abs(WEIGHTS) * SCALES
    sample = np.abs(WEIGHTS) * linear_data[0].std(axis=0)
    assert result.importances_mean == pytest.approx(sample, rel=1e-5)
    assert result.std_error == pytest.approx(effect / math.sqrt(8000), rel=0.1)


def test_direction_is_the_signed_effect(linear_model, linear_data):
    result = compute_importance(linear_model(WEIGHTS), linear_data)["gradient"]
    assert result.direction == pytest.approx(WEIGHTS * linear_data[0].std(axis=0), rel=1e-5)


def test_direction_vanishes_where_effects_change_sign_but_the_size_does_not(rng):
    """Of f = x1 x2: df/dx1 = x2 has mean 0, and mean size E|x2| = sqrt(2 / pi)."""
    inputs = keras.Input((2,))
    product = keras.ops.prod(inputs, axis=1, keepdims=True)
    model = keras.Model(inputs, product)
    model.compile(loss="mse")
    x = rng.standard_normal((4000, 2))
    result = compute_importance(model, (x, x.prod(axis=1)), methods="gradient")["gradient"]
    assert result.importances_mean == pytest.approx(math.sqrt(2 / math.pi), rel=0.05)
    assert np.all(np.abs(result.direction) < 0.06)


def test_rms_gradient_of_a_product_is_one(rng):
    """For f = x1 x2 the root mean square of df/dx1 is sqrt(E x2²) = 1."""
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.ops.prod(inputs, axis=1, keepdims=True))
    model.compile(loss="mse")
    x = rng.standard_normal((4000, 2))
    method = GradientImportance(aggregation="rms")
    result = compute_importance(model, (x, x.prod(axis=1)), methods=[method])["gradient"]
    assert result.importances_mean == pytest.approx(1, rel=0.06)


def test_ablation_of_a_linear_model_is_the_variance_of_the_effect(linear_model, linear_data):
    """E (b x - b mean)² = b² Var(x), with the error of a mean of squares: b² sd((x - mean)²) / sqrt(n)."""
    x, _ = linear_data
    result = compute_importance(linear_model(WEIGHTS), linear_data, methods="ablation")["ablation"]
    squares = (WEIGHTS * (x - x.mean(axis=0))) ** 2
    assert result.importances_mean == pytest.approx(squares.mean(axis=0), rel=1e-4)
    assert result.std_error == pytest.approx(squares.std(axis=0, ddof=1) / math.sqrt(4000), rel=1e-3)
    assert result.importances.shape == (4, 1)


def test_ablation_of_integers_puts_the_most_frequent_value(rng):
    """A table of weights w: the loss rises by mean (w[c] - w[most frequent])² where the model is exact."""
    codes = rng.choice(3, size=(500, 1), p=[0.2, 0.5, 0.3])
    inputs = keras.Input((1,), dtype="int32")
    embedding = keras.layers.Embedding(3, 1)
    model = keras.Model(inputs, keras.layers.Flatten()(embedding(inputs)))
    table = np.array([1.0, -2.0, 4.0])
    embedding.set_weights([table[:, None]])
    model.compile(loss="mse")
    data = (codes, table[codes[:, 0]])
    result = compute_importance(model, data, methods="ablation")["ablation"]
    assert result.importances_mean == pytest.approx(np.mean((table[codes] - table[1]) ** 2), rel=1e-5)


def test_integrated_gradients_of_a_linear_model_are_the_sizes_of_its_terms(linear_model, linear_data):
    """|b| mean |x - mean|, whatever the way; the direction is that of the gradient."""
    x, _ = linear_data
    method = IntegratedGradients(n_steps=3)
    result = compute_importance(linear_model(WEIGHTS), linear_data, methods=[method])[method.name]
    sizes = np.abs(WEIGHTS * (x - x.mean(axis=0)))
    assert result.importances_mean == pytest.approx(sizes.mean(axis=0), rel=1e-4)
    assert result.std_error == pytest.approx(sizes.std(axis=0, ddof=1) / math.sqrt(4000), rel=1e-3)
    assert result.direction == pytest.approx(WEIGHTS * x.std(axis=0), rel=1e-4)


def test_integrated_gradients_share_a_product_and_add_up_to_the_output(rng):
    """On the way from m to x the product x1 x2 gives x1 (x1 - m1)(x2 + m2) / 2, and as much to x2.

    The sum is x1 x2 - m1 m2, which a group of both columns gets as a whole.
    """
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.ops.prod(inputs, axis=1, keepdims=True))
    model.compile(loss="mse")
    x = rng.standard_normal((1000, 2)) + [1.0, 2.0]
    data, m = (x, x.prod(axis=1)), x.mean(axis=0)
    apart, joint = (
        compute_importance(model, data, methods="integrated_gradients", features=one)
        for one in (None, {"both": [0, 1]})
    )
    expected = [np.mean(np.abs((x[:, j] - m[j]) * (x[:, 1 - j] + m[1 - j]) / 2)) for j in (0, 1)]
    assert apart["integrated_gradients"].importances_mean == pytest.approx(expected, rel=1e-4)
    whole = np.mean(np.abs(x.prod(axis=1) - m.prod()))
    assert joint["integrated_gradients"].importances_mean == pytest.approx([whole], rel=1e-4)


def test_integrated_gradients_see_a_saturated_feature_that_gradients_miss(rng):
    """tanh(10 x) with |x| > 1 is flat at every row, and goes from 0 to 1 on the way."""
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.ops.tanh(10 * inputs))
    model.compile(loss="mse")
    x = np.concatenate([one := 1 + rng.random((200, 1)), -one])
    method = IntegratedGradients(n_steps=200)
    found = compute_importance(model, (x, np.sign(x)), methods=["gradient", method])
    assert found["gradient"].importances_mean[0] < 1e-5
    assert found["integrated_gradients"].importances_mean[0] == pytest.approx(1, rel=0.01)


@pytest.mark.long
def test_intervals_of_the_gradient_cover(linear_model):
    """95% intervals round |b| s of a linear model hold the true value in 120 samples of 300 rows."""
    model, rng, hits = linear_model([2.0]), np.random.default_rng(5), 0
    for _ in range(120):
        x = rng.standard_normal((300, 1))
        result = compute_importance(model, (x, x[:, 0]), methods="gradient")["gradient"]
        hits += result.ci_low[0] < 2 < result.ci_high[0]
    assert 0.89 <= hits / 120 < 1  # three standard errors below 0.95


def test_permutation_weighs_rows(linear_model, rng):
    """Tiny weights for half of the rows leave the importance among the other half as recipients."""
    x = rng.standard_normal((4000, 1)) * np.repeat([[1.0], [3.0]], 2000, axis=0)
    weights = np.repeat([1.0, 1e-6], 2000)
    result = compute_importance(linear_model([1.0]), (x, x[:, 0], weights))["permutation"]
    # E (x - x')² with Var(x) = 1 for the scored rows and (1 + 9) / 2 for the donors.
    assert abs(result.importances_mean[0] - 6) <= 3 * result.std_error[0]


def test_rows_of_no_weight_are_absent(linear_model, rng):
    x = rng.standard_normal((400, 2))
    weights = np.repeat([1.0, 0.0], 200)
    model = linear_model([1.0, 2.0])
    weighted = compute_importance(model, (x, x[:, 0], weights))
    plain = compute_importance(model, (x[:200], x[:200, 0]))
    for method, result in plain.items():
        assert weighted[method].n_samples == 200
        np.testing.assert_allclose(weighted[method].importances, result.importances, rtol=1e-6)
        np.testing.assert_allclose(weighted[method].std_error, result.std_error, rtol=1e-6)


def test_several_outputs_count_by_the_length_of_their_gradients(linear_model, rng):
    """Outputs 3x and 4x: sqrt(3² + 4²) s = 5 s."""
    x = rng.standard_normal((500, 1))
    model = linear_model([[3.0, 4.0]])
    result = compute_importance(model, (x, x @ [[3.0, 4.0]]), methods="gradient")["gradient"]
    assert result.importances_mean == pytest.approx([5 * x.std()], rel=1e-4)
    assert result.direction is None


def test_many_outputs_are_added_up_with_random_signs(linear_model, rng):
    """40 outputs w_m x: the length is |w| s, here estimated with 16 draws of signs a row."""
    x, weights = rng.standard_normal((2000, 1)), rng.standard_normal((1, 40))
    model = linear_model(weights)
    result = compute_importance(model, (x, x @ weights), methods="gradient")["gradient"]
    assert result.importances_mean == pytest.approx(np.linalg.norm(weights) * x.std(), rel=0.05)


def test_softmax_is_differentiated_at_the_true_class(rng):
    """Two classes with logits (0, b x): d log p_true / dx = ±b (1 - p_true)."""
    x = rng.standard_normal((3000, 2))
    classes = (rng.random(3000) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(int)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
    model.set_weights([np.array([[0, 2.0], [0, 0]]), np.zeros(2)])
    p_one = 1 / (1 + np.exp(-2 * x[:, 0]))
    p_true = np.where(classes == 1, p_one, 1 - p_one)
    expected = x[:, 0].std() * np.mean(2 * (1 - p_true))
    for loss, y in {
        "sparse_categorical_crossentropy": classes,
        "categorical_crossentropy": np.eye(2)[classes],
    }.items():
        model.compile(loss=loss)
        result = compute_importance(model, (x, y), methods="gradient")["gradient"]
        assert result.metric == "loss"
        assert result.importances_mean == pytest.approx([expected, 0], rel=1e-3, abs=1e-6)


def test_sigmoid_is_differentiated_at_its_output(rng):
    """D sigmoid(2x) / dx = 2 p (1 - p)."""
    x = rng.standard_normal((1000, 1))
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, activation="sigmoid")])
    model.set_weights([np.array([[2.0]]), np.zeros(1)])
    model.compile(loss="binary_crossentropy")
    p = 1 / (1 + np.exp(-2 * x[:, 0]))
    result = compute_importance(model, (x, p > 0.5), methods="gradient")["gradient"]
    assert result.importances_mean == pytest.approx([x.std() * np.mean(2 * p * (1 - p))], rel=1e-3)


def test_steps_of_a_sequence_have_their_own_importance(rng):
    """Of f = sum_t w_t x_t1: the map is |w_t| s for the first feature, 0 for the second."""
    weights = np.array([0.0, 1.0, -2.0])
    x = rng.standard_normal((800, 3, 2))
    model = keras.Sequential([keras.Input((3, 2)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.set_weights([np.column_stack([weights, 0 * weights]).reshape(6, 1), np.zeros(1)])
    model.compile(loss="mse")
    y = x[:, :, 0] @ weights
    results = compute_importance(model, (x, y))
    spread = x[:, :, 0].std()
    gradient = results["gradient"]
    assert gradient.by_step == pytest.approx(
        np.column_stack([np.abs(weights) * spread, 0 * weights]), rel=1e-4, abs=1e-7
    )
    assert gradient.importances_mean == pytest.approx(gradient.by_step.mean(axis=0))
    # The whole trajectory moves: 2 Var(sum_t w_t x_t) = 2 (1 + 4).
    permutation = results["permutation"]
    assert abs(permutation.importances_mean[0] - 10) <= 3 * permutation.std_error[0]
    assert permutation.importances_mean[1] == pytest.approx(0, abs=1e-6)


def test_a_one_hot_block_counts_differences_between_categories_alone(linear_model, rng):
    """Adding a constant to all weights of a one-hot block changes no prediction beyond the bias.

    Its gradient importance is the spread of the block's effect, sqrt(w' Cov w).
    """
    block = np.eye(3)[rng.integers(3, size=900)]
    weights = np.array([1.0, 2.0, 4.0])
    expected = (block @ weights).std()
    for shift in (0.0, 100.0):
        model = linear_model(weights + shift)
        result = compute_importance(
            model, (block, block @ weights), features={"colour": [0, 1, 2]}, methods="gradient"
        )["gradient"]
        assert result.importances_mean == pytest.approx([expected], rel=1e-3)


def test_duplicated_columns_in_a_group_count_once(linear_model, rng):
    """The same x twice, weights 1 and -1: no effect as a group, one of size 1 for each column."""
    x = np.repeat(rng.standard_normal((500, 1)), 2, axis=1)
    model, data = linear_model([1.0, -1.0]), (x, 0 * x[:, 0])
    apart = compute_importance(model, data)
    together = compute_importance(model, data, features={"both": [0, 1]})
    for method in ("gradient", "permutation"):
        assert np.all(apart[method].importances_mean > 0.9)
        assert together[method].importances_mean == pytest.approx([0], abs=1e-5)


def test_ridge_on_diabetes_reproduces_the_table_of_scikit_learns_guide(linear_model):
    """Drop of r² with 30 repeats: s5 .204, bmi .176, bp .088, sex .056; sd .050, .048, .033, .023."""
    data = load_diabetes()
    x, x_test, y, y_test = train_test_split(data.data, data.target, random_state=0)
    ridge = Ridge(alpha=1e-2).fit(x, y)
    model = linear_model(ridge.coef_, bias=ridge.intercept_)
    result = compute_importance(
        model,
        (x_test, y_test),
        methods=[PermutationImportance(n_repeats=30)],
        features=data.feature_names,
        metric=r2_score,
    )["permutation"]
    assert result.baseline_score == pytest.approx(0.356, abs=0.001)
    importance = dict(zip(result.feature_names, result.importances_mean, strict=True))
    std = dict(zip(result.feature_names, result.importances_std, strict=True))
    for feature, published in {"s5": 0.204, "bmi": 0.176, "bp": 0.088, "sex": 0.056}.items():
        assert abs(importance[feature] - published) < 3 * std[feature] * math.sqrt(2 / 30), feature


# --- standard errors through the whole way ------------------------------------------------------


def test_errors_of_weighted_rows_are_wider_than_those_of_equal_ones(linear_model, rng):
    """Nine rows of ten nearly weightless: as few as a tenth of the rows, so errors sqrt(10) as large."""
    x = rng.standard_normal((5000, 1))
    weights = np.where(np.arange(5000) % 10 == 0, 1.0, 1e-9)
    model = linear_model([1.0])
    weighted = compute_importance(model, (x, 0 * x[:, 0], weights))
    plain = compute_importance(model, (x, 0 * x[:, 0]))
    for method in ("gradient", "permutation"):
        ratio = weighted[method].std_error / plain[method].std_error
        assert 2 < ratio[0] < 4, method


def test_weights_decide_whose_gradients_count(rng):
    """F = x²/2 has |g| = |x|: with weights on |x| > 1 alone the mean is E[|x| given |x| > 1]."""
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.ops.square(inputs) / 2)
    model.compile(loss="mse")
    x = rng.standard_normal((4000, 1))
    weights = np.where(np.abs(x[:, 0]) > 1, 1.0, 1e-9)
    result = compute_importance(model, (x, x[:, 0], weights), methods="gradient")["gradient"]
    far = x[np.abs(x) > 1]
    assert result.importances_mean[0] == pytest.approx(far.std() * np.abs(far).mean(), rel=1e-3)


def test_rms_gradient_of_a_linear_model_has_the_error_of_a_standard_deviation(linear_model, rng):
    """|b| s again, so |b| s / sqrt(2n)."""
    x = rng.standard_normal((4000, 1))
    method = GradientImportance(aggregation="rms")
    result = compute_importance(linear_model([2.0]), (x, x[:, 0]), methods=[method])["gradient"]
    assert result.importances_mean == pytest.approx([2 * x.std()], rel=1e-5)
    assert result.std_error == pytest.approx([2 / math.sqrt(8000)], rel=0.1)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_sums_over_rows_say_the_same_as_the_rows_one_by_one(n_outputs, rng):
    """Also of a feature with columns in inputs of unequal steps, whose errors depend on one another."""
    inputs = [keras.Input((5, 3)), keras.Input((2,)), keras.Input((2,), dtype="int32")]
    codes = keras.layers.Flatten()(keras.layers.Embedding(4, 2)(inputs[2]))
    read = keras.layers.Concatenate()([keras.layers.LSTM(4)(inputs[0]), inputs[1], codes])
    hidden = keras.layers.Dense(6, "tanh")(read)
    model = keras.Model(inputs, keras.layers.Dense(n_outputs)(hidden))
    model.compile(loss="mse")
    x = (rng.standard_normal((300, 5, 3)), rng.standard_normal((300, 2)), rng.integers(4, size=(300, 2)))
    x[1][:, 0] += x[0][:, 0, 0]
    data = ValidationData.read((x, rng.standard_normal((300, n_outputs)), rng.uniform(0.5, 2, 300)))
    groups = {"over inputs": [(0, 0), (1, 0)], "wide": [(0, 1), (0, 2)], "codes": [(2, 0), (2, 1)]}
    features = FeatureSet.from_argument(groups, data.columns)
    by_sums, by_rows = (
        GradientImportance()(Evaluator(model, replace(data, blocks=blocks), features))
        for blocks in (None, np.arange(300))
    )
    is_code = np.array(by_sums.feature_names) == "codes"
    np.testing.assert_array_equal(np.isnan(by_sums.importances_mean), is_code)
    for name in ("importances", "std_error", "by_step") + ("direction",) * (n_outputs == 1):
        np.testing.assert_allclose(getattr(by_sums, name), getattr(by_rows, name), rtol=2e-4)


def test_errors_of_overlapping_windows_count_blocks(rng):
    """F = mean of a slow series over its window: neighbouring windows say nearly the same."""
    series = np.convolve(rng.standard_normal(2100), np.ones(20) / math.sqrt(20), "valid")
    windows = np.lib.stride_tricks.sliding_window_view(series, 24)[:, :, None].astype("float32")
    model = keras.Sequential(
        [keras.Input((24, 1)), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(1)]
    )
    model.set_weights([np.array([[1.0]]), np.zeros(1)])
    model.compile(loss="mse")
    y = windows.mean(axis=(1, 2))
    order = rng.permutation(len(windows))
    in_order = compute_importance(model, (windows, y))
    shuffled = compute_importance(model, (windows[order], y[order]))
    for method in ("gradient", "permutation"):
        assert in_order[method].n_blocks == len(windows) // 96 + 1
        assert shuffled[method].n_blocks is None
        assert in_order[method].std_error[0] > 2 * shuffled[method].std_error[0]
