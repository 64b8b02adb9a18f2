"""Training loops that aren't `fit`, and two writers in one directory."""

from __future__ import annotations

import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest

from keras_importance import FeatureImportance, ImportanceWarning
from keras_importance.reporting.writers.history import kept_history


@pytest.fixture
def rows(rng):
    x = rng.standard_normal((300, 4)).astype("float32")
    return x, 2 * x[:, :1] + x[:, 1:2]


def loop(model, rows, importance, n_epochs=3):
    x, y = rows
    for epoch in range(n_epochs):
        model.train_on_batch(x, y)
        importance.evaluate(model, epoch)


def test_a_loop_records_judges_and_writes_as_fit_does(small_model, rows, tmp_path):
    importance = FeatureImportance(validation_data=rows, log_dir=tmp_path)
    loop(small_model(), rows, importance)
    importance.close()
    assert importance.history.epochs == (0, 1, 2)
    assert importance.history.verdicts()
    assert kept_history(tmp_path, before=99).epochs == (0, 1, 2)
    assert set(importance.results) == {"gradient", "permutation"}


def test_a_loop_scores_as_fit_does(small_model, rows):
    """One step of full batches is an epoch of `fit` with that batch size."""
    x, y = rows
    keras.utils.set_random_seed(1)
    looped, fitted = small_model(), small_model()
    fitted.set_weights(looped.get_weights())
    ours, theirs = (FeatureImportance(validation_data=rows) for _ in range(2))
    loop(looped, rows, ours)
    ours.close()
    fitted.fit(x, y, batch_size=300, shuffle=False, epochs=3, verbose=0, callbacks=[theirs])
    for of_loop, of_fit in zip(ours.history, theirs.history, strict=True):
        np.testing.assert_allclose(of_loop.importances, of_fit.importances, rtol=1e-3, atol=1e-5)


def test_the_model_is_not_changed_by_evaluating_it(small_model, rows):
    model = small_model()
    before = model.get_weights()
    importance = FeatureImportance(validation_data=rows)
    importance.evaluate(model, 0)
    importance.close()
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_an_uncompiled_model_is_evaluated_with_a_metric(rows):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    importance = FeatureImportance(validation_data=rows, metric=lambda y, p: ((y - p) ** 2).mean(axis=1))
    results = importance.evaluate(model, 7)
    importance.close()
    assert results["permutation"].epoch == 7


def test_without_validation_data_a_loop_is_told_to_pass_them(small_model):
    with pytest.raises(ValueError, match=r"evaluate got no validation data.*validation_data="):
        FeatureImportance().evaluate(small_model(), 0)


@pytest.mark.parametrize("epoch", [-1, 1.5, "first"], ids=str)
def test_an_epoch_is_a_whole_number(epoch, small_model, rows):
    with pytest.raises(ValueError, match="evaluate got epoch="):
        FeatureImportance(validation_data=rows).evaluate(small_model(), epoch)


def test_an_epoch_end_out_of_the_blue_says_what_to_call(rows):
    importance = FeatureImportance(validation_data=rows)
    with pytest.warns(ImportanceWarning, match=r"importance.evaluate\(model, epoch\)"):
        importance.on_epoch_end(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importance.on_epoch_end(1)  # once is enough


# --- where it is written --------------------------------------------------------------------------


def test_a_relative_directory_stays_where_it_was(small_model, rows, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    importance = FeatureImportance(validation_data=rows, log_dir="logs")
    monkeypatch.chdir(tmp_path / "elsewhere")
    loop(small_model(), rows, importance, 1)
    importance.close()
    assert (tmp_path / "logs" / "importance").is_dir()
    assert not (tmp_path / "elsewhere" / "logs").exists()


def test_a_second_process_is_told_and_writes_all_the_same(small_model, rows, tmp_path):
    """It is warned before its first epoch."""
    holding = (
        "import sys; from keras_importance.reporting.writers.claim import Claim\n"
        "claim = Claim(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    )
    (tmp_path / "importance").mkdir()
    command = [sys.executable, "-c", holding, str(tmp_path / "importance")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline().strip() == b"held"
        importance = FeatureImportance(validation_data=rows, log_dir=tmp_path, detectors=())
        with pytest.warns(
            ImportanceWarning, match=f"process {other.pid} on .* as well.*a log_dir of its own"
        ):
            loop(small_model(), rows, importance, 1)
        other.stdin.close()
    importance.close()
    assert importance.history.epochs == (0,)


def test_a_second_callback_is_told_as_soon_as_both_write(small_model, rows, tmp_path):
    first, second = (
        FeatureImportance(validation_data=rows, log_dir=tmp_path, detectors=()) for _ in range(2)
    )
    model = small_model()
    loop(model, rows, first, 1)
    loop(model, rows, second, 1)
    with pytest.warns(ImportanceWarning, match="another callback of this process.*as well"):
        loop(model, rows, first, 1)
    second.close()
    first.close()


def test_who_comes_after_a_writer_is_told_nothing(small_model, rows, tmp_path):
    for _ in range(2):
        importance = FeatureImportance(validation_data=rows, log_dir=tmp_path)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*as well.*")
            loop(small_model(), rows, importance, 1)
        importance.close()


def test_a_claim_ends_with_its_process(tmp_path):
    """However it ends: here it is killed."""
    claiming = (
        "import os, signal, sys; from keras_importance.reporting.writers.claim import Claim\n"
        "claim = Claim(sys.argv[1]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", claiming, str(tmp_path)], timeout=60, check=False)
    from keras_importance.reporting.writers.claim import Claim

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Claim(str(tmp_path)).release()
