"""Quantiles, beside the published tables."""

from __future__ import annotations

import pytest

from keras_importance.statistics.quantiles import normal_quantile, student_quantile


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (9, 2.26216), (30, 2.04227)],
)
def test_student_quantiles_match_the_tables(degrees, quantile):
    assert student_quantile(0.975, degrees) == pytest.approx(quantile, rel=1e-5)


def test_student_approaches_normal():
    assert student_quantile(0.975, 5000) == pytest.approx(normal_quantile(0.975), rel=1e-3)
