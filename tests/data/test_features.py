"""How the `features` argument becomes features."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_importance.data.columns import InputColumns
from keras_importance.data.features import FeatureSet
from keras_importance.data.validation_data import ValidationData
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
    assert sorted(column for feature in features.features for column in feature.columns) == columns
    owners = features.of_columns()
    assert [len(of_input) for of_input in owners] == widths
    assert all(owners[i][c] == at for at, f in enumerate(features.features) for i, c in f.columns)


def test_a_list_of_names_for_a_dict_in_another_order_is_refused():
    """Keras sorts the keys of a dict, so the names would come to stand at the wrong columns."""
    with pytest.raises(InvalidArgumentError, match=r"keys Keras sorts: days, price"):
        FeatureSet.from_argument(["a", "b", "c"], MIXED, in_written_order=False)


# --- labels and positions ---------------------------------------------------------------------------


def frame(*labels):
    """The columns of a DataFrame with these labels, as validation data read them."""
    columns = pd.MultiIndex.from_tuples(labels) if isinstance(labels[0], tuple) else list(labels)
    table = pd.DataFrame(np.zeros((4, len(labels))), columns=columns)
    return ValidationData.read((table, np.zeros(4))).columns


def columns_of(members, inputs):
    features = FeatureSet.from_argument({"group": members}, inputs)
    return [c for f in features.features if f.name == "group" for c in f.columns]


LEVELS = frame(("red", 0), ("red", 1), ("blue", 0))
BESIDE = [
    InputColumns.labelled("a", [("b", 0), ("a", 0)]),
    InputColumns("b", ("x0", "x1")),
]


@pytest.mark.parametrize(
    ("members", "inputs", "positions"),
    [
        ([1, 2], frame(1, 2, 3), [0, 1]),
        (np.array([3]), frame(1, 2, 3), [2]),
        (pd.Index([2, 1]), frame(1, 2, 3), [1, 0]),
        (7, frame("a", "b", 7), [2]),
        (["1"], frame(1, 2, 3), [0]),
        (["1"], frame(1, "1"), [1]),
        ([2.0], frame(1.0, 2.0), [1]),
        ([1], frame("a", "b"), [1]),
        ([-1], frame("a", "b"), [1]),
        ([0, -1], frame(0, 1, 2), [0, 2]),
        ([(0, 2)], frame(1, 2, 3), [1]),
        ([("red", 1)], LEVELS, [1]),
        (("red", 1), LEVELS, [1]),
        ([("red", 1), ("blue", 0)], LEVELS, [1, 2]),
        ("red", LEVELS, [0, 1]),
        ([True], frame(True, False), [0]),
        ([1], frame(True, False), [1]),
        ([pd.Timestamp("2020-01-02")], frame(*pd.date_range("2020-01-01", periods=3)), [1]),
    ],
    ids=str,
)
def test_members_are_labels_and_positions_only_where_no_label_is_a_number(members, inputs, positions):
    assert columns_of(members, inputs) == [(0, position) for position in positions]


def test_a_label_is_enough_where_only_one_input_has_it():
    table = InputColumns.labelled("table", ["age", 5])
    inputs = [InputColumns("image", ("x0",)), table]
    assert columns_of(["age", 5], inputs) == [(1, 0), (1, 1)]
    assert columns_of(("table", 5), inputs) == [(1, 1)]
    assert columns_of(("table", "age"), inputs) == [(1, 0)]


@pytest.mark.parametrize(
    ("members", "inputs", "message"),
    [
        (
            [0],
            frame(1, 2, 3),
            "got 0 .*two ways: as a label, which no column has; or as a position, .*write 1 ",
        ),
        ([-1], frame(1, 2, 3), "as a position, that of the column labelled 3.*write 3 "),
        ([("input_0", 0)], frame(1, 2, 3), "got 0 .*two ways.*write 1 "),
        ([5], frame(1, 2, 3), r"got 5 .*no column. Pass the label of a column. Labels: 1, 2, 3\."),
        (
            [("a", 0)],
            BESIDE,
            r"two ways: as the label of a column of input 'a', which is written \('a', \('a', 0\)\); "
            r"or as \(input, column\), the column .*, which is written \('a', \('b', 0\)\)",
        ),
        (
            ("a", "b"),
            [InputColumns.labelled("t", ["a", "b", ("a", "b")])],
            r"two ways. Write \[\('a', 'b'\)\]",
        ),
        (["a"], frame("a", "b", "a"), "'a' .* the label of 2 columns, at the positions 0 and 2"),
        (
            ["age"],
            [InputColumns.labelled("t", ["age", "b"]), InputColumns.labelled("u", ["age", "c"])],
            r"several inputs. Write \('t', 'age'\) or \('u', 'age'\)",
        ),
        (["Agee"], frame("age", "bmi"), "no column. Did you mean 'age'?"),
    ],
    ids=str,
)
def test_a_member_that_is_unknown_or_can_be_read_in_two_ways_is_refused(members, inputs, message):
    with pytest.raises(InvalidArgumentError, match=message):
        columns_of(members, inputs)


def test_both_spellings_that_the_error_names_are_understood():
    assert columns_of([("a", ("a", 0))], BESIDE) == [(0, 1)]
    assert columns_of([("a", ("b", 0))], BESIDE) == [(0, 0)]


def test_columns_of_equal_labels_are_features_of_their_own():
    """`fit` takes such a frame, so every column is evaluated; the second is numbered as in pandas."""
    assert FeatureSet.from_argument(None, frame("a", "b", "a")).names == ("a", "b", "a.1")


def test_a_list_of_the_own_labels_in_another_order_renames_nothing():
    features = FeatureSet.from_argument(["b", "c", "a"], frame("a", "b", "c"))
    assert [(f.name, f.columns) for f in features.features] == [
        ("a", ((0, 0),)),
        ("b", ((0, 1),)),
        ("c", ((0, 2),)),
    ]
    assert FeatureSet.from_argument([2, 1], frame(1, 2)).names == ("1", "2")
    by_key = ValidationData.read(({"b": np.zeros(4), "a": np.zeros(4)}, np.zeros(4))).columns
    assert FeatureSet.from_argument(["b", "a"], by_key, in_written_order=False).names == ("a", "b")


def test_a_list_that_gives_a_column_the_label_of_another_is_refused():
    with pytest.raises(
        InvalidArgumentError, match="'b' for the column 'a', where another column is called 'b'"
    ):
        FeatureSet.from_argument(["b", "new", "c"], frame("a", "b", "c"))


def test_a_misspelt_keyword_gets_a_suggestion():
    with pytest.raises(InvalidArgumentError, match=r"Did you mean 'correlated'\?"):
        FeatureSet.from_argument("corelated", TABLE)
