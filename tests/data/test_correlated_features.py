"""`features="correlated"`: columns that go together become one feature."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pandas as pd
import pytest

from keras_importance import FeatureImportance, compute_importance
from keras_importance.data.correlated_features import correlated_groups
from keras_importance.data.validation_data import ValidationData
from keras_importance.methods.preparation import prepared_evaluator


def groups(x, weights=None):
    n_rows = len(next(iter(x.values())) if isinstance(x, dict) else x)
    data = (x, np.zeros(n_rows)) if weights is None else (x, np.zeros(n_rows), weights)
    return correlated_groups(ValidationData.read(data))


def follows(x, rng, noise=0.3):
    return x + noise * rng.standard_normal(x.shape)


@pytest.fixture
def table(rng):
    """Columns a, c and d go together, c with the other sign, b and e are alone."""
    a, b, e = rng.standard_normal((3, 400))
    return pd.DataFrame({"a": a, "b": b, "c": -follows(a, rng), "d": np.exp(follows(a, rng)), "e": e})


def test_columns_that_go_together_are_a_group(table):
    """Up or down, and through any rising curve: it is the size of the rank correlation that counts."""
    assert groups(table) == {"a + c + d": [(0, 0), (0, 2), (0, 3)]}


def test_independent_columns_stay_features_of_their_own(rng):
    assert groups(rng.standard_normal((300, 6))) == {}


@pytest.mark.parametrize(("noise", "is_group"), [(0.8, True), (1.3, False)], ids=["above", "below"])
def test_the_threshold_is_a_correlation_of_seven_tenths(rng, noise, is_group):
    """Pearson's 1 / sqrt(1 + noise²) is .78 and .61, Spearman's .02 less."""
    a = rng.standard_normal(2000)
    assert bool(groups(np.column_stack([a, follows(a, rng, noise)]))) == is_group


def test_many_names_are_shortened_and_stay_unique(rng):
    x = follows(np.repeat(rng.standard_normal((300, 2)), 5, axis=1), rng)
    names = pd.DataFrame(x, columns=["a", *"bcde", *"fghij"])
    assert list(groups(names)) == ["a + 4 more", "f + 4 more"]
    taken = pd.DataFrame(x[:, [0, 1, 5]], columns=["a", "b", "a + b"])
    assert list(groups(taken)) == ["a + b'"]


def test_constant_columns_and_integers_stay_alone(rng):
    a = rng.integers(9, size=(300, 1))
    inputs = {"code": a.astype("int32"), "x": np.hstack([a, follows(a, rng), 0 * a]).astype("float32")}
    assert groups(inputs) == {"x/x0 + x/x1": [(1, 0), (1, 1)]}


def test_trajectories_are_compared_step_by_step_and_with_tables_by_their_means(rng):
    x = rng.standard_normal((200, 1, 3)) + rng.standard_normal((200, 8, 3))
    x[..., 2] = follows(x[..., 0], rng)
    inputs = {"flat": x[..., 1].mean(axis=1), "series": x.astype("float32")}
    found = groups(inputs)
    assert found == {
        "flat + series/x1": [(0, 0), (1, 1)],
        "series/x0 + series/x2": [(1, 0), (1, 2)],
    }


def test_rows_of_next_to_no_weight_make_no_group(rng):
    x = rng.standard_normal((600, 2))
    x[300:, 1] = x[300:, 0] = 10 * np.arange(300)
    assert groups(x)
    assert groups(x, np.repeat([1.0, 1e-9], 300)) == {}


def test_they_are_the_features_of_a_training_and_of_a_trained_model(table, linear_model):
    model, y = linear_model([1.0] * 5), table["a"].to_numpy()
    expected = ("a + c + d", "b", "e")
    importance = FeatureImportance(features="correlated", time_budget=None)
    model.fit(table, y, validation_split=0.5, verbose=0, callbacks=[importance])
    assert importance.results["permutation"].feature_names == expected
    results = compute_importance(model, (table, y), features="correlated")
    assert results["permutation"].feature_names == expected


def test_a_group_loses_as_if_it_had_been_named(table, linear_model):
    data, model = (table, table["a"].to_numpy()), linear_model([1.0] * 5)
    by_name = compute_importance(model, data, features={"a + c + d": ["a", "c", "d"]})
    found = compute_importance(model, data, features="correlated")
    np.testing.assert_array_equal(found["permutation"].importances, by_name["permutation"].importances)


def test_without_scipy_it_says_what_to_install(table, linear_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.cluster.hierarchy", None)
    with pytest.raises(ValueError, match=r"needs SciPy: pip install 'keras_importance\[clustering\]'"):
        compute_importance(linear_model([1.0] * 5), (table, table["a"]), features="correlated")


def test_too_many_columns_are_refused_before_they_fill_memory(monkeypatch, table, linear_model):
    monkeypatch.setattr("keras_importance.data.correlated_features._MAX_COLUMNS", 4)
    with pytest.raises(ValueError, match="for 5 columns, more than the 4"):
        compute_importance(linear_model([1.0] * 5), (table, table["a"]), features="correlated")


def test_a_single_column_is_a_feature(rng):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    x = rng.standard_normal((50, 1))
    evaluator = prepared_evaluator(
        model, (x, x), [], features="correlated", metric="loss", max_samples=None, seed=0
    )
    assert evaluator.features.names == ("x0",)
