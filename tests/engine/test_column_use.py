"""What the model uses a column as: a number, or a code of a category."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_importance import compute_importance
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.column_use import with_column_use
from keras_importance.methods.ablation import AblationImportance
from keras_importance.methods.preparation import prepared_evaluator
from keras_importance.verdicts.unused_signal import UnusedSignalTest

N = 200


def built(model, x):
    model.compile("sgd", "mse")
    model(x)
    return model


def used(model, x):
    return with_column_use(ValidationData.read((x, np.zeros(N))), built(model, x))


def lines(n_inputs=2):
    inputs = [keras.Input((1,), name=name) for name in "ab"[:n_inputs]]
    joined = layers.Concatenate()(inputs) if n_inputs > 1 else inputs[0]
    return keras.Model(inputs, layers.Dense(1)(joined))


class Subclassed(keras.Model):
    """Whole numbers as numbers in one column, as codes in the other."""

    def __init__(self):
        super().__init__()
        self.embedding, self.dense = layers.Embedding(5, 3), layers.Dense(1)

    def call(self, x):
        codes = self.embedding(ops.cast(x["colour"][:, 0], "int32"))
        return self.dense(ops.concatenate([codes, ops.cast(x["age"], "float32")], axis=-1))


def codes_beside_numbers():
    """A float input of three columns; the second is looked up in an embedding."""
    inputs = keras.Input((3,))
    looked_up = layers.Flatten()(layers.Embedding(5, 2)(inputs[:, 1:2]))
    joined = layers.Concatenate()([inputs[:, :1], looked_up, inputs[:, 2:]])
    return keras.Model(inputs, layers.Dense(1)(joined))


def table(rng):
    """Whole years, codes, and numbers with fractions."""
    years, codes = rng.integers(30, 70, N), rng.choice(5, N, p=[0.1, 0.5, 0.2, 0.1, 0.1])
    return np.column_stack([years, codes, rng.standard_normal(N)]).astype("float32")


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint16", "bool"])
def test_whole_numbers_of_a_float_input_are_numbers(dtype, rng):
    """Keras casts them to float32, so the results are those of the same rows as float32."""
    x = [
        rng.integers(0, 2 if dtype == "bool" else 60, (N, 1)).astype(dtype),
        rng.standard_normal((N, 1)),
    ]
    model, y = lines(), x[0].astype("float32") + x[1]
    model.compile("sgd", "mse")
    methods = ["gradient", "integrated_gradients", "ablation", "conditional_permutation", "permutation"]
    as_whole = compute_importance(model, (x, y), methods=methods)
    as_floats = compute_importance(model, ([x[0].astype("float32"), x[1]], y), methods=methods)
    for method in methods:
        np.testing.assert_array_equal(as_whole[method].importances, as_floats[method].importances)
        assert not as_whole[method].notes


def test_integrated_gradients_of_whole_numbers_in_a_line_are_the_slope_times_the_distance(rng):
    """`|b| mean |x - mean|` for a linear model; the squared error of the mean adds `b² Var(x)`."""
    x = rng.integers(30, 77, (N, 1))
    model = lines(1)
    model.compile("sgd", "mse")
    model.layers[-1].set_weights([np.array([[0.5]]), np.zeros(1)])
    found = compute_importance(model, (x, 0.5 * x), methods=["integrated_gradients", "ablation"])
    by_hand = 0.5 * np.abs(x - x.mean()).mean()
    assert found["integrated_gradients"].importances_mean == pytest.approx([by_hand], rel=1e-3)
    assert found["ablation"].importances_mean == pytest.approx([0.25 * x.var()], rel=1e-3)


def test_a_model_that_declares_nothing_shows_what_it_takes_as_numbers(rng):
    x = {"age": rng.integers(30, 70, (N, 1)), "colour": rng.integers(5, size=(N, 1))}
    data = used(Subclassed(), x)
    assert [names.name for names in data.columns] == ["age", "colour"]
    assert [bool(is_category[0]) for is_category in data.are_categories] == [False, True]


def test_a_model_that_is_not_built_is_not_asked_and_the_type_says_what_a_column_is(rng):
    x = {"age": rng.integers(30, 70, (N, 1)), "size": rng.standard_normal((N, 1))}
    data = with_column_use(ValidationData.read((x, np.zeros(N))), Subclassed())
    assert [bool(is_category[0]) for is_category in data.are_categories] == [True, False]


def look_up(layer):
    def make():
        inputs = keras.Input((3,))
        of_codes = layer()(ops.squeeze(inputs[:, 1:2], -1))
        joined = layers.Concatenate()([inputs[:, :1], ops.cast(of_codes, "float32"), inputs[:, 2:]])
        return keras.Model(inputs, layers.Dense(1)(joined))

    return make


CODES = {
    "embedding": codes_beside_numbers,
    "category encoding": look_up(lambda: layers.CategoryEncoding(5, "one_hot")),
    "one-hot of whole numbers": look_up(
        lambda: layers.Lambda(lambda z: ops.one_hot(ops.cast(z, "int32"), 5), output_shape=(5,))
    ),
}


@pytest.mark.parametrize("make", CODES.values(), ids=CODES)
def test_a_column_of_a_float_matrix_that_is_looked_up_holds_categories(make, rng):
    data = used(make(), table(rng))
    assert data.codes == {(0, 1)}
    assert data.inputs[0].dtype == np.float32


def test_a_sequential_model_of_an_embedding_takes_all_its_floats_as_codes(rng):
    model = keras.Sequential(
        [keras.Input((4,)), layers.Embedding(5, 2), layers.Flatten(), layers.Dense(1)]
    )
    assert used(model, rng.integers(5, size=(N, 4))).codes == {(0, c) for c in range(4)}


def test_codes_among_floats_get_their_most_frequent_value_in_ablation(rng):
    x = table(rng)
    kept = AblationImportance().replacement(used(codes_beside_numbers(), x)).kept[0]
    np.testing.assert_allclose(kept[0, [0, 2]], x[:, [0, 2]].mean(axis=0), rtol=1e-5)
    assert kept[0, 1] == 1.0


@pytest.mark.parametrize("method", ["conditional_permutation", "conditional_lofo"])
def test_codes_among_floats_are_redrawn_as_codes(method, rng):
    """A code between two codes would be none of the five."""
    from keras_importance.methods.preparation import named_features
    from keras_importance.methods.redrawing import conditional_replacement

    data = used(codes_beside_numbers(), table(rng))
    replacement = conditional_replacement(data, named_features(None, data), 3)
    drawn = replacement.kept[0][..., 1]
    assert drawn.shape == (3, N)
    assert set(np.unique(drawn)) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    assert not replacement.donated[0][:, 1].any()


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "linearised_permutation"])
def test_a_group_of_a_number_and_a_code_has_no_gradient_and_says_so(method, rng):
    """The gradient of the number alone would be taken for that of the group."""
    model = codes_beside_numbers()
    model.compile("sgd", "mse")
    x = table(rng)
    result = compute_importance(model, (x, x[:, 0]), features={"both": [0, 1]}, methods=method)[method]
    assert result.feature_names == ("both", "x2")
    assert np.isnan(result.importances_mean[0])
    assert "turns 'x1' of 'both' into whole numbers" in result.notes["both"]
    assert np.isfinite(result.importances_mean[1])


def test_codes_among_floats_are_categories_in_the_test_of_unused_signal(rng):
    """Categories get an indicator each: five columns, of which none is a square of another."""
    model = codes_beside_numbers()
    model.compile("sgd", "mse")
    x = table(rng)
    test = UnusedSignalTest(
        prepared_evaluator(
            model, (x, x[:, :1]), [], features=None, metric="loss", max_samples=None, seed=0
        )
    )
    tests = test._functions.tests(range(3))
    assert [tests[index].basis.shape[1] for index in range(3)] == [7, 5, 7]


def test_a_table_of_floats_with_fractions_costs_no_question(monkeypatch, rng):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr("keras_importance.engine.column_use.Response", refuse)
    x = rng.standard_normal((N, 3)).astype("float32")
    data = used(codes_beside_numbers(), x)
    assert data.codes == frozenset()
    assert np.array_equal(data.inputs[0], x)


def test_whole_numbers_in_layers_that_pass_gradients_cost_no_question(monkeypatch, rng):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr("keras_importance.engine.column_use.ModelOutputs", refuse)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, "relu"), layers.Dense(1)])
    assert used(model, rng.integers(9, size=(N, 3))).codes == frozenset()
