"""Importances from held-out rows: closed forms of the standard error, and whether intervals cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_importance.statistics.cross_validation import FoldDifferences, left_out, left_out_of_sets
from keras_importance.statistics.quantiles import tail_quantile


def one_fold(values):
    """`(n_seeds, n_rows)` values of one feature, of rows that one fold holds out."""
    values = np.atleast_2d(np.asarray(values, float))
    return FoldDifferences(np.arange(values.shape[1]), values[None])


def in_parts(n_rows, n_folds, values):
    """Rows `0..n_rows` in folds, of one training each: `values(fold, rows)` of one feature."""
    parts = np.array_split(np.arange(n_rows), n_folds)
    return [FoldDifferences(rows, values(number, rows)[None, None]) for number, rows in enumerate(parts)]


def error_of(folds, **keywords):
    return float(left_out(folds, **keywords).std_error[0])


# --- closed forms -------------------------------------------------------------------------------


def test_one_training_has_the_error_of_a_mean_of_rows(rng):
    """Standard deviation over the square root of the number, with one degree of freedom less."""
    values = rng.standard_normal(50) + 1
    found = left_out([one_fold(values)])
    assert found.importances[0] == pytest.approx([values.mean()])
    assert found.std_error[0] == pytest.approx(values.std(ddof=1) / math.sqrt(50))
    assert found.degrees[0] == pytest.approx(49)


def test_seeds_that_shift_all_rows_add_their_variance(rng):
    """Rows r and seeds +d, -d: Var(r)/n, and of the mean of two seeds ((d² + d²) / 1) / 2 = d²."""
    rows, shift = rng.standard_normal(60), 0.7
    error = error_of([one_fold([rows + shift, rows - shift])])
    assert error**2 == pytest.approx(rows.var(ddof=1) / 60 + shift**2)


def test_seeds_that_differ_row_by_row_add_nothing_to_the_rows(rng):
    """Rows r + e and r - e with e that cancel: the mean of seeds is r, and both means agree."""
    rows, apart = rng.standard_normal((2, 60))
    apart -= apart.mean()
    error = error_of([one_fold([rows + apart, rows - apart])])
    assert error == pytest.approx(rows.std(ddof=1) / math.sqrt(60))


def test_the_spread_of_seeds_that_their_rows_explain_counts_once(rng):
    """Seeds of independent rows, as if of one long fold: s² / (n S), were they not told apart by chance.

    With 30 seeds of 200 rows chance moves the error by a tenth; counted twice it would be 1.41 times it.
    """
    values = rng.standard_normal((30, 200))
    assert error_of([one_fold(values)]) == pytest.approx(1 / math.sqrt(200 * 30), rel=0.2)


def test_folds_of_which_each_has_one_value_have_the_error_of_a_mean_of_folds():
    """Values 1, 2, 4, 9: the standard deviation of four numbers over 2, with 3 degrees of freedom."""
    of_folds = np.array([1.0, 2.0, 4.0, 9.0])
    found = left_out(in_parts(40, 4, lambda number, rows: np.full(len(rows), of_folds[number])))
    assert found.importances[0] == pytest.approx(of_folds)
    assert found.std_error[0] == pytest.approx(of_folds.std(ddof=1) / 2)
    assert found.degrees[0] == pytest.approx(3)


def test_folds_of_one_mean_have_the_error_of_all_their_rows(rng):
    """Nothing sets the folds apart: what is left is the standard deviation over sqrt n."""
    values = rng.standard_normal((4, 25))
    values -= values.mean(axis=1, keepdims=True)
    found = left_out(in_parts(100, 4, lambda number, rows: values[number]))
    assert found.std_error[0] == pytest.approx(values.std(ddof=1) / 10)


def test_leaving_one_row_out_has_the_error_of_a_mean_of_rows(rng):
    """Fifty folds of one row each."""
    values = rng.standard_normal(50)
    error = error_of(in_parts(50, 50, lambda number, rows: values[rows]))
    assert error == pytest.approx(values.std(ddof=1) / math.sqrt(50))


def test_folds_of_unequal_size_count_alike():
    """Means 1 and 3 of folds of 10 and 30 rows: the importance is 2."""
    folds = [
        FoldDifferences(np.arange(10), np.ones((1, 1, 10))),
        FoldDifferences(np.arange(10, 40), np.full((1, 1, 30), 3.0)),
    ]
    assert left_out(folds).importances.mean() == pytest.approx(2)


def test_rows_held_out_twice_count_once(rng):
    """Two folds that hold out the same rows with the same scores know no more than one."""
    once = one_fold(rng.standard_normal(80))
    assert error_of([once, once]) == pytest.approx(error_of([once]))


def test_trainings_that_are_scored_on_the_same_rows_add_their_variance(rng):
    """Rows r in each of 5 folds, moved by t: Var(r)/n + Var(t)/5, but for a share of 1/n."""
    rows, moved = rng.standard_normal(400), 0.3 * rng.standard_normal(5)
    folds = [FoldDifferences(np.arange(400), (rows + one)[None, None]) for one in moved]
    expected = rows.var(ddof=1) / 400 + moved.var(ddof=1) / 5
    assert error_of(folds) ** 2 == pytest.approx(expected, rel=1 / 100)


def test_order_is_folds_then_seeds(rng):
    """Means 10 · fold + seed."""
    folds = [
        FoldDifferences(
            rows, np.stack([np.full((1, 5), 10.0 * fold + seed) for seed in range(3)], axis=1)
        )
        for fold, rows in enumerate(np.arange(10).reshape(2, 5))
    ]
    assert left_out(folds).importances[0] == pytest.approx([0, 1, 2, 10, 11, 12])


# --- weights and blocks -------------------------------------------------------------------------


def test_a_row_of_weight_two_is_two_rows_of_one_block(rng):
    """The same importance, error and degrees of freedom."""
    values = rng.standard_normal((1, 3, 60))
    weights = rng.integers(1, 3, 60)
    copies = np.repeat(np.arange(60), weights)
    weighted = left_out([FoldDifferences(np.arange(60), values)], weights.astype(float))
    repeated = left_out(
        [FoldDifferences(np.arange(len(copies)), values[..., copies])],
        blocks=np.arange(60)[copies],
    )
    for name in ("importances", "std_error", "degrees"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name))


@given(st.floats(1e-3, 1e3))
def test_the_scale_of_weights_does_not_matter(scale):
    rng = np.random.default_rng(0)
    folds = in_parts(30, 3, lambda number, rows: rng.standard_normal(len(rows)))
    weights = rng.random(30) + 0.1
    for name in ("importances", "std_error"):
        first, second = (getattr(left_out(folds, one), name) for one in (weights, scale * weights))
        assert second == pytest.approx(first)


def test_blocks_of_one_row_are_rows(rng):
    folds = in_parts(30, 3, lambda number, rows: rng.standard_normal(len(rows)))
    assert error_of(folds, blocks=np.arange(100, 130)) == pytest.approx(error_of(folds))


def test_copies_of_rows_make_no_error_smaller(rng):
    """Each of 40 rows ten times, in blocks: the error is that of 40 rows."""
    values = rng.standard_normal(40)
    error = error_of([one_fold(np.repeat(values, 10))], blocks=np.repeat(np.arange(40), 10))
    assert error == pytest.approx(error_of([one_fold(values)]))


def test_a_block_that_folds_share_is_one():
    """Two blocks of values 1 and -1, one half of each in each fold: Var = ((1 + 1) / 4) · 2 / 1 = 1."""
    values = np.array([1.0, -1.0, 1.0, -1.0])
    folds = [FoldDifferences(rows, values[rows][None, None]) for rows in np.arange(4).reshape(2, 2)]
    assert error_of(folds, blocks=np.array([0, 1, 0, 1])) == pytest.approx(1)


def test_a_single_block_has_no_error(rng):
    assert math.isnan(error_of([one_fold(rng.standard_normal(20))], blocks=np.zeros(20, int)))


# --- failures -----------------------------------------------------------------------------------


def test_a_training_that_failed_leaves_the_other_features_as_they_are(rng):
    values = rng.standard_normal((3, 2, 40))
    broken = values.copy()
    broken[1, 0] = math.nan
    whole, found = (left_out([FoldDifferences(np.arange(40), one)]) for one in (values, broken))
    assert np.isnan(found.importances[1]).any()
    assert math.isnan(found.std_error[1])
    for name in ("importances", "std_error", "degrees"):
        assert np.array_equal(getattr(found, name)[[0, 2]], getattr(whole, name)[[0, 2]])


def test_a_feature_that_changes_nothing_is_zero_without_error():
    found = left_out(in_parts(30, 3, lambda number, rows: np.zeros(len(rows))))
    assert np.all(found.importances == 0)
    assert found.std_error[0] == 0


# --- coverage -----------------------------------------------------------------------------------


def simulated(n_folds, n_seeds, *, training, mixed, n_times=1, n_rows=200, n_replicates=1000):
    """Worsenings of mean 1 with rows of variance 1; replicates stand in the place of features.

    Args:
        n_folds: how many folds share the rows.
        n_seeds: trainings in each.
        training: variance of what each training adds to all rows, over that of a fold's mean by rows.
        mixed: standard deviation of what each training adds to each row.
        n_times: how many times all rows are held out, in other folds each time.
        n_rows: how many rows there are.
        n_replicates: how many replicates.
    """
    rng = np.random.default_rng([n_folds, n_seeds, n_times])
    of_rows = rng.standard_normal((n_replicates, 1, n_rows))
    folds = []
    for _ in range(n_times):
        for rows in np.array_split(rng.permutation(n_rows), n_folds):
            shape = (n_replicates, n_seeds)
            shift = math.sqrt(training / len(rows)) * rng.standard_normal((*shape, 1))
            noise = mixed * rng.standard_normal((*shape, len(rows)))
            folds.append(FoldDifferences(rows, 1 + of_rows[..., rows] + shift + noise))
    return folds


@pytest.mark.parametrize(
    ("n_folds", "n_seeds", "training", "mixed"),
    [
        (1, 1, 0, 0),
        (1, 3, 0, 0),
        (1, 3, 1, 0),
        (1, 3, 4, 0),
        (1, 3, 1, 2),
        (5, 1, 0, 0),
        (5, 1, 0.25, 0),
        (5, 1, 1, 0),
        (5, 1, 4, 0),
        (5, 3, 0, 0),
        (5, 3, 1, 0),
        (5, 3, 4, 0),
        (5, 3, 1, 2),
        (10, 1, 1, 0),
        (3, 1, 4, 0),
    ],
)
def test_intervals_cover(n_folds, n_seeds, training, mixed):
    """1000 replicates at 95%: their share has a standard error of 0.007, and lies within .92 and .98."""
    found = left_out(simulated(n_folds, n_seeds, training=training, mixed=mixed))
    assert 0.92 <= coverage(found) <= 0.98


@pytest.mark.parametrize("training", [0, 1, 4])
def test_intervals_cover_where_rows_are_held_out_several_times(training):
    """Three times five folds, as `RepeatedKFold` makes them."""
    found = left_out(simulated(5, 1, n_times=3, training=training, mixed=1))
    assert 0.92 <= coverage(found) <= 0.98


def coverage(found):
    quantiles = np.array([tail_quantile(0.025, one) for one in found.degrees])
    return np.mean(np.abs(found.importances.mean(axis=1) - 1) <= quantiles * found.std_error)


@pytest.mark.parametrize(("n_folds", "n_seeds"), [(2, 1), (1, 2), (2, 2), (5, 3)])
def test_there_is_at_least_one_degree_of_freedom(n_folds, n_seeds):
    """Fewer would be taken for a normal distribution, whose intervals are a sixth as wide."""
    found = left_out(simulated(n_folds, n_seeds, training=1000, mixed=0, n_replicates=200))
    assert np.all(found.degrees >= 1)


# --- one number for all rows --------------------------------------------------------------------


def test_a_metric_of_all_rows_has_the_error_of_a_mean_of_folds(rng):
    """Three seeds share the rows of a fold: their means are four independent numbers."""
    values = rng.standard_normal((2, 4, 3))
    found = left_out_of_sets(values.reshape(2, 12), n_folds=4)
    assert found.std_error == pytest.approx(values.mean(axis=2).std(axis=1, ddof=1) / 2)
    assert found.degrees == pytest.approx([3, 3])


def test_a_metric_of_all_rows_of_one_fold_has_the_error_of_a_mean_of_seeds(rng):
    values = rng.standard_normal((2, 9))
    found = left_out_of_sets(values)
    assert found.std_error == pytest.approx(values.std(axis=1, ddof=1) / 3)
    assert np.array_equal(found.importances, values)


def test_a_metric_of_all_rows_of_one_training_has_no_error():
    assert np.isnan(left_out_of_sets(np.ones((2, 1))).std_error).all()
