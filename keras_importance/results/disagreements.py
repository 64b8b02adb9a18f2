"""Features on which two results disagree: results of two methods, or of training and validation rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_importance.results.result import ImportanceResult
from keras_importance.results.verdict import IN_SET, Verdicts
from keras_importance.statistics.quantiles import MANY_DEGREES, tail_quantile


class Finding(NamedTuple):
    """A feature that moves the output like useful features, but not the loss.

    Attributes:
        epoch: epoch of the evaluation; None outside training.
        feature: name of the feature.
        gradient: gradient importance of the feature, in the unit of the gradient method's result.
        usual_gradient: median of the gradient importances of the useful features, in the same unit.
        importance: importance of the feature by the other method, in the unit of the metric.
        ci_low, ci_high: the 95% interval of `importance`.
        reason: a likely cause.
    """

    epoch: int | None
    feature: str
    gradient: float
    usual_gradient: float
    importance: float
    ci_low: float
    ci_high: float
    reason: str


def disagreeing_features(
    gradient: ImportanceResult, loss: ImportanceResult, judged: Verdicts | None
) -> tuple[Finding, ...]:
    """The features that move the output like useful features, but not the loss.

    See `ImportanceHistory.disagreements`, which passes the newest results and states the conditions.

    Args:
        gradient: result that measures how much the features move the output.
        loss: result that measures how much the same features move the loss, at the same epoch.
        judged: the verdicts on `loss`; None without verdicts.
    """
    slopes, importances = gradient.importances_mean, loss.importances_mean
    low, high = loss.ci_low, loss.ci_high
    states = np.array(("",) * len(low) if judged is None else judged.states)
    is_useful = (low > 0 if judged is None else states == "useful") & np.isfinite(slopes)
    if not is_useful.any():
        return ()
    usual = float(np.median(slopes[is_useful]))
    is_small: NDArray[np.bool_] = high < np.median(importances[is_useful])
    may_be_0 = ((low <= 0) | np.isin(states, IN_SET)) & ~np.isin(states, ("redundant", "latent"))
    indices = np.flatnonzero((slopes > usual) & is_small & may_be_0 & ~is_useful)
    return tuple(
        Finding(
            loss.epoch,
            loss.feature_names[i],
            float(slopes[i]),
            usual,
            float(importances[i]),
            float(low[i]),
            float(high[i]),
            "high gradient, no importance: saturation or overfit",
        )
        for i in indices[np.argsort(-slopes[indices], kind="stable")]
    )


# --- training rows beside validation rows --------------------------------------------------------


class Gap(NamedTuple):
    """A feature that is important on the training rows and not on the validation rows: memorised.

    All numbers but the epoch are in the unit of the metric.

    Attributes:
        epoch: epoch of both evaluations; None outside training.
        feature: name of the feature.
        training: importance of the feature on the training rows.
        validation: importance of the feature on the validation rows.
        bound: lower confidence bound of the difference `training - validation`.
        threshold: the value that `bound` exceeds: `min_share` times the loss that the model explains on
            the validation rows.
    """

    epoch: int | None
    feature: str
    training: float
    validation: float
    bound: float
    threshold: float


def memorised_features(
    training: ImportanceResult, validation: ImportanceResult, *, min_share: float, alpha: float
) -> tuple[Gap, ...]:
    """The features that the model has memorised, largest gap first.

    See `ImportanceHistory.memorised_features`, which passes the newest results.

    Args:
        training: importances on training rows.
        validation: importances on validation rows, of the same features.
        min_share: share of the explained loss that a gap must exceed.
        alpha: chance of naming any feature without a gap.
    """
    names, explained = validation.feature_names, validation.explained
    gap = training.importances_mean - validation.importances_mean
    error = np.hypot(training.std_error, validation.std_error)
    bound = gap - tail_quantile(alpha / len(names), MANY_DEGREES + 1) * error
    threshold = 0.0 if explained is None else min_share * max(explained.loss, 0.0)
    # A comparison with NaN is false: features without an exact importance are not named.
    is_memorised = (bound > threshold) & (validation.ci_low <= 0)
    return tuple(
        Gap(
            validation.epoch,
            names[i],
            float(training.importances_mean[i]),
            float(validation.importances_mean[i]),
            float(bound[i]),
            threshold,
        )
        for i in np.argsort(-np.nan_to_num(gap), kind="stable")
        if is_memorised[i]
    )
