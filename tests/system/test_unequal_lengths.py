"""Sequences of unequal lengths in every loader: the numbers of the padded array, on every backend."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_importance import FeatureImportance, ImportanceWarning, compute_importance

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(2, 9, 96)
LENGTHS[-1] = 9
ROWS = [RNG.standard_normal((n, 3)).astype("float32") for n in LENGTHS]
Y = np.array([row[:, 0].sum() for row in ROWS], "float32")[:, None]
SIZE = 16


def filled(rows, value):
    whole = np.full((len(rows), max(map(len, rows)), 3), value, "float32")
    for one, row in zip(whole, rows, strict=True):
        one[: len(row)] = row
    return whole


def network(mask_value=0.0):
    """A recurrent network that reads `seq`; without a mask value it masks nothing."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, 3), name="seq")
    masked = inputs if mask_value is None else keras.layers.Masking(mask_value)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.GRU(4)(masked)))
    model.compile("adam", "mse")
    return model


class Batches(keras.utils.PyDataset):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def __len__(self):
        return len(ROWS) // SIZE

    def __getitem__(self, index):
        rows = slice(index * SIZE, (index + 1) * SIZE)
        return filled(ROWS[rows], self.value), Y[rows]


def _tf_data(value):
    spec = (tf.TensorSpec((None, 3)), tf.TensorSpec((1,)))
    rows = tf.data.Dataset.from_generator(lambda: zip(ROWS, Y, strict=True), output_signature=spec)
    return rows.padded_batch(SIZE, padding_values=(np.float32(value), np.float32(0)))


def _torch(value):
    torch = pytest.importorskip("torch")

    def collated(rows):
        x, y = zip(*rows, strict=True)
        return torch.tensor(filled(x, value)), torch.tensor(np.stack(y))

    dataset = list(zip(ROWS, Y, strict=True))
    return torch.utils.data.DataLoader(dataset, batch_size=SIZE, collate_fn=collated)


def _grain(value):
    grain = pytest.importorskip("grain")
    return grain.MapDataset.source(Batches(value))


LOADERS = {"PyDataset": Batches, "tf.data": _tf_data, "torch": _torch, "grain": _grain}


def importances(model, data):
    results = compute_importance(model, data, methods=["gradient", "permutation"])
    return np.stack([one.importances_mean for one in results.values()])


@pytest.mark.parametrize("value", [0.0, -5.0])
@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS)
def test_batches_as_long_as_their_longest_row_give_the_numbers_of_the_padded_array(loader, value):
    """The model masks the padding, so the length of a batch changes nothing."""
    model = network(value)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ImportanceWarning)
        found = importances(model, loader(value))
    np.testing.assert_allclose(found, importances(model, (filled(ROWS, value), Y)), rtol=1e-4)


def test_a_training_on_padded_batches_is_evaluated():
    importance = FeatureImportance(detectors=(), time_budget=None)
    model = network()
    data = _tf_data(0.0)
    model.fit(data, validation_data=data, verbose=0, callbacks=[importance])
    expected = importances(model, (filled(ROWS, 0.0), Y))
    found = np.stack([one.importances_mean for one in importance.results.values()])
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_a_model_that_masks_nothing_is_warned_of_once():
    """Its prediction for a row depends on how far the row is padded."""
    importance = FeatureImportance(detectors=(), time_budget=None)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        data = _tf_data(0.0)
        network(None).fit(data, validation_data=data, epochs=2, verbose=0, callbacks=[importance])
    messages = [str(one.message) for one in given if one.category is ImportanceWarning]
    assert len(messages) == 1
    assert "rows of unequal lengths. It pads to the longest row" in messages[0]
    assert "keras.layers.Masking(mask_value=0.0)" in messages[0]
    assert len(importance.history.epochs) == 2


def _tokens():
    ids = [RNG.integers(1, 9, n) for n in LENGTHS]
    return tf.RaggedTensor.from_row_lengths(np.concatenate(ids), LENGTHS)


def _bag(*, mask_zero):
    layers = keras.layers
    inputs = keras.Input((None,), dtype="int64")
    embedded = layers.Embedding(9, 4, mask_zero=mask_zero)(inputs)
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling1D()(embedded)))
    model.compile("adam", "mse")
    return model


def test_ragged_rows_are_evaluated_where_padding_changes_nothing():
    tokens = _tokens()
    model = _bag(mask_zero=True)
    found = compute_importance(model, (tokens, Y), methods="permutation")["permutation"]
    expected = compute_importance(model, (tokens.to_tensor(), Y), methods="permutation")["permutation"]
    np.testing.assert_array_equal(found.importances_mean, expected.importances_mean)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="fit itself pads ragged rows")
def test_a_training_on_ragged_rows_that_padding_changes_is_left_alone():
    """On TensorFlow the mean over the steps of a ragged row is that of its own steps."""
    tokens, importance = _tokens(), FeatureImportance()
    with pytest.warns(ImportanceWarning, match=r"can't evaluate this training.*ragged.*mask_zero=True"):
        _bag(mask_zero=False).fit(
            tokens, Y, validation_data=(tokens, Y), verbose=0, callbacks=[importance]
        )
    assert importance.results == {}
