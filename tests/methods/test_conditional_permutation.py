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
from keras_importance.errors import InvalidArgumentError
from keras_importance.methods import Replacement
from keras_importance.methods.preparation import prepared_evaluator
from keras_importance.statistics.category_draws import class_probabilities, classes, drawn_rows
from keras_importance.statistics.donors import Donors
from keras_importance.statistics.influence import donor_standard_error
from keras_importance.statistics.residuals import residuals

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


def refitted(z, group, out, ridge, weights):
    """Residuals of some rows by a ridge regression with a constant on the others."""
    n_rows, others = len(z), np.setdiff1d(np.arange(z.shape[1]), group)
    with_constant = np.column_stack([np.ones(n_rows), z[:, others]])
    rows = np.setdiff1d(np.arange(n_rows), out)
    a, w = with_constant[rows], weights[rows, None]
    penalty = n_rows * ridge * np.eye(a.shape[1])
    penalty[0, 0] = 0
    slopes = np.linalg.solve(a.T @ (w * a) + penalty, a.T @ (w * z[np.ix_(rows, group)]))
    return z[np.ix_(out, group)] - with_constant[out] @ slopes


@pytest.mark.parametrize("blocks", [None, np.arange(30) // 4], ids=["rows", "blocks"])
@pytest.mark.parametrize("is_weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize("n_columns", [6, 50], ids=["more rows", "more columns"])
def test_residuals_are_those_of_fits_without_the_row(rng, n_columns, is_weighted, blocks):
    x = 10 + correlated(rng, 30, n_columns, 0.5) * np.linspace(1, 9, n_columns)
    weights = 0.2 + rng.random(30) if is_weighted else np.ones(30)
    weights /= weights.mean()
    groups = [np.array([0, 2, 3]), *(np.array([i]) for i in range(n_columns) if i not in (0, 2, 3))]
    found = residuals(x, groups, weights if is_weighted else None, blocks)
    mean = np.average(x, axis=0, weights=weights)
    unit = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weights))
    left_out = np.arange(30) if blocks is None else blocks
    for group in groups[:3]:
        for one in np.unique(left_out):
            out = np.flatnonzero(left_out == one)
            expected = refitted((x - mean) / unit, group, out, found.ridge, weights) * unit[group]
            np.testing.assert_allclose(found.values[np.ix_(out, group)], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("n_rows", "n_columns"), [(400, 80), (200, 150), (150, 400)], ids=["few", "many", "more than rows"]
)
def test_what_is_redrawn_spreads_as_much_whatever_the_number_of_columns(rng, n_rows, n_columns):
    """Independent columns of variance 1: half the mean square of x - x' is 1, and so is Var x'.

    Residuals of the rows that were fitted would give 1 - p/n for the first; those of left-out rows
    with their full length 1 + p/n for the second.
    """
    x = rng.standard_normal((n_rows, n_columns))
    found = residuals(x, [np.array([i]) for i in range(n_columns)])
    donor = np.roll(found.values * found.scale, 1, axis=0)
    drawn = x - found.values + donor
    assert np.mean((drawn - x) ** 2) / 2 == pytest.approx(1, abs=0.04)
    assert drawn.var(axis=0).mean() == pytest.approx(1, abs=0.04)


def test_rows_in_another_order_have_the_same_residuals(rng):
    x, order = correlated(rng, 60, 5), rng.permutation(60)
    groups = [np.array([i]) for i in range(5)]
    plain, moved = residuals(x, groups), residuals(x[order], groups)
    np.testing.assert_allclose(moved.values, plain.values[order], rtol=1e-8, atol=1e-10)


def test_a_constant_column_breaks_nothing(linear_model, rng):
    x = correlated(rng, 300, 4)
    x[:, 2] = 0.1
    plain = importance(linear_model([1.0, 2.0, 0.0]), (x[:, [0, 1, 3]], x[:, 0]))
    result = importance(linear_model([1.0, 2.0, 3.0, 0.0]), (x, x[:, 0] + 0.3))
    assert result.importances_mean[2] == 0
    assert result.importances_mean[:2] == pytest.approx(plain.importances_mean[:2], rel=0.01)


def test_rows_of_next_to_no_weight_shape_no_regression(rng):
    """In the rows that count x1 follows x0, in the others it doesn't."""
    x = rng.standard_normal((1000, 2))
    x[:500, 1] = x[:500, 0]
    groups, weights = [np.array([0]), np.array([1])], np.repeat([1.0, 1e-9], 500)
    assert np.abs(residuals(x, groups, weights).values[:500]).max() < 1e-3
    assert np.abs(residuals(x, groups).values[:500]).max() > 0.1


@pytest.mark.long
def test_ten_thousand_columns_and_two_thousand_rows_take_seconds(rng):
    x = rng.standard_normal((2000, 10_000))
    found = residuals(x, [np.array([i]) for i in range(10_000)])
    assert np.mean(found.values**2) == pytest.approx(1, abs=0.1)


# --- categories ---------------------------------------------------------------------------------


def test_probabilities_are_those_of_the_model_that_made_the_classes(rng):
    scores = rng.standard_normal((4000, 2))
    logits = np.column_stack([scores[:, 0], scores[:, 1], 0 * scores[:, 0]])
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    label = np.sum(rng.random((4000, 1)) > np.cumsum(truth, axis=1)[:, :-1], axis=1)
    found = class_probabilities(scores, label)
    assert np.abs(found - truth).mean() < 0.02
    assert found.sum(axis=1) == pytest.approx(1)


def test_drawn_rows_are_of_the_drawn_class_and_follow_the_weights(rng):
    """Two rows of a class, one three times as heavy, are drawn one time in four and three in four."""
    label = np.array([0, 1, 1] * 100)
    chances = np.tile([0.3, 0.7], (300, 1))
    rows = drawn_rows(chances, label, 200, rng, np.tile([1.0, 1.0, 3.0], 100))
    assert np.mean(label[rows]) == pytest.approx(0.7, abs=0.01)
    assert np.mean(rows % 3 == 1) / 0.7 == pytest.approx(0.25, abs=0.01)


def test_neighbouring_categories_are_merged_where_there_are_many(rng):
    codes = rng.integers(1000, size=(5000, 1))
    label = classes(codes, 50)
    assert len(np.unique(label)) == 50
    assert np.bincount(label).max() < 2 * 5000 / 50
    assert np.all(np.diff(label[np.argsort(codes[:, 0])]) >= 0)


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
    replacement = method.replacement_for(evaluator)
    ways = (evaluator.perturbed, evaluator.linearly_perturbed)
    exact, linear = (next(iter(way(replacement, donors))) for way in ways)
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


def test_standard_errors_are_right_for_independent_draws():
    """The mean of `(x - u_k)² - x²` over rows with K draws u each: its spread over 2000 samples."""
    rng, found = np.random.default_rng(3), []
    for _ in range(2000):
        x, u = rng.standard_normal(100), rng.standard_normal((5, 100))
        donors = Donors.draw(100, 5, rng)
        d = (x - u) ** 2 - x**2
        found.append((d.mean(), donor_standard_error(d, donors)))
    means, errors = np.array(found).T
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(means.std(), rel=0.05)


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
