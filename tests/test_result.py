"""Results and histories: shapes, tables, files."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import pickle
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_importance import ImportanceHistory, ImportanceResult
from keras_importance.results.scores import Explained
from keras_importance.results.verdict import Verdicts

numbers = st.floats(-1e6, 1e6) | st.just(math.nan)


@st.composite
def explained(draw, n_features):
    return Explained(
        loss=draw(st.floats(-1e6, 1e6)),
        std_error=draw(st.floats(0, 1e6)),
        reference=draw(st.sampled_from(["constant", "all features shuffled"])),
        covariance=draw(arrays(float, n_features, elements=numbers)),
        third=draw(arrays(float, (n_features, 4), elements=numbers)),
    )


@st.composite
def results(draw, n_features=None, method=None, epoch=None):
    n_features = n_features or draw(st.integers(1, 6))
    n_repeats = draw(st.integers(1, 4))
    texts = st.text(min_size=1, max_size=8)
    return ImportanceResult(
        method=method or draw(st.sampled_from(["gradient", "permutation"])),
        epoch=draw(st.integers(0, 20)) if epoch is None else epoch,
        feature_names=draw(st.lists(texts, min_size=n_features, max_size=n_features, unique=True)),
        importances=draw(arrays(float, (n_features, n_repeats), elements=numbers)),
        std_error=draw(arrays(float, n_features, elements=numbers)),
        baseline_score=draw(numbers),
        metric=draw(texts),
        n_samples=draw(st.integers(1, 10**9)),
        direction=draw(st.none() | arrays(float, n_features, elements=numbers)),
        by_step=draw(st.none() | arrays(float, (3, n_features), elements=numbers)),
        error_source=draw(st.sampled_from(["rows", "repeats"])),
        n_blocks=draw(st.none() | st.integers(1, 50)),
        notes=draw(st.dictionaries(texts, texts, max_size=2)),
        obtained=draw(
            st.lists(
                st.sampled_from(["exact", "screened", "carried"]),
                min_size=n_features,
                max_size=n_features,
            )
        ),
        exact_epoch=draw(arrays(float, n_features, elements=numbers)),
        n_rows=draw(arrays(float, n_features, elements=st.integers(1, 10**6))),
        draws=draw(st.none() | arrays(np.float32, (n_features, 3), elements=st.floats(width=32))),
        explained=draw(st.none() | explained(n_features)),
    )


def result(epoch=0, importances=((2.0, 4.0), (0.0, 0.0), (1.0, 3.0)), method="permutation", **fields):
    importances = np.array(importances, float)
    fields = {
        "feature_names": tuple(f"x{i}" for i in range(len(importances))),
        "std_error": np.full(len(importances), 0.5),
        "baseline_score": 1.0,
        "metric": "loss",
        "n_samples": 10,
        **fields,
    }
    return ImportanceResult(method=method, epoch=epoch, importances=importances, **fields)


def same(first, second):
    for field in dataclasses.fields(first):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
        elif isinstance(one, float) and math.isnan(one):
            assert math.isnan(other)
        elif isinstance(one, Explained):
            assert same(one, other)
        else:
            assert one == other, field.name
    return True


# --- one result ---------------------------------------------------------------------------------


def test_mean_std_interval_and_rank_follow_from_the_repeats():
    one = result()
    assert one.importances_mean == pytest.approx([3, 0, 2])
    assert one.importances_std == pytest.approx([1, 0, 1])
    assert one.ci_high - one.importances_mean == pytest.approx(one.importances_mean - one.ci_low)
    assert one.rank == pytest.approx([1, 3, 2])


@pytest.mark.parametrize(
    ("fields", "quantile"),
    [
        ({"n_samples": 1000}, 1.959964),
        ({"n_samples": 12}, 2.22814),
        ({"n_samples": 1000, "n_blocks": 12}, 2.22814),
        ({"n_samples": 1000, "error_source": "repeats"}, 12.7062),
    ],
    ids=["many rows", "few rows", "few blocks", "two repeats"],
)
def test_intervals_widen_where_the_error_rests_on_little(fields, quantile):
    """Student's t with two degrees less than the rows or blocks, or one less than the repeats."""
    one = result(**fields)
    assert one.ci_high - one.importances_mean == pytest.approx(quantile * 0.5, rel=1e-4)


def test_a_feature_without_a_number_has_no_rank():
    rank = result(importances=[[1.0], [math.nan], [2.0]]).rank
    assert rank == pytest.approx([2, math.nan, 1], nan_ok=True)


def test_a_result_cannot_be_changed():
    one = result()
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.epoch = 3
    with pytest.raises(ValueError, match="read-only"):
        one.importances[0] = 7
    with pytest.raises(TypeError):
        one.notes["x0"] = "changed"


def test_a_result_does_not_follow_its_makers_array():
    mine = np.ones((3, 1))
    one = result(importances=mine)
    mine[:] = 7
    assert one.importances_mean == pytest.approx([1, 1, 1])
    importances = np.ones((2, 1))
    direct = ImportanceResult(
        method="m",
        epoch=0,
        feature_names=("a", "b"),
        importances=importances,
        std_error=np.ones(2),
        baseline_score=0.0,
        metric="loss",
        n_samples=3,
    )
    importances[:] = 7
    assert direct.importances_mean == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("importances", np.ones((2, 1))),
        ("importances", np.ones(3)),
        ("std_error", np.ones(2)),
        ("direction", np.ones((3, 1))),
        ("by_step", np.ones((3, 2))),
    ],
)
def test_arrays_of_the_wrong_shape_are_refused(field, value):
    fields = {
        "importances": np.ones((3, 1)),
        "std_error": np.ones(3),
        "feature_names": ("a", "b", "c"),
        "baseline_score": 0.0,
        "metric": "loss",
        "n_samples": 3,
        field: value,
    }
    with pytest.raises(ValueError, match=f"'mine' returned {field} of shape .* for 3 features"):
        ImportanceResult(method="mine", epoch=0, **fields)


@given(results())
def test_a_pickled_result_is_the_same(one):
    assert same(one, pickle.loads(pickle.dumps(one)))


# --- histories ----------------------------------------------------------------------------------


def test_adding_results_leaves_the_old_history_alone():
    empty = ImportanceHistory()
    longer = empty + [result(0)]
    assert len(empty) == 0
    assert len(longer) == 1


@given(st.lists(results(), max_size=12))
def test_a_history_is_ordered_and_has_one_result_a_method_and_epoch(some):
    history = ImportanceHistory()
    for one in some:
        history += [one]
    assert list(history.epochs) == sorted({one.epoch for one in some})
    keys = [(one.method, one.epoch) for one in history]
    assert len(keys) == len(set(keys))
    last = {(one.method, one.epoch): one for one in some}
    assert all(last[key] is one for key, one in zip(keys, history, strict=True))
    for method, one in history.newest.items():
        assert one.epoch == max(each.epoch for each in some if each.method == method)


def test_one_result_can_be_added_as_it_is():
    assert (ImportanceHistory() + result(3)).epochs == (3,)


def test_before_keeps_earlier_epochs():
    history = ImportanceHistory() + [result(epoch) for epoch in range(5)]
    assert history.before(2).epochs == (0, 1)


def test_the_table_is_tidy_and_ordered_by_rank():
    history = ImportanceHistory() + [
        result(0),
        result(1, [[0.0], [9.0], [math.nan]], notes={"x2": "why"}),
    ]
    table = history.to_dataframe()
    columns = "epoch method feature importance std_error ci_low ci_high rank".split()
    assert list(table.columns[:8]) == columns
    assert list(table.feature) == ["x0", "x2", "x1", "x1", "x0", "x2"]
    assert list(table.epoch) == [0, 0, 0, 1, 1, 1]
    assert table.note.iloc[-1] == "why"
    assert result().to_dataframe().feature.tolist() == ["x0", "x2", "x1"]
    assert list(ImportanceHistory().to_dataframe().columns) == list(table.columns)


def test_without_pandas_the_table_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_importance\[pandas\]'"):
        result().to_dataframe()


# --- drift --------------------------------------------------------------------------------------


def test_drift_compares_each_evaluation_with_the_one_before():
    history = ImportanceHistory() + [
        result(0, [[4.0], [3.0], [2.0]]),
        result(2, [[4.0], [3.0], [2.0]]),
        result(4, [[2.0], [3.0], [4.0]]),
    ]
    values = {(one.epoch, one.measure): one.value for one in history.drift()}
    assert values[2, "spearman"] == pytest.approx(1)
    assert values[2, "jensen_shannon"] == pytest.approx(0, abs=1e-9)
    assert values[2, "top_k_overlap"] == 1
    assert values[4, "spearman"] == pytest.approx(-1)
    assert values[4, "top_k_overlap"] == 0
    assert 0 < values[4, "jensen_shannon"] < 1
    assert not [key for key in values if key[0] == 0]


def test_rank_agreement_leaves_out_features_that_may_be_noise():
    """Two features with intervals round 0 trade places; over the others nothing changes."""
    before = [[5.0], [4.0], [3.0], [0.2], [0.1]]
    after = [[5.0], [4.0], [3.0], [0.1], [0.2]]
    history = ImportanceHistory() + [result(0, before), result(1, after)]
    assert history.drift()[0].value == pytest.approx(1)


def test_drift_keeps_methods_apart():
    history = ImportanceHistory() + [
        result(epoch, method=method) for epoch in (0, 1) for method in ("gradient", "permutation")
    ]
    assert {one.method for one in history.drift()} == {"gradient", "permutation"}
    assert len(history.drift()) == 6


# --- files --------------------------------------------------------------------------------------


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


def test_what_is_not_said_was_scored_exactly_now_on_all_rows():
    one = result(epoch=7)
    assert one.obtained == ("exact",) * 3
    np.testing.assert_array_equal(one.exact_epoch, 7)
    np.testing.assert_array_equal(one.n_rows, one.n_samples)


@pytest.mark.parametrize("obtained", [("exact",), ("exact", "guessed", "exact")], ids=["few", "unknown"])
def test_ways_that_do_not_exist_are_refused(obtained):
    with pytest.raises(ValueError, match=r"returned obtained=.*for 3 features. Return one of exact"):
        result(obtained=obtained)
