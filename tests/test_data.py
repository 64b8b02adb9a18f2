"""How anything that `fit` accepts becomes a fixed sample of rows."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_importance.data import ValidationData
from keras_importance.errors import InvalidArgumentError

X = np.arange(24.0).reshape(8, 3)
Y = np.arange(8.0)
W = np.linspace(1, 2, 8)
RAGGED = tf.ragged.constant([[1.0], [1.0, 2.0]])


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        rows = slice(2 * index, 2 * index + 2)
        return X[rows], Y[rows], W[rows]


SOURCES = {
    "arrays": (X, Y, W),
    "list": [X, Y, W],
    "tensors": (tf.constant(X), tf.constant(Y), tf.constant(W)),
    "dataframe": (pd.DataFrame(X), pd.Series(Y), pd.Series(W)),
    "tf.data": tf.data.Dataset.from_tensor_slices((X, Y, W)).batch(3),
    "PyDataset": Batches(),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_kind_of_source_reads_the_same_rows(source):
    data = ValidationData.read(source)
    assert data.inputs[0].dtype == np.float32
    np.testing.assert_array_equal(data.inputs[0], X)
    np.testing.assert_array_equal(data.targets, Y)
    np.testing.assert_allclose(data.weights, W)
    assert data.n_rows == data.n_available == 8


def test_columns_are_named_after_dataframe_columns():
    frame = pd.DataFrame(X, columns=["age", "bmi", 7])
    data = ValidationData.read((frame, Y))
    assert data.columns[0].columns == ("age", "bmi", "7")


def test_inputs_are_named_after_dict_keys_or_given_names():
    by_key = ValidationData.read(({"b": X, "a": Y}, Y))
    assert [one.name for one in by_key.columns] == ["a", "b"]
    assert [leaf.shape for leaf in by_key.inputs] == [(8,), (8, 3)]
    given_names = ValidationData.read(((X, Y), Y), input_names=["days", "price"])
    assert [one.name for one in given_names.columns] == ["days", "price"]
    nested = ValidationData.read(({"a": {"b": X}}, Y))
    assert [one.name for one in nested.columns] == ["a/b"]
    unnamed = ValidationData.read((X, Y), input_names=[None])
    assert [one.name for one in unnamed.columns] == ["input_0"]


def test_a_single_column_bears_the_name_of_its_input():
    """With one input of one column the column is the input; without a name it is x0."""
    assert ValidationData.read(({"temperature": Y}, Y)).columns[0].columns == ("temperature",)
    assert ValidationData.read((Y, Y), input_names=["wind"]).columns[0].columns == ("wind",)
    assert ValidationData.read((Y, Y), input_names=[None]).columns[0].columns == ("x0",)


def test_reading_a_shuffled_dataset_leaves_its_sisters_alone():
    """`take` and `skip` of one shuffled dataset share its random state."""

    def order(read):
        tf.random.set_seed(1)
        shuffled = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(8)
        if read:
            ValidationData.read(shuffled.take(4).batch(2))
        return [[y.numpy() for _, y in shuffled.skip(4)] for _ in range(3)]

    assert order(read=False) == order(read=True)


@pytest.mark.parametrize(
    "nest", [X, {"a": X, "b": Y}, [X, Y], {"a": [X, Y]}], ids=["array", "dict", "list", "nested"]
)
def test_packing_restores_the_nest(nest):
    data = ValidationData.read((nest, Y))
    packed = data.pack(data.inputs)
    keras.tree.assert_same_structure(nest, packed)
    for before, after in zip(keras.tree.flatten(nest), keras.tree.flatten(packed), strict=True):
        np.testing.assert_array_equal(before, after)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 7), st.integers(0, 1000))
def test_a_sample_is_without_replacement_in_order_and_seeded(n_rows, size, batch, seed):
    source = tf.data.Dataset.from_tensor_slices((np.arange(n_rows) * 1.0, np.arange(n_rows))).batch(
        batch
    )
    first, again = (ValidationData.read(source, max_samples=size, seed=seed) for _ in range(2))
    rows = first.inputs[0]
    assert len(rows) == min(n_rows, size)
    assert first.n_available == n_rows
    assert np.all(np.diff(rows) > 0)
    np.testing.assert_array_equal(rows, first.targets)
    np.testing.assert_array_equal(rows, again.inputs[0])


def test_the_sample_does_not_depend_on_the_batches():
    rows = np.arange(1000.0)
    by = {
        size: ValidationData.read(
            tf.data.Dataset.from_tensor_slices((rows, rows)).batch(size), max_samples=50
        ).inputs[0]
        for size in (7, 1000)
    }
    np.testing.assert_array_equal(by[7], by[1000])
    np.testing.assert_array_equal(by[7], ValidationData.read((rows, rows), max_samples=50).inputs[0])


def test_every_row_is_as_likely_to_be_sampled():
    """300 samples of 10 of 50 rows: each row is expected 60 times, sd 7."""
    counts = np.zeros(50)
    for seed in range(300):
        rows = ValidationData.read((np.arange(50.0),), max_samples=10, seed=seed)
        counts[rows.inputs[0].astype(int)] += 1
    assert counts.min() > 30
    assert counts.max() < 90


def test_an_endless_dataset_is_read_for_as_many_steps_as_fit_reads():
    endless = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2).repeat()
    assert ValidationData.read(endless, steps=3).n_rows == 6
    with pytest.raises(InvalidArgumentError, match=r"infinite.*take\(n\)"):
        ValidationData.read(endless)


def test_a_generator_is_refused_and_not_consumed():
    drawn = []

    def batches():
        while True:
            drawn.append(1)
            yield X, Y

    with pytest.raises(InvalidArgumentError, match=r"generator.*Pass validation_data="):
        ValidationData.read(batches())
    assert not drawn


def _with(value, at):
    changed = X.copy()
    changed[at] = value
    return changed


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ((X[:0], Y[:0]), "without a single row"),
        ((_with(np.nan, (2, 1)), Y), "NaN or infinite.*column 'x1'.*1 values"),
        ((_with(np.inf, (0, 0)), Y), "NaN or infinite.*column 'x0'"),
        ((X, np.where(Y == 3, np.nan, Y)), "NaN or infinite values in the targets"),
        ((X, Y[:5]), r"unequal numbers of rows \(x 8, y 5\)"),
        ((X, Y, W[:5]), "unequal numbers of rows"),
        ((X, Y, -W), "negative"),
        ((X, Y, 0 * W), "without a single row of weight above 0"),
        ((X, Y, np.ones((8, 2))), r"sample weights of shape \(8, 2\)"),
        (7, "type int"),
        ((3.0, 4.0), "single number or element"),
        ((pd.DataFrame({"a": [1, "x"] * 4}), Y), "mixed types"),
        ((RAGGED, Y[:2]), "rows differ in length"),
        (tf.data.Dataset.from_tensor_slices((X, Y)).batch(2).take(0), "without a single row"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusable_data_are_refused_with_the_reason(source, message):
    with pytest.raises(InvalidArgumentError, match=message):
        ValidationData.read(source)


# --- overlapping windows ------------------------------------------------------------------------


def _windows(n_steps, stride, n_rows=200, seed=0):
    series = np.random.default_rng(seed).standard_normal((n_rows * stride + n_steps, 2))
    view = np.lib.stride_tricks.sliding_window_view(series, n_steps, axis=0)[::stride][:n_rows]
    return view.transpose(0, 2, 1)


@pytest.mark.parametrize(("n_steps", "stride", "sharing"), [(12, 1, 12), (12, 3, 4), (12, 6, 2)])
def test_overlapping_windows_become_blocks_of_four_windows(n_steps, stride, sharing):
    x = _windows(n_steps, stride, n_rows=1000)
    data = ValidationData.read((x, np.zeros(len(x))))
    np.testing.assert_array_equal(data.blocks, np.arange(len(x)) // (4 * sharing))


def test_blocks_are_shorter_where_few_would_be_left():
    x = _windows(12, 1, n_rows=200)
    data = ValidationData.read((x, np.zeros(len(x))))
    np.testing.assert_array_equal(data.blocks, np.arange(len(x)) // 24)


def test_windows_of_a_dataset_make_the_same_blocks_as_of_an_array():
    x = _windows(12, 1)
    dataset = tf.data.Dataset.from_tensor_slices((x, np.arange(len(x)))).batch(3)
    for size in (None, 60):
        data = ValidationData.read(dataset, max_samples=size)
        np.testing.assert_array_equal(data.blocks, data.targets // 24)


def test_a_sample_does_not_depend_on_values_made_from_the_same_seed():
    """Uniform columns from `default_rng(0)`, sampled with seed 0: the mean of 2,000 stays near 0.5."""
    columns = np.random.default_rng(0).random((3, 8000)).T
    sample = ValidationData.read((columns, columns[:, 0]), max_samples=2000, seed=0).inputs[0]
    assert sample.mean(axis=0) == pytest.approx(0.5, abs=0.03)


def test_blocks_follow_the_rows_of_a_sample():
    x = _windows(12, 1)
    data = ValidationData.read((x, np.arange(len(x))), max_samples=40)
    np.testing.assert_array_equal(data.blocks, data.targets // 24)


@pytest.mark.parametrize(
    "x", [X, _windows(12, 12), np.zeros((50, 6, 2))], ids=["table", "apart", "constant"]
)
def test_separate_rows_have_no_blocks(x):
    assert ValidationData.read((x, np.zeros(len(x)))).blocks is None


def test_fewer_overlapping_windows_than_steps_are_refused():
    x = _windows(48, 1, n_rows=30)
    with pytest.raises(InvalidArgumentError, match=r"more steps than rows.*Pass more than 48 rows"):
        ValidationData.read((x, np.zeros(30)))
