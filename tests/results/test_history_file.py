"""Files of histories: what is saved is loaded, and nothing else is."""

from __future__ import annotations

import io
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from results.generated_results import result, results, same

from keras_importance import ImportanceHistory
from keras_importance.results.scores import Explained
from keras_importance.results.verdict import Verdicts


@given(st.lists(results(), max_size=4))
def test_a_loaded_history_is_the_saved_one(tmp_path_factory, some):
    path = tmp_path_factory.mktemp("history") / "history.npz"
    history = ImportanceHistory() + some
    history.save(path)
    loaded = ImportanceHistory.load(path)
    assert len(loaded) == len(history)
    assert all(same(one, other) for one, other in zip(history, loaded, strict=True))


def test_a_history_without_epochs_survives(tmp_path):
    history = ImportanceHistory() + [result(None)]
    history.save(tmp_path / "history")
    assert ImportanceHistory.load(tmp_path / "history").results[0].epoch is None


def test_saving_into_a_missing_folder_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"history.npz', whose folder does not exist"):
        ImportanceHistory().save(tmp_path / "nowhere" / "history.npz")


def test_saving_leaves_one_file(tmp_path):
    ImportanceHistory((result(),)).save(tmp_path / "history.npz")
    ImportanceHistory((result(),)).save(str(tmp_path / "history.npz"))
    assert [path.name for path in tmp_path.iterdir()] == ["history.npz"]


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def archive(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def with_header(**changes):
    header = {"format": "keras_importance.history", "version": 2, "results": [], "verdicts": []}
    return archive(header=np.array(json.dumps(header | changes)))


FOREIGN = {
    "empty": (b"", "which is empty"),
    "text": (b"epoch,method\n1,2", "no NumPy archive: it begins with b'epoch,"),
    "one byte": (b"\x80", "which is a pickle"),
    "a pickle": (pickle.dumps(Bomb()), "which is a pickle, which could hold code and is not loaded"),
    "an old pickle": (pickle.dumps(Bomb(), protocol=0), "no NumPy archive"),
    "an array": (b"\x93NUMPY\x01\x00v\x00", "which is a single NumPy array"),
    "an archive": (archive(a=np.ones(3), b=np.ones(2)), "an archive of something else: 'a.npy', 'b.npy'"),
    "pickled header": (archive(header=np.array(Bomb(), dtype=object)), "Object arrays cannot be loaded"),
    "pickled array": (
        archive(
            header=np.array(json.dumps({"format": "keras_importance.history", "version": 2, "results": [{}]})),
            **{"0/importances": np.array([Bomb()], dtype=object)},
        ),
        "Object arrays cannot be loaded",
    ),
    "another format": (with_header(format="pictures"), "it says 'pictures'"),
    "a later version": (with_header(version=3), "a later version of keras_importance wrote .file version 3.*Update"),
    "no version": (with_header(version=None), "damaged history"),
    "a list": (archive(header=np.array("[1, 2]")), "damaged history"),
    "no JSON": (archive(header=np.array("{")), "damaged history"),
    "results of no kind": (with_header(results=[7]), "damaged history"),
    "verdicts without arrays": (with_header(verdicts=[{"epoch": 0}]), "damaged history"),
    "nested too deep": (archive(header=np.array("[" * 100_000)), "damaged history.*Recursion"),
    "an array of the wrong type": (archive(header=np.ones(4)), "damaged history"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), FOREIGN.values(), ids=FOREIGN)
def test_foreign_files_are_refused_with_what_was_found_and_never_unpickled(content, message, tmp_path):
    path = tmp_path / "history.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"ImportanceHistory.load got .*history.npz', .*{message}"):
        ImportanceHistory.load(path)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A history of all there is, and the bytes of its file."""
    path = tmp_path_factory.mktemp("saved") / "history.npz"
    one = result(
        explained=Explained(1.0, 0.1, "constant", np.ones(3), np.ones((3, 4))), draws=np.ones((3, 5))
    )
    judged = Verdicts(
        0, "permutation", one.feature_names, ("useful", "useless", "undecided"), np.zeros(3), np.ones(3),
        np.ones(3), 0.1, 0.05, np.ones(3), np.ones(3), {}, {"x2": "why"},
    )  # fmt: skip
    history = ImportanceHistory((one,), (judged,))
    history.save(path)
    return path.with_name("spoilt.npz"), history, path.read_bytes()


def is_refused(path, history, content):
    """Whether the content is refused; what isn't must be the history, bit for bit."""
    path.write_bytes(content)
    try:
        loaded = ImportanceHistory.load(path)
    except ValueError as error:
        assert str(error).startswith("ImportanceHistory.load got")  # noqa: PT017 (harmless changes raise nothing)
        return True
    assert len(loaded) == len(history)
    assert same(loaded.results[0], history.results[0])
    assert repr(loaded.verdicts()) == repr(history.verdicts())
    return False


def test_a_file_cut_off_at_any_length_is_refused(saved):
    path, history, content = saved
    assert all(is_refused(path, history, content[:size]) for size in range(0, len(content), 3))


@given(st.data())
@settings(max_examples=400)
def test_changed_bytes_are_noticed_or_harmless(saved, data):
    """Never another exception than ValueError, and never other numbers."""
    path, history, content = saved
    spoilt = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        spoilt[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    is_refused(path, history, bytes(spoilt))


@given(st.binary(max_size=200), st.sampled_from([b"", b"PK\x03\x04", b"\x93NUMPY", b"\x80\x04"]))
def test_any_bytes_at_all_are_refused(tmp_path_factory, content, start):
    path = tmp_path_factory.mktemp("bytes") / "history.npz"
    assert is_refused(path, ImportanceHistory(), start + content)


def test_files_saved_faster_hold_the_same(saved, tmp_path):
    _, history, _ = saved
    history.save(tmp_path / "fast.npz", compressed=False)
    assert not is_refused(tmp_path / "fast.npz", history, (tmp_path / "fast.npz").read_bytes())


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        ImportanceHistory.load(tmp_path / "nowhere.npz")
