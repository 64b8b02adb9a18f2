"""Conditional permutation: what the others say doesn't count, and what is redrawn is as likely as before."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

import keras_importance.methods.conditional_permutation as conditional
from keras_importance import (
    ConditionalPermutation,
    PermutationImportance,
    PerturbationMethod,
    compute_importance,
)
from keras_importance.data.features import FeatureSet
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.scores.sample import ScoreRequest
from keras_importance.engine.scores.scoring import EXACT, LINEARISED
from keras_importance.errors import InvalidArgumentError
from keras_importance.methods import Replacement
from keras_importance.methods.preparation import prepared_evaluator
from keras_importance.statistics.donors import Donors

NAME = "conditional_permutation"
BOTH = ("permutation", NAME)


def importance(model, data, **arguments):
    return compute_importance(model, data, methods=NAME, **arguments)[NAME]


def evaluator_of(model, data, methods, features=None):
    return prepared_evaluator(
        model, data, methods, features=features, metric="loss", max_samples=None, seed=0
    )


def redrawn(x, features=None, n_repeats=5):
    """`(n_repeats, ...)` inputs with every feature redrawn at once."""
    data = ValidationData.read((x, np.zeros(len(next(iter(x.values())) if isinstance(x, dict) else x))))
    named = FeatureSet.from_argument(features, data.columns)
    replacement = conditional.conditional_replacement(data, named, n_repeats)
    donors = Donors.draw(data.n_rows, n_repeats, np.random.default_rng(0)).rows
    found = []
    for own, kept, donated in zip(data.inputs, replacement.kept, replacement.donated, strict=True):
        kept = kept if kept.ndim > own.ndim else kept[None]
        found.append(np.broadcast_to(kept, (n_repeats, *own.shape)))
        if donated is not None:
            found[-1] = found[-1] + donated[donors]
    return found


def correlated(rng, n_rows, n_columns=3, rho=0.8):
    shared = rng.standard_normal((n_rows, 1))
    return math.sqrt(rho) * shared + math.sqrt(1 - rho) * rng.standard_normal((n_rows, n_columns))


def conditional_variance(rho, n_columns):
    """Of one of some normals of variance 1 and correlation rho, given the others: 1 / (R^-1)_jj."""
    matrix = (1 - rho) * np.eye(n_columns) + rho
    return 1 / np.linalg.inv(matrix)[0, 0]


# --- values known on paper ----------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_of_a_linear_model_it_is_twice_the_effect_of_what_the_others_do_not_say(linear_model, rng, rho):
    """E (b x - b x')² = 2 b² Var(x given the others), where x and x' are independent given them."""
    x, weights = correlated(rng, 4000, 3, rho), np.array([1.0, -2.0, 0.0])
    result = importance(linear_model(weights), (x, x @ weights))
    expected = 2 * weights**2 * conditional_variance(rho, 3)
    assert np.all(np.abs(result.importances_mean - expected) <= 3 * result.std_error + 1e-6)


def test_a_feature_that_the_others_determine_has_none(linear_model, rng):
    x = rng.standard_normal((500, 2))
    x = np.column_stack([x, x.sum(axis=1)])
    results = compute_importance(linear_model([1.0, 2.0, 3.0]), (x, x @ [1, 2, 3]), methods=BOTH)
    assert np.all(results["permutation"].importances_mean > 1)
    assert results[NAME].importances_mean == pytest.approx([0, 0, 0], abs=1e-5)


def test_of_independent_features_it_is_permutation_importance(small_model, small_data):
    model = small_model()
    model.fit(*small_data, epochs=20, verbose=0)
    results = compute_importance(model, small_data, methods=BOTH)
    plain, found = (results[one] for one in BOTH)
    gap = np.abs(plain.importances_mean - found.importances_mean)
    assert np.all(gap <= 2 * found.std_error + 1e-6)
    assert found.std_error == pytest.approx(plain.std_error, rel=0.25)


def test_a_group_is_redrawn_given_what_lies_outside_of_it(linear_model, rng):
    """2 b' Cov(group given the rest) b, from the blocks of the covariance matrix."""
    x, weights = correlated(rng, 6000, 4, 0.7), np.array([1.0, 1.0, -1.0, 0.5])
    result = importance(linear_model(weights), (x, x @ weights), features={"pair": [0, 1]})
    matrix = 0.3 * np.eye(4) + 0.7
    given = matrix[:2, :2] - matrix[:2, 2:] @ np.linalg.inv(matrix[2:, 2:]) @ matrix[2:, :2]
    assert result.feature_names[0] == "pair"
    assert abs(result.importances_mean[0] - 2 * given.sum()) <= 3 * result.std_error[0]


def test_a_trajectory_is_redrawn_given_the_other_trajectories(rng):
    """The second feature follows the first with a lag of a step, up to noise of variance 1/4."""
    x = rng.standard_normal((3000, 4, 2))
    x[:, 1:, 1] = x[:, :-1, 0] + 0.5 * rng.standard_normal((3000, 3))
    model = keras.Sequential([keras.Input((4, 2)), keras.layers.Flatten(), keras.layers.Dense(1)])
    weights = np.zeros((4, 2))
    weights[1:, 1] = 1
    model.set_weights([weights.reshape(8, 1), np.zeros(1)])
    model.compile(loss="mse")
    result = importance(model, (x, x[:, 1:, 1].sum(axis=1)))
    assert result.importances_mean[0] == pytest.approx(0, abs=1e-6)
    assert abs(result.importances_mean[1] - 2 * 3 / 4) <= 3 * result.std_error[1]


def test_noise_that_is_correlated_with_what_counts_is_at_zero(linear_model, rng):
    """The target is x0; the model leans on the null x1, too, by 0.3: E d = 0 for any such b."""
    x = correlated(rng, 4000, 2, 0.8)
    data = (x, x[:, 0] + 0.1 * rng.standard_normal(4000))
    results = compute_importance(linear_model([0.7, 0.3]), data, methods=BOTH)
    plain, found = (results[one] for one in BOTH)
    assert plain.ci_low[1] > 0.1
    assert abs(found.importances_mean[1]) <= 3 * found.std_error[1]


# --- the regressions ----------------------------------------------------------------------------


def test_a_constant_column_breaks_nothing(linear_model, rng):
    x = correlated(rng, 300, 4)
    x[:, 2] = 0.1
    plain = importance(linear_model([1.0, 2.0, 0.0]), (x[:, [0, 1, 3]], x[:, 0]))
    result = importance(linear_model([1.0, 2.0, 3.0, 0.0]), (x, x[:, 0] + 0.3))
    assert result.importances_mean[2] == 0
    assert result.importances_mean[:2] == pytest.approx(plain.importances_mean[:2], rel=0.01)


# --- categories ---------------------------------------------------------------------------------


def test_one_hot_groups_stay_one_hot_and_binary_columns_binary(rng):
    block, flag = np.eye(4)[rng.integers(4, size=400)], rng.integers(2, size=(400, 1))
    (found,) = redrawn(np.hstack([block, flag, rng.standard_normal((400, 2))]), {"colour": [0, 1, 2, 3]})
    assert set(np.unique(found[..., :5])) == {0, 1}
    np.testing.assert_array_equal(found[..., :4].sum(axis=-1), 1)
    assert len({tuple(draw[:, 4]) for draw in found}) == 5


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float32"])
def test_a_category_is_drawn_as_likely_as_the_others_make_it(rng, dtype):
    """P(1 given x) = 1 / (1 + exp(-2x)): so in each range of x as many drawn ones as true ones."""
    x = rng.standard_normal((4000, 1)).astype("float32")
    flag = (rng.random((4000, 1)) < 1 / (1 + np.exp(-2 * x))).astype(dtype)
    found, _ = redrawn({"flag": flag, "x": x})
    assert found.dtype == dtype
    for low, high in [(-3, -1), (-1, 0), (0, 1), (1, 3)]:
        rows = (x[:, 0] > low) & (x[:, 0] < high)
        assert found[:, rows].mean() == pytest.approx(flag[rows].mean(), abs=0.05)


def test_numbers_are_redrawn_given_categories(rng):
    """Within a category the redrawn numbers keep its mean, which an integer's size doesn't give."""
    colour = rng.integers(5, size=3000).astype("int32")
    x = (np.array([0.0, 4.0, -4.0, 2.0, 0.0])[colour] + rng.standard_normal(3000)).astype("float32")
    _, found = redrawn({"colour": colour, "x": x})
    for one in range(5):
        assert found[:, colour == one].mean() == pytest.approx(x[colour == one].mean(), abs=0.1)


def test_a_group_of_a_category_and_a_number_moves_as_one(rng):
    """The number's sign is the category: drawn together they stay so, up to the noise in the mean."""
    flag = rng.integers(2, size=2000)
    x = np.column_stack([flag, 2.0 * flag - 1 + 0.1 * rng.standard_normal(2000), rng.random(2000)])
    (found,) = redrawn(x, {"both": [0, 1]})
    assert np.mean((found[..., 1] > 0) == (found[..., 0] == 1)) == 1
    assert not np.array_equal(found[0, :, 0], found[1, :, 0])


def test_a_group_of_a_category_and_a_number_of_another_input_moves_as_one(rng):
    """As in one input: the number of the other input is drawn anew in each repeat, too."""
    flag = rng.integers(2, size=(2000, 1)).astype("int32")
    x = np.column_stack([2.0 * flag[:, 0] - 1 + 0.1 * rng.standard_normal(2000), rng.random(2000)])
    flags, numbers = redrawn({"flag": flag, "x": x}, {"both": [("flag", 0), ("x", 0)]})
    assert np.mean((numbers[..., 0] > 0) == (flags[..., 0] == 1)) == 1
    assert not np.array_equal(numbers[0, :, 0], numbers[1, :, 0])


def test_a_category_that_the_others_determine_has_no_importance(rng):
    colour = rng.integers(3, size=(600, 1)).astype("int32")
    inputs = {"copy": colour, "colour": colour}
    layers = {name: keras.Input((1,), name=name, dtype="int32") for name in inputs}
    parts = [keras.layers.Flatten()(keras.layers.Embedding(3, 2)(layers[name])) for name in inputs]
    model = keras.Model(layers, keras.layers.Dense(1)(keras.layers.Concatenate()(parts)))
    model.set_weights([20 * weights for weights in model.get_weights()])
    model.compile(loss="mse")
    data = (inputs, model.predict(inputs, verbose=0))
    results = compute_importance(model, data, methods=BOTH)
    assert np.all(results[NAME].importances_mean < 0.05 * results["permutation"].importances_mean)


def test_integers_of_one_dimension_and_trajectories_of_integers_are_redrawn(rng):
    words = rng.integers(9, size=(200, 6, 2)).astype("int32")
    found = redrawn({"a": rng.integers(3, size=200).astype("int32"), "words": words})
    assert [one.shape for one in found] == [(5, 200), (5, 200, 6, 2)]
    seen = {tuple(row) for row in words[..., 0]}
    assert {tuple(row) for row in found[1][..., 0].reshape(-1, 6)} <= seen


# --- the engine ---------------------------------------------------------------------------------


class Drawn(PerturbationMethod):
    """Replaces everything with numbers of its own for each repeat."""

    name = "drawn"

    def __init__(self, values):
        super().__init__(len(values))
        self.values = values

    def replacement(self, data):
        return Replacement(donated=(None,), kept=(self.values,))


def test_each_repeat_takes_its_own_draw(linear_model, small_data):
    """With 7 repeats of another method the blocks of 3 draws are padded."""
    x, y = small_data
    values = np.random.default_rng(1).standard_normal((3, *x.shape)).astype("float32")
    weights = np.array([2.0, -1.0, 0.5, 0.0])
    methods = [PermutationImportance(7), Drawn(values)]
    found = compute_importance(linear_model(weights), small_data, methods=methods)["drawn"]
    for k, draw in enumerate(values):
        for j in range(4):
            moved = x.copy()
            moved[:, j] = draw[:, j]
            cost = np.mean((y - moved @ weights) ** 2) - np.mean((y - x @ weights) ** 2)
            assert found.importances[j, k] == pytest.approx(cost, rel=1e-4, abs=1e-5)


def test_the_first_order_approximation_takes_draws_too(linear_model, rng):
    x = np.column_stack([rng.integers(2, size=300), rng.standard_normal((300, 2))])
    method = ConditionalPermutation(3)
    evaluator = evaluator_of(linear_model([1.0, 2.0, -1.0]), (x, x[:, 0]), [method])
    donors = Donors.draw(300, 3, evaluator.rng())
    request = ScoreRequest(method.replacement_for(evaluator), donors)
    exact, linear = (next(evaluator.scores(request, scoring)) for scoring in (EXACT, LINEARISED))
    np.testing.assert_allclose(linear.scores, exact.scores, rtol=1e-4, atol=1e-4)


def test_the_regressions_are_fitted_once_a_training(small_model, small_data, monkeypatch):
    calls = []
    fit = conditional.conditional_replacement
    monkeypatch.setattr(
        conditional, "conditional_replacement", lambda *a, **k: calls.append(1) or fit(*a, **k)
    )
    method, other = ConditionalPermutation(), ConditionalPermutation(name="again")
    settings = dict(vars(method))
    evaluator = evaluator_of(small_model(), small_data, [method, other])
    first, second = method(evaluator), method(evaluator)
    other(evaluator)
    assert len(calls) == 1
    assert vars(method) == settings
    np.testing.assert_array_equal(first.importances, second.importances)


# --- arguments ----------------------------------------------------------------------------------


def test_more_rows_and_columns_than_the_regressions_take_are_refused(
    linear_model, small_data, monkeypatch
):
    monkeypatch.setattr(conditional, "_MAX_INVERTED", 3)
    with pytest.raises(ValueError, match=r"got 300 validation rows of 4 values .*Pass max_samples=3"):
        importance(linear_model([1.0] * 4), small_data)


def test_validation_data_without_targets_are_refused(linear_model, small_data):
    with pytest.raises(InvalidArgumentError, match="without targets"):
        evaluator_of(linear_model([1.0] * 4), (small_data[0], None), [ConditionalPermutation()])
