"""A training within a time budget."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from keras_importance import FeatureImportance, Writer


class Recorder(Writer):
    def __init__(self):
        self.reports = []

    def write(self, report):
        self.reports.append(report)


def fit(model, data, importance, epochs=6, **arguments):
    x, y = data
    return model.fit(
        x, y, validation_split=0.5, epochs=epochs, verbose=0, callbacks=[importance], **arguments
    )


@pytest.mark.parametrize("time_budget", [1e-7, 0.1, 1, None], ids=str)
def test_every_epoch_is_evaluated_whatever_the_budget(time_budget, small_model, small_data):
    recorder = Recorder()
    importance = FeatureImportance(time_budget=time_budget, writers=[recorder])
    fit(small_model(), small_data, importance)
    assert importance.history.epochs == (0, 1, 2, 3, 4, 5)
    assert recorder.reports[-1].with_pictures
    for result in importance.history:
        assert np.all(np.isfinite(result.importances_mean))


def test_without_a_limit_every_epoch_of_a_short_training_is_drawn(small_model, small_data):
    recorder = Recorder()
    fit(small_model(), small_data, FeatureImportance(time_budget=None, writers=[recorder]))
    assert all(report.with_pictures for report in recorder.reports)


def test_all_evaluations_of_a_training_use_the_same_rows_and_repeats(rng):
    """1,500 rows and hardly any budget: the plan holds from the first epoch on."""
    x = rng.standard_normal((3000, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(64), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    importance = FeatureImportance(time_budget=1e-7)
    fit(model, (x, x[:, :1]), importance)
    sizes = {(result.n_samples, result.n_repeats) for result in importance.history}
    assert sizes == {(100, 1), (100, 2)}  # gradients, and two repeats


class Slow(keras.callbacks.Callback):
    """Each reading of a clock is much later than the one before, as on a busy machine."""

    def __init__(self, monkeypatch):
        super().__init__()
        now = [0.0]

        def later():
            now[0] += 10.0
            return now[0]

        monkeypatch.setattr("time.perf_counter", later)


def test_a_clock_that_runs_away_changes_no_number(small_model, small_data, monkeypatch):
    """What is scored is planned by counted work alone."""

    def histories(callbacks=()):
        keras.utils.set_random_seed(3)
        importance = FeatureImportance(time_budget=0.1)
        small_model().fit(
            *small_data, validation_split=0.5, epochs=3, verbose=0, callbacks=[*callbacks, importance]
        )
        return importance.history

    plain = histories()
    with monkeypatch.context() as patched:
        slow = histories([Slow(patched)])
    assert len(plain) == len(slow)
    for before, after in zip(plain, slow, strict=True):
        np.testing.assert_array_equal(before.importances, after.importances)
        assert before.n_samples == after.n_samples


def test_training_within_a_budget_is_bit_identical(small_model, small_data, tmp_path):
    def train(callbacks):
        model = small_model()
        history = model.fit(
            *small_data, validation_split=0.3, epochs=4, verbose=0, callbacks=callbacks
        ).history
        return history, model.get_weights()

    without = train([])
    with_it = train([FeatureImportance(time_budget=0.01, log_dir=tmp_path)])
    assert without[0] == with_it[0]
    for old, new in zip(without[1], with_it[1], strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("value", [0, -0.1, True, "10%", math.inf, math.nan], ids=str)
def test_a_share_is_a_number_above_0(value):
    with pytest.raises(ValueError, match=r"FeatureImportance got time_budget=.*None for no limit"):
        FeatureImportance(time_budget=value)
