"""Histories: their order, their table, their drift."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from results.generated_results import result, results

from keras_importance import ImportanceHistory


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
