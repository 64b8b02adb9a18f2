"""Laws of the distances between sets of importances."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_importance.statistics import distances

values = arrays(np.float64, st.integers(3, 30), elements=st.floats(-1e3, 1e3, width=32))


@given(values)
def test_ranks_add_up_and_share_ties(sample):
    ranks = distances.ranks(sample)
    assert ranks.sum() == pytest.approx(len(sample) * (len(sample) + 1) / 2)
    for i, j in itertools.pairwise(range(len(sample))):
        assert (ranks[i] < ranks[j]) == (sample[i] < sample[j])


@given(values.filter(lambda sample: len(set(sample)) > 1))
def test_spearman_sees_order_alone(sample):
    assert distances.spearman(sample, sample) == pytest.approx(1)
    assert distances.spearman(sample, -sample) == pytest.approx(-1)
    assert distances.spearman(sample, np.arctan(sample / 1e3)) == pytest.approx(1)


def test_spearman_of_too_little_is_unknown():
    assert math.isnan(distances.spearman(np.array([1.0, 2.0]), np.array([1.0, 2.0])))
    assert math.isnan(distances.spearman(np.ones(5), np.arange(5.0)))


@given(values, st.floats(0.1, 100))
def test_jensen_shannon_is_bounded_symmetric_and_free_of_scale(sample, scale):
    other = sample[::-1]
    divergence = distances.jensen_shannon(sample, other)
    if math.isnan(divergence):
        assert not np.any(sample > 0)
        return
    assert 0 <= divergence <= 1
    assert divergence == pytest.approx(distances.jensen_shannon(other, sample))
    assert divergence == pytest.approx(distances.jensen_shannon(scale * sample, other), abs=1e-9)
    assert distances.jensen_shannon(sample, sample) == pytest.approx(0, abs=1e-9)


@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 4), st.integers(3, 9)),
        elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0, 3.0]),
    )
)
def test_many_are_compared_at_once_as_one_by_one(sample):
    for distance in (
        distances.spearman,
        distances.jensen_shannon,
        lambda first, second: distances.top_k_overlap(first, second, 2),
    ):
        one_by_one = [float(distance(sample[0], other)) for other in sample]
        assert distance(sample[0], sample) == pytest.approx(one_by_one, nan_ok=True)
    assert distances.ranks(sample) == pytest.approx(np.stack([distances.ranks(one) for one in sample]))


def test_jensen_shannon_of_disjoint_features_is_one_bit():
    assert distances.jensen_shannon(np.array([1.0, 0]), np.array([0, 2.0])) == pytest.approx(1)


def test_an_unknown_importance_is_in_no_top():
    unknown = np.array([math.nan, -1.0, -2.0])
    assert distances.top_k_overlap(unknown, np.array([1.0, -1.0, -2.0]), 1) == 0
    assert distances.top_k_overlap(unknown, unknown, 1) == 1


def test_top_k_overlap_counts_what_is_common():
    first, second = np.array([5.0, 4, 3, 2, 1]), np.array([5.0, 1, 4, 2, 3])
    assert distances.top_k_overlap(first, second, 1) == 1
    assert distances.top_k_overlap(first, second, 2) == 0.5
    assert distances.top_k_overlap(first, second, 5) == 1
