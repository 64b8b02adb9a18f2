"""Where a model is cut: what elements depend on, followed through layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_importance.data.features import FeatureSet
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.cut.cut import cuts
from keras_importance.engine.cut.dependence import Depends, dependence_after_move


def padded(values):
    return [keras.ops.pad(values[0], [(0, 0), (1, 0)])]


@pytest.mark.parametrize("padding", [Depends.ON_NOTHING, Depends.PADDING], ids=lambda p: p.name)
def test_padded_elements_get_the_value_for_padding(padding):
    given = np.array([3, Depends.ON_NOTHING, Depends.ON_OTHERS, 0])
    (after,) = dependence_after_move(padded, [given], padding)
    np.testing.assert_array_equal(after, [padding, *given])


def test_a_move_that_mixes_rows_has_no_dependence():
    assert dependence_after_move(lambda values: [values[0][:1]], [np.arange(3)]) is None
    pairs = [np.array([[0, 1], [1, 2]])]
    swapped = dependence_after_move(lambda values: [keras.ops.transpose(values[0], (1, 0, 2))], pairs)
    assert swapped is None


def cuts_of(layers, x):
    model = keras.Sequential([keras.Input(x.shape[1:]), *layers])
    data = ValidationData.read((x, np.zeros(len(x))), max_samples=None, input_names=["x"], seed=0)
    return cuts(model, data, FeatureSet.from_argument(None, data.columns))


def test_the_entry_lies_behind_the_first_layer_that_mixes_features(rng):
    """Rescaling keeps elements apart, the dense layer is updated, and the tail begins behind it."""
    layers = [keras.layers.Rescaling(2.0), keras.layers.Dense(4), keras.layers.Dense(1)]
    (cut,) = cuts_of(layers, rng.standard_normal((20, 3)).astype("float32"))
    (entry,) = cut.entries
    assert entry.form is not None
    np.testing.assert_array_equal(entry.dependence, [0, 1, 2])
    assert not cut.is_whole


def test_what_a_convolution_pads_counts_as_any_feature(rng):
    """The window of two steps of two columns has their elements one after another."""
    layers = [keras.layers.Conv1D(3, 2, padding="causal"), keras.layers.Flatten(), keras.layers.Dense(1)]
    (cut,) = cuts_of(layers, rng.standard_normal((20, 5, 2)).astype("float32"))
    (entry,) = cut.entries
    np.testing.assert_array_equal(entry.dependence, [0, 1, 0, 1])
