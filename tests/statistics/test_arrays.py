"""Laws of weights, blocks and sums over groups."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keras_importance.statistics.arrays import group_sums, label_indices, n_blocks, unit_weights

positive = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30).map(np.array)


@given(positive)
def test_unit_weights_have_mean_1_and_keep_their_ratios(weights):
    unit = unit_weights(weights, len(weights))
    np.testing.assert_allclose(unit.mean(), 1.0)
    np.testing.assert_allclose(unit * weights[0], weights * unit[0])


def test_no_weights_are_all_1():
    np.testing.assert_array_equal(unit_weights(None, 3), [1.0, 1.0, 1.0])


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30).map(np.array))
def test_blocks_are_counted_once_whatever_their_labels(labels):
    assert n_blocks(labels) == len(set(labels.tolist())) == label_indices(labels)[1]


def test_independent_rows_have_no_blocks():
    assert n_blocks(None) is None


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-9, 9)), min_size=1, max_size=30))
def test_sums_over_groups_add_up_to_the_sum_of_all_values(pairs):
    group, values = (np.array(side) for side in zip(*pairs, strict=True))
    sums = group_sums(values[None].astype(float), group, 5)
    assert sums.shape == (1, 5)
    assert sums.sum() == values.sum()
