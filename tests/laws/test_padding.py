"""Padding: masked steps stay masked, valid steps stay valid, and masked steps count for nothing."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_importance import (
    AblationImportance,
    FeatureImportance,
    LOFOImportance,
    PermutationImportance,
    compute_importance,
    lofo_importance,
)
from keras_importance.data.padding import Steps, awake
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.masks import with_valid_steps

layers = keras.layers
N_ROWS, N_STEPS = 60, 6
METHODS = (
    "gradient",
    "integrated_gradients",
    "permutation",
    "linearised_permutation",
    "conditional_permutation",
    "ablation",
    "conditional_lofo",
)


@pytest.fixture
def series(rng):
    """`(n_rows, n_steps, 3)` values and the lengths of the rows, of which some are 0 or 1."""
    return rng.normal(size=(N_ROWS, N_STEPS, 3)).astype("float32"), np.arange(N_ROWS) % (N_STEPS + 1)


def padded(values, length, sentinel=0.0, more=0, *, first=False):
    """The rows with `length` valid steps each, and padding behind or, with `first`, before them."""
    n_rows, n_steps, n_columns = values.shape
    x = np.full((n_rows, n_steps + more, n_columns), sentinel, values.dtype)
    for row, n in enumerate(length):
        x[row, (n_steps + more - n) * first :][:n] = values[row, :n]
    return x


def recurrent(sentinel, n_steps=N_STEPS, n_columns=3):
    """A masked GRU that ignores its last column, with the same weights for any sentinel and length."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((n_steps, n_columns)),
            layers.Masking(sentinel),
            layers.GRU(4, name="gru"),
            layers.Dense(1),
        ]
    )
    gru = model.get_layer("gru")
    kernel, *others = gru.get_weights()
    kernel[-1] = 0
    gru.set_weights([3 * kernel, *others])
    model.compile("sgd", "mse")
    return model


def importances(model, x, y, method, **arguments):
    return compute_importance(model, (x, y), methods=[method], **arguments)[method]


# --- what holds for every method ------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("first", [False, True], ids=["post", "pre"])
def test_a_column_that_the_network_ignores_is_worth_nothing_in_padded_rows(series, rng, method, first):
    """Were a padded step woken, its row would have another length, and the loss would change."""
    values, length = series
    x, y = padded(values, length, first=first), rng.normal(size=(N_ROWS, 1))
    found = importances(recurrent(0.0), x, y, method).importances_mean
    assert found[2] == 0
    assert np.all(found[:2] != 0)


@pytest.mark.parametrize("method", METHODS)
def test_neither_the_sentinel_nor_further_padding_changes_an_importance(series, rng, method):
    values, length = series
    y = rng.normal(size=(N_ROWS, 1))
    expected = importances(recurrent(0.0), padded(values, length), y, method)
    x = padded(values, length, -999.0, more=5)
    found = importances(recurrent(-999.0, N_STEPS + 5), x, y, method)
    assert found.importances_mean == pytest.approx(expected.importances_mean, rel=1e-3, abs=1e-6)
    assert found.std_error == pytest.approx(expected.std_error, rel=1e-3, abs=1e-6)


@pytest.mark.usefixtures("random_donors")
@pytest.mark.parametrize("method", METHODS)
def test_rows_of_one_length_have_the_importances_of_the_rows_without_padding(series, rng, method):
    values, _ = series
    y = rng.normal(size=(N_ROWS, 1))
    expected = importances(recurrent(-999.0, 4), values[:, :4], y, method)
    x = padded(values, np.full(N_ROWS, 4), -999.0)
    found = importances(recurrent(-999.0), x, y, method)
    assert found.importances_mean == pytest.approx(expected.importances_mean, rel=1e-3, abs=1e-6)
    assert found.std_error == pytest.approx(expected.std_error, rel=1e-3, abs=1e-6)
    if expected.by_step is not None:
        assert found.by_step[:4] == pytest.approx(expected.by_step, rel=1e-3, abs=1e-6)
        assert np.all(np.isnan(found.by_step[4:]))


@pytest.mark.parametrize("method", METHODS)
def test_a_named_mask_value_counts_as_a_mask(series, rng, method):
    """A pooling written by hand shows no mask; named, padding counts as in a model that masks it."""
    values, length = series
    length, y = np.maximum(length, 1), rng.normal(size=(N_ROWS, 1))
    x = padded(values, length, -5.0)

    def model(*, masks):
        inputs = keras.Input((N_STEPS, 3))
        if masks:
            pooled = layers.GlobalAveragePooling1D()(layers.Masking(-5.0)(inputs))
        else:
            is_valid = keras.ops.cast(keras.ops.any(inputs != -5.0, axis=-1, keepdims=True), "float32")
            total = keras.ops.sum(inputs * is_valid, axis=1)
            pooled = total / keras.ops.sum(is_valid, axis=1)
        dense = layers.Dense(1)
        model = keras.Model(inputs, dense(pooled))
        dense.set_weights([np.array([[2.0], [1.0], [0.0]]), np.zeros(1)])
        model.compile("sgd", "mse")
        return model

    expected = importances(model(masks=True), x, y, method)
    found = importances(model(masks=False), x, y, method, mask_value=-5)
    assert found.importances_mean == pytest.approx(expected.importances_mean, rel=1e-3, abs=1e-6)
    assert found.importances_mean[2] == 0


# --- values on paper ------------------------------------------------------------------------------


def mean_of_valid_steps(weights, sentinel=0.0, n_steps=N_STEPS):
    """The model `mean over valid steps of x @ weights`."""
    dense = layers.Dense(1, use_bias=False)
    model = keras.Sequential(
        [
            keras.Input((n_steps, len(weights))),
            layers.Masking(sentinel),
            layers.GlobalAveragePooling1D(),
            dense,
        ]
    )
    dense.set_weights([np.reshape(weights, (-1, 1))])
    model.compile("sgd", "mse")
    return model


def test_permutation_in_rows_of_unequal_lengths_is_the_closed_form(rng):
    """The mean of a row's steps is replaced by a mean of its donor's steps.

    With `y = f(x)` and independent steps of variance 1, `E = b² (Var(own mean) + Var(lent mean))`. A row of one step: `1 + 1`. A row of two steps: `1/2 + 1/2` from a donor of two; `1/2 + 1` from a donor
    of one, which lends its step twice.
    """
    n_rows, weights = 3000, np.array([2.0, 1.0, 0.0])
    values = rng.normal(size=(n_rows, 2, 3)).astype("float32")
    length = np.ones(n_rows, int)
    length[: n_rows // 2] = 2
    x = padded(values, length)
    model = mean_of_valid_steps(weights, n_steps=2)
    y = np.asarray(model.predict(x, verbose=0))
    result = importances(model, x, y, "permutation")
    expected = weights**2 * (2 + (1.0 + 1.5) / 2) / 2
    assert np.all(np.abs(result.importances_mean - expected) <= 4 * result.std_error + 1e-9)


def test_gradient_counts_valid_steps_alone(series):
    """`df/dx_t = b / n_i` at the `n_i` valid steps: `s · b · mean_i 1 / n_i`, with `s` over valid steps."""
    values, length = series
    length = np.maximum(length, 1)
    x = padded(values, length, -999.0)
    model = mean_of_valid_steps([2.0, 1.0, 0.0], -999.0)
    means = np.array([values[i, :n].mean(axis=0) for i, n in enumerate(length)]).mean(axis=0)
    squares = [np.square(values[i, :n] - means).mean(axis=0) for i, n in enumerate(length)]
    expected = np.sqrt(np.mean(squares, axis=0)) * np.array([2, 1, 0]) * np.mean(1 / length)
    found = importances(model, x, np.zeros((N_ROWS, 1)), "gradient")
    assert found.importances_mean == pytest.approx(expected, rel=1e-4)
    by_step = [np.mean(1 / length[length > step]) for step in range(N_STEPS)]
    assert found.by_step[:, 0] == pytest.approx(expected[0] / np.mean(1 / length) * np.array(by_step))


def test_ablation_takes_the_mean_of_valid_steps(series):
    values, length = series
    length = np.maximum(length, 1)
    x = padded(values, length, -999.0)
    model = mean_of_valid_steps([2.0, 1.0, 0.0], -999.0)
    y = np.asarray(model.predict(x, verbose=0))
    counted = np.arange(N_STEPS) < length[:, None]
    usual, moved = values[counted].mean(axis=0), []
    for column, weight in enumerate((2.0, 1.0, 0.0)):
        own = np.array([values[i, :n, column].mean() for i, n in enumerate(length)])
        moved.append(np.mean(np.square(weight * (own - usual[column]))))
    found = importances(model, x, y, "ablation").importances_mean
    assert found == pytest.approx(moved, rel=1e-4, abs=1e-9)


# --- lending --------------------------------------------------------------------------------------


def test_valid_steps_get_the_donors_valid_steps_over_and_over():
    values = np.array([[1.0, 2, 3, 0], [0, 0, 4, 5], [0, 0, 0, 0]])
    lent = Steps(values != 0).lent(values, np.array([1, 0, 0]))
    assert lent.tolist() == [[4, 5, 4, 0], [0, 0, 1, 2], [0, 0, 0, 0]]
    from_nothing = Steps(values != 0).lent(values, np.array([2, 2, 1]))
    assert from_nothing.tolist() == values.tolist()


def test_no_lent_value_masks_a_step():
    """Steps of a one-hot series, with zeros for padding: taking the 1 away must not mask the step."""
    values = np.eye(2, dtype="float32")[np.array([[0, 1, 0], [1, 0, 1]])]
    values[1, 2] = 0
    valid = values.any(axis=-1)
    lent = awake(values, values, valid)
    assert np.all(lent[valid] != 0)
    assert lent == pytest.approx(values, abs=1e-4)
    assert np.all(lent[~valid] == 0)


def test_a_one_hot_series_keeps_its_length(rng):
    """Model: the number of valid steps. No column is worth anything, although each 1 may move."""
    codes, length = rng.integers(0, 3, (N_ROWS, N_STEPS)), 1 + np.arange(N_ROWS) % N_STEPS
    x = padded(np.eye(3, dtype="float32")[codes], length)
    inputs = keras.Input((N_STEPS, 3))
    model = keras.Model(inputs, CountSteps()(layers.Masking(0.0)(inputs)))
    model.compile("sgd", "mse")
    for method in ("permutation", "conditional_permutation", "ablation"):
        found = importances(model, x, np.zeros((N_ROWS, 1)), method).importances_mean
        assert found.tolist() == [0, 0, 0], method


class CountSteps(layers.Layer):
    """The number of steps that its mask counts."""

    def call(self, inputs, mask=None):
        return keras.ops.sum(keras.ops.cast(mask, inputs.dtype), axis=1, keepdims=True)


# --- which steps a model masks --------------------------------------------------------------------


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.masking, self.gru = layers.Masking(-1.0), layers.GRU(2)

    def call(self, x):
        return self.gru(self.masking(x))


class MasksNegatives(layers.Layer):
    def call(self, inputs):
        return inputs

    def compute_mask(self, inputs, mask=None):
        return keras.ops.any(inputs != -1.0, axis=-1)


def functional(make):
    inputs = keras.Input((N_STEPS, 3))
    return keras.Model(inputs, make(inputs))


def nested():
    inner = keras.Sequential([keras.Input((N_STEPS, 3)), layers.Masking(-1.0), layers.Dense(2)])
    return functional(lambda x: layers.LSTM(2)(inner(x)))


def built(model):
    model(np.zeros((2, N_STEPS, 3), "float32"))
    return model


MASKED = {
    "sequential": lambda: keras.Sequential(
        [keras.Input((N_STEPS, 3)), layers.Masking(-1.0), layers.LSTM(2)]
    ),
    "unbuilt": lambda: keras.Sequential([layers.Masking(-1.0), layers.LSTM(2)]),
    "functional": lambda: functional(lambda x: layers.LSTM(2)(layers.Masking(-1.0)(x))),
    "nested": nested,
    "subclassed": lambda: built(Subclassed()),
    "subclassed, unbuilt": Subclassed,
    "own layer": lambda: functional(lambda x: layers.GRU(2)(MasksNegatives()(x))),
    "scaled before": lambda: functional(
        lambda x: layers.GRU(2)(layers.Masking(-2.0)(layers.Rescaling(2.0)(x)))
    ),
    "given mask": lambda: functional(lambda x: layers.GRU(2)(x, mask=keras.ops.any(x != -1.0, axis=-1))),
    "given and made": lambda: functional(
        lambda x: layers.Add()(
            [
                layers.GRU(2)(x, mask=keras.ops.any(x != -1.0, axis=-1)),
                layers.GRU(2)(layers.Masking(-1.0)(x)),
            ]
        )
    ),
    "bidirectional": lambda: functional(
        lambda x: layers.Bidirectional(layers.GRU(2))(layers.Masking(-1.0)(x))
    ),
    "attention": lambda: functional(
        lambda x: layers.GlobalAveragePooling1D()(layers.Attention()([layers.Masking(-1.0)(x)] * 2))
    ),
}


@pytest.mark.parametrize("make", MASKED.values(), ids=MASKED)
def test_masked_steps_are_found_in_any_model(series, make):
    values, length = series
    data = ValidationData.read((padded(values, length, -1.0), np.zeros((N_ROWS, 1))))
    (valid,) = with_valid_steps(data, make()).valid
    assert np.array_equal(valid, np.arange(N_STEPS) < length[:, None])


def test_tokens_are_masked_in_the_input_that_the_embedding_gets(rng):
    words = keras.Input((N_STEPS,), dtype="int32", name="words")
    series = keras.Input((N_STEPS, 1), name="series")
    text = layers.GRU(2)(layers.Embedding(9, 2, mask_zero=True)(words))
    model = keras.Model([words, series], layers.Concatenate()([text, layers.GRU(2)(series)]))
    length = np.arange(N_ROWS) % (N_STEPS + 1)
    tokens = padded(rng.integers(1, 9, (N_ROWS, N_STEPS, 1)), length)[..., 0]
    x = {"words": tokens, "series": rng.normal(size=(N_ROWS, N_STEPS, 1)).astype("float32")}
    data = ValidationData.read((x, np.zeros((N_ROWS, 1))))
    of_input = dict(zip(["series", "words"], with_valid_steps(data, model).valid, strict=True))
    assert of_input["series"] is None
    assert np.array_equal(of_input["words"], tokens != 0)


def test_tokens_that_make_no_difference_are_worth_nothing(rng):
    """A text as one feature, of which the model tells apart lengths alone: all tokens embed alike."""
    embedding = layers.Embedding(9, 2, mask_zero=True)
    model = keras.Sequential([keras.Input((N_STEPS,)), embedding, layers.GRU(2), layers.Dense(1)])
    embedding.set_weights([np.ones((9, 2))])
    model.compile("sgd", "mse")
    length = np.arange(N_ROWS) % (N_STEPS + 1)
    tokens = padded(rng.integers(1, 9, (N_ROWS, N_STEPS, 1)), length)[..., 0]
    for method in ("permutation", "ablation", "conditional_permutation"):
        found = importances(
            model, tokens, rng.normal(size=(N_ROWS, 1)), method, features={"text": range(N_STEPS)}
        )
        assert found.importances_mean.tolist() == [0]


def test_a_model_without_masks_has_no_padding(series):
    values, length = series
    data = ValidationData.read((padded(values, length), np.zeros((N_ROWS, 1))))
    assert with_valid_steps(data, functional(lambda x: layers.GRU(2)(x))).valid == (None,)


def test_a_mask_that_no_layer_takes_masks_nothing(rng):
    """Flatten drops the mask of an embedding: 0 is a category like any other."""
    model = keras.Sequential(
        [keras.Input((1,)), layers.Embedding(4, 2, mask_zero=True), layers.Flatten(), layers.Dense(1)]
    )
    data = ValidationData.read((rng.integers(0, 4, (N_ROWS, 1)), np.zeros((N_ROWS, 1))))
    assert with_valid_steps(data, model).valid == (None,)


def test_a_mask_of_the_output_is_one_of_the_loss(series):
    """Masked steps of a sequence of outputs count for nothing in the loss."""
    values, length = series
    data = ValidationData.read((padded(values, length, -1.0), np.zeros((N_ROWS, N_STEPS, 1))))
    (valid,) = with_valid_steps(
        data, functional(lambda x: layers.Dense(1)(layers.Masking(-1.0)(x)))
    ).valid
    assert np.array_equal(valid, np.arange(N_STEPS) < length[:, None])


def test_a_mask_that_masks_nothing_is_no_padding(series):
    values, _ = series
    data = ValidationData.read((values, np.zeros((N_ROWS, 1))))
    assert with_valid_steps(data, MASKED["sequential"]()).valid == (None,)


class TwoTexts(keras.Model):
    """Of two texts it masks the first alone, which can't be told before it is built."""

    def __init__(self):
        super().__init__()
        self.first, self.second = layers.Embedding(9, 2, mask_zero=True), layers.Embedding(9, 2)
        self.rnns, self.dense = [layers.GRU(2), layers.GRU(2)], layers.Dense(1)

    def call(self, x):
        texts = [self.first(x["first"]), self.second(x["second"])]
        return self.dense(sum(rnn(text) for rnn, text in zip(self.rnns, texts, strict=True)))


def test_a_model_that_is_built_in_training_masks_what_it_masks_later(rng):
    length = np.arange(N_ROWS) % (N_STEPS + 1)
    tokens = padded(rng.integers(1, 9, (N_ROWS, N_STEPS, 1)), length)[..., 0]
    x, y = {"first": tokens, "second": tokens[::-1]}, rng.normal(size=(N_ROWS, 1))
    model = TwoTexts()
    model.compile("sgd", "mse")
    texts = {"a": "first", "b": "second"}
    importance = FeatureImportance(methods="permutation", features=texts, time_budget=None, detectors=())
    model.fit(x, y, validation_data=(x, y), verbose=0, callbacks=[importance])
    expected = importances(model, x, y, "permutation", features=texts).importances_mean
    found = importance.results["permutation"].importances_mean
    assert found == pytest.approx(expected, rel=1e-5)
    data = with_valid_steps(ValidationData.read((x, y)), model)
    assert np.array_equal(data.valid[0], tokens != 0)
    assert data.valid[1] is None


# --- training beside the model --------------------------------------------------------------------


@pytest.fixture
def useful_series(rng):
    """Rows whose target is the mean of the first column, and the first 2 and last column of 300 rows."""
    values = rng.normal(size=(300, N_STEPS, 2)).astype("float32")
    length = 1 + np.arange(300) % N_STEPS
    y = np.array([values[i, :n, :1].mean(axis=0) for i, n in enumerate(length)])
    return padded(values, length), y + 0.1 * rng.normal(size=y.shape)


def trainable():
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [
            keras.Input((N_STEPS, 2)),
            layers.Masking(0.0),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.03), "mse")
    return model


def test_noise_in_padded_rows_is_never_useful_and_lofo_of_it_is_zero(useful_series):
    """Twins see padded steps as the model does: without the noise column they learn the same."""
    x, y = useful_series
    importance = FeatureImportance(
        methods=["permutation", LOFOImportance(n_seeds=3)], time_budget=None, every=15
    )
    trainable().fit(
        x[:200],
        y[:200],
        epochs=30,
        validation_data=(x[200:], y[200:]),
        verbose=0,
        callbacks=[importance],
    )
    states = {verdict.feature: verdict.state for verdict in importance.history.verdicts()}
    assert states["x1"] != "useful"
    lofo = importance.results["lofo"]
    assert lofo.importances_mean[1] < 2 * lofo.std_error[1]
    assert abs(lofo.importances_mean[1]) < 0.03 * lofo.importances_mean[0]
    assert lofo.importances_mean[0] > 4 * lofo.std_error[0]


@pytest.mark.parametrize("lock_step", [True, False], ids=["lock step", "refit"])
def test_leaving_out_noise_in_padded_rows_costs_nothing(useful_series, lock_step):
    x, y = useful_series
    result = lofo_importance(
        trainable, x, y, cv=2, fit_kwargs={"epochs": 30}, lock_step=lock_step, seed=3
    )
    assert abs(result.importances_mean[1]) < 0.03 * result.importances_mean[0]


# --- the argument ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["zero", True, {}, {"x": "zero"}, [0]])
def test_a_mask_value_that_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match=r"FeatureImportance got mask_value=.*Pass a number"):
        FeatureImportance(mask_value=value)


def test_a_mask_value_names_inputs_that_exist(series):
    values, length = series
    with pytest.raises(ValueError, match="'wind', which the model doesn't have"):
        importances(
            recurrent(0.0), padded(values, length), length, "permutation", mask_value={"wind": 0}
        )


def test_methods_keep_no_trace_of_listening(series):
    values, length = series
    model = recurrent(0.0)
    before = [set(vars(layer)) for layer in model.layers]
    methods = [PermutationImportance(), AblationImportance()]
    compute_importance(model, (padded(values, length), np.zeros((N_ROWS, 1))), methods=methods)
    assert [set(vars(layer)) for layer in model.layers] == before
