"""Folds: every way to say which rows are held out, and what can't be one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneOut,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)

from keras_importance.errors import InvalidArgumentError
from keras_importance.retraining.folds import Fold, among, folds


def held_out_counts(found, n_rows):
    return np.bincount(np.concatenate([one.held_out for one in found]), minlength=n_rows)


def same(first, second):
    return all(
        np.array_equal(a.training, b.training) and np.array_equal(a.held_out, b.held_out)
        for a, b in zip(first, second, strict=True)
    )


# --- a number of folds --------------------------------------------------------------------------

numbers = st.tuples(st.integers(2, 12), st.integers(0, 50), st.integers(0, 2**31)).map(
    lambda drawn: (drawn[0], drawn[0] + drawn[1], drawn[2])
)


@given(numbers)
def test_a_number_of_folds_holds_out_every_row_once(drawn):
    n_folds, n_rows, seed = drawn
    found = folds(n_folds, n_rows, seed=seed)
    assert len(found) == n_folds
    assert np.all(held_out_counts(found, n_rows) == 1)


@given(numbers)
def test_a_number_of_folds_trains_on_all_other_rows(drawn):
    n_folds, n_rows, seed = drawn
    for one in folds(n_folds, n_rows, seed=seed):
        assert np.array_equal(np.sort(np.concatenate([one.training, one.held_out])), np.arange(n_rows))


@given(numbers)
def test_a_number_of_folds_makes_sizes_that_differ_by_one_at_most(drawn):
    n_folds, n_rows, seed = drawn
    sizes = [len(one.held_out) for one in folds(n_folds, n_rows, seed=seed)]
    assert max(sizes) - min(sizes) <= 1


@given(numbers)
def test_the_same_seed_draws_the_same_folds(drawn):
    n_folds, n_rows, seed = drawn
    assert same(*(folds(n_folds, n_rows, seed=seed) for _ in range(2)))


@given(numbers, st.data())
def test_a_number_of_folds_parts_no_block(drawn, data):
    """Rows that depend on one another are held out together, each once."""
    n_folds, n_rows, seed = drawn
    blocks = np.array(data.draw(st.lists(st.integers(0, 20), min_size=n_rows, max_size=n_rows)))
    assume(len(np.unique(blocks)) >= n_folds)
    found = folds(n_folds, n_rows, blocks=blocks, seed=seed)
    assert np.all(held_out_counts(found, n_rows) == 1)
    assert all(not set(blocks[one.training]) & set(blocks[one.held_out]) for one in found)


def test_blocks_of_one_row_are_rows():
    assert same(folds(3, 10, blocks=np.arange(10), seed=0), folds(3, 10, seed=0))


def test_fewer_blocks_than_folds_are_refused():
    with pytest.raises(InvalidArgumentError, match="got 2 separate blocks of rows for cv=3 folds"):
        folds(3, 6, blocks=np.array([0, 0, 0, 1, 1, 1]), seed=0)


def test_another_seed_draws_other_folds():
    assert not same(*(folds(3, 100, seed=seed) for seed in (0, 1)))


def test_a_numpy_number_is_a_number_of_folds():
    assert same(folds(np.int64(3), 10, seed=0), folds(3, 10, seed=0))


# --- splitters ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cv",
    [
        KFold(4),
        KFold(4, shuffle=True, random_state=1),
        TimeSeriesSplit(4),
        ShuffleSplit(4, test_size=0.5, random_state=1),
        RepeatedKFold(n_splits=2, n_repeats=3, random_state=1),
        LeaveOneOut(),
    ],
    ids=repr,
)
def test_the_folds_of_a_splitter_are_its_own(cv):
    x = np.zeros((20, 2))
    expected = [Fold(*pair) for pair in cv.split(x)]
    assert same(folds(cv, 20, x=x, seed=0), expected)


def test_no_group_is_on_both_sides():
    groups = np.repeat(np.arange(6), 5)
    found = folds(GroupKFold(3), 30, x=np.zeros((30, 1)), groups=groups, seed=0)
    assert all(not set(groups[one.training]) & set(groups[one.held_out]) for one in found)
    assert np.all(held_out_counts(found, 30) == 1)


def test_rows_of_a_series_are_trained_on_before_those_that_are_held_out():
    found = folds(TimeSeriesSplit(3), 20, x=np.zeros((20, 1)), seed=0)
    assert all(one.training.max() < one.held_out.min() for one in found)


def test_a_row_may_be_held_out_more_than_once():
    """Four draws of half of 20 rows hold out 40: a row twice, on average."""
    found = folds(ShuffleSplit(4, test_size=0.5, random_state=0), 20, x=np.zeros((20, 1)), seed=0)
    assert held_out_counts(found, 20).sum() == 40
    assert held_out_counts(found, 20).max() > 1


def test_targets_reach_splitters_that_stratify():
    """Of 40 rows every fourth is of class 1: two of the eight in each of five folds."""
    y = np.tile([1, 0, 0, 0], 10)
    found = folds(StratifiedKFold(5), 40, x=np.zeros((40, 1)), y=y, seed=0)
    assert [int(y[one.held_out].sum()) for one in found] == [2] * 5


class Recording:
    """Holds out the first row, and keeps the rows that it was given."""

    def split(self, X, y=None, groups=None):  # noqa: N803
        self.given = X
        return [(np.arange(1, len(X)), [0])]


@pytest.mark.parametrize(
    ("x", "is_handed_on"),
    [(np.ones((5, 2)), True), ({"a": np.ones(5)}, False), ([np.ones(5), np.ones(5)], False), (None, False)],
    ids=["table", "dict of inputs", "list of inputs", "nothing"],
)  # fmt: skip
def test_a_splitter_gets_the_table_or_as_many_rows(x, is_handed_on):
    cv = Recording()
    folds(cv, 5, x=x, seed=0)
    assert (cv.given is x) == is_handed_on
    assert len(cv.given) == 5


# --- pairs --------------------------------------------------------------------------------------

# For each of 3 to 12 rows: 0 trained on, 1 held out, 2 neither.
parts = st.lists(st.sampled_from([0, 1, 2]), min_size=3, max_size=12).filter(lambda p: {0, 1} <= set(p))


@given(parts)
def test_pairs_of_row_numbers_are_taken_as_they_are(part):
    pair = (np.flatnonzero(np.equal(part, 0)), np.flatnonzero(np.equal(part, 1)))
    assert same(folds([pair], len(part), seed=0), [Fold(*pair)])


@given(parts)
def test_masks_are_the_rows_where_they_are_true(part):
    masks = (np.equal(part, 0), np.equal(part, 1))
    assert same(
        folds([masks], len(part), seed=0), folds([map(np.flatnonzero, masks)], len(part), seed=0)
    )


@given(parts)
def test_lists_are_as_good_as_arrays(part):
    pair = (np.flatnonzero(np.equal(part, 0)), np.flatnonzero(np.equal(part, 1)))
    as_lists = [tuple(rows.tolist() for rows in pair)]
    assert same(folds(as_lists, len(part), seed=0), folds([pair], len(part), seed=0))


def test_a_generator_of_pairs_is_read_to_its_end():
    x = np.zeros((12, 1))
    assert same(folds(KFold(3).split(x), 12, seed=0), folds(KFold(3), 12, x=x, seed=0))


def test_rows_may_be_trained_on_several_times():
    """As a bootstrap draws them."""
    (found,) = folds([([0, 0, 1], [2])], 3, seed=0)
    assert found.training.tolist() == [0, 0, 1]


# --- rows of weight 0 ---------------------------------------------------------------------------


@given(parts, st.data())
def test_rows_that_are_kept_are_the_same_rows_under_new_numbers(part, data):
    """Labels of all rows: those of the kept rows of a fold, whichever way they are numbered."""
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=len(part), max_size=len(part))))
    assume(all(kept[np.equal(part, side)].any() for side in (0, 1)))
    labels = np.arange(100, 100 + len(part))
    scheme = folds([(np.equal(part, 0), np.equal(part, 1))], len(part), seed=0)
    (found,) = among(scheme, kept)
    for side, rows in ((0, found.training), (1, found.held_out)):
        assert np.array_equal(labels[kept][rows], labels[kept & np.equal(part, side)])


def test_a_fold_of_which_no_rows_are_kept_is_refused():
    scheme = folds([([0, 1], [2])], 3, seed=0)
    with pytest.raises(InvalidArgumentError, match="no rows of a weight above 0 in a part of fold 0"):
        among(scheme, np.array([True, True, False]))


# --- what is no scheme --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (1, r"got cv=1\. Pass 2 folds or more"),
        (0, r"got cv=0\. Pass 2 folds or more"),
        (-3, r"got cv=-3\. Pass 2 folds or more"),
        (7, "got 6 rows for cv=7 folds. Pass more rows, or fewer folds"),
        (KFold(7), r"got cv=KFold\(n_splits=7.*can't split the 6 rows.*Pass more rows, fewer folds"),
        (KFold(7).split(np.zeros((6, 1))), "got cv=<generator .* fails when it is read .*Pass a list of"),
        (GroupKFold(2), r"got cv=GroupKFold.*groups.*groups= where it needs them, or another"),
        (StratifiedKFold(2), r"got cv=StratifiedKFold.*can't split the 6 rows"),
        (KFold, r"got the class KFold as cv\. Pass KFold\(\)"),
        (2.5, "got cv=2.5, a float without split. Pass a number of folds, a splitter"),
        (True, "got cv=True, a bool without split"),
        (None, "got cv=None, a NoneType without split"),
        ("kfold", "got cv='kfold', a str without split"),
        ({"n_splits": 3}, "got cv={'n_splits': 3}, a dict without split"),
        (object(), "object without split"),
        ([], r"got cv=\[\], which makes no fold"),
        ([([0, 1], [])], "got no held-out rows in fold 0 of cv"),
        ([([0, 1], [2]), ([], [2])], "got no training rows in fold 1 of cv"),
        ([(np.zeros(6, bool), np.ones(6, bool))], "got no training rows in fold 0 of cv"),
        ([([0, 1], [6])], "got held-out rows in fold 0 of cv that are no row numbers from 0 to 5"),
        ([([-1, 1], [2])], "got training rows in fold 0 of cv that are no row numbers from 0 to 5"),
        ([([0.0, 1.0], [2])], "got training rows in fold 0 of cv that are no row numbers"),
        ([(["a"], [2])], "got training rows in fold 0 of cv that are no row numbers"),
        ([([0, 1, 2], [2, 1])], "got 2 rows in fold 0 of cv that are trained on and held out"),
        ([(np.ones(5, bool), np.ones(7, bool))], r"shape \(5,\) and type bool.*a mask of 6 booleans"),
        ([([[0, 1]], [2])], r"got training rows of shape \(1, 2\).*Pass a list of row numbers"),
        ([(0, [1, 2])], r"got training rows of shape \(\).*Pass a list of row numbers"),
        (([0, 1, 2], [3, 4, 5]), "as fold 0 of cv. Pass pairs of row numbers"),
        ([([0], [1], [2])], "as fold 0 of cv. Pass pairs of row numbers"),
        ([3], "got 3 as fold 0 of cv. Pass pairs of row numbers"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_what_is_no_scheme_is_refused_with_what_to_do(cv, message):
    with pytest.raises(InvalidArgumentError, match=message):
        folds(cv, 6, seed=0)


@pytest.mark.parametrize("cv", [3, [([0, 1], [2])]], ids=["a number", "pairs"])
def test_groups_that_nothing_heeds_are_refused(cv):
    with pytest.raises(InvalidArgumentError, match=r"got groups and cv=.*Pass a splitter that does"):
        folds(cv, 6, groups=np.arange(6), seed=0)


def test_a_message_shows_a_long_fold_in_short():
    with pytest.raises(InvalidArgumentError) as caught:
        folds([list(range(10_000))], 10_000, seed=0)
    assert len(str(caught.value)) < 300
