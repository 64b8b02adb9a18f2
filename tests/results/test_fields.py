"""What a method computes arrives in the result; sets of features are told like features."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from saved_history import values

from keras_importance.results import ImportanceResult, JointImportance, Scores


def result(**changes):
    (permutation, _), _ = values()
    return ImportanceResult(**{**permutation, "explained": None, **changes})


def of(scores, previous=None, epoch=7):
    return ImportanceResult.of(
        scores,
        method="permutation",
        epoch=epoch,
        feature_names=("temperature", "wind", "rain"),
        n_samples=100,
        n_blocks=None,
        previous=previous,
    )


def test_every_field_of_the_scores_arrives_in_the_result():
    given = {field.name: getattr(result(), field.name) for field in dataclasses.fields(Scores)}
    arrived = of(Scores(**given))
    for name, value in given.items():
        np.testing.assert_array_equal(getattr(arrived, name), value, err_msg=name)


def test_what_the_scores_leave_unsaid_is_usual():
    """All features exactly, now, on all 100 rows; an error without a number, and 98 degrees of freedom."""
    usual = of(Scores(importances=np.ones((3, 2)), metric="loss"))
    assert usual.obtained == ("exact",) * 3
    assert (usual.n_samples, usual.n_repeats) == (100, 2)
    np.testing.assert_array_equal(usual.n_rows, 100)
    np.testing.assert_array_equal(usual.exact_epoch, 7)
    np.testing.assert_array_equal(usual.degrees, 98)
    assert np.isnan(usual.std_error).all()


@pytest.mark.parametrize("epoch", [7, None], ids=["in training", "outside"])
def test_a_feature_that_was_not_scored_exactly_keeps_its_last_exact_epoch(epoch):
    """The last exact epochs were 3, 1 and none; the carried feature keeps its 50 rows too."""
    scores = Scores(
        importances=np.ones((3, 1)),
        metric="loss",
        obtained=("exact", "carried", "screened"),
        n_samples=80,
    )
    later = of(scores, result(), epoch)
    np.testing.assert_array_equal(later.exact_epoch, [3 if epoch is None else epoch, 1, np.nan])
    np.testing.assert_array_equal(later.n_rows, [80, 50, 80])


def test_importances_of_the_wrong_shape_are_named_whatever_their_errors_come_from():
    with pytest.raises(ValueError, match=r"'permutation' returned importances of shape \(3,\)"):
        of(Scores(importances=np.ones(3), metric="loss", error_source="repeats"))


def test_a_set_of_one_has_the_interval_of_its_feature():
    one = result()
    joint = JointImportance(
        sets=tuple((name,) for name in one.feature_names),
        importances=one.importances,
        std_error=one.std_error,
        degrees=one.degrees,
        explained=None,
    )
    np.testing.assert_array_equal(joint.importances_mean, one.importances_mean)
    np.testing.assert_array_equal(joint.ci_low, one.ci_low)
    assert joint.is_exact.all()
    with pytest.raises(ValueError, match="read-only"):
        joint.importances[0] = 7
