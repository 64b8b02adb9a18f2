"""The p-values of unused signal against a slow and plain computation: one feature, one row of thought."""

from __future__ import annotations

import math
from statistics import NormalDist

import keras
import numpy as np
import pytest
from keras import layers

from keras_importance import PermutationImportance
from keras_importance.data.arrays import mapped
from keras_importance.data.padding import lent
from keras_importance.methods.preparation import prepared_evaluator
from keras_importance.statistics.arrays import generator
from keras_importance.statistics.donors import Donors
from keras_importance.verdicts.feature_values import (
    lengths_of,
    lines_of,
    one_hot,
    standardised,
    values_of,
)
from keras_importance.verdicts.unused_signal import UnusedSignalTest

N = 300


def table(n_columns, n_rows=N, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_rows, n_columns)).astype("float32")
    y = x[:, 0] + x[:, 1] * x[:, 2] + 0.5 * rng.standard_normal(n_rows)
    return x, y.astype("float32")


def mlp(n_columns, *last):
    hidden = [layers.Dense(16, activation="relu"), layers.Dense(8, activation="tanh")]
    return keras.Sequential([keras.Input((n_columns,)), *hidden, *(last or [layers.Dense(1)])])


def of_numbers():
    x, y = table(6)
    return mlp(6), "mse", (x, y), None


def of_forty_numbers():
    x, y = table(40)
    return mlp(40), "mse", (x, y), None


def of_many_numbers():
    """More lines than there may be products: they are projected."""
    x, y = table(290, n_rows=120)
    return mlp(290), "mse", (x, y), None


def of_weighted_rows():
    x, y = table(40)
    return mlp(40), "mae", (x, y, np.linspace(0.2, 2, N)), None


def of_classes():
    x, y = table(7)
    return (
        mlp(7, layers.Dense(3, activation="softmax")),
        "sparse_categorical_crossentropy",
        (x, np.digitize(y, [-0.5, 0.5])),
        {"pair": [1, 2], "wide": [4, 5]},
    )


def of_groups_among_many_numbers():
    x, y = table(290, n_rows=120)
    return mlp(290), "mse", (x, y), {f"g{i}": [i, i + 150] for i in range(20)}


def of_a_sigmoid():
    x, y = table(5)
    x[:, 4] = x[:, 4] > 0
    return mlp(5, layers.Dense(1, activation="sigmoid")), "binary_crossentropy", (x, y > 0), None


def of_sequences():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, 12, 3)).astype("float32")
    lengths = rng.integers(4, 13, N)
    x[np.arange(12) >= lengths[:, None]] = 0
    model = keras.Sequential([keras.Input((12, 3)), layers.Masking(), layers.LSTM(6), layers.Dense(1)])
    return model, "mse", (x, x[:, 0, 0] + x[:, 1, 1]), None


def of_several_inputs():
    rng = np.random.default_rng(0)
    codes, numbers = rng.integers(0, 5, (N, 1)), rng.standard_normal((N, 3)).astype("float32")
    code, number = keras.Input((1,), dtype="int32", name="code"), keras.Input((3,), name="number")
    embedded = layers.Flatten()(layers.Embedding(5, 2)(code))
    hidden = layers.Dense(8, activation="relu")(layers.Concatenate()([embedded, number]))
    model = keras.Model({"code": code, "number": number}, layers.Dense(1)(hidden))
    return model, "mse", ({"code": codes, "number": numbers}, (codes == 2) + numbers[:, :1]), None


KINDS = [
    of_numbers, of_forty_numbers, of_many_numbers, of_weighted_rows, of_classes,
    of_groups_among_many_numbers, of_a_sigmoid, of_sequences, of_several_inputs,
]  # fmt: skip


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_p_values_are_those_of_the_plain_computation(make):
    keras.utils.set_random_seed(3)
    model, loss, rows, features = make()
    model.compile("adam", loss)
    evaluator = prepared_evaluator(
        model,
        rows,
        [PermutationImportance()],
        features=features,
        metric="loss",
        max_samples=None,
        seed=0,
    )
    indices = list(range(min(len(evaluator.features), 25)))
    at_once = UnusedSignalTest(evaluator).p_values(indices)
    plain = [plain_p_value(evaluator, index) for index in indices]
    np.testing.assert_allclose(at_once, plain, atol=1e-6, rtol=0)


# --- plainly ------------------------------------------------------------------------------------


def plain_p_value(evaluator, index):
    """All from scratch: the whole model for the feature, a ridge of its own, sums in float64."""
    data, features = evaluator.data, evaluator.features.features
    values = [values_of(feature, data) for feature in features]
    lines = [standardised(lines_of(of_feature)) for of_feature in values]
    regressors = [
        standardised(np.concatenate([line, line**2], axis=1) if of_feature.dtype.kind == "f" else line)
        for of_feature, line in zip(values, lines, strict=True)
    ]
    slopes = plain_slopes(evaluator, features[index])
    others = np.concatenate([line for i, line in enumerate(lines) if i != index], axis=1)
    at_most = 256 // slopes.shape[1]
    if others.shape[1] > at_most:
        signs = generator(0, "directions").choice([-1.0, 1.0], (others.shape[1], at_most))
        others = others @ signs / math.sqrt(others.shape[1])
    basis = plain_residuals(plain_functions(values[index], regressors[index]), regressors, index, data)
    products = (slopes[:, :, None] * others[:, None]).reshape(len(slopes), -1)
    return min(1.0, 2 * min(plain_score_test(basis, slopes), plain_score_test(basis, products)))


def plain_functions(values, regressors):
    if values.dtype.kind != "f" or values.shape[1] > 1:
        return regressors
    edges = np.unique(np.quantile(values, np.arange(1, 6) / 6))
    return standardised(np.column_stack([values, one_hot(np.digitize(values, edges))]))


def plain_residuals(basis, regressors, index, data):
    """What a ridge regression on all other features leaves."""
    lengths = lengths_of(data)
    n_columns = sum(part.shape[1] for part in [*regressors, *lengths])
    ridge = 1e-3 * data.n_rows + 0.1 * n_columns
    rest = [part for i, part in enumerate(regressors) if i != index]
    z = np.concatenate([*rest, *lengths], axis=1)
    return basis - z @ np.linalg.solve(z.T @ z + ridge * np.eye(z.shape[1]), z.T @ basis)


def plain_slopes(evaluator, feature):
    """`(n_rows, n_outputs)` derivatives of the loss, the feature's values taken from donors."""
    data = evaluator.data
    donors = Donors.draw(data.n_rows, 1, generator(0, "masked score")).rows[0]
    inputs = [values.copy() for values in data.inputs]
    for at, column in feature.columns:
        new = lent(data.inputs[at], data.valid[at], donors)
        inputs[at][..., column] = new[..., column]
    tensors = [keras.ops.convert_to_tensor(values) for values in inputs]
    outputs = evaluator.model(data.pack(tensors), training=False)
    leaf = keras.ops.convert_to_tensor(keras.ops.convert_to_numpy(keras.tree.flatten(outputs)[0]))
    truth = mapped(keras.ops.convert_to_tensor, data.truth)

    def losses(leaves):
        return evaluator.row_loss(truth, keras.tree.pack_sequence_as(outputs, leaves))

    slopes, values = (
        np.asarray(keras.ops.convert_to_numpy(part), np.float64)
        for part in (evaluator.compiler.gradients(losses, [leaf])[0], leaf)
    )
    if values.min() >= 0 and values.max() <= 1:
        if values.shape[1] > 1:
            slopes = values * (slopes - np.sum(values * slopes, axis=1, keepdims=True))
        else:
            slopes = values * (1 - values) * slopes
    return slopes if data.weights is None else slopes * data.weights[:, None]


def plain_score_test(basis, gradients):
    n_rows = len(basis)
    basis, gradients = basis - basis.mean(axis=0), gradients - gradients.mean(axis=0)
    statistic = np.sum((basis.T @ gradients) ** 2) / n_rows
    of_basis, of_gradients = basis.T @ basis / n_rows, gradients.T @ gradients / n_rows
    mean = np.trace(of_basis) * np.trace(of_gradients)
    variance = 2 * np.sum(of_basis**2) * np.sum(of_gradients**2)
    if not (mean > 0 and variance > 0):
        return 1.0
    shape = 2 * mean**2 / variance
    normal = ((statistic / mean) ** (1 / 3) - (1 - 2 / (9 * shape))) / math.sqrt(2 / (9 * shape))
    return 1 - NormalDist().cdf(normal)
