"""The callback in real `fit`s: life cycle, sources of validation data, zero footprint, faults."""

from __future__ import annotations

import contextlib
import copy
import io
import pickle
import random
import warnings

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import keras_importance
import keras_importance.callback.evaluation as evaluation
from keras_importance import (
    GradientImportance,
    ImportanceMethod,
    ImportanceWarning,
    PermutationImportance,
    Writer,
    compute_importance,
)
from keras_importance.reporting.writers import EpochReport
from keras_importance.reporting.writers.history import kept_history


class FeatureImportance(keras_importance.FeatureImportance):
    """Without a time budget, which goes by the clock: `test_budget.py` is about that."""

    def __init__(self, *arguments, time_budget=None, **keywords):
        super().__init__(*arguments, time_budget=time_budget, **keywords)


class Recorder(Writer):
    """Keeps what it is given."""

    def __init__(self):
        self.reports: list[EpochReport] = []
        self.closed = 0

    def write(self, report):
        self.reports.append(report)

    def close(self):
        self.closed += 1


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return self.x[index::3], self.y[index::3]


BACKEND = keras.backend.backend()


def fit(model, data, callbacks, **arguments):
    arguments = {"epochs": 2, "validation_split": 0.3, **arguments}
    return model.fit(*data, verbose=0, callbacks=callbacks, **arguments)


# --- what fit validates on ----------------------------------------------------------------------


def test_the_contracts_three_lines_work(small_model, small_data, tmp_path):
    importance = FeatureImportance(log_dir=tmp_path)
    fit(small_model(), small_data, [importance])
    assert set(importance.results) == {"gradient", "permutation"}
    assert importance.history.epochs == (0, 1)
    assert len(importance.history.to_dataframe()) == 2 * 2 * 4


def test_a_split_is_scored_on_the_rows_that_fit_validates_on(small_model, small_data):
    importance, model = FeatureImportance(), small_model()
    fit(model, small_data, [importance], epochs=1)
    x, y = small_data
    expected = compute_importance(model, (x[210:], y[210:]))
    for method, result in importance.results.items():
        np.testing.assert_allclose(
            result.importances, expected[method].importances, rtol=1e-5, atol=1e-8
        )


def sources(x, y):
    return {
        "arrays": (x, y),
        "list": [x, y],
        "weights": (x, y, np.ones(len(y))),
        "tf.data": tf.data.Dataset.from_tensor_slices((x, y)).batch(32),
        "PyDataset": Batches(x, y),
    }


@pytest.mark.parametrize("source", sources(np.zeros(1), np.zeros(1)))
@pytest.mark.parametrize("given_to", ["fit", "callback"])
def test_every_source_works_given_to_fit_or_to_the_callback(source, given_to, small_model, small_data):
    x, y = small_data
    data = sources(x[200:], y[200:])[source]
    of_callback, of_fit = (data, None) if given_to == "callback" else (None, data)
    importance, model = FeatureImportance(of_callback, time_budget=None), small_model()
    fit(model, (x[:200], y[:200]), [importance], validation_split=0, validation_data=of_fit)
    assert importance.results["permutation"].n_samples == 100
    expected = compute_importance(model, (x[200:], y[200:]))
    if source != "PyDataset":  # it deals the rows in another order, so donors differ
        np.testing.assert_allclose(
            importance.results["permutation"].importances,
            expected["permutation"].importances,
            rtol=1e-4,
            atol=1e-6,
        )
    np.testing.assert_allclose(
        importance.results["gradient"].importances, expected["gradient"].importances, rtol=1e-3
    )


def test_an_endless_dataset_is_read_as_far_as_fit_reads_it(small_model, small_data):
    endless = tf.data.Dataset.from_tensor_slices(small_data).batch(10).repeat()
    importance = FeatureImportance()
    fit(
        small_model(),
        small_data,
        [importance],
        validation_split=0,
        validation_data=endless,
        validation_steps=4,
    )
    assert importance.results["gradient"].n_samples == 40


def test_dataframe_columns_name_the_features(small_model, small_data):
    x, y = small_data
    frame = pd.DataFrame(x, columns=["age", "bmi", "bp", "sex"])
    importance = FeatureImportance()
    fit(small_model(), (frame, y), [importance])
    assert importance.results["permutation"].feature_names == ("age", "bmi", "bp", "sex")


def test_without_validation_data_fit_fails_before_training(small_model, small_data):
    model = small_model()
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"FeatureImportance got no validation data.*validation_data="):
        fit(model, small_data, [FeatureImportance()], validation_split=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_generator_is_refused_before_training_and_keeps_its_rows(small_model, small_data):
    drawn = []

    def batches():
        while True:
            drawn.append(1)
            yield small_data

    with pytest.raises(ValueError, match=r"generator.*Pass validation_data="):
        fit(
            small_model(), small_data, [FeatureImportance()],
            validation_split=0, validation_data=batches(), validation_steps=1,
        )  # fmt: skip
    assert not drawn


def test_max_samples_bounds_the_rows(small_model, small_data):
    importance = FeatureImportance(max_samples=50)
    fit(small_model(), small_data, [importance])
    assert importance.results["permutation"].n_samples == 50


# --- kinds of models ----------------------------------------------------------------------------


class Subclassed(keras.Model):
    """A model whose call takes no `training`."""

    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(8, activation="relu")
        self.out = keras.layers.Dense(1)

    def call(self, x):
        return self.out(self.hidden(x))


class OwnStep(keras.Model):
    """A model with a training step of its own; on JAX it takes the state, too."""

    def train_step(self, *arguments):
        return super().train_step(*arguments)


def unbuilt():
    return keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(1)])


def functional(cls=keras.Model):
    inputs = keras.Input((4,))
    return cls(inputs, keras.layers.Dense(1)(keras.layers.Dense(4)(inputs)))


MODELS = {
    "unbuilt": unbuilt,
    "functional": functional,
    "subclassed": Subclassed,
    "own train_step": lambda: functional(OwnStep),
    "nested": lambda: keras.Sequential([functional(), keras.layers.Dense(1)]),
}
COMPILE = {
    "eager": {"run_eagerly": True},
    "steps": {"steps_per_execution": 4},
    "jit": {"jit_compile": True},
}


@pytest.mark.parametrize("compile_arguments", [{}, *COMPILE.values()], ids=["plain", *COMPILE])
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_models_of_every_kind_are_evaluated(make, compile_arguments, small_data):
    if BACKEND == "torch" and "steps_per_execution" in compile_arguments:
        pytest.skip("Keras runs one step at a time on torch")
    model = make()
    model.compile("adam", "mse", **compile_arguments)
    importance = FeatureImportance()
    fit(model, small_data, [importance])
    for result in importance.results.values():
        assert result.epoch == 1
        assert np.all(np.isfinite(result.importances_mean))


def test_a_mixed_precision_model_is_evaluated(small_data):
    dtype = keras.DTypePolicy("mixed_float16")
    model = keras.Sequential([keras.layers.Dense(4, dtype=dtype), keras.layers.Dense(1, dtype=dtype)])
    model.compile("adam", "mse")
    importance = FeatureImportance()
    fit(model, small_data, [importance], epochs=1)
    for result in importance.results.values():
        assert np.all(np.isfinite(result.importances_mean))


def test_integers_for_an_embedding_have_permutation_but_no_gradient(rng):
    """The gradient of an integer input is no number, and says so: never 0."""
    colour, size = rng.integers(5, size=(400, 1)), rng.standard_normal((400, 1))
    y = np.array([0.0, 1, 2, 3, 4])[colour[:, 0]] + size[:, 0]
    inputs = [keras.Input((1,), name="colour", dtype="int32"), keras.Input((1,), name="size")]
    embedded = keras.layers.Flatten()(keras.layers.Embedding(5, 4)(inputs[0]))
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.concatenate([embedded, inputs[1]])))
    model.compile(keras.optimizers.Adam(0.05), "mse")
    importance = FeatureImportance()
    fit(model, ([colour, size], y), [importance], epochs=8)
    gradient, permutation = importance.results["gradient"], importance.results["permutation"]
    assert gradient.feature_names == ("colour", "size")
    assert np.isnan(gradient.importances_mean[0])
    assert np.isnan(gradient.ci_low[0])
    assert "int64 values, which have no gradient" in gradient.notes["colour"]
    assert gradient.importances_mean[1] > 0
    assert np.all(permutation.ci_low > 0)
    table = importance.history.to_dataframe()
    assert (table[table.importance.isna()].note != "").all()


def test_a_model_of_embeddings_alone_has_notes_and_no_warning_of_numbers_that_are_not_finite(rng):
    """No gradient of integers is the nature of the method, not a training that diverged."""
    model = keras.Sequential([keras.Input((1,), dtype="int32"), keras.layers.Embedding(5, 1)])
    model.add(keras.layers.Flatten())
    model.compile("sgd", "mse")
    importance = FeatureImportance(methods=["gradient"], detectors=())
    x = rng.integers(5, size=(400, 1)).astype("int32")
    with warnings.catch_warnings(record=True) as told:
        fit(model, ([x], x[:, 0].astype("float32")), [importance], epochs=1)
    assert not [each for each in told if issubclass(each.category, ImportanceWarning)]
    result = importance.results["gradient"]
    assert np.isnan(result.importances_mean).all()
    assert "which have no gradient" in result.notes[result.feature_names[0]]
    assert result.why_unknown is None


def test_floats_that_become_categories_have_no_gradient_either(rng):
    colour = rng.integers(5, size=(200, 1)).astype("float32")
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Embedding(5, 2), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    result = compute_importance(model, (colour, colour[:, 0]), methods="gradient")["gradient"]
    assert np.isnan(result.importances_mean[0])
    assert "whole numbers: no gradient" in result.notes["x0"]


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "linearised_permutation"])
def test_a_column_that_becomes_a_category_has_no_gradient_beside_others_that_have(method, rng):
    inputs = keras.Input((2,))
    colour = keras.layers.Flatten()(keras.layers.Embedding(5, 2)(inputs[:, :1]))
    model = keras.Model(
        inputs, keras.layers.Dense(1)(keras.layers.Concatenate()([colour, inputs[:, 1:]]))
    )
    model.compile("adam", "mse")
    x = np.column_stack([rng.integers(5, size=200), rng.standard_normal(200)]).astype("float32")
    result = compute_importance(model, (x, x[:, 0]), methods=method)[method]
    assert np.isnan(result.importances_mean[0])
    assert "whole numbers: no gradient" in result.notes["x0"]
    assert abs(result.importances_mean[1]) > 0


def test_whole_numbers_in_a_float_input_have_a_gradient(linear_model, rng):
    x = rng.integers(10, size=(200, 2))
    result = compute_importance(linear_model([1.0, 2.0]), (x, x @ [1, 2]), methods="gradient")[
        "gradient"
    ]
    assert result.importances_mean == pytest.approx([1, 2] * x.std(axis=0), rel=1e-4)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="texts are no tensors elsewhere")
@pytest.mark.parametrize("shape", [(), (1,)], ids=["(n,)", "(n, 1)"])
def test_texts_have_permutation_but_no_gradient(shape, rng):
    city = keras.Input(shape, name="city", dtype="string")
    number = keras.layers.StringLookup(vocabulary=["Oslo", "Rom"], output_mode="int")(city)
    vector = keras.layers.Reshape((2,))(keras.layers.Embedding(3, 2)(number))
    model = keras.Model({"city": city}, keras.layers.Dense(1)(vector))
    model.compile("adam", "mse")
    texts = rng.choice(["Oslo", "Rom"], size=(200, *shape))
    data = tf.data.Dataset.from_tensor_slices(({"city": texts}, np.ravel(texts == "Rom") * 1.0)).batch(
        50
    )
    results = compute_importance(model, data)
    assert np.isnan(results["gradient"].importances_mean[0])
    assert results["permutation"].std_error[0] > 0


class IgnoresAnInput(keras.Model):
    def __init__(self):
        super().__init__()
        self.out = keras.layers.Dense(1)

    def call(self, x):
        return self.out(x["used"])


def test_an_input_that_the_model_ignores_has_zero_gradient(rng):
    x = {"used": rng.standard_normal((50, 2)), "unused": rng.standard_normal((50, 1))}
    model = IgnoresAnInput()
    model.compile(loss="mse")
    results = compute_importance(model, (x, x["used"][:, 0]))
    names = results["gradient"].feature_names
    for result in results.values():
        assert result.importances_mean[names.index("unused")] == 0


# --- zero footprint -----------------------------------------------------------------------------


@pytest.mark.parametrize("methods", ["gradient", "permutation", ("gradient", "permutation")], ids=str)
@pytest.mark.parametrize(
    "metric",
    [
        "loss",
        *(
            pytest.param(one, marks=pytest.mark.long)
            for one in ("mae", keras.metrics.RootMeanSquaredError(), "callable")
        ),
    ],
    ids=str,
)
def test_training_is_bit_identical_with_and_without_the_callback(
    methods, metric, small_model, small_data, tmp_path
):
    def careless(y_true, y_pred):
        np.random.shuffle(np.arange(10))  # noqa: NPY002 (what a user's metric may do)
        random.random()  # noqa: S311
        return np.square(y_true - y_pred[:, 0])

    def train(callbacks):
        model = small_model()
        history = fit(model, small_data, callbacks, epochs=3).history
        states = [
            model.get_weights(),
            [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables],
        ]
        return history, states, random.getstate(), np.random.get_state()[1]  # noqa: NPY002

    without = train([])
    importance = FeatureImportance(
        methods=methods,
        metric=careless if metric == "callable" else metric,
        log_dir=tmp_path,
        time_budget=None,
    )
    with_it = train([importance])
    assert importance.history.epochs == (0, 1, 2)
    assert without[0] == with_it[0]
    for first, second in zip(without[1], with_it[1], strict=True):
        for old, new in zip(first, second, strict=True):
            np.testing.assert_array_equal(old, new)
    assert without[2] == with_it[2]
    np.testing.assert_array_equal(without[3], with_it[3])


class Sampling(keras.layers.Layer):
    """Draws random numbers in inference, too, as the middle of a variational autoencoder does."""

    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator(7)

    def call(self, x):
        return x + 0.1 * keras.random.normal(keras.ops.shape(x), seed=self.generator)


class Unseeded(keras.layers.Layer):
    def call(self, x):
        return x + 0.1 * keras.random.normal(keras.ops.shape(x))


class Counting(keras.layers.Layer):
    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.assign_add(1.0)
        return x * (1 + 0.001 * self.calls)


class AlwaysTraining(keras.layers.Layer):
    """Monte Carlo dropout, and statistics that move in inference."""

    def __init__(self):
        super().__init__()
        self.drop, self.norm = keras.layers.Dropout(0.3), keras.layers.BatchNormalization()

    def call(self, x):
        return self.norm(self.drop(x, training=True), training=True)


class Tracking(keras.layers.Layer):
    """Keeps a metric of what passes, and uses it."""

    def __init__(self):
        super().__init__()
        self.tracker = keras.metrics.Mean()

    def call(self, x):
        self.tracker.update_state(keras.ops.abs(x))
        return x * (1 + self.tracker.result())


class TensorFlowRandom(keras.layers.Layer):
    def call(self, x):
        return x + 0.1 * tf.random.normal(tf.shape(x))


# Layers that not all backends run at all.
ELSEWHERE = {
    TensorFlowRandom: ("tensorflow",),
    Unseeded: ("tensorflow", "torch"),
    Tracking: ("tensorflow", "torch"),
}


@pytest.mark.parametrize(
    ("built", "eager"),
    [(True, False), (True, True), (False, False)],
    ids=["graph", "eager", "unbuilt"],
)
@pytest.mark.parametrize(
    "layer", [Sampling, Unseeded, Counting, AlwaysTraining, TensorFlowRandom, Tracking]
)
def test_models_with_state_in_inference_train_the_same(layer, eager, built, small_data):
    if layer in ELSEWHERE and BACKEND not in ELSEWHERE[layer]:
        pytest.skip(f"Keras doesn't run {layer.__name__} on {BACKEND}")

    def train(callbacks):
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(4), layer(), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((4,)), *layers] if built else layers)
        model.compile("adam", "mse", run_eagerly=eager)
        history = fit(model, small_data, callbacks, batch_size=70).history
        return history, model.get_weights(), tf.random.normal(()).numpy()

    importance = FeatureImportance()
    (without, old_weights, draw), (with_it, new_weights, new_draw) = train([]), train([importance])
    assert importance.history.methods == ("gradient", "permutation")
    assert without == with_it
    assert draw == new_draw
    for old, new in zip(old_weights, new_weights, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras can't train a stateful RNN on torch")
def test_a_stateful_rnn_trains_the_same(rng):
    x = rng.standard_normal((96, 5, 2)).astype("float32")

    def train(callbacks):
        keras.utils.set_random_seed(0)
        inputs = keras.Input(batch_shape=(16, 5, 2))
        model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.LSTM(3, stateful=True)(inputs)))
        model.compile("adam", "mse")
        data = (x[:64], x[:64, -1, 0])
        validation = (x[64:], x[64:, -1, 0])
        arguments = {"batch_size": 16, "validation_split": 0, "validation_data": validation}
        return fit(model, data, callbacks, epochs=3, shuffle=False, **arguments).history

    importance = FeatureImportance()
    assert train([]) == train([importance])
    assert importance.history.methods == ("gradient", "permutation")


def test_only_the_chief_writes(small_model, small_data, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_importance.callback.run_directory.is_chief", lambda model: False)
    writer = Recorder()
    importance = FeatureImportance(log_dir=tmp_path / "logs", writers=[writer], methods="gradient")
    fit(small_model(), small_data, [importance])
    assert importance.history.epochs == (0, 1)
    assert not writer.reports
    assert not (tmp_path / "logs").exists()


def test_a_shuffled_dataset_split_in_two_trains_the_same(small_model, small_data):
    def train(callbacks):
        model = small_model()
        shuffled = tf.data.Dataset.from_tensor_slices(small_data).shuffle(300, seed=1)
        validation, training = shuffled.take(60).batch(20), shuffled.skip(60).batch(32)
        history = model.fit(
            training, validation_data=validation, epochs=3, verbose=0, callbacks=callbacks
        ).history
        return history, model.get_weights()

    without, with_it = train([]), train([FeatureImportance()])
    assert without[0] == with_it[0]
    for old, new in zip(without[1], with_it[1], strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_terminal_that_lacks_a_letter_stops_no_training(small_model, small_data, monkeypatch):
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    importance = FeatureImportance(detectors=(), features=["日", "\x1b[31m", "c", "d"], verbose=1)
    with pytest.warns(ImportanceWarning, match="printing.*UnicodeEncodeError"):
        history = fit(small_model(), small_data, [importance]).history
    assert len(history["loss"]) == 2


def test_nothing_is_printed_at_verbose_0(small_model, small_data, capfd):
    fit(small_model(), small_data, [])
    capfd.readouterr()
    fit(small_model(), small_data, [FeatureImportance()])
    assert capfd.readouterr().out == ""


def test_one_line_an_evaluation_is_printed_at_verbose_1(small_model, small_data, capsys):
    fit(small_model(), small_data, [FeatureImportance(verbose=1, detectors=())])
    *lines, summary = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("Epoch 1: importance in ")
    assert " - permutation: x" in lines[1]
    assert summary.startswith("FeatureImportance: 2 of 2 epochs evaluated in ")
    assert summary.endswith("Nothing limits it.")


def test_lines_of_evaluations_do_not_break_those_of_the_progress_bar(small_model, small_data, capsys):
    """Keras ends its line after our `on_epoch_end`: a line of ours comes behind it."""
    small_model().fit(
        *small_data, validation_split=0.3, epochs=3, verbose=2, callbacks=[FeatureImportance(verbose=1)]
    )
    lines = capsys.readouterr().out.strip().splitlines()
    ours = [index for index, line in enumerate(lines) if "importance in" in line]
    assert len(ours) == 3
    assert all(lines[index].startswith("Epoch ") for index in ours)
    assert all("val_loss" in lines[index - 1] for index in ours)


def test_logs_hold_the_importances_on_request(small_model, small_data):
    importance = FeatureImportance(add_to_logs=True, methods="permutation")
    seen = {}
    later = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.update(logs))
    history = fit(small_model(), small_data, [importance, later]).history
    expected = importance.results["permutation"].importances_mean[0]
    assert history["importance_permutation/x0"][-1] == seen["importance_permutation/x0"] == expected


def test_logs_keep_their_keys_between_evaluations(small_model, small_data, tmp_path):
    """CSVLogger writes the columns of the first epoch, which is evaluated for it, whatever `every` says."""
    importance = FeatureImportance(add_to_logs=True, methods="gradient", every=2)
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    fit(small_model(), small_data, [importance, log], epochs=4)
    column = pd.read_csv(tmp_path / "log.csv")["importance_gradient/x0"]
    assert importance.history.epochs == (0, 1, 3)
    assert column[0] != column[1] == column[2] != column[3]


def test_early_stopping_has_a_number_to_begin_with(small_model, small_data):
    """Nothing is better than NaN: a first epoch without a value would stop every training."""
    importance = FeatureImportance(add_to_logs=True, methods="permutation", every=2)
    stopping = keras.callbacks.EarlyStopping(
        "importance_permutation/x0", mode="max", patience=3, start_from_epoch=0
    )
    fit(small_model(), small_data, [importance, stopping], epochs=8)
    values = [result.importances_mean[0] for result in importance.history]
    assert values == sorted(values)  # it learns x0 all the time
    assert len(values) == 5
    assert stopping.stopped_epoch == 0


def test_a_first_evaluation_that_fails_is_not_tried_again_in_each_epoch(small_model, small_data):
    tried = []

    class Failing(PermutationImportance):
        def compute(self, evaluator, effort):
            tried.append(len(tried))
            raise RuntimeError("no luck")

    importance = FeatureImportance(
        add_to_logs=True, methods=Failing(), every=3, detectors=(), time_budget=None
    )
    with pytest.warns(ImportanceWarning, match="no luck"):
        fit(small_model(), small_data, [importance], epochs=6)
    assert len(tried) == 3  # in the first epoch, for the logs, and every three


# --- which epochs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("every", "epochs", "evaluated"),
    [(1, 3, (0, 1, 2)), (2, 5, (1, 3, 4)), (3, 3, (2,)), (10, 4, (3,))],
)
def test_every_counts_epochs_and_the_last_one_always_counts(
    every, epochs, evaluated, small_model, small_data
):
    importance = FeatureImportance(every=every, methods="gradient")
    fit(small_model(), small_data, [importance], epochs=epochs)
    assert importance.history.epochs == evaluated


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("restore", [False, True], ids=["keep", "restore best"])
def test_the_epoch_that_early_stopping_stops_at_counts(order, restore, small_model, small_data):
    stopping = keras.callbacks.EarlyStopping(
        monitor="loss", min_delta=1e9, patience=1, restore_best_weights=restore
    )
    importance = FeatureImportance(every=100, methods="gradient")
    weights = {}
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: weights.update({epoch: model.get_weights()})
    )
    model = small_model()
    callbacks = [stopping, importance] if order == "before" else [importance, stopping]
    fit(model, small_data, [keep, *callbacks], epochs=50)
    assert importance.history.epochs == (1,)
    model.set_weights(weights[1])
    x, y = small_data
    expected = compute_importance(model, (x[210:], y[210:]), methods="gradient")["gradient"]
    np.testing.assert_allclose(
        importance.results["gradient"].importances, expected.importances, rtol=1e-5
    )


def test_validation_freq_does_not_delay_importance(small_model, small_data):
    importance = FeatureImportance(methods="gradient")
    fit(small_model(), small_data, [importance], epochs=4, validation_freq=3)
    assert importance.history.epochs == (0, 1, 2, 3)


def test_a_second_fit_of_the_same_model_goes_on_with_the_history(small_model, small_data):
    """Its epochs are numbered on, though Keras counts from 0 again."""
    importance, model = FeatureImportance(methods="gradient"), small_model()
    fit(model, small_data, [importance], epochs=3)
    first = importance.history.results
    fit(model, small_data, [importance], epochs=2)
    assert importance.history.epochs == (0, 1, 2, 3, 4)
    assert importance.history.results[:3] == first


def test_an_epoch_that_did_not_end_is_no_epoch_of_the_training(small_model, small_data):
    """The first fit breaks off within its second epoch: the next one trains that epoch anew."""

    class BreaksOff(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise RuntimeError("out of luck")

    importance, model = FeatureImportance(methods="gradient"), small_model()
    with pytest.raises(RuntimeError, match="out of luck"):
        fit(model, small_data, [importance, BreaksOff()], epochs=3)
    fit(model, small_data, [importance], epochs=2)
    assert importance.history.epochs == (0, 1, 2)


@pytest.mark.parametrize("change", ["another model", "compiled anew", "optimizer set back"])
def test_another_training_starts_the_history_anew(change, small_model, small_data):
    importance, model = FeatureImportance(methods="gradient"), small_model()
    fit(model, small_data, [importance], epochs=3)
    if change == "another model":
        model = small_model()
    elif change == "compiled anew":
        model.compile("sgd", "mse")
    else:
        model.optimizer.iterations.assign(0)
    fit(model, small_data, [importance], epochs=2)
    assert importance.history.epochs == (0, 1)


def test_a_loop_of_fits_is_one_training(small_model, small_data, tmp_path):
    """The history, the curves and the file go on; programs are compiled in the first fit alone."""
    importance, model = FeatureImportance(methods="permutation", log_dir=tmp_path), small_model()
    for _ in range(2):
        fit(model, small_data, [importance], epochs=1)
    compiler = importance._earlier.evaluator.compiler
    compiled = dict(compiler.seconds_of)
    for _ in range(3):
        fit(model, small_data, [importance], epochs=1)
    assert importance._earlier.evaluator.compiler is compiler
    assert compiler.seconds_of == compiled
    assert importance.history.epochs == (0, 1, 2, 3, 4)
    assert kept_history(tmp_path, before=99).epochs == (0, 1, 2, 3, 4)
    events = EventAccumulator(str(tmp_path / "importance"), size_guidance={"tensors": 0}).Reload()
    steps = [event.step for event in events.Tensors("importance_permutation/x0")]
    assert steps == [0, 1, 2, 3, 4]


def test_other_rows_in_a_second_fit_are_read_anew(small_model, small_data):
    importance, model = FeatureImportance(methods="permutation"), small_model()
    fit(model, small_data, [importance], epochs=1)
    before = importance._earlier.evaluator
    x, y = small_data
    fit(model, (x[::-1].copy(), y[::-1].copy()), [importance], epochs=1)
    assert importance._earlier.evaluator is not before
    assert importance.history.epochs == (0, 1)


def test_a_fit_from_a_later_epoch_continues_the_history(small_model, small_data):
    importance, model = FeatureImportance(methods="gradient"), small_model()
    fit(model, small_data, [importance], epochs=3)
    first = importance.history.results[:2]
    fit(model, small_data, [importance], epochs=5, initial_epoch=2)
    assert importance.history.epochs == (0, 1, 2, 3, 4)
    assert importance.history.results[:2] == first


def test_a_fit_on_other_features_forgets_the_history(small_model, small_data):
    importance = FeatureImportance(methods="gradient")
    fit(small_model(), small_data, [importance], epochs=2)
    x, y = small_data
    fit(small_model(2), (x[:, :2], y), [importance], epochs=4, initial_epoch=3)
    assert importance.history.epochs == (3,)
    assert importance.results["gradient"].feature_names == ("x0", "x1")


def test_the_same_rows_and_donors_serve_every_epoch(linear_model, small_data):
    """A model that does not change has the same importances in every epoch."""
    model = linear_model([2.0, -1.0, 0.0, 0.5])
    model.optimizer.learning_rate = 0.0
    importance = FeatureImportance(max_samples=40)
    fit(model, small_data, [importance], epochs=3)
    for method in importance.results:
        first, *others = importance.history.of(method)
        for other in others:
            np.testing.assert_array_equal(first.importances, other.importances)


def test_a_fit_that_raises_leaves_a_callback_that_works_again(small_model, small_data):
    writer = Recorder()
    importance, model = FeatureImportance(methods="gradient", writers=[writer]), small_model()

    def fail(epoch, logs):
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        fit(model, small_data, [importance, keras.callbacks.LambdaCallback(on_epoch_end=fail)])
    fit(model, small_data, [importance])  # goes on with the training
    assert importance.history.epochs == (0, 1, 2)
    assert [report.epoch for report in writer.reports] == [0, 1, 2]


# --- faults -------------------------------------------------------------------------------------


class Failing(ImportanceMethod):
    name = "failing"

    def compute(self, evaluator, effort):
        raise RuntimeError("no luck")


def test_a_failing_method_is_one_warning_and_the_others_go_on(small_model, small_data):
    importance = FeatureImportance(methods=[Failing(), "gradient"])
    with pytest.warns(
        ImportanceWarning, match="'failing' importance.*goes on.*RuntimeError: no luck"
    ) as seen:
        history = fit(small_model(), small_data, [importance], epochs=3).history
    assert len([one for one in seen if one.category is ImportanceWarning]) == 1
    assert len(history["loss"]) == 3
    assert importance.history.methods == ("gradient",)


def test_a_metric_that_fails_in_training_is_a_warning(small_model, small_data):
    calls = []

    def metric(y_true, y_pred):
        calls.append(1)
        if len(calls) > 4:
            raise ZeroDivisionError("nothing there")
        return np.square(y_true - y_pred[:, 0])

    importance = FeatureImportance(detectors=(), metric=metric, methods=["permutation", "gradient"])
    with pytest.warns(ImportanceWarning, match="ZeroDivisionError: nothing there"):
        fit(small_model(), small_data, [importance])
    assert importance.history.methods == ("gradient",)


def test_a_failing_writer_is_a_warning_and_the_others_go_on(small_model, small_data):
    class Full(Recorder):
        def write(self, report):
            raise OSError("disk full")

    recorder = Recorder()
    importance = FeatureImportance(methods="gradient", writers=[Full(), recorder])
    with pytest.warns(ImportanceWarning, match="writing with Full.*disk full"):
        fit(small_model(), small_data, [importance])
    assert [report.epoch for report in recorder.reports] == [0, 1]
    assert recorder.closed == 1


def test_where_warnings_are_errors_the_training_goes_on_and_the_reason_is_logged(
    small_model, small_data, caplog
):
    """Pytest's own settings here make our warnings errors."""
    importance = FeatureImportance(methods=[Failing()])
    history = fit(small_model(), small_data, [importance]).history
    assert len(history["loss"]) == 2
    assert "no luck" in caplog.text


def test_whatever_fails_round_an_evaluation_is_a_warning(small_model, small_data, monkeypatch):
    real, calls = evaluation.no_footprint, []

    @contextlib.contextmanager
    def fails_in_training(model):
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError("no room for a snapshot")
        with real(model):
            yield

    monkeypatch.setattr(evaluation, "no_footprint", fails_in_training)
    importance = FeatureImportance(methods="gradient")
    with pytest.warns(ImportanceWarning, match=r"failed evaluating in epoch 0.*MemoryError: no room"):
        history = fit(small_model(), small_data, [importance], epochs=3).history
    assert len(history["loss"]) == 3
    assert importance.history.epochs == (1, 2)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="it asks how TensorFlow runs")
def test_a_loss_that_fails_outside_training_stops_no_training(small_model, small_data):
    """One that works only where it is traced, as in `fit`, can't be tried out before."""

    def picky(y_true, y_pred):
        if not isinstance(y_pred, tf.Tensor) or tf.executing_eagerly():
            raise RuntimeError("only within a training step")
        return keras.ops.square(y_true - y_pred)

    model = small_model()
    model.compile("adam", picky)
    importance = FeatureImportance()
    fit(model, small_data, [importance])
    assert importance.history.methods == ("gradient", "permutation")


def test_ctrl_c_stops_the_training_as_it_would_have(small_model, small_data):
    class Interrupted(ImportanceMethod):
        name = "interrupted"

        def compute(self, evaluator, effort):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(small_model(), small_data, [FeatureImportance(methods=[Interrupted()])])


# --- copies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["deepcopy", "pickle"]
)
def test_copies_work_like_the_original(clone, small_model, small_data, tmp_path):
    original = FeatureImportance(
        methods=[GradientImportance(), PermutationImportance(3)], features=list("abcd"), log_dir=tmp_path
    )
    copied = clone(original)
    fit(small_model(), small_data, [copied])
    assert copied.history.epochs == (0, 1)
    assert len(original.history) == 0


def test_a_callback_can_be_copied_after_a_fit_that_raised(small_model, small_data):
    importance = FeatureImportance(methods="gradient")

    def fail(epoch, logs):
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        fit(small_model(), small_data, [importance, keras.callbacks.LambdaCallback(on_epoch_end=fail)])
    for copied in (copy.deepcopy(importance), pickle.loads(pickle.dumps(importance))):
        assert copied.history.epochs == (0,)
        fit(small_model(), small_data, [copied])
        assert copied.history.epochs == (0, 1)


def test_the_report_tells_epoch_results_and_time(small_model, small_data):
    writer = Recorder()
    fit(small_model(), small_data, [FeatureImportance(writers=writer)])
    report = writer.reports[-1]
    assert [one.method for one in report.results] == ["gradient", "permutation"]
    assert report.history.epochs == (0, 1)
    assert report.epoch_seconds > 0
    assert report.seconds > 0
    assert writer.closed == 1
