"""Rows of unequal lengths become one array, padded as `padded_batch` pads them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_importance.data.validation_data import ValidationData
from keras_importance.errors import NotEvaluableError

RNG = np.random.default_rng(0)
LENGTHS = [3, 2, 5, 5, 1, 4, 4]
ROWS = [RNG.standard_normal((n, 2)).astype("float32") + 3 for n in LENGTHS]
LABELS = [RNG.integers(1, 4, (n, 1)) for n in LENGTHS]
BATCHES = [(0, 3), (3, 5), (5, 7)]


def filled(rows, length, value=0.0, *, before=False):
    """By hand: each row with the value before or behind its own steps."""
    whole = np.full((len(rows), length, rows[0].shape[1]), value, rows[0].dtype)
    for one, row in zip(whole, rows, strict=True):
        one[slice(length - len(row), None) if before else slice(len(row))] = row
    return whole


class Batches(keras.utils.PyDataset):
    """Batches as long as their longest rows."""

    def __init__(self, value=0.0, before=False, of_target=0):
        super().__init__()
        self.value, self.before, self.of_target = value, before, of_target

    def __len__(self):
        return len(BATCHES)

    def __getitem__(self, index):
        rows = slice(*BATCHES[index])
        length = max(LENGTHS[rows])
        x = filled(ROWS[rows], length, self.value, before=self.before)
        y = filled(LABELS[rows], length, self.of_target, before=self.before)
        weight = filled([np.ones((n, 1)) for n in LENGTHS[rows]], length, before=self.before)
        return {"seq": x, "flat": x[:, 0]}, y, weight[..., 0].mean(axis=1)


@pytest.mark.parametrize("value", [0.0, -1.0])
@pytest.mark.parametrize("before", [False, True], ids=["behind", "before"])
def test_all_batches_are_padded_to_the_longest_row_on_their_side(value, before):
    """Of targets the padding is what padded steps have in the batches: here -1."""
    data = ValidationData.read(Batches(value, before, of_target=-1), padding=[0.0, value])
    np.testing.assert_array_equal(data.inputs[1], filled(ROWS, 5, value, before=before))
    np.testing.assert_array_equal(data.targets, filled(LABELS, 5, -1, before=before))
    np.testing.assert_array_equal(data.steps[1], [5, 5, 5, 5, 5, 4, 4])
    assert data.steps[0] is None
    assert data.is_padded_before == before


def test_a_sample_of_padded_batches_does_not_depend_on_how_many_rows_are_kept():
    whole = ValidationData.read(Batches())
    part = ValidationData.read(Batches(), max_samples=3)
    for row, steps in zip(part.inputs[1], part.steps[1], strict=True):
        (index,) = [
            i for i, other in enumerate(whole.inputs[1]) if np.array_equal(other[: len(row)], row)
        ]
        assert whole.steps[1][index] == steps


def test_rows_of_the_same_data_are_joined_with_their_steps():
    data = ValidationData.read(Batches())
    both = data.only(np.array([0, 5])).followed_by(data.only(np.array([6])))
    np.testing.assert_array_equal(both.steps[1], [5, 4, 4])


@pytest.mark.parametrize("batched", [False, True], ids=["single rows", "batches"])
def test_ragged_tensors_know_the_steps_of_their_rows(batched):
    ragged = tf.RaggedTensor.from_row_lengths(np.concatenate(ROWS), LENGTHS)
    dataset = tf.data.Dataset.from_tensor_slices((ragged, np.arange(7.0)))
    source = dataset.batch(3) if batched else dataset
    data = ValidationData.read(source, padding=-7.0)
    np.testing.assert_array_equal(data.inputs[0], filled(ROWS, 5, -7.0))
    np.testing.assert_array_equal(data.steps[0], LENGTHS)


def test_texts_are_padded_with_empty_texts():
    ragged = tf.ragged.constant([["a"], ["b", "c"]])
    assert ValidationData.read((ragged, np.zeros(2))).inputs[0].tolist() == [[b"a", b""], [b"b", b"c"]]


def test_rows_of_different_ranks_have_no_common_shape():
    class Mixed(Batches):
        def __getitem__(self, index):
            return np.zeros((2, 3, 2)[: 3 - index % 2]), np.zeros(2)

    with pytest.raises(NotEvaluableError, match="differ in the shape of a row"):
        ValidationData.read(Mixed())
