"""What goes wrong in an evaluation or on the disk: the training is none the worse, and a crash loses no epoch."""

from __future__ import annotations

import contextlib
import copy
import errno
import pickle
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import cloudpickle
import keras
import keras_tuner
import numpy as np
import pytest
from laws import faulty_training
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto import event_pb2

import keras_importance
from keras_importance import (
    ImportanceHistory,
    ImportanceMethod,
    ImportanceResult,
    ImportanceWarning,
    TensorBoardWriter,
    Writer,
)
from keras_importance.engine.backends.out_of_memory import is_out_of_memory
from keras_importance.engine.gradients.differentiator import Differentiator
from keras_importance.engine.scores.cut_scorer import CutScorer
from keras_importance.methods import Scores
from keras_importance.reporting.writers import EpochReport
from keras_importance.reporting.writers.history import HistoryWriter, kept_history

LOST = "goes on|has no numbers|started it again|leaves out"


class FeatureImportance(keras_importance.FeatureImportance):
    """Without a time budget, so that every epoch is evaluated, and without verdicts on few rows."""

    def __init__(self, *arguments, **keywords):
        keywords = {"time_budget": None, "detectors": (), "methods": "gradient"} | keywords
        super().__init__(*arguments, **keywords)


def fit(model, data, callbacks, epochs=4, **arguments):
    return model.fit(
        *data, validation_split=0.3, epochs=epochs, verbose=0, callbacks=callbacks, **arguments
    )


def made():
    """A small model that is compiled fast."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def steps(run):
    """The steps that TensorBoard shows of each tag of our run."""
    events = EventAccumulator(str(run), size_guidance={"tensors": 0}).Reload()
    return {tag: [event.step for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]}


def at_epoch(number, act):
    return keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: act() if epoch == number else None
    )


# --- the training is none the worse ----------------------------------------------------------------


class Fails(ImportanceMethod):
    """Raises in every epoch, each time in other words."""

    name = "failing"

    def __init__(self, make):
        super().__init__()
        self.make, self.n_calls = make, 0

    def compute(self, evaluator, effort):
        self.n_calls += 1
        keras.random.normal((3,))  # a trace in global random states, were it not wiped
        raise self.make(self.n_calls)


class UntellableError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class FailingWriter(Writer):
    def __init__(self, make):
        self.make = make

    def write(self, report):
        raise self.make(report.epoch)

    def close(self):
        raise self.make(-1)


def failing_metric():
    calls = []

    def metric(y_true, y_pred):
        calls.append(1)
        if len(calls) > 4:
            raise ZeroDivisionError(f"nothing left at call {len(calls)}")
        return np.square(y_true - y_pred[:, 0])

    return metric


def full_disk(epoch):
    return OSError(errno.ENOSPC, "No space left on device", f"/logs/{epoch}")


FAULTS = {
    "a method raises": lambda folder: FeatureImportance(methods=[Fails(lambda n: ValueError(f"at call {n}"))]),
    "an exception without words": lambda folder: FeatureImportance(methods=[Fails(lambda n: UntellableError())]),
    "memory is exhausted": lambda folder: FeatureImportance(methods=[Fails(lambda n: MemoryError(n))]),
    "a metric fails": lambda folder: FeatureImportance(methods="permutation", metric=failing_metric()),
    "a writer fails": lambda folder: FeatureImportance(writers=[FailingWriter(lambda n: KeyError(n))]),
    "the disk is full": lambda folder: FeatureImportance(
        writers=[FailingWriter(full_disk), FailingWriter(full_disk)]
    ),
}  # fmt: skip


@pytest.fixture
def trained(small_model, small_data):
    """Weights and `History` of a training, from the same start each time."""

    def train(*callbacks, **arguments):
        keras.utils.set_random_seed(0)
        model = small_model()
        history = fit(model, small_data, list(callbacks), **arguments)
        return model.get_weights(), history.history

    return train


def assert_equal(one, other):
    for ours, theirs in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert one[1].keys() == other[1].keys()
    for name in one[1]:
        np.testing.assert_array_equal(one[1][name], other[1][name])


@pytest.fixture
def one_warning():
    """Exactly one of our warnings, which says what was lost; their texts, when they are there."""
    with pytest.warns(ImportanceWarning, match=LOST) as seen:
        yield lambda: [str(one.message) for one in seen if one.category is ImportanceWarning]
    told = [str(one.message) for one in seen if one.category is ImportanceWarning]
    assert len(told) == 1, told


@pytest.mark.parametrize("make", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_warning_and_leaves_the_training_as_it_was(make, trained, tmp_path, one_warning):
    """However often it comes back: there are as many evaluations as epochs."""
    assert_equal(trained(make(tmp_path)), trained())


def test_nan_weights_are_one_warning(trained, one_warning):
    """Keras' own training goes on with them, and so does ours."""

    class Poison(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                self.model.set_weights([weights * np.nan for weights in self.model.get_weights()])

    importance = FeatureImportance(methods=("gradient", "permutation"))
    assert_equal(trained(Poison(), importance), trained(Poison()))
    assert np.isfinite(importance.history.results[0].importances_mean).all()
    assert np.isnan(importance.results["permutation"].importances_mean).all()


def test_a_log_directory_that_is_deleted_in_every_epoch_is_one_warning(trained, tmp_path, one_warning):
    logs = tmp_path / "logs"
    delete = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs_: shutil.rmtree(logs))
    assert_equal(trained(FeatureImportance(log_dir=logs), delete), trained())


def test_the_history_survives_the_deletion_of_its_folder(trained, tmp_path, one_warning):
    logs = tmp_path / "logs"
    delete = at_epoch(1, lambda: shutil.rmtree(logs))
    trained(FeatureImportance(log_dir=logs), delete)
    assert kept_history(logs, before=9).epochs == (0, 1, 2, 3)
    assert set(steps(logs / "importance")["importance_gradient/x0"]) == {2, 3}


def test_a_directory_where_nothing_can_be_written_is_one_warning_a_writer(trained, tmp_path):
    """The folder becomes a file: of the two writers each says once what it can't write."""
    run = tmp_path / "logs" / "importance"

    def spoil():
        shutil.rmtree(run)
        run.write_text("in the way")

    with pytest.warns(ImportanceWarning, match="goes on|started it again") as seen:
        assert_equal(
            trained(FeatureImportance(log_dir=tmp_path / "logs"), at_epoch(0, spoil)), trained()
        )
    told = [str(one.message).split(" in epoch")[0] for one in seen if one.category is ImportanceWarning]
    assert len(told) == len(set(told))


@pytest.mark.parametrize("size", ["24k", "160k"])
def test_a_disk_that_runs_full_is_one_warning(size, trained, tmp_path, one_warning):
    """A real one. What was written before, whole events, can be read."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        importance = FeatureImportance(log_dir=disk)
        assert_equal(trained(importance, epochs=8), trained(epochs=8))
        shown = steps(disk / "importance").get("importance_gradient/x0", [])
    finally:
        subprocess.run([shutil.which("umount") or "umount", "--lazy", disk], check=True)
    assert importance.history.epochs == tuple(range(8))
    assert shown == list(range(len(shown)))
    assert len(shown) < 8


def test_ctrl_c_in_an_evaluation_stops_the_training_as_it_would_have(small_model, small_data, tmp_path):
    """The weights are those of the epoch, and what was written before can be read."""

    class Interrupts(ImportanceMethod):
        name = "interrupting"

        def compute(self, evaluator, effort):
            raise KeyboardInterrupt if self.evaluations.pop() else ZeroDivisionError

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    method = Interrupts()
    method.evaluations = [True, False]
    importance = FeatureImportance(methods=["gradient", method], log_dir=tmp_path)
    weights = []
    for callback in (importance, Interrupt()):
        keras.utils.set_random_seed(0)
        model = small_model()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportanceWarning)
            with pytest.raises(KeyboardInterrupt):
                fit(model, small_data, [callback])
        weights.append(model.get_weights())
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert steps(tmp_path / "importance")["importance_gradient/x0"] == [0]
    assert kept_history(tmp_path, before=9).epochs == (0,)


# --- memory -------------------------------------------------------------------------------------------


class ResourceExhaustedError(Exception):
    """As TensorFlow's: no MemoryError, and known by its name."""


OUT_OF_MEMORY = {
    "Python": MemoryError("Unable to allocate 9 GiB for an array"),
    "TensorFlow": ResourceExhaustedError("OOM when allocating tensor with shape[1,2]"),
    "JAX": RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."),
    "CUDA": RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "torch": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"
    ),
}


@pytest.mark.parametrize("error", OUT_OF_MEMORY.values(), ids=OUT_OF_MEMORY)
def test_every_backends_words_for_out_of_memory_are_known(error):
    assert is_out_of_memory(error)
    assert not is_out_of_memory(type(error)("no luck")) or isinstance(
        error, (MemoryError, ResourceExhaustedError)
    )


def test_out_of_memory_goes_on_with_smaller_blocks(small_data, monkeypatch):
    """A backend without room for more than 200 scores at once: the numbers are the same."""
    real, sizes = CutScorer._run, []

    def run(part, group, given, row, slots, *more):
        sizes.append(slots.shape[1] * len(row))
        if sizes[-1] > 200:
            raise OUT_OF_MEMORY["JAX"]
        return real(part, group, given, row, slots, *more)

    whole, in_blocks = (FeatureImportance(methods="permutation") for _ in range(2))
    keras.utils.set_random_seed(0)
    fit(made(), small_data, [whole], epochs=2)
    monkeypatch.setattr(CutScorer, "_run", run)
    keras.utils.set_random_seed(0)
    fit(made(), small_data, [in_blocks], epochs=2)
    assert in_blocks.history.epochs == (0, 1)
    for one, other in zip(whole.history, in_blocks.history, strict=True):
        np.testing.assert_allclose(one.importances, other.importances, atol=1e-5)
    failed = [place for place, size in enumerate(sizes) if size > 200]
    assert failed == list(range(len(failed))), "the second epoch knows what fits"
    assert 50 < max(sizes[len(failed) :]) <= 200, "blocks are halved, not more"


def test_gradients_are_taken_in_smaller_chunks_too(small_data, monkeypatch):
    real = Differentiator.moments

    def moments(differentiator, *arguments):
        if differentiator.rows_at_once > 30:
            raise MemoryError
        return real(differentiator, *arguments)

    whole, in_chunks = FeatureImportance(), FeatureImportance()
    keras.utils.set_random_seed(0)
    fit(made(), small_data, [whole], epochs=2)
    monkeypatch.setattr(Differentiator, "moments", moments)
    keras.utils.set_random_seed(0)
    fit(made(), small_data, [in_chunks], epochs=2)
    for one, other in zip(whole.history, in_chunks.history, strict=True):
        np.testing.assert_allclose(one.importances, other.importances, rtol=1e-5)


def test_what_never_fits_is_tried_a_few_times_only(small_data):
    """Down to a thousandth: then it isn't the size of the blocks."""
    method = Fails(lambda n: MemoryError(n))
    with pytest.warns(ImportanceWarning, match="MemoryError: 11"):
        fit(made(), small_data, [FeatureImportance(methods=[method])], epochs=2)
    assert method.n_calls == 11 + 1


def test_other_exceptions_are_not_tried_again(small_data):
    method = Fails(lambda n: RuntimeError("no luck"))
    with pytest.warns(ImportanceWarning, match="no luck"):
        fit(made(), small_data, [FeatureImportance(methods=[method])], epochs=2)
    assert method.n_calls == 2


def test_the_backends_own_exception_is_known():
    """It is asked for more memory than a process can address."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 (which one it is, is what the backends differ in)
        keras.ops.convert_to_numpy(keras.ops.sum(keras.ops.zeros((1 << 46,))))
    assert is_out_of_memory(caught.value)


# --- event files ----------------------------------------------------------------------------------------


def result(epoch, n_features=3):
    importances = np.arange(n_features, dtype=float)[:, None] + [0.0, 0.5]
    names = tuple(f"x{i}" for i in range(n_features))
    return ImportanceResult(
        method="permutation",
        epoch=epoch,
        feature_names=names,
        importances=importances,
        std_error=np.ones(n_features),
        baseline_score=1.0,
        metric="loss",
        n_samples=9,
    )


def test_an_event_file_cut_off_anywhere_shows_its_complete_events(tmp_path):
    """As a kill leaves it: at every byte of its last event, for the reader of TensorBoard."""
    writer, history, sizes = TensorBoardWriter(tmp_path), ImportanceHistory(), []
    for epoch in range(3):
        history += result(epoch)
        writer.write(EpochReport(epoch, history, 1.0, with_pictures=False))
        sizes.append(len(_event_file(tmp_path).read_bytes()))
    content, before = _event_file(tmp_path).read_bytes(), sizes[1]
    writer.close()
    cut = tmp_path / "cut" / "events.out.tfevents.1"
    cut.parent.mkdir()
    for size in range(before, len(content)):
        cut.write_bytes(content[:size])
        events = [event_pb2.Event.FromString(one) for one in RawEventFileLoader(str(cut)).Load()]
        assert [event.step for event in events] == [0, 0, 1]
    for size in (before, before + 1, before + 11, before + 13, len(content) - 3, len(content) - 1):
        cut.write_bytes(content[:size])
        assert steps(cut.parent)["importance_permutation/x0"] == [0, 1]


def _event_file(folder):
    return next((folder / "importance").glob("events*"))


# --- a kill -9, and what comes after ---------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("order", ["before", "after"])
def test_killed_in_the_middle_of_a_write_a_training_loses_no_epoch(order, tmp_path):
    """Killed three times, in the middle of an event, of the history and before an evaluation."""
    run = tmp_path / "logs" / "importance"
    for where, epoch in (("event", 1), ("history", 3), ("evaluation", 5), ("never", 9)):
        command = [sys.executable, faulty_training.__file__, tmp_path, where, str(epoch), order]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
        killed = where != "never"
        assert ended.returncode == (-signal.SIGKILL if killed else 0), ended.stderr
        # TensorBoard drops the older one of a step that is written again.
        shown = set(steps(run)["importance_permutation/x0"])
        assert shown - {epoch} == set(range(epoch if killed else faulty_training.N_EPOCHS))
        kept = kept_history(tmp_path / "logs", before=99)
        assert kept.epochs == tuple(range(epoch if killed else faulty_training.N_EPOCHS))
    history = ImportanceHistory.load(tmp_path / "history.npz")
    assert history.epochs == tuple(range(faulty_training.N_EPOCHS))
    assert len(history) == 2 * faulty_training.N_EPOCHS
    assert [one.epoch for one in history.judged] == list(history.epochs)
    assert not list(run.rglob("*.partial"))


class CrashError(Exception):
    pass


def crash():
    raise CrashError


@pytest.fixture
def crashed(small_data, tmp_path):
    """A training of 4 epochs that crashed in epoch 2, gone on with by another callback and model."""

    def train(order="before", first=None, second=None, between=lambda: None, crash_first=False):
        callbacks = []
        for given in (first or {}, second or {}):
            ours = FeatureImportance(**({"log_dir": tmp_path / "logs"} | given))
            backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
            both = [ours, backup] if order == "before" else [backup, ours]
            dies = [] if callbacks else [at_epoch(2, crash)]
            if callbacks:
                between()
            with contextlib.suppress(CrashError):
                fit(made(), small_data, [*dies, *both] if crash_first else [*both, *dies])
            callbacks.append(ours)
        return callbacks

    return train


def test_a_resumed_training_has_every_epoch_once(crashed, tmp_path):
    first, second = crashed(
        first={"methods": ("gradient", "permutation")}, second={"methods": ("gradient", "permutation")}
    )
    assert first.history.epochs == (0, 1, 2)
    table = second.history.to_dataframe()
    assert list(table.groupby(["epoch", "method"]).size()) == [4] * 8
    for one, other in zip(first.history, second.history, strict=False):
        np.testing.assert_array_equal(one.importances, other.importances)
    assert set(map(tuple, steps(tmp_path / "logs" / "importance").values())) >= {(0, 1, 2, 3)}
    assert {one.epoch for one in second.history.drift()} == {1, 2, 3}


def test_an_epoch_that_crashed_before_its_backup_is_evaluated_anew(crashed):
    """Listed first, we know epoch 2 and the backup doesn't: it is trained a second time."""
    _, second = crashed(crash_first=True)
    assert second.history.epochs == (0, 1, 2, 3)
    assert len(second.history) == 4


def test_an_epoch_that_was_backed_up_and_not_evaluated_is_made_up_for(crashed, monkeypatch):
    """Listed after the backup: the restored weights are those of the end of epoch 2."""
    real = FeatureImportance._evaluate

    def evaluate(self, training, epoch, *, is_last):
        if epoch == 2 and len(self.history) == 2 and not seen:
            seen.append(epoch)
            raise KeyboardInterrupt
        real(self, training, epoch, is_last=is_last)

    seen = []
    monkeypatch.setattr(FeatureImportance, "_evaluate", evaluate)

    with pytest.raises(KeyboardInterrupt):
        crashed("after")
    _, second = crashed("after")
    assert second.history.epochs == (0, 1, 2, 3)


def test_patience_goes_on_where_it_was(crashed):
    """Verdicts of the resumed training build on those of the first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportanceWarning)
        judging = {"methods": "permutation", "detectors": None}
        first, second = crashed(first=judging, second=judging)
    assert [one.epoch for one in second.history.judged] == [0, 1, 2, 3]
    assert repr(second.history.verdicts()[:12]) == repr(first.history.verdicts())


def test_a_resumed_training_spends_no_more_error_than_a_whole_one(crashed, monkeypatch):
    """`alpha` is divided by all evaluations that are planned, those done before included."""
    planned = []

    class Notes(ImportanceMethod):
        name = "notes"

        def compute(self, evaluator, effort):
            return Scores(importances=np.zeros((4, 1)), metric="none")

    class Watch(FeatureImportance):
        def _evaluate(self, training, epoch, *, is_last):
            planned.append(training.n_evaluations)
            super()._evaluate(training, epoch, is_last=is_last)

    monkeypatch.setitem(globals(), "FeatureImportance", Watch)
    crashed(first={"methods": [Notes()]}, second={"methods": [Notes()]})
    assert planned == [4] * 4


def test_a_fresh_training_starts_the_history_anew(small_data, tmp_path):
    fit(made(), small_data, [FeatureImportance(log_dir=tmp_path)], epochs=4)
    importance = FeatureImportance(log_dir=tmp_path)
    fit(made(), small_data, [importance], epochs=2)
    assert importance.history.epochs == (0, 1)
    assert kept_history(tmp_path, before=99).epochs == (0, 1)


def test_other_features_start_the_history_anew_and_it_is_said(crashed, one_warning):
    _, second = crashed(second={"features": list("abcd")})
    assert second.history.epochs == (2, 3)
    assert "leaves out 'gradient'" in one_warning()[0]


def test_a_method_that_is_dropped_is_left_out_and_a_new_one_joins(crashed):
    with pytest.warns(ImportanceWarning, match="leaves out 'permutation'"):
        _, second = crashed(
            first={"methods": ("gradient", "permutation")},
            second={"methods": ("gradient", "linearised_permutation")},
        )
    assert second.history.of("gradient").epochs == (0, 1, 2, 3)
    assert second.history.of("linearised_permutation").epochs == (3,)
    assert second.history.of("permutation").epochs == ()


def test_scores_in_another_metric_are_not_mixed(crashed):
    with pytest.warns(ImportanceWarning, match="leaves out 'permutation'"):
        _, second = crashed(
            first={"methods": "permutation"}, second={"methods": "permutation", "metric": "mae"}
        )
    assert second.history.epochs == (2, 3)


def test_damaged_files_of_the_history_are_one_warning(crashed, tmp_path, one_warning):
    """The others are gone on with."""

    def damage():
        files = sorted((tmp_path / "logs" / "importance" / "history").iterdir())
        files[0].write_bytes(b"\x80\x05.")
        files[1].write_bytes(files[1].read_bytes()[:-9])

    _, second = crashed(between=damage)
    assert second.history.epochs == (2, 3)
    assert "without its history of epoch 0, 1" in one_warning()[0]


# --- files of the history ---------------------------------------------------------------------------------


def test_what_could_not_be_written_is_written_when_there_is_room(tmp_path, monkeypatch):
    writer, history = HistoryWriter(tmp_path), ImportanceHistory()
    for epoch in range(3):
        history += result(epoch)
        with monkeypatch.context() as patch:
            if epoch < 2:
                patch.setattr(Path, "replace", lambda *arguments: (_ for _ in ()).throw(full_disk(0)))
                with pytest.raises(OSError, match="No space left"):
                    writer.write(EpochReport(epoch, history, 1.0))
                continue
            writer.write(EpochReport(epoch, history, 1.0))
    assert kept_history(tmp_path, before=9).epochs == (0, 1, 2)


def test_an_evaluation_is_written_once_however_long_the_history(tmp_path):
    """The cost of the hundredth is that of the first: one file of as many bytes."""
    writer, history = HistoryWriter(tmp_path), ImportanceHistory()
    for epoch in range(100):
        history += result(epoch)
        writer.write(EpochReport(epoch, history, 1.0))
    sizes = {path.stat().st_size for path in writer.folder.iterdir()}
    assert len(list(writer.folder.iterdir())) == 100
    assert max(sizes) - min(sizes) < 50


def test_files_that_are_not_ours_are_left_alone(tmp_path):
    folder = tmp_path / "importance" / "history"
    folder.mkdir(parents=True)
    for name in ("notes.txt", "epoch_000001.npz", "epoch_000001.npz.7.partial"):
        (folder / name).write_text("mine")
    writer = HistoryWriter(tmp_path)
    writer.start_from(ImportanceHistory())
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


# --- copies -----------------------------------------------------------------------------------------------


def test_a_callback_that_only_cloudpickle_can_copy_works_like_the_original(small_data):
    """With a metric without a name, as from a notebook."""
    original = FeatureImportance(methods="permutation", metric=lambda y, p: np.square(y - p[:, 0]))
    copied = pickle.loads(cloudpickle.dumps(original))
    for one in (copied, original):
        keras.utils.set_random_seed(0)
        fit(made(), small_data, [one], epochs=1)
    np.testing.assert_array_equal(
        copied.results["permutation"].importances, original.results["permutation"].importances
    )


@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["deepcopy", "pickle"]
)
def test_a_copy_writes_what_the_original_would(clone, small_data, tmp_path):
    importance = clone(keras_importance.FeatureImportance(methods="gradient", log_dir=tmp_path))
    fit(made(), small_data, [importance], epochs=1)
    assert steps(tmp_path / "importance")["importance_gradient/x0"] == [0]
    assert kept_history(tmp_path, before=9).epochs == (0,)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_each_trial_of_kerastuner_has_a_run_directory_of_its_own(small_data, tmp_path):
    """Two trials of two executions each, beside the runs of Keras' own TensorBoard callback."""

    def build(hp):
        model = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(hp.Choice("units", [2, 3])), keras.layers.Dense(1)]
        )
        model.compile("sgd", "mse")
        return model

    tuner = keras_tuner.RandomSearch(
        build, "val_loss", max_trials=2, executions_per_trial=2, directory=tmp_path / "tuner", seed=0
    )
    importance = FeatureImportance(log_dir=tmp_path / "logs")
    tensorboard = keras.callbacks.TensorBoard(tmp_path / "logs")
    tuner.search(
        *small_data, validation_split=0.3, epochs=2, verbose=0, callbacks=[importance, tensorboard]
    )
    runs = [path for path in (tmp_path / "logs").rglob("importance") if path.is_dir()]
    beside = [path.parent for path in (tmp_path / "logs").rglob("train")]
    assert len(runs) == 4
    if keras.backend.backend() == "tensorflow":  # elsewhere KerasTuner leaves Keras' own callback alone
        assert {run.parent for run in runs} == set(beside)
    for run in runs:
        assert steps(run)["importance_gradient/x0"] == [0, 1]
        assert kept_history(run.parent, before=9).epochs == (0, 1)
    assert len(importance.history) == 0
