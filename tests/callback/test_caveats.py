"""What a reader of the verdicts must know, told when the training begins."""

from __future__ import annotations

import warnings

import keras
import pytest

import keras_importance
from keras_importance import (
    ImportanceWarning,
    UselessFeatureDetector,
)


class FeatureImportance(keras_importance.FeatureImportance):
    """Without a time budget, which goes by the clock."""

    def __init__(self, *arguments, time_budget=None, **keywords):
        super().__init__(*arguments, time_budget=time_budget, **keywords)


def messages(model, data, callbacks, importance):
    x, y = data
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, y, validation_split=0.5, epochs=2, verbose=0, callbacks=[*callbacks, importance])
    return [str(one.message) for one in caught if issubclass(one.category, ImportanceWarning)]


def test_too_few_rows_are_told_with_the_number_needed(small_data, small_model):
    detector = UselessFeatureDetector(alpha=0.01)
    found = messages(small_model(), small_data, [], FeatureImportance(detectors=[detector]))
    needed = detector.n_rows_needed(4, 2)
    assert needed > 150
    assert any("has 150 validation rows for" in one and f"about {needed}" in one for one in found)


def test_a_callback_that_chooses_the_model_on_the_same_rows_is_named(small_data, small_model, tmp_path):
    choosing = [
        keras.callbacks.EarlyStopping(patience=5),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True),
    ]
    found = messages(small_model(), small_data, choosing, FeatureImportance())
    assert any("EarlyStopping and ModelCheckpoint choose the model" in one for one in found)


def test_rows_of_its_own_are_no_reason_to_warn(small_data, small_model):
    x, y = small_data
    own = FeatureImportance((x[:100].copy(), y[:100].copy()))
    found = messages(small_model(), small_data, [keras.callbacks.EarlyStopping()], own)
    assert not any("choose the model" in one for one in found)


def test_callbacks_on_the_training_loss_choose_nothing(small_data, small_model):
    stopping = keras.callbacks.EarlyStopping(monitor="loss")
    found = messages(small_model(), small_data, [stopping], FeatureImportance())
    assert not any("choose the model" in one for one in found)


class Tracker(keras.callbacks.Callback):
    """Is MLflow's by its module."""

    __module__ = "mlflow.keras.callback"


@pytest.mark.parametrize(
    ("name", "add_to_logs", "tracker_is_last", "is_told"),
    [("wind (m/s)", True, True, True), ("wind/speed", True, True, False),
     ("wind (m/s)", False, True, False), ("wind (m/s)", True, False, False)],
)  # fmt: skip
def test_a_name_that_mlflow_drops_epochs_for_is_told(
    small_data, small_model, name, add_to_logs, tracker_is_last, is_told
):
    x, y = small_data
    importance = FeatureImportance(
        add_to_logs=add_to_logs, features=["a", name, "c", "d"], methods="gradient"
    )
    callbacks = [importance, Tracker()] if tracker_is_last else [Tracker(), importance]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small_model().fit(x, y, validation_split=0.5, verbose=0, callbacks=callbacks)
    told = [str(one.message) for one in caught if "MLflow" in str(one.message)]
    assert len(told) == is_told
    assert all(f"adds 'importance_gradient/{name}' to the logs" in one for one in told)
