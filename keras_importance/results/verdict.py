"""Whether each feature is of use, as judged after an evaluation: Verdict, Verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from keras_importance.statistics.arrays import Floats, Integers, read_only

IN_SET = ("useless", "harmful")
"""States of features in the set that may be dropped together."""

_ARRAYS: dict[str, Any] = {
    "since": np.int64, "estimate": np.float64, "bound": np.float64, "streak": np.int64,
    "p_value": np.float64,
}  # fmt: skip


class Verdict(NamedTuple):
    """Whether one feature is of use, as judged after one evaluation, and the evidence.

    `estimate`, `bound` and `threshold` are in the unit of the metric.

    Attributes:
        epoch: epoch of the evaluation; None outside training.
        method: name of the method whose importance was judged.
        feature: name of the feature.
        state: `"useful"`, `"useless"`, `"harmful"`, `"redundant"`, `"latent"` or `"undecided"`; see
            `UselessFeatureDetector`.
        since: epoch in which the feature reached this state; None outside training.
        estimate: importance of the feature.
        bound: lower bound of the importance for the state `"useful"`, upper bound for other states. It
            also covers the error of the threshold: compare it with `threshold` itself.
        threshold: the importance below which a feature is useless.
        error_rate: chance that any feature is wrongly called useless in the training.
        p_value: p-value of the test for signal that the network does not use; NaN without this test.
        partner: name of the set member that makes this feature redundant; None for other states.
        reason: why there is no verdict; empty where there is one.
    """

    epoch: int | None
    method: str
    feature: str
    state: str
    since: int | None
    estimate: float
    bound: float
    threshold: float
    error_rate: float
    p_value: float
    partner: str | None
    reason: str


@dataclass(frozen=True, eq=False)
class Verdicts:
    """The verdicts on all features after one evaluation; iterating gives each as a `Verdict`.

    Attributes:
        epoch, method, threshold, error_rate: as in `Verdict`.
        feature_names: names of the features, in the order of every array here.
        states: `(n_features,)` state of each feature.
        since: `(n_features,)` epoch in which each feature reached its state; negative for none.
        estimate, bound, p_value: `(n_features,)` as in `Verdict`.
        streak: `(n_features,)` in how many evaluations up to this one, without a gap, the upper bound of
            a feature lay below the threshold.
        partners: the set member that makes a feature redundant, by the name of the redundant feature.
        reasons: why a feature has no verdict, by its name.
    """

    epoch: int | None
    method: str
    feature_names: tuple[str, ...]
    states: tuple[str, ...]
    since: Integers
    estimate: Floats
    bound: Floats
    threshold: float
    error_rate: float
    streak: Integers
    p_value: Floats
    partners: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, dtype in _ARRAYS.items():
            object.__setattr__(self, name, read_only(getattr(self, name), dtype))
        for name in ("partners", "reasons"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        for name in ("feature_names", "states"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "threshold", float(self.threshold))

    @classmethod
    def undecided(
        cls,
        epoch: int | None,
        method: str,
        feature_names: tuple[str, ...],
        reason: str,
        estimate: Floats | None = None,
    ) -> Verdicts:
        """Verdicts of an evaluation that could not be judged: every feature is undecided.

        Streaks end here, because nothing is known of this evaluation.

        Args:
            epoch: epoch of the evaluation; None outside training.
            method: name of the method whose importance could not be judged.
            feature_names: names of the features.
            reason: why nothing is known.
            estimate: `(n_features,)` importances of the features; None where they are unknown, too.
        """
        n_features = len(feature_names)
        unknown = np.full(n_features, math.nan)
        return cls(
            epoch=epoch,
            method=method,
            feature_names=feature_names,
            states=("undecided",) * n_features,
            since=np.full(n_features, -1 if epoch is None else epoch),
            estimate=unknown if estimate is None else estimate,
            bound=unknown,
            threshold=math.nan,
            error_rate=math.nan,
            streak=np.zeros(n_features, np.int64),
            p_value=unknown,
            reasons=dict.fromkeys(feature_names, reason),
        )

    def after(self, before: Verdicts | None) -> Verdicts:
        """These verdicts with `since` of the verdicts before where a state stayed the same.

        An unknown error rate is that of the verdicts before.

        Args:
            before: the verdicts on the same features after the evaluation before; None for none.
        """
        if before is None:
            return self
        stayed = np.array(self.states, object) == np.array(before.states, object)
        rate = before.error_rate if math.isnan(self.error_rate) else self.error_rate
        return replace(self, since=np.where(stayed, before.since, self.since), error_rate=rate)

    @property
    def useless(self) -> tuple[str, ...]:
        """Names of the features that may be dropped together: the useless and the harmful ones."""
        pairs = zip(self.feature_names, self.states, strict=True)
        return tuple(name for name, state in pairs if state in IN_SET)

    def __iter__(self) -> Iterator[Verdict]:
        return map(self.at, range(len(self.feature_names)))

    def at(self, index: int) -> Verdict:
        """The verdict on the feature with this index."""
        name, since = self.feature_names[index], int(self.since[index])
        return Verdict(
            self.epoch,
            self.method,
            name,
            self.states[index],
            since if since >= 0 else None,
            float(self.estimate[index]),
            float(self.bound[index]),
            self.threshold,
            self.error_rate,
            float(self.p_value[index]),
            self.partners.get(name),
            self.reasons.get(name, ""),
        )

    def changes(self, before: Verdicts | None) -> tuple[Verdict, ...]:
        """The verdicts whose state differs from the state in `before`, by default `"undecided"`.

        Args:
            before: the verdicts on the same features after the evaluation before; None for none.
        """
        past = ("undecided",) * len(self.states) if before is None else before.states
        pairs = enumerate(zip(self.states, past, strict=True))
        return tuple(self.at(index) for index, (state, before_it) in pairs if state != before_it)
