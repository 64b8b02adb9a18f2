"""A result: what follows from its numbers, and which numbers it refuses."""

from __future__ import annotations

import dataclasses
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from results.generated_results import result, results, same

from keras_importance import ImportanceResult


def test_mean_std_interval_and_rank_follow_from_the_repeats():
    one = result()
    assert one.importances_mean == pytest.approx([3, 0, 2])
    assert one.importances_std == pytest.approx([1, 0, 1])
    assert one.ci_high - one.importances_mean == pytest.approx(one.importances_mean - one.ci_low)
    assert one.rank == pytest.approx([1, 3, 2])


@pytest.mark.parametrize(
    ("fields", "quantile"),
    [
        ({"n_samples": 1000}, 1.959964),
        ({"n_samples": 12}, 2.22814),
        ({"n_samples": 1000, "n_blocks": 12}, 2.22814),
        ({"n_samples": 1000, "error_source": "repeats"}, 12.7062),
    ],
    ids=["many rows", "few rows", "few blocks", "two repeats"],
)
def test_intervals_widen_where_the_error_rests_on_little(fields, quantile):
    """Student's t with two degrees less than the rows or blocks, or one less than the repeats."""
    one = result(**fields)
    assert one.ci_high - one.importances_mean == pytest.approx(quantile * 0.5, rel=1e-4)


def test_a_feature_without_a_number_has_no_rank():
    rank = result(importances=[[1.0], [math.nan], [2.0]]).rank
    assert rank == pytest.approx([2, math.nan, 1], nan_ok=True)


def test_a_result_cannot_be_changed():
    one = result()
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.epoch = 3
    with pytest.raises(ValueError, match="read-only"):
        one.importances[0] = 7
    with pytest.raises(TypeError):
        one.notes["x0"] = "changed"


def test_a_result_does_not_follow_its_makers_array():
    mine = np.ones((3, 1))
    one = result(importances=mine)
    mine[:] = 7
    assert one.importances_mean == pytest.approx([1, 1, 1])
    importances = np.ones((2, 1))
    direct = ImportanceResult(
        method="m",
        epoch=0,
        feature_names=("a", "b"),
        importances=importances,
        std_error=np.ones(2),
        baseline_score=0.0,
        metric="loss",
        n_samples=3,
    )
    importances[:] = 7
    assert direct.importances_mean == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("importances", np.ones((2, 1))),
        ("importances", np.ones(3)),
        ("std_error", np.ones(2)),
        ("direction", np.ones((3, 1))),
        ("by_step", np.ones((3, 2))),
    ],
)
def test_arrays_of_the_wrong_shape_are_refused(field, value):
    fields = {
        "importances": np.ones((3, 1)),
        "std_error": np.ones(3),
        "feature_names": ("a", "b", "c"),
        "baseline_score": 0.0,
        "metric": "loss",
        "n_samples": 3,
        field: value,
    }
    with pytest.raises(ValueError, match=f"'mine' returned {field} of shape .* for 3 features"):
        ImportanceResult(method="mine", epoch=0, **fields)


@given(results())
def test_a_pickled_result_is_the_same(one):
    assert same(one, pickle.loads(pickle.dumps(one)))


def test_what_is_not_said_was_scored_exactly_now_on_all_rows():
    one = result(epoch=7)
    assert one.obtained == ("exact",) * 3
    np.testing.assert_array_equal(one.exact_epoch, 7)
    np.testing.assert_array_equal(one.n_rows, one.n_samples)


@pytest.mark.parametrize("obtained", [("exact",), ("exact", "guessed", "exact")], ids=["few", "unknown"])
def test_ways_that_do_not_exist_are_refused(obtained):
    with pytest.raises(ValueError, match=r"returned obtained=.*for 3 features. Return one of exact"):
        result(obtained=obtained)
