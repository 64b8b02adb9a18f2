"""What the importances of two methods, or of two samples of rows, say only together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_importance.results.history import ImportanceHistory
from keras_importance.results.verdict import IN_SET
from keras_importance.statistics.quantiles import MANY_DEGREES, tail_quantile


class Finding(NamedTuple):
    """A feature on which the gradient and the loss disagree.

    Attributes:
        epoch: epoch of the evaluation; None outside training.
        feature: name of the feature.
        gradient: its gradient importance.
        usual_gradient: median of that of the useful features.
        importance: its importance by the other method.
        ci_low, ci_high: the 95% interval of `importance`.
        reason: what may be behind it.
    """

    epoch: int | None
    feature: str
    gradient: float
    usual_gradient: float
    importance: float
    ci_low: float
    ci_high: float
    reason: str


def disagreements(
    history: ImportanceHistory, *, gradient: str = "gradient", permutation: str = "permutation"
) -> tuple[Finding, ...]:
    """The features of the newest evaluation that move the output as useful ones do, and not the loss.

    A feature is named where

    - its gradient importance lies above the median of the useful features' gradients,
    - its interval reaches down to 0, or it is in the set that may be dropped,
    - and its interval stays below the median importance of the useful features: else there are too few
      rows to say that it has none.

    Useful features are those with that verdict; without verdicts those whose interval lies above 0.
    Redundant and latent features are left out, as their verdicts say why they don't count.

    Args:
        history: the results and verdicts.
        gradient: name of the method that tells how the output moves.
        permutation: name of the method that tells how the loss moves.
    """
    slope, loss = history.newest.get(gradient), history.newest.get(permutation)
    if slope is None or loss is None or slope.epoch != loss.epoch:
        return ()
    if slope.feature_names != loss.feature_names:
        return ()
    judged = [one for one in history.judged if (one.method, one.epoch) == (permutation, loss.epoch)]
    states = np.array(judged[-1].states if judged else ("",) * len(loss.feature_names))
    low, high, sizes = loss.ci_low, loss.ci_high, slope.importances_mean
    is_useful = (states == "useful" if judged else low > 0) & np.isfinite(sizes)
    if not is_useful.any():
        return ()
    usual = float(np.median(sizes[is_useful]))
    is_found = (sizes > usual) & (high < np.median(loss.importances_mean[is_useful]))
    is_found &= ((low <= 0) | np.isin(states, IN_SET)) & ~np.isin(states, ("redundant", "latent"))
    numbers = np.flatnonzero(is_found & ~is_useful)
    return tuple(
        Finding(
            loss.epoch,
            loss.feature_names[i],
            float(sizes[i]),
            usual,
            float(loss.importances_mean[i]),
            float(low[i]),
            float(high[i]),
            "high gradient, no importance: saturation or overfit",
        )
        for i in numbers[np.argsort(-sizes[numbers], kind="stable")]
    )


# --- training rows beside validation rows --------------------------------------------------------


class Gap(NamedTuple):
    """A feature that counts on the training rows and not on the validation rows: memorised.

    Attributes:
        epoch: epoch of both evaluations; None outside training.
        feature: name of the feature.
        training: its importance on the training rows.
        validation: its importance on the validation rows.
        bound: lower bound of their difference.
        threshold: what the bound lies above, a share of what the model explains of the validation rows.
    """

    epoch: int | None
    feature: str
    training: float
    validation: float
    bound: float
    threshold: float


def memorised_features(
    training: ImportanceHistory,
    validation: ImportanceHistory,
    *,
    method: str = "permutation",
    min_share: float = 0.01,
    alpha: float = 0.05,
) -> tuple[Gap, ...]:
    """The features that the model has learnt by heart, largest gap first.

    Two callbacks in one `fit`, one with the training rows as `validation_data=`, give both histories.
    A feature is named where its importance on the training rows is larger than on the validation rows,
    by more than `min_share` of what the model explains, and its interval on the validation rows reaches
    down to 0. The rows are independent, so the errors add up in squares; one-sided, at
    `alpha / features`.

    Args:
        training: importances on training rows.
        validation: importances on validation rows, of the same features.
        method: name of the method to compare.
        min_share: share of the explained loss that a gap must exceed.
        alpha: chance of naming any feature without a gap.

    Raises:
        ValueError: where the two have no results of the method for the same features.
    """
    newest = [one.newest.get(method) for one in (training, validation)]
    on_training, on_validation = newest
    if on_training is None or on_validation is None:
        raise ValueError(f"memorised_features got no results of {method!r} on both sides. Compute it.")
    names = on_validation.feature_names
    if on_training.feature_names != names:
        raise ValueError(
            "memorised_features got results on different features. Pass the same features= to both."
        )
    gap = on_training.importances_mean - on_validation.importances_mean
    error = np.hypot(on_training.std_error, on_validation.std_error)
    bound = gap - tail_quantile(alpha / len(names), MANY_DEGREES + 1) * error
    explained = on_validation.explained
    threshold = 0.0 if explained is None else min_share * max(explained.loss, 0.0)
    # A comparison with NaN is false: features without an exact number are not named.
    is_memorised = (bound > threshold) & (on_validation.ci_low <= 0)
    return tuple(
        Gap(
            on_validation.epoch,
            names[i],
            float(on_training.importances_mean[i]),
            float(on_validation.importances_mean[i]),
            float(bound[i]),
            threshold,
        )
        for i in np.argsort(-np.nan_to_num(gap), kind="stable")
        if is_memorised[i]
    )
