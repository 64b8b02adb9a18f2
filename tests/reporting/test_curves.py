"""Which features have curves, and that a long history takes no longer to write."""

from __future__ import annotations

import numpy as np
import pytest
from reporting.event_files import read

from keras_importance import ImportanceHistory, ImportanceResult, TensorBoardWriter
from keras_importance.reporting.writers import EpochReport, curves
from keras_importance.reporting.writers.curves import Curves, logged_features


def evaluation(epoch, n_features=300, method="permutation"):
    rng = np.random.default_rng([epoch, n_features])
    return ImportanceResult(
        method=method, epoch=epoch, feature_names=tuple(f"x{i}" for i in range(n_features)),
        importances=rng.uniform(0, 1, (n_features, 1)), std_error=np.full(n_features, 0.1),
        baseline_score=1.0, metric="loss", n_samples=100,
    )  # fmt: skip


def history_of(n_epochs, n_features=300):
    return ImportanceHistory(
        tuple(
            evaluation(epoch, n_features, method)
            for epoch in range(n_epochs)
            for method in ("gradient", "permutation")
        )
    )


@pytest.fixture
def extended(monkeypatch):
    """The results by which curves were extended."""
    results, extend = [], curves._extend
    monkeypatch.setattr(
        curves,
        "_extend",
        lambda logged, one, history: results.append(one) or extend(logged, one, history),
    )
    return results


@pytest.mark.parametrize("n_features", [3, 200, 300])
def test_curves_that_go_on_are_those_of_the_whole_history(n_features):
    history, going_on = history_of(6, n_features), Curves()
    for epoch in range(6):
        so_far = history.before(epoch + 1)
        for method, newest in so_far.newest.items():
            assert tuple(going_on.after(newest, so_far)) == logged_features(so_far, method)


def test_each_result_is_gone_through_once(extended):
    """Of 300 features, 200 have a curve after at least four evaluations: until then, one at a time."""
    history, going_on = history_of(4), Curves()
    for epoch in range(4):
        so_far = history.before(epoch + 1)
        going_on.after(so_far.newest["permutation"], so_far)
    assert extended == list(history.of("permutation"))


def test_evaluations_that_were_missed_are_made_up_for():
    history, going_on = history_of(5), Curves()
    for epoch in (0, 3, 4):
        so_far = history.before(epoch + 1)
        newest = so_far.newest["gradient"]
        assert tuple(going_on.after(newest, so_far)) == logged_features(so_far, "gradient")


def test_another_history_has_curves_of_its_own():
    going_on, history = Curves(), history_of(3)
    going_on.after(history.newest["gradient"], history)
    other = ImportanceHistory((evaluation(7, 250, "gradient"),))
    newest = other.newest["gradient"]
    assert tuple(going_on.after(newest, other)) == logged_features(other, "gradient")


def test_a_long_history_is_not_gone_through_again(tmp_path, extended):
    """Two writes at the end of 60 evaluations: the second goes through the new results alone."""
    history, writer = history_of(60, 10), TensorBoardWriter(tmp_path)
    for epoch in (58, 59):
        extended.clear()
        report = EpochReport(epoch, history.before(epoch + 1), 1.0, with_pictures=False)
        assert report.results == history.at(epoch).results
        writer.write(report)
    writer._undrawn = None
    writer.close()
    assert extended == list(history.at(59))
    values, _ = read(tmp_path / "importance")
    assert values["importance_gradient/x3"].keys() == {58, 59}
