"""How anything that `fit` accepts becomes a fixed sample of rows."""

from __future__ import annotations

import tracemalloc
from functools import cache

import keras
import numpy as np
import pandas as pd
import polars
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_importance import FeatureImportance
from keras_importance.data.validation_data import ValidationData
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


# --- tf.data ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "nest", [(X, Y, W), ({"a": X, "b": X[:, :2]}, X), (X, X[:, :1])], ids=["number", "dict", "lengths"]
)
def test_single_rows_of_a_dataset_are_put_into_batches(nest):
    rows = tf.data.Dataset.from_tensor_slices(nest)
    single, together = ValidationData.read(rows), ValidationData.read(nest)
    for one, other in zip(single.inputs, together.inputs, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(single.targets, together.targets)


@pytest.mark.parametrize(
    "change",
    [lambda ds: ds.cache(), lambda ds: ds.prefetch(2), lambda ds: ds.unbatch().batch(5), lambda ds: ds.shuffle(3)],
    ids=["cached", "prefetched", "batched anew", "shuffled"],
)  # fmt: skip
def test_a_dataset_made_from_others_gives_the_same_rows(change):
    data = ValidationData.read(change(tf.data.Dataset.from_tensor_slices((X, Y, W)).batch(3)))
    order = np.argsort(data.targets)
    np.testing.assert_array_equal(data.inputs[0][order], X)
    np.testing.assert_allclose(data.weights[order], W)


def test_sparse_rows_are_read_as_dense_ones():
    eye = tf.sparse.from_dense(np.eye(8))
    data = ValidationData.read(tf.data.Dataset.from_tensor_slices((eye, Y)).batch(3))
    np.testing.assert_array_equal(data.inputs[0], np.eye(8))


@pytest.mark.parametrize(
    "dataset",
    [
        tf.data.Dataset.from_tensor_slices((RAGGED, Y[:2])).batch(2),
        tf.data.Dataset.from_tensor_slices((RAGGED, Y[:2])),
        tf.data.Dataset.from_tensor_slices((RAGGED, Y[:2])).map(lambda x, y: (x.to_tensor() if hasattr(x, "to_tensor") else x, y)),
        tf.data.Dataset.from_tensor_slices((RAGGED, Y[:2])).batch(1).map(lambda x, y: (x.to_tensor(), y)),
    ],
    ids=["ragged", "single", "unequal", "padded by batch"],
)  # fmt: skip
def test_shorter_rows_are_padded_behind(dataset):
    """Rows of one and of two steps: both have two, the first of them a zero."""
    data = ValidationData.read(dataset)
    np.testing.assert_array_equal(data.inputs[0], [[1, 0], [1, 2]])
    np.testing.assert_array_equal(data.targets, Y[:2])
    if data.steps[0] is not None:
        np.testing.assert_array_equal(data.steps[0], [1, 2])


# --- pandas -------------------------------------------------------------------------------------


FRAME = pd.DataFrame(
    {
        "float": X[:, 0],
        "int": np.arange(8),
        "bool": Y > 3,
        "Int64": pd.array(range(8), dtype="Int64"),
        "Float64": pd.array(Y / 8, dtype="Float64"),
        "boolean": pd.array(Y > 5, dtype="boolean"),
        "rank": pd.Categorical([3, 1, 2, 3, 1, 2, 3, 1]),
        "object": pd.Series([1, 2.5, True, 4, 5, 6, 7, 8], dtype=object),
        "text": list("abcdabcd"),
        "letter": pd.Categorical(list("abcdabcd")),
        "day": pd.date_range("2020-01-01", periods=8),
        "some": pd.array([1, None, 3, 4, 5, 6, 7, 8], dtype="Int64"),
        "none": pd.Series([1, 2, 3, None, 5, 6, 7, 8], dtype=object),
        "gap": ["a", None] * 4,
    }
)  # fmt: skip
NUMBERS = ["float", "int", "bool", "Int64", "Float64", "boolean", "rank", "object"]


def test_columns_of_numbers_of_every_type_become_one_array():
    data = ValidationData.read((FRAME[NUMBERS], Y))
    expected = np.column_stack([FRAME[name].astype(float) for name in NUMBERS])
    np.testing.assert_array_equal(data.inputs[0], expected.astype("float32"))
    assert data.columns[0].columns == tuple(NUMBERS)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_series_is_a_column_of_the_same_values(name):
    """`fit`, too, makes `(n_rows, 1)` of a Series among the inputs."""
    data = ValidationData.read(({"a": FRAME[name], "b": X}, FRAME[name]))
    assert data.inputs[0].shape == (8, 1)
    np.testing.assert_allclose(data.inputs[0][:, 0], FRAME[name].astype(float))
    np.testing.assert_allclose(data.targets, FRAME[name].astype(float))


def test_a_table_of_texts_keeps_them():
    data = ValidationData.read((FRAME[["text", "text"]], FRAME["text"]))
    assert data.inputs[0].tolist() == [[one, one] for one in "abcdabcd"]
    assert data.targets.tolist() == list("abcdabcd")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["float", "text"], r"text beside numbers, in column 'text'\. Pass a dict with one array per column"),
        (["float", "letter"], r"column 'letter' of categories that are no numbers.*\.cat\.codes"),
        (["float", "day"], r"column 'day' of type datetime64.*Convert it to numbers"),
        (["text", "gap"], r"missing values in the validation data, in column 'gap' \(4 values\)"),
    ],
    ids=["text", "category", "date", "missing text"],
)  # fmt: skip
def test_columns_that_are_no_numbers_are_named(columns, message):
    with pytest.raises(InvalidArgumentError, match=message):
        ValidationData.read((FRAME[columns], Y))
    if "text" not in columns:
        with pytest.raises(InvalidArgumentError, match=message[:40]):
            ValidationData.read(({name: FRAME[name] for name in columns}, Y))


def test_missing_numbers_of_every_type_are_nan():
    data = ValidationData.read((FRAME[["none", "some"]], FRAME["some"]))
    assert np.isnan(data.inputs[0]).sum(axis=0).tolist() == [1, 1]
    assert np.isnan(data.targets).sum() == 1
    assert data.missing == {(0, 0): 1, (0, 1): 1}


def test_polars_is_read_like_pandas():
    frame = polars.DataFrame({"a": Y, "b": np.arange(8)})
    data = ValidationData.read((frame, polars.Series(Y)))
    np.testing.assert_array_equal(data.inputs[0], np.column_stack([Y, np.arange(8)]))
    assert data.columns[0].columns == ("a", "b")


# --- classes ------------------------------------------------------------------------------------


LABELS = np.repeat([0, 1, 2], [70, 25, 5])
TARGETS = {
    "whole": LABELS,
    "column": LABELS[:, None].astype("float32"),
    "bool": LABELS > 0,
    "text": np.array(["no", "yes", "perhaps"])[LABELS],
    "one-hot": np.eye(3)[LABELS],
}


def _as_labels(targets):
    if targets.ndim == 2:
        targets = targets.argmax(axis=1) if targets.shape[1] > 1 else targets[:, 0]
    return np.unique(targets, return_inverse=True)[1]


@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_each_class_has_its_share_of_the_sample(targets):
    """20 of 100 rows: a fifth of each class."""
    data = ValidationData.read((np.arange(100.0), targets), max_samples=20)
    np.testing.assert_array_equal(
        np.bincount(_as_labels(data.targets)) * 5, np.bincount(_as_labels(targets))
    )
    assert np.all(np.diff(data.inputs[0]) > 0)


def test_shares_are_rounded_by_largest_remainders():
    """10 of 70, 25 and 5 rows: 7, 2.5 and 0.5, of which one of the halves is rounded up by chance."""
    counts = {
        tuple(np.bincount(ValidationData.read((LABELS, LABELS), max_samples=10, seed=seed).targets, minlength=3))
        for seed in range(20)
    }  # fmt: skip
    assert counts == {(7, 3, 0), (7, 2, 1)}


@pytest.mark.parametrize(
    "targets",
    [np.arange(5000) % 101, np.linspace(0, 1, 5000), np.r_[np.arange(4000) % 3, np.full(1000, 0.5)], np.ones((5000, 2)), None],
    ids=["many", "numbers", "numbers at the end", "labels", "none"],
)  # fmt: skip
def test_what_are_no_classes_is_sampled_as_without_targets(targets):
    rows = np.arange(5000.0)
    source = rows if targets is None else (rows, targets)
    expected = ValidationData.read(rows, max_samples=300).inputs[0]
    batched = tf.data.Dataset.from_tensor_slices(source).batch(700)
    for one in (source, batched):
        np.testing.assert_array_equal(ValidationData.read(one, max_samples=300).inputs[0], expected)


@pytest.mark.parametrize("order", ["sorted", "mixed"])
@pytest.mark.parametrize("n_classes", [2, 90])
def test_the_sample_of_classes_does_not_depend_on_the_batches(order, n_classes):
    """Of classes that come one after the other, too, and of rare ones."""
    rng = np.random.default_rng(1)
    labels = (n_classes * rng.random(20000) ** 3).astype(int)
    labels = np.sort(labels) if order == "sorted" else labels
    rows = np.arange(20000.0)
    expected = ValidationData.read((rows, labels), max_samples=400)
    for size in (50, 7001):
        batched = tf.data.Dataset.from_tensor_slices((rows, labels)).batch(size)
        found = ValidationData.read(batched, max_samples=400)
        np.testing.assert_array_equal(found.inputs[0], expected.inputs[0])
    exact = np.bincount(labels) * 400 / 20000
    assert np.all(np.abs(np.bincount(expected.targets, minlength=len(exact)) - exact) < 1)


def test_means_over_a_sample_of_classes_are_unbiased_and_their_errors_conservative():
    """Values whose class explains half of their variance: the error of the mean is sqrt(1/2) of the naive one.

    600 samples of 50 of 5,000 rows: the mean of means is off by 2.4% of its sd at 1 sigma, and the
    finite-population factor is sqrt(0.99).
    """
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=5000)
    values = 2.0 * labels + rng.standard_normal(5000)
    samples = [
        ValidationData.read((values, labels), max_samples=50, seed=seed).inputs[0] for seed in range(600)
    ]
    means, naive = np.mean(samples, axis=1), np.std(samples, axis=1, ddof=1).mean() / np.sqrt(50)
    assert abs(means.mean() - values.mean()) < 4 * means.std() / np.sqrt(600)
    assert means.std() / naive == pytest.approx(np.sqrt(0.5), rel=0.15)


@pytest.mark.parametrize("n_classes", [1, 10], ids=["plain", "classes"])
def test_more_rows_than_fit_into_memory_need_a_few_times_the_sample(n_classes):
    """200,000 rows of 100 floats, of which 2,000 are kept: 80 MB read, 0.8 MB returned."""

    class Endless(keras.utils.PyDataset):
        def __len__(self):
            return 200

        def __getitem__(self, index):
            x = np.full((1000, 100), index, "float32")
            y = np.arange(1000) % 10 if n_classes > 1 else np.linspace(0, 1, 1000)
            return x, y

    tracemalloc.start()
    data = ValidationData.read(Endless(), max_samples=2000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.n_rows == 2000
    assert data.n_available == 200_000
    assert peak < 8 * data.inputs[0].nbytes


# --- what fit is told about its validation --------------------------------------------------------


def _importances(x, y, *, rate=0.0, own=None, inputs=None, **fit):
    """`(n_epochs, n_methods, n_features)` importances to a model that learns at a rate, by default nothing."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,)) if inputs is None else inputs
    joined = keras.layers.Concatenate()(list(inputs.values())) if isinstance(inputs, dict) else inputs
    model = keras.Model(inputs, keras.layers.Dense(1)(joined))
    model.compile(keras.optimizers.SGD(rate), "mse")
    importance = FeatureImportance(own, detectors=(), time_budget=None)
    model.fit(x, y, epochs=2, shuffle=False, verbose=0, callbacks=[importance], **fit)
    history = importance.history
    return np.stack([[one.importances_mean for one in history.at(epoch)] for epoch in history.epochs])


def test_class_weights_of_fit_are_ignored():
    """They weigh the training alone; what a model that learns nothing uses is the same with them."""
    labels = (Y > 3).astype("float32")
    given = {"validation_data": (X, labels)}
    with_weights = _importances(X, labels, class_weight={0: 1.0, 1: 9.0}, **given)
    np.testing.assert_array_equal(with_weights, _importances(X, labels, **given))


def test_validation_freq_leaves_no_epoch_out():
    given = {"validation_data": (X, Y), "rate": 1e-4}
    seldom = _importances(X, Y, validation_freq=2, **given)
    assert len(seldom) == 2
    np.testing.assert_allclose(seldom, _importances(X, Y, **given), atol=1e-6)


def test_arrays_are_used_whole_however_fit_cuts_them():
    """With `validation_steps`, `fit` takes other batches of arrays each epoch; we take all rows."""
    cut = {"validation_data": (X, Y, W), "validation_steps": 2, "validation_batch_size": 2}
    np.testing.assert_allclose(_importances(X, Y, **cut), _of_weighted_arrays(), atol=1e-6)


@pytest.mark.parametrize("kind", ["dataframe", "tf.data", "PyDataset"])
def test_sample_weights_of_every_source_count(kind):
    found = _importances(X, Y, own=SOURCES[kind])
    np.testing.assert_allclose(found, _of_weighted_arrays(), atol=1e-6)
    assert np.abs(found - _of_arrays()).max() > 1e-3


@cache
def _of_weighted_arrays():
    return _importances(X, Y, own=(X, Y, W))


@cache
def _of_arrays():
    return _importances(X, Y, own=(X, Y))


def test_rows_that_fit_splits_off_a_dataframe_are_those_of_the_array():
    frame = pd.DataFrame({"a": X[:, 0], "b": np.arange(8), "c": Y > 3})
    values = frame.to_numpy(dtype="float32")
    found = _importances(frame, pd.Series(Y), validation_split=0.75)
    np.testing.assert_allclose(found, _importances(values, Y, validation_split=0.75), atol=1e-6)


def test_columns_of_a_dataframe_as_a_dict_of_inputs_are_those_of_arrays():
    frame = pd.DataFrame(X, columns=["c", "a", "b"])
    inputs = {name: keras.Input((1,), name=name) for name in frame}
    series = {name: frame[name] for name in frame}
    arrays = {name: frame[name].to_numpy()[:, None] for name in frame}
    found = _importances(series, frame["a"], inputs=inputs, validation_data=(series, frame["a"]))
    expected = _importances(arrays, X[:, 1], inputs=inputs, validation_data=(arrays, X[:, 1]))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_endless_dataset_counts_for_the_steps_that_fit_takes():
    endless = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2).repeat()
    found = _importances(X, Y, validation_data=endless, validation_steps=3)
    np.testing.assert_allclose(found, _importances(X, Y, own=(X[:6], Y[:6])), atol=1e-6)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ((X[:0], Y[:0]), "without a single row"),
        ((X, Y[:5]), r"unequal numbers of rows \(x 8, y 5\)"),
        ((X, Y, W[:5]), "unequal numbers of rows"),
        ((X, Y, -W), "negative"),
        ((X, Y, 0 * W), "without a single row of weight above 0"),
        ((X, Y, np.ones((7, 2))), r"unequal numbers of rows"),
        (7, "type int"),
        ((3.0, 4.0), "single number or element"),
        ((pd.DataFrame({"a": [1, "x"] * 4}), Y), "mixed types"),
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


def test_no_weights_for_a_row_are_the_wrong_number_of_weights():
    with pytest.raises(ValueError, match="sample_weight 0"):
        ValidationData.read((np.ones((1, 2), "float32"), np.ones(1, "float32"), np.empty(0)))


def test_no_weights_at_all_of_texts_are_refused_by_what_they_are():
    with pytest.raises(ValueError, match="got"):
        ValidationData.read((np.empty((0, 2), "float32"), np.empty(0), np.empty(0, "<U3")))
