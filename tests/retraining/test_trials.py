"""Trials: how they are run, and the file that keeps what became of them."""

from __future__ import annotations

import importlib
import json
import os
import tempfile
from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from keras_importance.errors import InvalidArgumentError
from keras_importance.retraining.checkpoint import Checkpoint
from keras_importance.retraining.trials import Outcome, Trial, run_trials

TRIALS = [Trial(fold, seed, (None, 0, 1)) for fold in range(3) for seed in range(2)]


def in_numbers(key):
    """The key of a model with -1 for the model with all features."""
    fold, seed, left_out = key
    return fold, seed, -1 if left_out is None else left_out


def scored(trial):
    """Scores that say of which model they are, and in which process they were made."""
    keys = [(trial.fold, trial.seed, left_out) for left_out in trial.left_out]
    return [Outcome(*key, {"loss": np.array([*in_numbers(key), os.getpid()])}) for key in keys]


def run(trials, function=scored, n_jobs=None):
    found = []
    run_trials(function, trials, n_jobs=n_jobs, on_outcome=found.append, verbose=False)
    return found


def numbers(outcomes):
    """What became of each model, whatever the order and the process."""
    return sorted((*in_numbers(one.key), *one.scores["loss"][:3].tolist()) for one in outcomes)


# --- running ------------------------------------------------------------------------------------


def test_every_model_has_one_outcome():
    found = run(TRIALS)
    assert len({one.key for one in found}) == len(found) == 18
    assert all(np.array_equal(one.scores["loss"][:3], in_numbers(one.key)) for one in found)


def test_an_outcome_is_handed_on_before_the_next_trial_is_run():
    order = []

    def noted(trial):
        order.append(("run", trial.fold, trial.seed))
        return scored(trial)[:1]

    run_trials(
        noted,
        TRIALS[:3],
        n_jobs=None,
        on_outcome=lambda one: order.append(("told", one.fold, one.seed)),
        verbose=False,
    )
    places = [(one.fold, one.seed) for one in TRIALS[:3]]
    assert order == [(what, *place) for place in places for what in ("run", "told")]


def test_two_processes_find_what_one_finds():
    found = run(TRIALS, n_jobs=2)
    assert numbers(found) == numbers(run(TRIALS))
    assert os.getpid() not in {int(one.scores["loss"][3]) for one in found}


def test_without_a_number_of_jobs_the_backend_of_the_context_runs_the_trials():
    with joblib.parallel_config("loky", n_jobs=2):
        found = run(TRIALS)
    assert os.getpid() not in {int(one.scores["loss"][3]) for one in found}


def test_an_interrupt_stops_the_trials():
    ran = []

    def interrupted(trial):
        ran.append(trial)
        if len(ran) == 2:
            raise KeyboardInterrupt
        return scored(trial)

    with pytest.raises(KeyboardInterrupt):
        run(TRIALS, interrupted)
    assert len(ran) == 2


def test_no_trials_need_nothing(monkeypatch):
    monkeypatch.setattr(importlib, "import_module", None)
    assert run([], n_jobs=4) == []


@pytest.fixture
def without_joblib(monkeypatch):
    """As if joblib weren't installed."""

    def missing(name, *rest):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)


@pytest.mark.parametrize("n_jobs", [None, 1])
def test_one_job_needs_no_joblib(without_joblib, n_jobs):
    assert len(run(TRIALS, n_jobs=n_jobs)) == 18


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_several_jobs_without_joblib_are_an_error(without_joblib, n_jobs):
    message = rf"got n_jobs={n_jobs}, which needs joblib. Install it: pip install .*\[lofo\]"
    with pytest.raises(InvalidArgumentError, match=message):
        run(TRIALS, n_jobs=n_jobs)


# --- the file -----------------------------------------------------------------------------------

keys = st.tuples(st.integers(0, 20), st.integers(0, 9), st.none() | st.integers(0, 300))
values = arrays(np.float64, array_shapes(min_dims=0, max_dims=2, max_side=5), elements=st.floats())
some_scores = st.dictionaries(st.text(max_size=8), values, max_size=3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trials.jsonl"


def same(first, second):
    return (first.key, first.procedure) == (second.key, second.procedure) and all(
        np.array_equal(first.scores[name], second.scores[name], equal_nan=True)
        and first.scores[name].shape == second.scores[name].shape
        for name in {*first.scores, *second.scores}
    )


@settings(max_examples=40)
@given(st.lists(st.tuples(keys, st.text(max_size=5), some_scores), max_size=4))
def test_what_was_added_is_found_again_bit_by_bit(drawn):
    outcomes = [Outcome(*key, scores, procedure=how) for key, how, scores in drawn]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trials.jsonl"
        checkpoint = Checkpoint(path, "a")
        for one in outcomes:
            checkpoint.add(one)
        found = Checkpoint(path, "a").outcomes
    assert len(found) == len(outcomes)
    assert all(map(same, found, outcomes))


def test_a_new_file_holds_nothing(path):
    assert Checkpoint(path, "a").outcomes == []
    assert Checkpoint(path, "a").outcomes == []


def test_the_folder_of_a_new_file_is_made(tmp_path):
    Checkpoint(tmp_path / "a" / "b" / "trials.jsonl", "a")
    assert (tmp_path / "a" / "b" / "trials.jsonl").exists()


def test_a_failure_is_not_kept(path):
    Checkpoint(path, "a").add(Outcome(0, 0, 1, failure="ValueError: no"))
    assert Checkpoint(path, "a").outcomes == []


def filled(path):
    """A file of three outcomes."""
    checkpoint = Checkpoint(path, "a")
    for trial in TRIALS[:3]:
        checkpoint.add(scored(trial)[0])
    return path.read_bytes()


def test_a_file_cut_off_anywhere_holds_its_whole_lines(path):
    """Killed while it wrote: what is complete stays, and is gone on from."""
    content = filled(path)
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        found = Checkpoint(path, "a").outcomes
        assert len(found) == max(content[:length].count(b"\n") - 1, 0), length
        Checkpoint(path, "a").add(scored(TRIALS[5])[0])
        assert [one.key for one in Checkpoint(path, "a").outcomes][-1] == (2, 1, None), length


FOREIGN = {
    "another study": b'{"format": "keras_importance.trials", "version": 1, "fingerprint": "b"}\n',
    "another study, cut off": b'{"format": "keras_importance.trials", "version": 1, "fingerprint": "b',
    "another version": b'{"format": "keras_importance.trials", "version": 2, "fingerprint": "a"}\n',
    "no fingerprint": b'{"format": "keras_importance.trials", "version": 1}\n',
    "other JSON": b'{"a": 1}\n{"b": 2}\n',
    "a JSON list": b"[1, 2, 3]\n",
    "a number": b"5\n",
    "text": b"importances\nx0 1.5\n",
    "text without a last line end": b"importances\nx0 1.5",
    "one line without an end": b"importances",
    "bytes": bytes(range(256)),
    "an empty line": b"\n",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_another_file_is_refused_and_stays_as_it_is(path, content):
    path.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match=r"got checkpoint='.*trials.jsonl', which .* Pass"):
        Checkpoint(path, "a")
    assert path.read_bytes() == content


DAMAGED = {
    "no JSON": b"what",
    "no dict": b"[]",
    "no procedure": b'{"key": [0, 1, 2], "scores": {}}',
    "no key": b'{"procedure": "", "scores": {}}',
    "a short key": b'{"key": [0, 1], "procedure": "", "scores": {}}',
    "scores that are a list": b'{"key": [0, 1, 2], "procedure": "", "scores": []}',
    "no base64": b'{"key": [0, 1, 2], "procedure": "", "scores": {"loss": {"shape": [1], "float64": "?"}}}',
    "another shape": b'{"key": [0, 1, 2], "procedure": "", "scores": {"loss": {"shape": [3], "float64": "AAAAAAAA8D8="}}}',
}


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_line_is_refused_and_the_file_stays_as_it_is(path, line):
    header, first, *rest = filled(path).splitlines(keepends=True)
    content = b"".join([header, first, line, b"\n", *rest])
    path.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match="no checkpoint of trials, or a damaged one"):
        Checkpoint(path, "a")
    assert path.read_bytes() == content


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(
        InvalidArgumentError, match=r"which can't be read and written .*IsADirectoryError"
    ):
        Checkpoint(tmp_path, "a")


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(InvalidArgumentError, match="which can't be read and written"):
        Checkpoint(tmp_path / "a" / "trials.jsonl", "a")


def test_a_line_is_plain_json(path):
    """A file that other programs can read: a key, and base64 of little-endian doubles."""
    Checkpoint(path, "a").add(Outcome(1, 2, 3, {"loss": np.array([1.0])}, procedure="refit"))
    assert json.loads(path.read_text().splitlines()[1]) == {
        "key": [1, 2, 3],
        "procedure": "refit",
        "scores": {"loss": {"shape": [1], "float64": "AAAAAAAA8D8="}},
    }


def test_the_model_with_all_features_is_written_as_minus_one(path):
    """So a file of an earlier version is read, and the other way round."""
    Checkpoint(path, "a").add(Outcome(1, 2, None, {"loss": np.array([1.0])}, procedure="refit"))
    assert json.loads(path.read_text().splitlines()[1])["key"] == [1, 2, -1]
    assert [outcome.key for outcome in Checkpoint(path, "a").outcomes] == [(1, 2, None)]
