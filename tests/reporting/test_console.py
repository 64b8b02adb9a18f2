"""What is printed: one line for each evaluation, and a summary, whatever there is to say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_importance.reporting.console import evaluation_line
from keras_importance.reporting.summary import TrainingCost, summary_line
from keras_importance.reporting.writers.base import EpochReport
from keras_importance.results.history import ImportanceHistory
from keras_importance.results.result import ImportanceResult
from keras_importance.results.verdict import Verdicts


def result(n_features=500, n_samples=400, obtained="exact", epoch=0):
    return ImportanceResult(
        method="permutation", epoch=epoch, feature_names=tuple(f"x{i}" for i in range(n_features)),
        importances=np.linspace(1, 0, 2 * n_features).reshape(n_features, 2),
        std_error=np.ones(n_features), baseline_score=1.0, metric="loss", n_samples=n_samples,
        obtained=(obtained,) * n_features,
    )  # fmt: skip


@given(st.integers(0, 500))
def test_an_evaluation_is_one_line_however_many_features_change(n_changed):
    found = result()
    states = ["useless"] * n_changed + ["undecided"] * (500 - n_changed)
    plain = Verdicts.undecided(0, "permutation", found.feature_names, "", found.importances_mean)
    verdicts = replace(plain, states=tuple(states))
    history = ImportanceHistory() + [found] + verdicts
    line = evaluation_line(EpochReport(0, history, 1.0))
    assert "\n" not in line
    assert len(line) < 300
    assert ("now useless" in line) == (n_changed > 0)
    if n_changed > 3:
        assert f"and {n_changed - 3} more" in line


def cost(**changes):
    return replace(TrainingCost(1000, 0.1).after_epoch(2.0).after_evaluation(0.1, 0.5), **changes)


def test_the_summary_says_how_many_epochs_how_exact_what_it_took_and_what_limits_it():
    line = summary_line(cost(), [result()])
    assert line == (
        "1 of 1 epochs evaluated in 0.1 s, 5.0% of the epochs' 2 s, and 0.5 s to compile. permutation: 400 of "
        "1,000 rows, 2 repeats. time_budget=0.1 limits it; None has no limit."
    )


def test_the_summary_counts_the_features_that_are_approximated():
    assert "0 of 500 features exact, the others approximated" in summary_line(
        cost(), [result(obtained="screened")]
    )


@pytest.mark.parametrize(
    "known",
    [summary_line(cost(n_rows=400), [result()]), summary_line(cost(time_budget=None), [result()])],
    ids=["complete", "no budget"],
)
def test_nothing_limits_what_is_complete_or_has_no_budget(known):
    assert known.endswith("Nothing limits it.")


@given(st.lists(st.tuples(st.floats(0, 1e3), st.floats(0, 1e3)), max_size=20))
def test_costs_add_up(evaluations):
    total = TrainingCost(10, None)
    for seconds, compile_seconds in evaluations:
        total = total.after_epoch(1.0).after_evaluation(seconds, compile_seconds)
    assert (total.n_epochs, total.n_evaluations) == (len(evaluations), len(evaluations))
    assert total.seconds == pytest.approx(sum(seconds for seconds, _ in evaluations))
    assert total.compile_seconds == pytest.approx(sum(compiling for _, compiling in evaluations))
