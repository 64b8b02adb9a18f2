"""Missing values that the model handles: right for every column, and a reason where there is no number."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

from keras_importance import (
    FeatureImportance,
    ImportanceWarning,
    IntegratedGradients,
    compute_importance,
)
from keras_importance.data.validation_data import ValidationData
from keras_importance.verdicts.useless_features import UselessFeatureDetector

RNG = np.random.default_rng(0)
N = 400
COMPLETE = RNG.standard_normal((N, 3)).astype("float32")
IS_MISSING = RNG.random(N) < 0.3
X = COMPLETE.copy()
X[IS_MISSING, 0] = np.nan
ZEROS = np.nan_to_num(X)
B = np.array([2.0, -1.0, 0.0], np.float32)
Y = (ZEROS @ B)[:, None]


class Zeros(keras.layers.Layer):
    """Puts 0 in the place of missing values."""

    def call(self, inputs):
        return keras.ops.where(keras.ops.isnan(inputs), 0.0, inputs)


def network(*, handles=True):
    inputs = keras.Input((3,))
    dense = keras.layers.Dense(1)
    model = keras.Model(inputs, dense(Zeros()(inputs) if handles else inputs))
    dense.set_weights([B[:, None], np.zeros(1, np.float32)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


def importances(data, method, model=None):
    (result,) = compute_importance(model or network(), data, methods=method).values()
    return result


@pytest.mark.usefixtures("random_donors")
def test_shuffling_a_column_with_missing_values_is_shuffling_what_the_model_makes_of_them():
    """Missing values are zeros to this model: shuffled with the others, they are those of a column of zeros."""
    found, expected = (importances((x, Y), "permutation") for x in (X, ZEROS))
    np.testing.assert_allclose(found.importances, expected.importances, rtol=1e-4, atol=1e-6)


def test_the_gradient_counts_the_spread_of_present_values():
    """The gradient is b where the value is present and 0 elsewhere, in units of sd of the present ones."""
    found = importances((X, Y), "gradient")
    present = X[~IS_MISSING, 0]
    expected = [2.0 * present.std() * (1 - IS_MISSING.mean()), COMPLETE[:, 1].std(), 0.0]
    np.testing.assert_allclose(found.importances_mean, expected, rtol=1e-4, atol=1e-6)
    assert not found.notes


def test_ablation_puts_the_mean_of_present_values_everywhere():
    """Squared error by hand: of b times the distance between the mean and what the model sees."""
    found = importances((X, Y), "ablation")
    mean = X[~IS_MISSING, 0].mean()
    expected = 4 * np.mean((ZEROS[:, 0] - mean) ** 2)
    np.testing.assert_allclose(found.importances_mean[0], expected, rtol=1e-4)


@pytest.mark.parametrize("method", ["conditional_permutation", "conditional_lofo"])
def test_other_columns_are_redrawn_as_from_complete_rows(method):
    """Independent columns: the redraw of x1 given the others depends on x0 only through noise."""
    found, complete = (importances((x, Y), method) for x in (X, COMPLETE))
    assert np.isfinite(found.importances_mean).all()
    np.testing.assert_allclose(found.importances_mean[1], complete.importances_mean[1], rtol=0.1)
    assert found.importances_mean[2] == pytest.approx(0, abs=1e-5)


def test_a_missing_value_is_redrawn_as_often_as_it_is_missing():
    """x0 is independent of the others: redrawn given them it is shuffled, missing values and all."""
    found = importances((X, Y), "conditional_permutation").importances_mean[0]
    expected = 2 * 4 * np.var(ZEROS[:, 0])
    assert found == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("method", [IntegratedGradients(), "linearised_permutation"])
def test_where_no_gradient_leads_from_or_to_a_missing_value_there_is_a_reason(method):
    found, complete = (importances((x, Y), method) for x in (X, COMPLETE))
    assert np.isnan(found.importances_mean[0])
    assert "missing (NaN)" in found.notes["x0"]
    assert list(found.notes) == ["x0"]
    np.testing.assert_allclose(found.importances_mean[1:], complete.importances_mean[1:], rtol=0.2)


def test_columns_with_missing_values_join_their_group():
    x = np.column_stack([X[:, 0], COMPLETE[:, 0] + 0.05 * COMPLETE[:, 1], COMPLETE[:, 2]])
    (result,) = compute_importance(
        network(), (x, Y), methods="permutation", features="correlated"
    ).values()
    assert result.feature_names == ("x0 + x1", "x2")


def test_a_category_of_0_1_and_missing_stays_one_of_the_three():
    """Redrawn, the column still holds 0, 1 and NaN alone: so its change is that of a shuffle."""
    is_one = (COMPLETE[:, 1] > 0).astype("float32")
    x = np.column_stack([np.where(IS_MISSING, np.nan, is_one), COMPLETE[:, 1:]])
    y = np.nan_to_num(x) @ B[:, None]
    found = importances((x, y), "conditional_permutation").importances_mean[0]
    seen = np.nan_to_num(x[:, 0])
    assert 0 < found < 2 * 4 * np.var(seen)


def test_a_training_judges_all_columns():
    """The ignored column is found, however many values another one lacks."""
    importance = FeatureImportance(detectors=UselessFeatureDetector(min_share=0.05), time_budget=None)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        network().fit(X, Y, validation_data=(X, Y), epochs=3, verbose=0, callbacks=[importance])  # fmt: skip
    messages = [str(one.message) for one in given if one.category is ImportanceWarning]
    assert not [one for one in messages if "failed" in one]
    assert importance.useless_features == ["x2"]


def test_spreads_are_those_of_the_present_values():
    spread = ValidationData.read((X, Y)).spreads[0]
    present = X[~IS_MISSING, 0].astype(np.float64)
    np.testing.assert_allclose(spread.mean[0], present.mean(), rtol=1e-6)
    np.testing.assert_allclose(spread.variance[0], present.var(), rtol=1e-6)


def test_a_model_that_makes_nan_of_missing_values_is_refused_outside_of_fit():
    with pytest.raises(
        ValueError,
        match=rf"compute_importance got NaN or infinite.*column 'x0' \({IS_MISSING.sum()} values",
    ):
        compute_importance(network(handles=False), (X, Y))


def test_a_training_whose_outputs_are_nan_goes_on_after_one_warning():
    importance = FeatureImportance()
    with pytest.warns(
        ImportanceWarning, match=r"can't evaluate this training, which goes on.*'x0'"
    ) as all_:
        network(handles=False).fit(
            COMPLETE, Y, validation_data=(X, Y), epochs=2, verbose=0, callbacks=[importance]
        )
    assert len([one for one in all_ if one.category is ImportanceWarning]) == 1
    assert importance.results == {}


def test_missing_targets_are_left_to_the_loss():
    targets = np.where(IS_MISSING[:, None], np.nan, Y)
    assert np.isnan(ValidationData.read((ZEROS, targets)).targets).sum() == IS_MISSING.sum()
