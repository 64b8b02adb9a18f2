"""Fewer rows than repeats: as many repeats as there are donors, and a note."""

from __future__ import annotations

import numpy as np
import pytest

from keras_importance import (
    AblationImportance,
    ConditionalLOFO,
    ConditionalPermutation,
    LinearisedPermutation,
    PermutationImportance,
    compute_importance,
)

X = np.array([[0.0, 1.0], [1.0, 3.0], [3.0, -1.0], [7.0, 0.0]], np.float32)
B = np.array([2.0, 0.0])


def test_each_row_takes_the_values_of_all_others(linear_model):
    """4 rows and 3 donors each: b² times the mean of (x_i - x_j)² over all pairs of different rows."""
    method = PermutationImportance(n_repeats=5)
    found = compute_importance(linear_model(B), (X, X @ B), methods=method)["permutation"]
    differences = (X[:, None] - X[None]) ** 2
    expected = B**2 * differences.sum(axis=(0, 1)) / 12
    np.testing.assert_allclose(found.importances_mean, expected, rtol=1e-5)
    assert found.n_repeats == 3
    assert found.notes == dict.fromkeys(["x0", "x1"], "3 repeats in place of 5: there are 4 rows")


METHODS = [PermutationImportance, ConditionalPermutation, ConditionalLOFO, LinearisedPermutation]


@pytest.mark.parametrize("method", METHODS, ids=[method.__name__ for method in METHODS])
@pytest.mark.parametrize("n_rows", [3, 4])
def test_every_method_scores_fewer_rows_than_repeats(method, n_rows, linear_model):
    """Ten repeats of three or four rows: what the model ignores has 0, what it uses has more."""
    data = (X[:n_rows], (X @ B)[:n_rows])
    (found,) = compute_importance(linear_model(B), data, methods=method(10)).values()
    assert found.n_repeats == n_rows - 1
    used, ignored = found.importances_mean
    assert used > 0
    assert ignored == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("method", "n_rows"),
    [(PermutationImportance(), 1), (AblationImportance(), 1), (ConditionalLOFO(), 2)],
    ids=["permutation", "ablation", "conditional_lofo"],
)
def test_too_few_rows_for_any_importance_are_refused_outside_of_fit(method, n_rows, linear_model):
    with pytest.raises(
        ValueError, match=rf"compute_importance got too few validation rows \({n_rows}\).*Pass \d rows"
    ):
        compute_importance(linear_model(B), (X[:n_rows], X[:n_rows] @ B), methods=method)
