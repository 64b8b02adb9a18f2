"""Long evaluations: a bar that obeys `verbose`, and Ctrl-C that loses nothing finished."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import numpy as np
import pytest

import keras_importance.progress
from keras_importance import FeatureImportance, compute_importance
from keras_importance.engine.evaluator import Evaluator
from keras_importance.progress import progress_bar


@pytest.fixture
def impatient(monkeypatch):
    """Bars appear at once."""
    monkeypatch.setattr(keras_importance.progress, "_PATIENCE", 0.0)


@pytest.mark.parametrize("shown", [True, False])
def test_a_bar_is_shown_on_request_alone(shown, impatient, capsys):
    with progress_bar(10, "permutation", shown=shown) as bar:
        bar.update(4)
        bar.refresh()
    written = capsys.readouterr()
    assert ("permutation" in written.err) == shown
    assert not written.out


def test_a_short_evaluation_shows_none(capsys):
    with progress_bar(10, "permutation", shown=True) as bar:
        bar.update(4)
    assert not capsys.readouterr().err.strip()


def test_a_log_file_gets_few_lines(impatient, monkeypatch):
    """Where lines can't be rewritten each refresh is a line."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar(1000, "permutation", shown=True) as bar:
        for _ in range(1000):
            bar.update(1)
    assert stream.getvalue().count("feature") <= 3


@pytest.mark.parametrize("verbose", [0, 1])
def test_a_fit_shows_it_with_verbose(verbose, impatient, small_model, small_data, capsys):
    importance = FeatureImportance(verbose=verbose, time_budget=None)
    small_model().fit(*small_data, validation_split=0.3, verbose=0, callbacks=[importance])
    assert ("permutation" in capsys.readouterr().err) == bool(verbose)


def test_the_standalone_function_shows_it_with_verbose(impatient, small_model, small_data, capsys):
    model = small_model()
    compute_importance(model, small_data)
    assert not capsys.readouterr().err
    compute_importance(model, small_data, verbose=1)
    assert "permutation" in capsys.readouterr().err


@pytest.fixture
def interrupted(monkeypatch):
    """Ctrl-C after the first piece of the second evaluation by permutation, with pieces of few features."""
    real, calls = Evaluator.scores, []

    def scores(self, request, scoring):
        calls.append(1)
        for piece in np.array_split(request.features, 2):
            yield from real(self, replace(request, features=piece), scoring)
            if len(calls) == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(Evaluator, "scores", scores)


def test_ctrl_c_leaves_finished_features_recorded(interrupted, small_model, small_data):
    importance = FeatureImportance(time_budget=None)
    with pytest.raises(KeyboardInterrupt):
        small_model().fit(*small_data, validation_split=0.3, epochs=3, verbose=0, callbacks=[importance])
    assert importance.history.epochs == (0, 1)
    first, second = importance.history.of("permutation")
    assert second.obtained == ("exact", "exact", "carried", "carried")
    assert np.all(np.isfinite(second.std_error[:2]))
    np.testing.assert_allclose(second.importances_mean[2:], first.importances_mean[2:])
    np.testing.assert_array_equal(second.exact_epoch, [1, 1, 0, 0])
    assert importance.results["gradient"].epoch == 1


def test_ctrl_c_in_the_first_evaluation_says_what_is_missing(monkeypatch, small_model, small_data):
    real = Evaluator.scores

    def scores(self, request, scoring):
        yield from real(self, replace(request, features=request.features[:1]), scoring)
        raise KeyboardInterrupt

    monkeypatch.setattr(Evaluator, "scores", scores)
    importance = FeatureImportance(methods="permutation", time_budget=None)
    with pytest.raises(KeyboardInterrupt):
        small_model().fit(*small_data, validation_split=0.3, verbose=0, callbacks=[importance])
    result = importance.results["permutation"]
    assert np.isfinite(result.importances_mean).tolist() == [True, False, False, False]
    assert result.notes["x3"] == "the evaluation was interrupted"


def test_ctrl_c_outside_training_is_ctrl_c(monkeypatch, small_model, small_data):
    def scores(self, request, scoring):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(Evaluator, "scores", scores)
    model = small_model()
    with pytest.raises(KeyboardInterrupt):
        compute_importance(model, small_data)
