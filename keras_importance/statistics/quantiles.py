"""Quantiles of the normal and of Student's t distribution, and confidence bounds."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from keras_importance.statistics.arrays import Floats

MANY_DEGREES = 200
"""With more degrees of freedom Student's t is taken for normal."""


def upper_bound(estimate: Floats, std_error: Floats, third_moment: Floats, quantile: float) -> Floats:
    """Upper confidence bounds of means, corrected for skewness.

        bound = estimate + std_error · (q + max(skewness, 0) · (2 q² + 1) / 6)

    with `q` the quantile and `skewness = third_moment / std_error³`. If few rows make up most of a mean,
    a sample without these rows has both a low mean and a small error. A bound without the second term
    is then too low much too often. A negative skewness would lower the bound, and is ignored. The lower
    bound is minus the upper bound of the negated estimate.

    Source: Johnson (1978), JASA 73; Hall (1992), J. R. Stat. Soc. B 54.

    Args:
        estimate: estimated means.
        std_error: their standard errors.
        third_moment: their third central moments.
        quantile: of the standard normal distribution, or of Student's t, at the confidence wanted.
    """
    skewness = np.divide(
        third_moment, std_error**3, out=np.zeros(np.shape(std_error)), where=np.asarray(std_error) > 0
    )
    widening = np.maximum(skewness, 0.0) * (2 * quantile**2 + 1) / 6
    return np.asarray(estimate + std_error * (quantile + widening))


def rows_for_tail(quantile: float) -> int:
    """How many independent rows, or blocks of rows, a bound at a normal quantile needs.

        n = 500 (quantile / 4)⁴

    A bound that is corrected for skewness keeps its level up to quantiles that grow like the fourth root
    of the rows. At quantile 4, as for 20 features and 40 evaluations, 500 rows are enough.
    """
    return math.ceil(500 * (quantile / 4) ** 4)


@lru_cache(maxsize=4096)
def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(probability)


def tail_quantile(level: float, degrees: float) -> float:
    """The quantile that is exceeded with probability `level`.

    It is a quantile of Student's t for 1 to 200 degrees of freedom, rounded down. For other degrees,
    NaN included, it is a quantile of the normal distribution.
    """
    if not 1 <= degrees <= MANY_DEGREES:
        return -normal_quantile(level)
    return student_quantile(1 - level, int(degrees))


@lru_cache(maxsize=4096)
def student_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t for a whole number of degrees of freedom and `probability >= 0.5`.

    Inverts the finite series of Abramowitz & Stegun, 26.7.3 and 26.7.4, by bisection.
    """
    low, high = 0.0, 1.0
    while _student_cdf(high, degrees) < probability:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_cdf(middle, degrees) < probability else (low, middle)
    return (low + high) / 2


def _student_cdf(t: float, degrees: int) -> float:
    """Probability that Student's t is below `t >= 0`."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    series = 0.0
    for power in range(1 + odd, degrees, 2):
        series += term
        term *= cosine**2 * power / (power + 1)
    two_sided = 2 / math.pi * (angle + sine * series) if odd else sine * series
    return 0.5 + two_sided / 2
