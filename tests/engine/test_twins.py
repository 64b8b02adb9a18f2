"""Twins: what the vectorised training must not change, for every architecture and optimizer."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

from keras_importance import ImportanceWarning
from keras_importance.data.features import FeatureSet
from keras_importance.data.hidden_columns import HiddenColumns
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.twins import twins
from keras_importance.engine.twins.held_out_scores import resolved_metrics
from keras_importance.engine.twins.step import Start, why_no_twins
from keras_importance.engine.twins.twins import TwinPrograms, Twins
from keras_importance.engine.twins.vectorisable_layers import vectorisable

layers = keras.layers
N_ROWS, BATCH, EPOCHS = 70, 16, 2  # the last step of an epoch is a smaller one


def table():
    return np.random.default_rng(0).standard_normal((N_ROWS, 4)).astype("float32")


def sequence():
    return np.random.default_rng(0).standard_normal((N_ROWS, 7, 3)).astype("float32")


def image():
    return np.random.default_rng(0).standard_normal((N_ROWS, 6, 5, 2)).astype("float32")


def mixed():
    rng = np.random.default_rng(0)
    return {
        "colour": rng.integers(0, 5, (N_ROWS, 1)),
        "size": rng.standard_normal((N_ROWS, 3)).astype("float32"),
    }


def chain(*parts):
    """A Sequential model of layers, on whatever comes in."""
    return lambda inputs: keras.Sequential(parts)(inputs)


def residual(inputs):
    h = layers.Dense(4, "tanh")(inputs)
    return layers.Dense(1)(layers.LayerNormalization()(layers.Add()([h, inputs])))


def shared(inputs):
    dense = layers.Dense(4, "tanh")
    return layers.Dense(1)(dense(dense(inputs)))


class Written(keras.Model):
    """A model written in Python."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = layers.Dense(6, "tanh"), layers.Dense(1)

    def call(self, inputs):
        return self.out(self.hidden(inputs))


def conv(**settings):
    return chain(layers.Conv1D(4, 3, **settings), layers.GlobalAveragePooling1D(), layers.Dense(1))


def conv_2d(**settings):
    return chain(layers.Conv2D(3, (3, 2), **settings), layers.Flatten(), layers.Dense(1))


def on(rows, body):
    """Rows, and what makes a functional model on them: a new one each time, with layers of its own."""

    def make():
        inputs = keras.Input(rows().shape[1:])
        return keras.Model(inputs, body()(inputs))

    return rows, make


def embedded():
    colour, size = keras.Input((1,), dtype="int32", name="colour"), keras.Input((3,), name="size")
    h = layers.Concatenate()([layers.Flatten()(layers.Embedding(5, 3)(colour)), size])
    return keras.Model({"colour": colour, "size": size}, layers.Dense(1)(layers.Dense(5, "tanh")(h)))


def normalised():
    layer = layers.Normalization()
    layer.adapt(table())
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(1)(layers.Dense(5, "tanh")(layer(inputs))))


def written():
    model = Written()
    model(table()[:2])
    return model


ARCHITECTURES = {
    "mlp": on(table, lambda: chain(layers.Dense(8, "relu"), layers.Dense(1))),
    "batch_normalization": on(
        table,
        lambda: chain(layers.Dense(8), layers.BatchNormalization(), layers.ReLU(), layers.Dense(1)),
    ),
    "regularised": on(
        table,
        lambda: chain(
            layers.Dense(8, kernel_regularizer="l2", activity_regularizer="l1"),
            layers.Dense(1, kernel_constraint=keras.constraints.MaxNorm(0.5)),
        ),
    ),
    "residual": on(table, lambda: residual),
    "shared_layer": on(table, lambda: shared),
    "subclassed": (table, written),
    "normalised": (table, normalised),
    "conv": on(sequence, lambda: conv(activation="relu")),
    "conv_same_strided": on(sequence, lambda: conv(padding="same", strides=2)),
    "conv_causal_dilated": on(sequence, lambda: conv(padding="causal", dilation_rate=2)),
    "conv_2d_same_strided": on(image, lambda: conv_2d(padding="same", strides=(2, 1), use_bias=False)),
    "conv_2d_dilated": on(image, lambda: conv_2d(dilation_rate=(2, 1), activation="tanh")),
    "lstm": on(sequence, lambda: chain(layers.LSTM(5), layers.Dense(1))),
    "gru_stacked": on(
        sequence, lambda: chain(layers.GRU(4, return_sequences=True), layers.GRU(3), layers.Dense(1))
    ),
    "bidirectional": on(sequence, lambda: chain(layers.Bidirectional(layers.LSTM(3)), layers.Dense(1))),
    "masked_lstm": on(sequence, lambda: chain(layers.Masking(), layers.LSTM(4), layers.Dense(1))),
    "attention": on(
        sequence,
        lambda: (
            lambda x: layers.Dense(1)(
                layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(2, 3)(x, x))
            )
        ),
    ),
    "embedding_of_a_dict": (mixed, embedded),
}
OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01),
    "clipped": lambda: keras.optimizers.SGD(0.1, clipnorm=0.01),
    "clipped_together": lambda: keras.optimizers.Adam(0.01, global_clipnorm=0.01),
    "schedule": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=2, decay_rate=0.5)
    ),
    "averaged": lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5),
}


def target(inputs):
    first = keras.tree.flatten(inputs)[-1].reshape(N_ROWS, -1)
    return (first[:, 0] + first[:, 1] * first[:, 2]).astype("float32")


def new_model(make, optimizer=None):
    keras.utils.set_random_seed(3)
    model = make()
    model.compile(optimizer() if optimizer else keras.optimizers.SGD(0.05), "mse")
    return model


def trained_twins(model, data, sets, *, epochs=EPOCHS):
    """Twins after some epochs, and their mean losses on the rows they were trained on."""
    metrics = resolved_metrics(["loss"], model, data, 0)
    masks = HiddenColumns.of(data, sets)
    found = Twins(TwinPrograms(model, data, metrics), data, masks, BATCH, [Start.of(model)])
    for _ in range(epochs):
        found.train([np.arange(data.n_rows)])
    return found, np.array([scores[0].mean() for scores in found.scores(data)[0]])


def fitted_loss(model, data, masks, number, *, epochs=EPOCHS):
    """The loss of one twin, trained by Keras' own `fit` on the rows as it sees them."""
    seen = masks.applied(number, data)
    x = seen.pack(seen.inputs)
    model.fit(
        x, data.targets, sample_weight=data.weights, batch_size=BATCH, epochs=epochs, shuffle=False,
        verbose=0,
    )  # fmt: skip
    outputs = np.asarray(keras.ops.convert_to_numpy(model(x, training=False)))
    return float(np.mean((outputs[:, 0] - data.targets) ** 2))


def read(rows, weights=None):
    x = rows()
    return ValidationData.read((x, target(x), weights))


def two_sets(data):
    return [(), FeatureSet.from_argument(None, data.columns).features[-1].columns]


# What takes seconds to compile: CI trains them.
SLOW = ("gru_stacked", "bidirectional", "masked_lstm", "attention")


@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=pytest.mark.long) if one in SLOW else one for one in ARCHITECTURES],
)
def test_a_twin_learns_what_fit_would_without_the_feature(name):
    """Plain SGD, the same weights and batches: all that may differ is the order of floating-point sums."""
    rows, make = ARCHITECTURES[name]
    data = read(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ImportanceWarning)  # none of them needs the loop
        _, losses = trained_twins(new_model(make), data, two_sets(data))
    masks = HiddenColumns.of(data, two_sets(data))
    expected = [fitted_loss(new_model(make), data, masks, number) for number in (0, 1)]
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert abs(expected[0] - expected[1]) > 1e-3  # the feature matters, or nothing was tested


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_updates_twins_as_it_updates_a_model(name):
    rows, make = ARCHITECTURES["mlp"]
    data = read(rows)
    _, losses = trained_twins(new_model(make, OPTIMIZERS[name]), data, two_sets(data))
    model = new_model(make, OPTIMIZERS[name])
    expected = fitted_loss(model, data, HiddenColumns.of(data, two_sets(data)), 1)
    if name != "averaged":  # fit writes averages into the weights at its end
        np.testing.assert_allclose(losses[1], expected, rtol=1e-4)
    assert np.isfinite(losses).all()


def test_sample_weights_weigh_the_training():
    rows, make = ARCHITECTURES["mlp"]
    weights = np.linspace(0.1, 3, N_ROWS)
    data = read(rows, weights)
    _, losses = trained_twins(new_model(make), data, two_sets(data))
    expected = fitted_loss(new_model(make), data, HiddenColumns.of(data, two_sets(data)), 1)
    np.testing.assert_allclose(losses[1], expected, rtol=1e-4)


def test_twins_that_see_the_same_are_the_same_with_dropout():
    """Dropout draws once for all twins: two that see all columns end with one loss."""
    rows, make = on(table, lambda: chain(layers.Dense(8, "relu"), layers.Dropout(0.5), layers.Dense(1)))
    data = read(rows)
    _, losses = trained_twins(new_model(make), data, [(), (), ((0, 0),)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert abs(losses[0] - losses[2]) > 1e-3


def test_dropout_drops_in_training_and_draws_anew_in_each_step():
    """With dropout the training ends elsewhere than without it, and two epochs elsewhere than one twice."""
    with_dropout = on(
        table, lambda: chain(layers.Dropout(0.5), layers.Dense(8, "relu"), layers.Dense(1))
    )
    data = read(table)
    _, losses = trained_twins(new_model(with_dropout[1]), data, [()])
    _, without = trained_twins(new_model(ARCHITECTURES["mlp"][1]), data, [()])
    assert abs(losses[0] - without[0]) > 1e-3


def test_blocks_that_fit_into_memory_change_nothing(monkeypatch):
    rows, make = ARCHITECTURES["mlp"]
    data = read(rows)
    sets = [(), *(one.columns for one in FeatureSet.from_argument(None, data.columns).features)]
    _, expected = trained_twins(new_model(make), data, sets)
    monkeypatch.setattr(twins, "_MAX_VALUES", 1)
    monkeypatch.setattr(twins, "_MAX_SCORED_VALUES", 100)
    found, losses = trained_twins(new_model(make), data, sets)
    assert [len(block.twins) for block in found._blocks] == [1] * 5
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_the_last_block_is_padded_without_a_trace(monkeypatch):
    """Five twins in blocks of two: the padding of the third counts nowhere."""
    rows, make = ARCHITECTURES["mlp"]
    data = read(rows)
    sets = [(), *(one.columns for one in FeatureSet.from_argument(None, data.columns).features)]
    model = new_model(make)
    step = TwinPrograms(model, data, resolved_metrics(["loss"], model, data, 0)).step
    _, expected = trained_twins(model, data, sets)
    monkeypatch.setattr(twins, "_MAX_VALUES", 2 * step.values_of_twin(BATCH))
    found, losses = trained_twins(new_model(make), data, sets)
    assert [len(block.twins) for block in found._blocks] == [2, 2, 1]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


class Sorted(layers.Layer):
    """Refuses tensors that are vectorised over."""

    def call(self, inputs):
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            return tf.ensure_shape(tf.numpy_function(np.sort, [inputs], tf.float32), inputs.shape)
        return keras.ops.convert_to_tensor(np.sort(keras.ops.convert_to_numpy(inputs)))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="an operation of TensorFlow")
def test_a_layer_that_cannot_be_vectorised_makes_it_a_loop_and_says_so():
    inputs = keras.Input((4,))

    def make():
        return keras.Model(inputs, layers.Dense(1)(Sorted()(inputs)))

    data = read(table)
    with pytest.warns(ImportanceWarning, match="one after the other.*Reason"):
        found, losses = trained_twins(new_model(make), data, two_sets(data))
    assert not found._programs.is_vectorised
    masks = HiddenColumns.of(data, two_sets(data))
    expected = [fitted_loss(new_model(make), data, masks, number) for number in (0, 1)]
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


def test_the_model_is_only_read():
    rows, make = ARCHITECTURES["batch_normalization"]
    model = new_model(make, OPTIMIZERS["adam"])
    before = [keras.ops.convert_to_numpy(one.value).copy() for one in model.variables]
    state = [keras.ops.convert_to_numpy(one.value).copy() for one in model.optimizer.variables]
    trained_twins(model, read(rows), [()])
    for was, one in zip(before, model.variables, strict=True):
        assert np.array_equal(was, keras.ops.convert_to_numpy(one.value))
    for was, one in zip(state, model.optimizer.variables, strict=True):
        assert np.array_equal(was, keras.ops.convert_to_numpy(one.value))


def test_layers_are_put_back_after_tracing():
    model = new_model(ARCHITECTURES["gru_stacked"][1])
    convolution = new_model(ARCHITECTURES["conv"][1])
    before = [dict(layer.__dict__) for one in (model, convolution) for layer in one._flatten_layers()]
    with pytest.raises(RuntimeError), vectorisable(model, 7), vectorisable(convolution, 7):
        raise RuntimeError("tracing failed")
    after = [dict(layer.__dict__) for one in (model, convolution) for layer in one._flatten_layers()]
    assert [set(one) for one in before] == [set(one) for one in after]
    assert not any(getattr(layer, "unroll", False) for layer in model._flatten_layers())


def test_the_learning_rate_can_be_set_while_training():
    """A rate of 0 stops the twins where they are."""
    rows, make = ARCHITECTURES["mlp"]
    data = read(rows)
    found, losses = trained_twins(new_model(make), data, [()])
    found.set_learning_rate(0.0)
    found.train([np.arange(N_ROWS)])
    assert found.scores(data)[0][0][0].mean() == pytest.approx(losses[0], rel=1e-5)
    found.set_learning_rate(0.05)
    found.train([np.arange(N_ROWS)])
    assert abs(found.scores(data)[0][0][0].mean() - losses[0]) > 1e-4


def test_twins_begin_where_the_optimizer_is():
    """Momentum of an earlier fit is part of what training goes on from."""
    rows, make = ARCHITECTURES["mlp"]
    data = read(rows)
    model = new_model(make, OPTIMIZERS["momentum"])
    masks = HiddenColumns.of(data, [()])
    fitted_loss(model, data, masks, 0, epochs=1)
    _, losses = trained_twins(model, data, [()], epochs=1)
    assert fitted_loss(model, data, masks, 0, epochs=1) == pytest.approx(losses[0], rel=1e-4)


def test_each_start_has_an_order_of_its_own():
    rows, make = ARCHITECTURES["mlp"]
    data = read(rows)
    model = new_model(make)
    programs = TwinPrograms(model, data, resolved_metrics(["loss"], model, data, 0))
    starts = [Start.of(model), Start.of(model), Start.of(model)]
    found = Twins(programs, data, HiddenColumns.of(data, [()]), BATCH, starts)
    forward = np.arange(N_ROWS)
    found.train([forward, forward[::-1].copy(), forward])
    first, second, third = (scores[0][0].mean() for scores in found.scores(data))
    assert first == pytest.approx(third, rel=1e-6)
    assert abs(first - second) > 1e-6


class OwnStep(keras.Model):
    def train_step(self, *arguments):
        return super().train_step(*arguments)


@pytest.mark.parametrize(
    ("make", "optimizer", "reason"),
    [
        (OwnStep, "sgd", "OwnStep has a train_step of its own"),
        (
            keras.Model,
            keras.optimizers.SGD(gradient_accumulation_steps=2),
            "an optimizer with gradient_accumulation_steps=2",
        ),
    ],
    ids=["train_step", "accumulation"],
)
def test_what_has_no_twins_says_why(make, optimizer, reason):
    inputs = keras.Input((4,))
    model = make(inputs, layers.Dense(1)(inputs))
    model.compile(optimizer, "mse")
    assert reason in why_no_twins(model)


class NeedsMore(keras.optimizers.SGD):
    """An optimizer whose configuration does not hold all that its constructor takes."""

    def __init__(self, more, **settings):
        super().__init__(**settings)


def test_an_optimizer_that_cannot_be_copied_has_no_twins():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(1)(inputs))
    model.compile(NeedsMore(more=1), "mse")
    assert "can't be copied (TypeError" in why_no_twins(model)


def test_a_stateful_layer_has_no_twins():
    """Keras counts its states among no variables, so a twin would forget them after each step."""
    model = keras.Sequential([keras.Input(batch_shape=(BATCH, 7, 3)), layers.LSTM(4, stateful=True)])
    model.compile("sgd", "mse")
    assert "is stateful" in why_no_twins(model)


def test_several_outputs_with_loss_weights_learn_as_in_fit():
    data = read(table)
    y = data.targets

    def make():
        inputs = keras.Input((4,))
        h = layers.Dense(6, "tanh")(inputs)
        model = keras.Model(
            inputs, {"a": layers.Dense(1, name="a")(h), "b": layers.Dense(1, name="b")(h)}
        )
        keras.utils.set_random_seed(3)
        model.compile(
            keras.optimizers.SGD(0.05), {"a": "mse", "b": "mae"}, loss_weights={"a": 1.0, "b": 0.5}
        )
        return model

    keras.utils.set_random_seed(3)
    model = make()
    targets = {"a": y, "b": -y}
    data = ValidationData.read((table(), targets))
    metrics = resolved_metrics(["loss"], model, data, 0)
    found = Twins(
        TwinPrograms(model, data, metrics), data, HiddenColumns.of(data, [()]), BATCH, [Start.of(model)]
    )
    found.train([np.arange(N_ROWS)])
    loss = found.scores(data)[0][0][0].mean()
    model.fit(table(), targets, batch_size=BATCH, epochs=1, shuffle=False, verbose=0)
    outputs = model.predict(table(), verbose=0)
    a, b = (outputs[name][:, 0] for name in "ab")
    assert loss == pytest.approx(np.mean((a - y) ** 2) + 0.5 * np.mean(np.abs(b + y)), rel=1e-4)
