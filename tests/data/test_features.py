"""How the `features` argument becomes features."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_importance.data.features import FeatureSet, InputColumns
from keras_importance.errors import InvalidArgumentError

TABLE = [InputColumns("input_0", ("age", "bmi", "bp"))]
MIXED = [InputColumns("days", ("x0", "x1")), InputColumns("price", ("x0",))]


def test_a_column_is_a_feature_by_default():
    features = FeatureSet.from_argument(None, TABLE)
    assert features.names == ("age", "bmi", "bp")
    assert [feature.columns for feature in features.features] == [((0, 0),), ((0, 1),), ((0, 2),)]


def test_columns_of_several_inputs_bear_their_inputs_name():
    assert FeatureSet.from_argument(None, MIXED).names == ("days/x0", "days/x1", "price")


def test_a_list_renames_the_columns():
    assert FeatureSet.from_argument(["a", "b", "c"], TABLE).names == ("a", "b", "c")
    assert FeatureSet.from_argument(np.array(["a", "b", "c"]), TABLE).names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("members", "inputs", "columns"),
    [
        (["bmi", "bp"], TABLE, ((0, 1), (0, 2))),
        ([1, -1], TABLE, ((0, 1), (0, 2))),
        ("bmi", TABLE, ((0, 1),)),
        (2, TABLE, ((0, 2),)),
        ([np.int64(2)], TABLE, ((0, 2),)),
        (("age", "bp"), TABLE, ((0, 0), (0, 2))),
        ([(0, 1)], TABLE, ((0, 1),)),
        ([("days", 1), "price"], MIXED, ((0, 1), (1, 0))),
        ([(0, "x1"), (1, 0)], MIXED, ((0, 1), (1, 0))),
        (["days"], MIXED, ((0, 0), (0, 1))),
        (("days", 1), MIXED, ((0, 1),)),
        (["days/x1"], MIXED, ((0, 1),)),
    ],
    ids=str,
)
def test_members_are_names_indices_or_pairs(members, inputs, columns):
    features = FeatureSet.from_argument({"group": members}, inputs)
    assert next(f for f in features.features if f.name == "group").columns == columns


def test_columns_outside_groups_stay_features():
    features = FeatureSet.from_argument({"body": ["bmi", "bp"]}, TABLE)
    assert features.names == ("age", "body")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (["a", "b"], "got 2 feature names for 3 input columns. Pass one name per column"),
        (["a", "a", "b"], "feature name 'a' more than once"),
        ({"a": []}, "empty group 'a'"),
        ({"a": [0, 1], "b": [1]}, "column 'bmi' in two groups, 'a' and 'b'"),
        ({"a": ["weight"]}, "got 'weight' in the group 'a', which is no column"),
        ({"a": [3]}, "got 3 in the group 'a'.*index from 0 to 2"),
        ({"a": [1.5]}, "got 1.5 in the group 'a'"),
        ({"age": ["bmi"]}, "feature name 'age' more than once"),
        ({"a": [True]}, "got True in the group 'a'"),
        ({"a": None}, "got None in the group 'a'"),
        ({"age", "bmi", "bp"}, "dict of groups"),
        ("age", "features='age'.*dict of groups"),
        (3, "features=3"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_features_are_refused_with_advice(argument, message):
    with pytest.raises(InvalidArgumentError, match=message):
        FeatureSet.from_argument(argument, TABLE)


def test_an_index_without_its_input_is_refused_where_there_are_several():
    with pytest.raises(
        InvalidArgumentError, match=r"With several inputs, pass a column's name or \(input, index\)"
    ):
        FeatureSet.from_argument({"a": [0]}, MIXED)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_every_column_belongs_to_exactly_one_feature(widths, data):
    inputs = [
        InputColumns(f"in{i}", tuple(f"x{c}" for c in range(width))) for i, width in enumerate(widths)
    ]
    columns = [(i, c) for i, width in enumerate(widths) for c in range(width)]
    chosen = data.draw(st.lists(st.sampled_from(columns), unique=True, max_size=4))
    groups = {"g": chosen} if chosen else None
    features = FeatureSet.from_argument(groups, inputs)
    masks = features.memberships()
    assert all((mask.sum(axis=0) == 1).all() for mask in masks)
    assert sum(mask.sum() for mask in masks) == len(columns)
    assert [mask.shape for mask in masks] == [(len(features), width) for width in widths]


def test_a_list_of_names_for_a_dict_in_another_order_is_refused():
    """Keras sorts the keys of a dict, so the names would come to stand at the wrong columns."""
    with pytest.raises(InvalidArgumentError, match=r"keys Keras sorts: days, price"):
        FeatureSet.from_argument(["a", "b", "c"], MIXED, in_written_order=False)
