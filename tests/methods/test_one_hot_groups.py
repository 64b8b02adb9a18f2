"""One-hot blocks: named after their categories, and one-hot in every redraw."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from keras_importance import compute_importance
from keras_importance.data.named_features import named_features
from keras_importance.data.validation_data import ValidationData
from keras_importance.methods.redrawing import conditional_replacement

N = 120
COLOURS = np.array(["red", "green", "blue"])


def dummies(rng):
    colour = COLOURS[rng.integers(3, size=N)]
    return pd.get_dummies(pd.DataFrame({"colour": colour, "size": rng.standard_normal(N)}))


BLOCKS = {
    "zeros and ones": lambda rng: (np.eye(3)[rng.integers(3, size=N)], [0, 1, 2]),
    "beside a category that no row has": lambda rng: (np.eye(4)[rng.integers(3, size=N)], [0, 1, 2, 3]),
    "at each step": lambda rng: (np.eye(3)[rng.integers(3, size=(N, 5))], [0, 1, 2]),
    "pandas.get_dummies": lambda rng: (
        dummies(rng),
        ["colour_blue", "colour_green", "colour_red"],
    ),
}


@pytest.mark.parametrize("make", BLOCKS.values(), ids=BLOCKS)
def test_a_one_hot_group_is_one_hot_in_every_conditional_redraw(make, rng):
    """Each draw takes all columns of the group from one row, so each row keeps a single 1."""
    block, members = make(rng)
    data = ValidationData.read((block, np.zeros(N)))
    features = named_features({"colour": members}, data)
    group = next(feature for feature in features.features if feature.name == "colour")
    replacement = conditional_replacement(data, features, 4)
    columns = [column for _, column in group.columns]
    drawn = replacement.kept[0][..., columns]
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert np.all(drawn.sum(axis=-1) == 1)
    assert not replacement.donated[0][..., columns].any()


def test_a_block_of_an_input_is_a_group_by_the_name_of_the_input(rng):
    block = pd.DataFrame(np.eye(3, dtype="float32")[rng.integers(3, size=N)], columns=COLOURS)
    size = rng.standard_normal((N, 1))
    inputs = {"colour": keras.Input((3,), name="colour"), "size": keras.Input((1,), name="size")}
    model = keras.Model(inputs, layers.Dense(1)(layers.concatenate([inputs["colour"], inputs["size"]])))
    model.compile("sgd", "mse")
    data = ({"colour": block, "size": size}, size)

    def names(features):
        found = compute_importance(model, data, features=features, methods="permutation")
        return found["permutation"].feature_names

    assert names(None) == ("colour/red", "colour/green", "colour/blue", "size")
    assert names({"colour": "colour"}) == ("colour", "size")
    assert names({"warm": "red", "cold": ["green", "blue"]}) == ("warm", "cold", "size")


def test_a_single_input_is_a_group_by_its_name():
    data = ValidationData.read(({"colour": np.eye(3)}, np.zeros(3)))
    assert named_features({"all": "colour"}, data).names == ("all",)
