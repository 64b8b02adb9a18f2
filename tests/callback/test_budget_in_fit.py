"""A training within a time budget."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from keras_importance import (
    FeatureImportance,
    ImportanceMethod,
    Writer,
)
from keras_importance.methods import Scores


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


def test_with_hardly_any_budget_the_last_epoch_counts_and_is_drawn(small_model, small_data):
    recorder = Recorder()
    importance = FeatureImportance(time_budget=1e-7, writers=[recorder])
    fit(small_model(), small_data, importance)
    assert importance.history.epochs in ((5,), (0, 5))
    assert recorder.reports[-1].epoch == 5
    assert recorder.reports[-1].with_pictures


def test_without_a_limit_every_epoch_is_evaluated_and_drawn(small_model, small_data):
    recorder = Recorder()
    importance = FeatureImportance(time_budget=None, writers=[recorder])
    fit(small_model(), small_data, importance)
    assert importance.history.epochs == (0, 1, 2, 3, 4, 5)
    assert all(report.with_pictures for report in recorder.reports)


class Clocked(ImportanceMethod):
    """Takes a second by the evaluator's clock for each evaluation, and no real time."""

    name = "clocked"

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def compute(self, evaluator, effort):
        self.clock[0] += 1.0
        n_features = len(evaluator.features)
        return Scores(importances=np.ones((n_features, 1)), metric="none")


def test_evaluations_wait_until_they_are_paid_for(small_model, small_data, monkeypatch):
    """Epochs of 2 s earn 0.18 s, of which 0.135 s are for evaluations before the last; each costs 1 s."""
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    monkeypatch.setattr("keras_importance.engine.clock.Clock.now", lambda self: clock[0])

    class Epoch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            clock[0] += 2.0

    importance = FeatureImportance(methods=[Clocked(clock)], time_budget=0.1)
    x, y = small_data
    small_model().fit(x, y, validation_split=0.5, epochs=21, verbose=0, callbacks=[importance, Epoch()])
    # Paid for after 8 epochs, and the next, which is no bargain, with another second left after 23.
    assert importance.history.epochs == (0, 7, 20)


def test_training_within_a_budget_is_bit_identical(small_model, small_data, tmp_path):
    """The budget's decisions depend on the clock; what training does must not."""

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
