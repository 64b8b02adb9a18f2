"""Laws of the donors in real evaluations: each feature has its own, in its own order."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from benchmarks.systematic import KINDS
from models.donors_by_hand import donors_of

from keras_importance import ConditionalLOFO, PermutationImportance, compute_importance
from keras_importance.data.features import Feature
from keras_importance.engine.scores.sample import Replacement
from keras_importance.methods import PerturbationMethod
from keras_importance.methods.donor_tables import common_request, donation_orders, request_by_feature
from keras_importance.methods.preparation import prepared_evaluator

N = 300


def by_hand(model, inputs, y, features, n_repeats):
    """`(n_features, n_repeats)` rises of the squared error with the values of the same donors."""
    predict = lambda arrays: model.predict(arrays[0], verbose=0)[:, 0]  # noqa: E731
    baseline, rises = np.mean((predict(inputs) - y) ** 2), []
    for feature, donors in zip(features, donors_of(features, inputs, n_repeats), strict=True):
        of_repeats = []
        for rows in donors:
            moved = [values.copy() for values in inputs]
            for index, column in feature.columns:
                moved[index][..., column] = inputs[index][rows][..., column]
            of_repeats.append(np.mean((predict(moved) - y) ** 2) - baseline)
        rises.append(of_repeats)
    return np.array(rises)


@pytest.mark.parametrize("n_repeats", [1, 3, 4])
def test_every_repeat_is_what_the_features_donors_give(n_repeats, rng):
    keras.utils.set_random_seed(1)
    x = rng.standard_normal((N, 4)).astype("float32")
    x[:, 3] = x[:, 3] > 1
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])
    model.compile(loss="mse")
    groups = {"pair": [0, 2]}
    result = compute_importance(
        model, (x, x[:, 0]), methods=PermutationImportance(n_repeats), features=groups
    )["permutation"]
    features = [Feature("pair", ((0, 0), (0, 2))), *(Feature(str(c), ((0, c),)) for c in (1, 3))]
    expected = by_hand(model, [x], x[:, 0], features, n_repeats)
    np.testing.assert_allclose(result.importances, expected, rtol=1e-3, atol=1e-5)


def test_columns_of_sequences_have_donors_by_their_mean_over_the_steps(rng):
    keras.utils.set_random_seed(1)
    x = rng.standard_normal((N, 5, 2)).astype("float32")
    model = keras.Sequential([keras.Input((5, 2)), keras.layers.GRU(4), keras.layers.Dense(1)])
    model.compile(loss="mse")
    y = x[:, 0, 0]
    result = compute_importance(model, (x, y), methods="permutation")["permutation"]
    features = [Feature(str(c), ((0, c),)) for c in range(2)]
    expected = by_hand(model, [x], y, features, 3)
    np.testing.assert_allclose(result.importances, expected, rtol=1e-3, atol=1e-5)


def test_a_linear_model_has_twice_the_squared_effect(linear_model, rng):
    """2 b² Var(x), as closely as all pairs of rows have it: in 300 rows within 2%."""
    x = rng.lognormal(size=(N, 2))
    b = np.array([1.0, -0.5])
    result = compute_importance(linear_model(b), (x, x @ b), methods=PermutationImportance(20))
    expected = 2 * b**2 * x.var(axis=0, ddof=1)
    np.testing.assert_allclose(result["permutation"].importances_mean, expected, rtol=0.05)


def evaluator_of(model, data, method, **settings):
    return prepared_evaluator(
        model, data, [method], features=None, metric="loss", max_samples=None, seed=0, **settings
    )


@pytest.mark.parametrize("n_rows", [N, 100])
def test_the_first_rows_of_a_table_are_the_rows_scored_in_the_order_of_each_feature(
    n_rows, linear_model, rng
):
    x = rng.standard_normal((N, 3)).astype("float32")
    method = PermutationImportance()
    evaluator = evaluator_of(linear_model(np.ones(3)), (x, x[:, 0]), method)
    request = request_by_feature(evaluator, method.replacement_for(evaluator), n_rows, 3)
    (table,) = request.replacement.donated
    used = x if request.rows is None else x[request.rows]
    assert table.shape == x.shape
    for feature in range(3):
        np.testing.assert_array_equal(
            table[:n_rows, feature], used[request.donors.order_of(feature), feature]
        )
        assert np.mean(np.diff(table[:n_rows, feature]) > 0) > 0.85


def test_tables_are_made_once_and_a_few_are_kept(linear_model, rng):
    x = rng.standard_normal((N, 2)).astype("float32")
    evaluator = evaluator_of(linear_model(np.ones(2)), (x, x[:, 0]), PermutationImportance())
    own = Replacement(evaluator.data.inputs)
    first = request_by_feature(evaluator, own, N, 3)
    assert request_by_feature(evaluator, own, N, 3).donors is first.donors
    for _ in range(3):
        request_by_feature(evaluator, Replacement((x.copy(),)), N, 3)
        assert request_by_feature(evaluator, own, N, 3).donors is first.donors
    for _ in range(4):
        request_by_feature(evaluator, Replacement((x.copy(),)), N, 3)
    again = request_by_feature(evaluator, own, N, 3).donors
    assert again is not first.donors
    np.testing.assert_array_equal(again.orders, first.donors.orders)


class OfOthers(PerturbationMethod):
    """Half of the row's own value and half of the donor's, in arrays that are new each time."""

    name = "of_others"

    def replacement(self, data):
        halves = tuple(values / 2 for values in data.inputs)
        return Replacement(donated=halves, kept=halves)


def test_a_method_of_ones_own_gets_systematic_donors(linear_model, rng):
    """Half the way to another row, a linear model that is exact: 2 b² Var(x) / 4."""
    x = rng.standard_normal((4000, 2))
    b = np.array([1.0, 2.0])
    result = compute_importance(linear_model(b), (x, x @ b), methods=OfOthers())["of_others"]
    assert result.n_repeats == 3
    assert np.all(np.abs(result.importances_mean - b**2 / 2) < 3 * result.std_error)


def test_values_that_a_method_writes_into_the_same_arrays_are_read_anew(linear_model, rng):
    x = rng.standard_normal((N, 2)).astype("float32")
    evaluator = evaluator_of(linear_model([1.0, 1.0]), (x, x[:, 0]), PermutationImportance())
    buffer = x.copy()
    before = request_by_feature(evaluator, Replacement((buffer,)), N, 3).replacement.donated[0]
    buffer *= 2
    after = request_by_feature(evaluator, Replacement((buffer,)), N, 3).replacement.donated[0]
    np.testing.assert_array_equal(after, 2 * before)


def test_the_mean_over_the_draws_keeps_random_donors(linear_model, rng):
    """Its noise is told from the spread of independent draws: b² Var(x | the others) for a right model."""
    x = rng.standard_normal((3000, 2))
    b = np.array([1.0, 2.0])
    y = x @ b + rng.standard_normal(3000)
    result = compute_importance(linear_model(b), (x, y), methods=ConditionalLOFO())["conditional_lofo"]
    assert np.all(np.abs(result.importances_mean - b**2) < 3 * result.std_error)


def test_rows_are_ordered_by_all_columns_of_a_group():
    """One-hot columns: by category."""
    codes = np.array([2, 0, 1, 2, 0, 1, 1])
    group = Feature("category", ((0, 0), (0, 1), (0, 2)))
    (order,) = donation_orders([group], [np.eye(3)[codes]], 7)
    assert len(np.flatnonzero(np.diff(codes[order]))) == 2


def test_texts_are_ordered_too():
    (order,) = donation_orders([Feature("text", ((0, 0),))], [np.array([["b"], ["a"], ["c"]])], 3)
    assert order.tolist() == [1, 0, 2]


@pytest.mark.parametrize("kind", ["normal", "binary, 5%"])
def test_evaluations_err_less_than_with_random_donors(kind, linear_model, rng):
    """For given rows, over 60 seeds: the spread round the mean over all pairs of rows."""
    x = KINDS[kind].draw(rng, 200).astype("float32")
    method = PermutationImportance()
    found = {"systematic": [], "random": []}
    for seed in range(60):
        evaluator = prepared_evaluator(
            linear_model([1.0]),
            (x, x[:, 0] + 1),
            [method],
            features=None,
            metric="loss",
            max_samples=None,
            seed=seed,
        )
        replacement = method.replacement_for(evaluator)
        requests = {"systematic": request_by_feature, "random": common_request}
        for name, request_of in requests.items():
            (scores,) = evaluator.scores(request_of(evaluator, replacement, 200, 3))
            found[name].append(float((scores.scores - scores.baseline).mean()))
    assert np.std(found["systematic"]) < np.std(found["random"])
