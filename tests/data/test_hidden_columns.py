"""Rows without a column."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_importance.data.hidden_columns import HiddenColumns, usual_values, without_columns
from keras_importance.data.validation_data import ValidationData


@pytest.mark.parametrize(
    ("column", "usual"),
    [
        (np.array([1.0, 2.0, 6.0], "float32"), 3.0),
        (np.array([4, 7, 7, 9]), 7),
        (np.array(["a", "b", "b"], object), "b"),
        (np.array([True, True, False]), True),
    ],
    ids=["floats", "whole numbers", "texts", "booleans"],
)
def test_the_usual_value_is_the_mean_or_the_most_frequent(column, usual):
    found = usual_values(column[:, None], np.array([column.dtype.kind != "f"]))
    assert found.tolist() == [usual]
    assert found.dtype == column.dtype


def test_a_column_is_masked_in_every_step_and_the_others_stay(rng):
    x = {"series": rng.standard_normal((20, 3, 2)).astype("float32"), "flat": np.arange(20) % 3}
    data = ValidationData.read((x, np.zeros(20)))
    place = [one.name for one in data.columns].index("series")
    masks = HiddenColumns.of(data, [(), ((place, 1),), ((1 - place, 0),)])
    whole, series, flat = (data.pack(masks.applied(number, data).inputs) for number in range(3))
    assert all(np.array_equal(whole[name], x[name]) for name in x)
    assert np.array_equal(series["series"][..., 0], x["series"][..., 0])
    assert np.array_equal(series["flat"], x["flat"])
    np.testing.assert_allclose(series["series"][..., 1], x["series"][..., 1].mean(), rtol=1e-5)
    assert set(flat["flat"].tolist()) == {0}
    assert np.array_equal(flat["series"], x["series"])


def test_a_column_that_is_dropped_leaves_the_others_with_their_names(rng):
    data = ValidationData.read(
        (pd.DataFrame(rng.standard_normal((5, 3)), columns=list("abc")), np.zeros(5))
    )
    left = without_columns(data, ((0, 1),))
    assert np.array_equal(left.inputs[0], data.inputs[0][:, [0, 2]])
    assert left.columns[0].columns == ("a", "c")
