"""What is computed when a feature is replaced: a score of which prediction, or slopes of the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from keras_importance.engine.scores.averaged import AveragedScorer
from keras_importance.engine.scores.context import ScoringContext
from keras_importance.engine.scores.exact import Scorer
from keras_importance.engine.scores.joint import EachAlone
from keras_importance.engine.scores.linearised import LinearisedScorer
from keras_importance.engine.scores.sample import FeatureScores, Sample
from keras_importance.engine.scores.slopes import SlopeScorer
from keras_importance.statistics.arrays import Integers


class FeatureScorer(Protocol):
    """Scores rows with one feature replaced at a time."""

    def perturbed(self, sample: Sample, indices: Integers) -> Iterator[FeatureScores]:
        """Scores of the features with these indices; yields a piece of the features at a time."""


@runtime_checkable
class CountedScorer(FeatureScorer, Protocol):
    """A scorer each of whose scores takes about the same work."""

    @property
    def seconds_per_score(self) -> float:
        """Planned seconds for one row of one (feature, repeat) pair."""


class Scoring(Protocol):
    """A way to score. An evaluator keeps one scorer for each value, so values are hashable."""

    def scorer(self, context: ScoringContext) -> FeatureScorer:
        """A new scorer that scores in this way."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Exact:
    """The model's own prediction for each replaced row."""

    def scorer(self, context: ScoringContext) -> CountedScorer:
        """A scorer that runs the layers that the replaced feature changes."""
        return Scorer(context) if context.batch_size is None else EachAlone(context)


@dataclass(frozen=True)
class Averaged:
    """The mean prediction over all values that may replace the feature: the model without the feature.

    Its scorer returns a pseudo-value for each repeat; their mean is the score. See `pseudo_values`.
    """

    def scorer(self, context: ScoringContext) -> FeatureScorer:
        """A scorer that runs the layers that the feature changes, and scores the mean of the outputs."""
        return Scorer(context, AveragedScorer)


@dataclass(frozen=True)
class Linearised:
    """The prediction of the model's first-order approximation, for features that have a gradient."""

    def scorer(self, context: ScoringContext) -> FeatureScorer:
        """A scorer that differentiates the model once for each value of its outputs."""
        return LinearisedScorer(context)


@dataclass(frozen=True)
class LossSlopes:
    """Derivatives of the loss with respect to the outputs, for a loss that is a mean over rows."""

    def scorer(self, context: ScoringContext) -> FeatureScorer:
        """A scorer that runs the layers that the feature changes, and differentiates the loss."""
        return Scorer(replace(context, metric=context.loss()), SlopeScorer)


EXACT = Exact()
AVERAGED = Averaged()
LINEARISED = Linearised()
LOSS_SLOPES = LossSlopes()
