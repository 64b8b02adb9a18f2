"""Categories: their probabilities given the other columns, and rows drawn by them."""

from __future__ import annotations

import numpy as np
import pytest

from keras_importance.statistics.category_draws import class_probabilities, classes, drawn_rows


def test_probabilities_are_those_of_the_model_that_made_the_classes(rng):
    scores = rng.standard_normal((4000, 2))
    logits = np.column_stack([scores[:, 0], scores[:, 1], 0 * scores[:, 0]])
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    label = np.sum(rng.random((4000, 1)) > np.cumsum(truth, axis=1)[:, :-1], axis=1)
    found = class_probabilities(scores, label)
    assert np.abs(found - truth).mean() < 0.02
    assert found.sum(axis=1) == pytest.approx(1)


def test_drawn_rows_are_of_the_drawn_class_and_follow_the_weights(rng):
    """Two rows of a class, one three times as heavy, are drawn one time in four and three in four."""
    label = np.array([0, 1, 1] * 100)
    chances = np.tile([0.3, 0.7], (300, 1))
    rows = drawn_rows(chances, label, 200, rng, np.tile([1.0, 1.0, 3.0], 100))
    assert np.mean(label[rows]) == pytest.approx(0.7, abs=0.01)
    assert np.mean(rows % 3 == 1) / 0.7 == pytest.approx(0.25, abs=0.01)


def test_neighbouring_categories_are_merged_where_there_are_many(rng):
    codes = rng.integers(1000, size=(5000, 1))
    label = classes(codes, 50)
    assert len(np.unique(label)) == 50
    assert np.bincount(label).max() < 2 * 5000 / 50
    assert np.all(np.diff(label[np.argsort(codes[:, 0])]) >= 0)


def test_draws_that_are_spread_have_the_same_law_and_less_noise(rng):
    """4,000 rows of one law: each class as often as its probability; of 4 draws nearly that many."""
    chances = np.tile([0.5, 0.25, 0.25], (4000, 1))
    label = np.arange(4000) % 3
    spread, free = (
        label[drawn_rows(chances, label, 4, rng, spread=is_spread)] for is_spread in (True, False)
    )
    for repeat in spread:
        np.testing.assert_allclose(np.bincount(repeat) / 4000, [0.5, 0.25, 0.25], atol=0.03)
    for drawn, most in ((spread, 1e-9), (free, np.inf)):
        counts = (drawn == 0).sum(axis=0)
        assert np.var(counts) <= most
    assert np.var((free == 0).sum(axis=0)) > 0.9
