"""The parts of features, and what they say of the features together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from keras_importance.methods.feature_parts import FeaturePart, FeatureValues, columns_of_parts
from keras_importance.statistics.influence import influence_standard_error


def part(features, score, influence):
    score = np.asarray(score, float)
    return FeaturePart(features, score, influence, by_step=score[None], direction=score)


def test_the_parts_of_a_feature_add_up_in_squares(rng):
    """By the chain rule `sqrt(a² + b²)` has the influence `(a · a_i + b · b_i) / sqrt(a² + b²)`."""
    influence = rng.standard_normal((50, 2))
    parts = [part([0], [3.0], influence[:, :1]), part([0], [4.0], influence[:, 1:])]
    values = FeatureValues.of(parts, 2, None)
    expected = influence_standard_error(influence @ [3.0, 4.0] / 5.0, None)
    assert values.score[0] == 5.0
    assert values.std_error[0] == pytest.approx(float(expected))
    assert math.isnan(values.direction[0])


def test_a_feature_without_parts_has_no_values(rng):
    values = FeatureValues.of([part([1], [2.0], rng.standard_normal((50, 1)))], 2, None)
    np.testing.assert_array_equal(values.score, [math.nan, 2.0])
    assert math.isnan(values.std_error[0])
    assert values.direction[1] == 2.0


def test_features_left_out_have_no_score(rng):
    whole = FeatureValues.of([part([0, 1], [1.0, 2.0], rng.standard_normal((50, 2)))], 2, None)
    left = whole.without([1])
    np.testing.assert_array_equal(left.score, [1.0, math.nan])
    assert left.std_error[0] == whole.std_error[0]
    assert math.isnan(left.std_error[1])
    assert whole.without([]).score.tolist() == [1.0, 2.0]


def test_columns_lie_by_part_and_those_of_no_gradient_are_zeros(rng):
    leaf = rng.standard_normal((5, 4, 3))
    members = [(0, ((0, 2), (1, 0))), (1, ((0, 1), (0, 0)))]
    columns = columns_of_parts([leaf, None], members, 5, 4)
    assert columns.shape == (5, 4, 2, 2)
    np.testing.assert_array_equal(columns[:, :, 0, 0], leaf[..., 2])
    np.testing.assert_array_equal(columns[:, :, 0, 1], 0)
    np.testing.assert_array_equal(columns[:, :, 1, 1], leaf[..., 0])
