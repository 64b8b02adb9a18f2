"""More than one device and process: the same numbers, every process computes, the chief alone writes.

Devices and processes must be set up before a backend starts, so each case is a script of its own.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import keras
import numpy as np
import pytest

from keras_importance import FeatureImportance, ImportanceWarning
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine import shards
from keras_importance.engine.backends.placement import Placement
from keras_importance.engine.backends.replicas import Replicas

HERE = Path(__file__).parent
SECONDS = 240
CHEAP = "gradient,permutation"


def run(script: str, *arguments: object) -> str:
    """What a script prints; it fails with it."""
    environment = {name: one for name, one in os.environ.items() if name != "KERAS_BACKEND"}
    done = subprocess.run(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        env=environment | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def run_both(script: str, *arguments: object) -> list[str]:
    """The same of two processes, the number of the process first among the arguments."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda number: run(script, number, *arguments), (0, 1)))


def addresses() -> str:
    """Two free ports of this machine."""
    sockets = [socket.socket() for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    found = ",".join(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)
    for one in sockets:
        one.close()
    return found


def weights(arrays, name):
    return [arrays[key] for key in arrays if re.fullmatch(rf"{name}_\d+", key)]


def assert_same_scores(arrays):
    """Those on replicas are those of one device to 1e-5 of the largest."""
    names = [key for key in arrays if key.startswith("single/")]
    assert names
    for name in names:
        found, expected = arrays[name.replace("single/", "replicas/")], arrays[name]
        scale = np.nanmax(np.abs(expected))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * scale, err_msg=name)


@pytest.fixture(scope="module", params=[CHEAP, pytest.param("all", marks=pytest.mark.long)])
def mirrored(request, tmp_path_factory):
    """What importance finds under MirroredStrategy over two logical CPUs."""
    pytest.importorskip("tensorflow")
    path = tmp_path_factory.mktemp("mirrored") / "found.npz"
    run("mirrored_fit.py", request.param, path)
    return np.load(path)


@pytest.fixture(
    scope="module", params=[pytest.param(names, marks=pytest.mark.long) for names in (CHEAP, "all")]
)
def on_two_devices(request, tmp_path_factory):
    """What importance finds on JAX under DataParallel over two devices of one process."""
    pytest.importorskip("jax")
    path = tmp_path_factory.mktemp("devices") / "found.npz"
    run("data_parallel_fit.py", "data", request.param, path)
    return np.load(path)


@pytest.fixture(
    scope="module",
    params=[
        f"{CHEAP} same",
        *(pytest.param(f"all {rows}", marks=pytest.mark.long) for rows in ("same", "shards", "hurried")),
    ],
)
def in_two_processes(request, tmp_path_factory):
    """What each of two processes on JAX finds, and where they were told to write."""
    pytest.importorskip("jax")
    folder = tmp_path_factory.mktemp("processes")
    run_both("two_processes.py", addresses(), *request.param.split(), folder)
    return [np.load(folder / f"process_{number}.npz") for number in (0, 1)], folder


# --- MirroredStrategy ---------------------------------------------------------------------------


def test_replicas_of_a_mirrored_strategy_score_as_one_device(mirrored):
    """BatchNormalization's means differ between replicas: those of the saved model count."""
    assert mirrored["n_replicas"] == 2
    assert_same_scores(mirrored)


def test_a_mirrored_training_is_the_same_without_us(mirrored):
    pairs = zip(weights(mirrored, "weight"), weights(mirrored, "weight_without"), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)


# --- JAX ----------------------------------------------------------------------------------------


def test_devices_of_data_parallel_score_as_one_device(on_two_devices):
    assert on_two_devices["n_replicas"] == 2
    assert_same_scores(on_two_devices)


def test_a_data_parallel_training_is_the_same_without_us(on_two_devices):
    pairs = zip(
        weights(on_two_devices, "weight"), weights(on_two_devices, "weight_without"), strict=True
    )
    assert all(np.array_equal(*pair) for pair in pairs)


@pytest.mark.long
def test_a_model_split_over_devices_is_scored_as_it_is(tmp_path):
    pytest.importorskip("jax")
    run("data_parallel_fit.py", "model", CHEAP, tmp_path / "found.npz")
    arrays = np.load(tmp_path / "found.npz")
    assert arrays["n_replicas"] == 1
    assert_same_scores(arrays)


def test_all_processes_find_the_same(in_two_processes):
    (first, second), _ = in_two_processes
    assert first["n_replicas"] == 2
    names = [key for key in first if key.startswith("replicas/")]
    assert names
    for name in names:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_processes_score_as_one_device(in_two_processes):
    """Also where another process than the first has no time left: the first decides for all."""
    for one in in_two_processes[0]:
        assert_same_scores(one)


def test_a_training_in_two_processes_is_the_same_without_us(in_two_processes):
    for one in in_two_processes[0]:
        pairs = zip(weights(one, "weight"), weights(one, "weight_without"), strict=True)
        assert all(np.array_equal(*pair) for pair in pairs)


def test_only_the_chief_writes(in_two_processes):
    _, folder = in_two_processes
    assert list(folder.glob("logs_0/importance/events*"))
    assert not (folder / "logs_1").exists()


# --- what can't be distributed ------------------------------------------------------------------


@pytest.mark.long
def test_two_ranks_of_torch_train_models_of_their_own_and_the_first_writes(tmp_path):
    pytest.importorskip("torch")
    run_both("two_ranks.py", tmp_path / "meeting", tmp_path)
    first, second = (np.load(tmp_path / f"process_{rank}.npz") for rank in (0, 1))
    assert bool(first["is_chief"])
    assert not bool(second["is_chief"])
    np.testing.assert_array_equal(
        first["replicas/gradient/importances"], second["replicas/gradient/importances"]
    )
    assert list(tmp_path.glob("logs_0/importance/events*"))
    assert not (tmp_path / "logs_1").exists()


@pytest.mark.long
@pytest.mark.parametrize("callback", ["without", "with"])
def test_keras_cannot_train_under_a_multi_worker_strategy_and_we_say_so(callback):
    """Once this fails, Keras can: then the warning has to go."""
    pytest.importorskip("tensorflow")
    for printed in run_both("two_workers.py", addresses(), callback):
        assert "PerReplica" in printed
        assert "trained" not in printed.splitlines()
        assert ("ImportanceWarning: TF_CONFIG names 2 workers" in printed) == (callback == "with")


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's workers")
def test_workers_that_keras_cannot_train_are_warned_of_at_once(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}}')
    with pytest.warns(ImportanceWarning, match="KERAS_BACKEND=jax"):
        FeatureImportance()


@pytest.mark.parametrize("value", ["", "{}", '{"cluster": {"worker": ["a:1"]}}'], ids=str)
def test_a_worker_alone_is_not_warned_of(monkeypatch, value):
    monkeypatch.setenv("TF_CONFIG", value)
    FeatureImportance()


# --- replicas -----------------------------------------------------------------------------------


def of_processes(n, questions):
    """What `n` processes, each a thread that asks its own question, come to."""
    told: list[bytes] = [b""] * n
    barrier = Barrier(n, timeout=10)

    def exchange(number):
        def exchanged(value):
            told[number] = value
            barrier.wait()
            heard = list(told)
            barrier.wait()
            return heard

        return exchanged

    def ask(number):
        replicas = Replicas(Placement(n_processes=n, process=number, exchanged=exchange(number)))
        try:
            return questions[number](replicas)
        except Exception as error:  # noqa: BLE001 (the tests look at it)
            return error

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(ask, range(n)))


def squares(replicas):
    blocks = [1, 2, 3, 4, 5]
    mine = list(replicas.map(lambda block: block**2, blocks))
    return mine, replicas.gathered(mine)


def test_each_block_is_computed_once_and_known_to_all():
    (first, of_all), (second, of_all_too) = of_processes(2, [squares, squares])
    assert of_all == of_all_too == [1, 4, 9, 16, 25]
    assert [(a is None) != (b is None) for a, b in zip(first, second, strict=True)] == [True] * 5


def test_fewer_blocks_than_processes_are_computed_by_all():
    def one_block(replicas):
        return list(replicas.map(lambda block: block**2, [3]))

    assert of_processes(2, [one_block, one_block]) == [[9], [9]]


def test_a_failure_in_one_process_is_one_in_all():
    """Or the others would wait for it for ever."""

    def failing(replicas):
        def divided(block):
            return 1 / (block - 1)

        owners = replicas.owners(4)
        return list(replicas.brought(replicas.map(divided, [1, 2, 3, 4], owners), owners))

    first, second = of_processes(2, [failing, failing])
    assert isinstance(first, ZeroDivisionError)
    assert str(second).startswith("process 0 failed: ZeroDivisionError")


def test_processes_that_ask_different_questions_stop_asking():
    def decides(replicas):
        with pytest.raises(RuntimeError, match="no longer compute the same"):
            replicas.agreed(1)
        with pytest.raises(RuntimeError, match="no longer compute the same"):
            replicas.agreed(1)
        return "told"

    def scores(replicas):
        with pytest.raises(RuntimeError, match="no longer compute the same"):
            replicas.of_each_process(1)
        return "told"

    assert of_processes(2, [decides, scores]) == ["told", "told"]


def test_the_first_process_decides():
    questions = [lambda replicas, own=own: replicas.agreed(own) for own in (7, 8)]
    assert of_processes(2, questions) == [7, 7]


# --- rows of several processes ------------------------------------------------------------------


def joined(monkeypatch, parts, max_samples):
    def ask(number):
        def asked(replicas):
            monkeypatch.setattr(shards, "replicas_of", lambda given: given)
            data = ValidationData.read(parts[number], max_samples=max_samples)
            return shards.joined_rows(data, replicas, max_samples=max_samples, seed=0)

        return asked

    return of_processes(len(parts), [ask(number) for number in range(len(parts))])


def test_the_same_rows_in_all_processes_count_once(monkeypatch, small_data):
    first, second = joined(monkeypatch, [small_data, small_data], None)
    np.testing.assert_array_equal(first.inputs[0], small_data[0])
    np.testing.assert_array_equal(second.inputs[0], small_data[0])


def test_shards_are_joined_into_all_rows(monkeypatch, small_data):
    x, y = small_data
    for one in joined(monkeypatch, [(x[:100], y[:100]), (x[100:], y[100:])], None):
        np.testing.assert_array_equal(one.inputs[0], x)
        assert one.n_available == len(x)


def test_a_sample_of_shards_holds_of_each_as_much_as_it_has_rows(monkeypatch, small_data):
    """A third of the rows are in the first shard, so a third of 60: 20."""
    x, y = small_data
    first, second = joined(monkeypatch, [(x[:100], y[:100]), (x[100:], y[100:])], 60)
    np.testing.assert_array_equal(first.inputs[0], second.inputs[0])
    is_of_first = (first.inputs[0][:, None] == x[:100]).all(axis=-1).any(axis=1)
    assert (len(is_of_first), int(is_of_first.sum())) == (60, 20)
