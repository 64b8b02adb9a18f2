"""`add_to_logs=True` reaches other people's callbacks as it is: what each of them wrote, read back."""

from __future__ import annotations

import csv
import importlib
import json
import os
import struct

import keras
import numpy as np
import pytest
from reporting.event_files import read

from keras_importance import FeatureImportance

X0 = "importance_permutation/x0"
# A name with a slash, and one with a space; MLflow allows no others than ASCII letters, and few signs.
NAMES = ["x0", "wind/speed", "air pressure"]
N_EPOCHS = 5


@pytest.fixture
def fit():
    """Fits y = 2·x0 from weights of 0: the importance of x0 rises in every epoch."""

    def run(*callbacks, every=1, features=NAMES):
        x = np.random.default_rng(0).standard_normal((300, 3)).astype("float32")
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        model.compile(keras.optimizers.SGD(0.02), "mse")
        importance = FeatureImportance(
            add_to_logs=True, features=features, every=every, detectors=(), time_budget=None
        )
        kept = model.fit(
            x,
            2 * x[:, 0],
            validation_split=0.5,
            epochs=N_EPOCHS,
            verbose=0,
            callbacks=[importance, *callbacks],
        )
        return importance.history, kept.history

    return run


def expected(history):
    """`{name in logs: [importance in each epoch]}`."""
    return {
        f"importance_{method}/{name}": [float(one.importances_mean[i]) for one in history.of(method)]
        for method in history.methods
        for i, name in enumerate(NAMES)
    }


def test_the_importance_of_the_one_used_feature_rises(fit):
    """What the tests below rest on."""
    values = expected(fit()[0])[X0]
    assert len(values) == N_EPOCHS
    assert all(np.diff(values) > 0)


def test_history_of_keras_keeps_every_importance(fit):
    history, kept = fit()
    assert {name: values for name, values in kept.items() if "importance" in name} == expected(history)


@pytest.mark.parametrize(("mode", "n_epochs"), [("max", N_EPOCHS), ("min", 3)])
def test_early_stopping_stops_two_epochs_after_the_best_one(fit, mode, n_epochs):
    """The largest importance is the newest one, the smallest the first: with patience 2, three epochs."""
    history, _ = fit(keras.callbacks.EarlyStopping(X0, mode=mode, patience=2))
    assert history.epochs == tuple(range(n_epochs))


@pytest.mark.parametrize(("mode", "saved"), [("max", range(N_EPOCHS)), ("min", range(1))])
def test_model_checkpoint_saves_the_best_and_names_it_by_its_importance(fit, tmp_path, mode, saved):
    path = str(tmp_path / f"{{epoch:02d}}-{{{X0}:.3f}}.weights.h5")
    history, _ = fit(
        keras.callbacks.ModelCheckpoint(path, X0, mode=mode, save_best_only=True, save_weights_only=True)
    )
    values = expected(history)[X0]
    names = {f"{epoch + 1:02d}-{values[epoch]:.3f}.weights.h5" for epoch in saved}
    assert {path.name for path in tmp_path.iterdir()} == names


@pytest.mark.parametrize(("mode", "n_cuts"), [("max", 0), ("min", N_EPOCHS - 1)])
def test_the_learning_rate_is_cut_in_every_epoch_without_a_better_importance(fit, mode, n_cuts):
    _, kept = fit(keras.callbacks.ReduceLROnPlateau(X0, factor=0.5, patience=1, mode=mode, min_delta=0))
    # ReduceLROnPlateau logs the rate before its own cut.
    rates = [0.02 * 0.5 ** min(epoch, n_cuts + 1) for epoch in range(N_EPOCHS)]
    shifted = [rates[max(epoch - 1, 0)] for epoch in range(N_EPOCHS)] if n_cuts else [0.02] * N_EPOCHS
    assert kept["learning_rate"] == pytest.approx(shifted)


def test_csv_logger_writes_a_column_for_every_feature(fit, tmp_path):
    """A name with a comma stays one column."""
    names = ["x0", "wind/speed", "a, b"]
    history, _ = fit(keras.callbacks.CSVLogger(str(tmp_path / "log.csv")), features=names)
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for method in ("gradient", "permutation"):
        for i, name in enumerate(names):
            written = [float(row[f"importance_{method}/{name}"]) for row in rows]
            assert written == [float(one.importances_mean[i]) for one in history.of(method)]


def test_the_tensorboard_callback_of_keras_writes_every_importance(fit, tmp_path):
    history, _ = fit(keras.callbacks.TensorBoard(str(tmp_path)))
    values, _ = read(tmp_path / "train")
    for name, importances in expected(history).items():
        written = values[f"epoch_{name}"]
        assert [float(written[epoch]) for epoch in history.epochs] == pytest.approx(
            importances, rel=1e-6
        )


# --- trackers of other makers -------------------------------------------------------------------


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """Nothing is sent anywhere: all that is logged lies in a folder."""
    for name, value in {
        "WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_ERROR_REPORTING": "false",
        "WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_SILENT": "true", "WANDB_CACHE_DIR": str(tmp_path),
        "WANDB_CONFIG_DIR": str(tmp_path), "WANDB_DATA_DIR": str(tmp_path), "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def tracker(name):
    """The package, where it is installed; in CI a missing one is a failure."""
    if os.environ.get("CI", "").lower() == "true":
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"no {name} here: pip install 'keras_importance[trackers]'")


def records(path):
    """What an offline run of Weights & Biases wrote: a log in the format of LevelDB.

    Blocks of 32 kB hold parts of records, each behind its checksum, its length and its place: whole,
    first, middle or last.
    """
    content, place, found = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        left = 0x8000 - place % 0x8000
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        found += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield found
            found = b""


def logged_by_wandb(folder):
    """`[{name: value}]` of each step."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    rows = []
    for content in records(path):
        record = Record.FromString(content)
        if record.WhichOneof("record_type") == "history":
            rows.append(
                {
                    one.key or "/".join(one.nested_key): json.loads(one.value_json)
                    for one in record.history.item
                }
            )
    return rows


def test_weights_and_biases_logs_every_importance(fit, tmp_path, offline):
    """Epochs without an evaluation repeat the newest importance; before the first one it is NaN."""
    wandb = tracker("wandb")
    from wandb.integration.keras import WandbMetricsLogger

    with wandb.init(project="importance", dir=tmp_path, mode="offline"):
        _, kept = fit(WandbMetricsLogger(), every=2)
    wandb.teardown()
    rows = logged_by_wandb(tmp_path)
    assert [row["epoch/epoch"] for row in rows] == list(range(N_EPOCHS))
    for method in ("gradient", "permutation"):
        for name in NAMES:
            key = f"importance_{method}/{name}"
            written = [float(row[f"epoch/{key}"]) for row in rows]
            np.testing.assert_equal(written, kept[key])


def test_mlflow_logs_every_importance(fit, offline):
    """Epochs without an evaluation repeat the newest importance; before the first one it is NaN."""
    mlflow = tracker("mlflow")
    tracker("sqlalchemy")

    with mlflow.start_run() as run:
        _, kept = fit(mlflow.keras.MlflowCallback(run), every=2)
    client = mlflow.MlflowClient()
    for method in ("gradient", "permutation"):
        for name in NAMES:
            key = f"importance_{method}/{name}"
            found = {one.step: one.value for one in client.get_metric_history(run.info.run_id, key)}
            np.testing.assert_equal([found[epoch] for epoch in range(N_EPOCHS)], kept[key])
