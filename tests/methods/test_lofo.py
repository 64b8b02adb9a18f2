"""LOFOImportance in fit: twins of the model, trained beside it, and nothing of the training changed."""

from __future__ import annotations

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_importance import (
    FeatureImportance,
    GradientImportance,
    ImportanceHistory,
    LOFOImportance,
    PermutationImportance,
    Writer,
    compute_importance,
    lofo_importance,
)
from keras_importance.data.running_fit import fit_arguments
from keras_importance.data.training_data import TrainingData
from keras_importance.engine.twins.twins import Twins
from keras_importance.errors import ImportanceWarning

layers = keras.layers
N_ROWS = 400


@pytest.fixture
def pair(rng):
    """Two correlated features, one alone, one of no use: y = 1.5 a + 1.2 b + c, corr(a, b) = .9."""
    x = rng.standard_normal((N_ROWS, 4))
    x[:, 1] = 0.9 * x[:, 0] + np.sqrt(1 - 0.81) * x[:, 1]
    y = 1.5 * x[:, 0] + 1.2 * x[:, 1] + x[:, 2]
    return x.astype("float32"), y.astype("float32")


def linear(optimizer=None, loss="mse"):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.SGD(0.05), loss)
    return model


def watched(method=None, **arguments):
    arguments = {"methods": [method or LOFOImportance()], "time_budget": None, **arguments}
    return FeatureImportance(**arguments)


def fit(model, data, importance, epochs=3, **arguments):
    x, y = data
    arguments = {"validation_split": 0.5, "verbose": 0, **arguments}
    return model.fit(x, y, epochs=epochs, callbacks=[importance], **arguments)


def test_a_correlated_feature_loses_what_only_it_knows(pair):
    """Linear, converged: LOFO_j = b_j² Var(x_j | the others), so 1.5² · .19, 1.2² · .19, 1 and 0.

    The variances are those of the sample's own residuals: half of the rows each train and validate.
    """
    importance = watched()
    fit(linear(), pair, importance, epochs=40)
    found = importance.results["lofo"]
    x = pair[0][N_ROWS // 2 :].astype(float)
    expected = []
    for number, slope in enumerate([1.5, 1.2, 1.0, 0.0]):
        others = np.column_stack([np.delete(pair[0], number, axis=1), np.ones(N_ROWS)])
        half = others[: N_ROWS // 2], pair[0][: N_ROWS // 2, number]
        coefficients = np.linalg.lstsq(*half, rcond=None)[0]
        residual = x[:, number] - others[N_ROWS // 2 :] @ coefficients
        expected.append(slope**2 * np.mean(residual**2))
    np.testing.assert_allclose(found.importances_mean, expected, rtol=0.05, atol=0.01)
    assert found.procedure == "lock step, 1 seed"
    assert found.method == "lofo"


def test_every_epoch_has_its_own_lofo(pair):
    importance = watched()
    fit(linear(), pair, importance, epochs=3)
    first, *_, last = importance.history
    assert [one.epoch for one in importance.history] == [0, 1, 2]
    assert first.baseline_score > last.baseline_score > 0
    assert importance.history.to_dataframe()["procedure"].unique().tolist() == ["lock step, 1 seed"]


def test_the_full_twin_is_the_model_where_batches_keep_their_order(pair):
    """shuffle=False: the twin that sees everything learns what the model learns."""
    model, importance = linear(), watched()
    history = fit(model, pair, importance, shuffle=False)
    found = [one.baseline_score for one in importance.history]
    np.testing.assert_allclose(found, history.history["val_loss"], rtol=1e-4)


def test_skipped_evaluations_are_trained_for_later(pair):
    every, third = watched(), watched(every=3)
    fit(linear(), pair, every)
    keras.utils.set_random_seed(0)
    fit(linear(), pair, third)
    keras.utils.set_random_seed(0)
    assert [one.epoch for one in third.history] == [2]
    again = watched()
    fit(linear(), pair, again)
    keras.utils.set_random_seed(0)
    np.testing.assert_allclose(
        third.results["lofo"].importances, again.results["lofo"].importances, rtol=1e-5
    )


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_the_training_is_bit_identical(small_model, small_data, n_seeds):
    def trained(callbacks):
        model = small_model()
        history = model.fit(
            *small_data, epochs=3, validation_split=0.3, verbose=0, callbacks=callbacks, batch_size=64
        )
        return model.get_weights(), history.history

    weights, history = trained([])
    again, same = trained([watched(LOFOImportance(n_seeds))])
    assert history == same
    assert all(np.array_equal(*one) for one in zip(weights, again, strict=True))


def test_several_seeds_are_repeats_with_an_error_of_their_own(small_model, small_data):
    importance = watched(LOFOImportance(n_seeds=3))
    fit(small_model(), small_data, importance, epochs=2)
    found = importance.results["lofo"]
    assert found.importances.shape == (4, 3)
    assert found.procedure == "lock step, 3 seeds"
    assert len(np.unique(found.importances[0])) == 3  # new weights and orders, not copies
    assert np.all(found.std_error > 0)


def test_groups_leave_together(pair):
    importance = watched(features={"both": [0, 1]})
    fit(linear(), pair, importance, epochs=30)
    found = dict(zip(importance.results["lofo"].feature_names, importance.results["lofo"].importances_mean,
                     strict=True))  # fmt: skip
    apart = watched()
    fit(linear(), pair, apart, epochs=30)
    assert found["both"] > 5 * apart.results["lofo"].importances_mean[:2].max()


def test_a_callback_that_sets_the_learning_rate_sets_that_of_the_twins(pair):
    """A rate of 0 after the first epoch: nothing changes any more."""
    importance = watched()
    x, y = pair
    linear().fit(
        x, y, epochs=4, validation_split=0.5, verbose=0,
        callbacks=[
            keras.callbacks.LearningRateScheduler(lambda epoch: 0.05 if epoch == 0 else 0.0),
            importance,
        ],
    )  # fmt: skip
    first, *others = importance.history
    for one in others:
        np.testing.assert_allclose(one.importances, first.importances, rtol=1e-5)
    assert first.importances_mean[2] > 0.1


def test_a_second_fit_goes_on_from_the_trained_model(pair):
    model, importance = linear(), watched()
    fit(model, pair, importance, epochs=20, shuffle=False)
    history = fit(model, pair, importance, epochs=1, shuffle=False)
    assert importance.results["lofo"].baseline_score == pytest.approx(
        history.history["val_loss"][0], rel=1e-3, abs=1e-6
    )


def test_class_weights_are_those_of_the_training():
    """A weight of 0 for a class: the twins never see it, and the loss on it is that of fit's model."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N_ROWS, 4)).astype("float32")
    y = (x[:, 0] > 0).astype("float32")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.SGD(0.5), "binary_crossentropy")
    importance = watched()
    history = model.fit(
        x, y, epochs=2, validation_split=0.5, shuffle=False, class_weight={0: 3.0, 1: 0.5}, verbose=0,
        callbacks=[importance],
    )  # fmt: skip
    found = [one.baseline_score for one in importance.history]
    np.testing.assert_allclose(found, history.history["val_loss"], rtol=1e-4)


def test_a_dataset_is_read_once_and_its_batches_are_kept(pair):
    x, y = pair
    half = N_ROWS // 2
    dataset = tf.data.Dataset.from_tensor_slices((x[:half], y[:half])).batch(20)
    model, importance = linear(), watched()
    history = model.fit(
        dataset, epochs=2, validation_data=(x[half:], y[half:]), verbose=0, callbacks=[importance]
    )
    found = [one.baseline_score for one in importance.history]
    np.testing.assert_allclose(found, history.history["val_loss"], rtol=1e-4)


def test_a_metric_of_all_rows_has_the_error_of_its_repeats(rng):
    x = rng.standard_normal((N_ROWS, 4)).astype("float32")
    y = (x[:, 0] + 0.3 * rng.standard_normal(N_ROWS) > 0).astype("float32")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.SGD(1.0), "binary_crossentropy")
    importance = watched(LOFOImportance(n_seeds=2), metric=keras.metrics.AUC())
    fit(model, (x, y), importance, epochs=5)
    found = importance.results["lofo"]
    assert found.error_source == "repeats"
    assert np.argmax(found.importances_mean) == 0


def test_training_twins_is_no_part_of_the_time_budget(pair):
    """A budget that twins alone would spend many times over leaves the other methods theirs."""
    alone = FeatureImportance(methods=[GradientImportance(), PermutationImportance()])
    beside = FeatureImportance(
        methods=[GradientImportance(), PermutationImportance(), LOFOImportance(3)]
    )
    for one in (alone, beside):
        one.reports = []
        fit(linear(), pair, one, epochs=6)
    n_alone, n_beside = (
        sum(result.method == "gradient" for result in one.history) for one in (alone, beside)
    )
    assert n_beside >= n_alone - 2


def test_what_twins_cost_is_told(pair, monkeypatch):
    """What an evaluation reports is at least the time that it spent on training twins."""
    spent, told = [], []
    train = Twins.train

    def timed(self, orders):
        started = time.perf_counter()
        train(self, orders)
        spent.append(time.perf_counter() - started)

    class Keeper(Writer):
        def write(self, report):
            told.append(report.seconds)

    monkeypatch.setattr(Twins, "train", timed)
    fit(linear(), pair, watched(writers=[Keeper()]), epochs=1)
    assert told[0] >= sum(spent) > 0


def test_the_history_keeps_how_it_was_done(pair, tmp_path):
    importance = watched()
    fit(linear(), pair, importance, epochs=1)
    importance.history.save(tmp_path / "history.npz")
    again = ImportanceHistory.load(tmp_path / "history.npz")
    assert [one.procedure for one in again] == ["lock step, 1 seed"]


class OwnStep(keras.Model):
    def train_step(self, *arguments):
        return super().train_step(*arguments)


def with_own_step():
    inputs = keras.Input((4,))
    model = OwnStep(inputs, layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    return model


def batches(x, y):
    while True:
        yield x[:20], y[:20]


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (with_own_step, {}, "train_step of its own.*lofo_importance"),
        (
            lambda: linear(keras.optimizers.SGD(gradient_accumulation_steps=2)),
            {},
            "gradient_accumulation_steps=2",
        ),
        (linear, {"steps_per_epoch": 2}, "steps_per_epoch=2.*Leave it out"),
    ],
    ids=["train_step", "accumulation", "steps"],
)
def test_what_cannot_be_done_is_told_once_and_the_training_goes_on(pair, model, arguments, message):
    model, importance = model(), watched()
    before = model.get_weights()
    with pytest.warns(ImportanceWarning, match=f"can't evaluate.*it got .*{message}"):
        fit(model, pair, importance, **arguments)
    assert "lofo" not in importance.results
    assert not all(np.array_equal(*one) for one in zip(before, model.get_weights(), strict=True))


def test_a_generator_of_training_rows_is_refused_and_not_consumed(pair):
    source = batches(*pair)
    with pytest.raises(ValueError, match=r"FeatureImportance got a Python generator.*training"):
        linear().fit(
            source, steps_per_epoch=3, epochs=1, validation_data=pair, verbose=0, callbacks=[watched()]
        )


def test_outside_of_fit_there_is_nothing_to_train_on(pair):
    model = linear()
    with pytest.raises(
        ValueError, match=r"compute_importance got the method 'lofo' outside.*lofo_importance"
    ):
        compute_importance(model, pair, methods="lofo")


@pytest.mark.parametrize("n_seeds", [0, 1.5, "two", True])
def test_the_number_of_seeds_is_checked(n_seeds):
    with pytest.raises(ValueError, match=r"LOFOImportance got n_seeds"):
        LOFOImportance(n_seeds=n_seeds)


class NoConfig(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.dense = layers.Dense(units)

    def call(self, inputs):
        return self.dense(inputs)

    def get_config(self):
        raise NotImplementedError


def test_a_model_without_clones_says_so_for_several_seeds(pair):
    model = NoConfig(1)
    model(pair[0][:2])
    model.compile("sgd", "mse")
    with pytest.warns(ImportanceWarning, match=r"n_seeds=2.*can't be cloned.*n_seeds=1"):
        fit(model, pair, watched(LOFOImportance(2)))
    importance = watched()
    fit(model, pair, importance, epochs=1)
    assert np.isfinite(importance.results["lofo"].importances).all()


def test_twins_that_diverge_are_no_number(pair):
    """A learning rate at which squared error explodes: NaN and the reason, never a number."""
    importance = watched()
    fit(linear(keras.optimizers.SGD(1e6)), pair, importance, epochs=3)
    found = importance.results["lofo"]
    assert np.isnan(found.importances).all()
    assert set(found.notes) == set(found.feature_names)


def test_ctrl_c_while_twins_are_trained_keeps_what_the_others_found(pair, monkeypatch):
    def interrupted(self, orders):
        raise KeyboardInterrupt

    monkeypatch.setattr(Twins, "train", interrupted)
    importance = FeatureImportance(methods=[GradientImportance(), LOFOImportance()], time_budget=None)
    with pytest.raises(KeyboardInterrupt):
        fit(linear(), pair, importance)
    assert np.isfinite(importance.results["gradient"].importances).all()
    assert "interrupted" in importance.results["lofo"].notes["x0"]


def test_rows_of_training_come_without_those_that_were_split_off(pair):
    seen = {}

    class Spy(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen["rows"] = TrainingData.of(fit_arguments(self.model))

    x, y = pair
    linear().fit(
        x, y, validation_split=0.25, batch_size=10, sample_weight=np.full(N_ROWS, 2.0), verbose=0,
        callbacks=[Spy()],
    )  # fmt: skip
    rows = seen["rows"]
    assert (rows.data.n_rows, rows.batch_size, rows.is_shuffled) == (300, 10, True)
    assert np.array_equal(rows.data.inputs[0], x[:300])
    assert rows.data.weights.tolist() == [2.0] * 300


def test_more_twins_than_fit_into_memory_are_told_before_training(pair, monkeypatch):
    """A linear model of four columns with SGD is five weights; five twins of it are 25 values and more."""
    monkeypatch.setattr("keras_importance.engine.twins.twins.MAX_KEPT_VALUES", 20)
    with pytest.warns(
        ImportanceWarning, match=r"it got 5 twins to train.*fit into 2 GB.*lofo_importance"
    ):
        fit(linear(), pair, watched())


def test_lofo_importance_trains_in_parts_what_does_not_fit(pair, monkeypatch):
    arguments = {"cv": 2, "fit_kwargs": {"epochs": 2}, "lock_step": True}
    whole = lofo_importance(linear, *pair, **arguments)
    monkeypatch.setattr("keras_importance.engine.twins.twins.MAX_KEPT_VALUES", 20)
    parts = lofo_importance(linear, *pair, **arguments)
    np.testing.assert_allclose(parts.importances, whole.importances, rtol=1e-5)
