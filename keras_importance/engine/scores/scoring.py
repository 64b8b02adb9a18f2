"""What of a model is scored when a feature is replaced: exact, averaged or linearised predictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from keras_importance.engine.scores.averaged import AveragedScorer
from keras_importance.engine.scores.context import ScoringContext
from keras_importance.engine.scores.exact import Scorer
from keras_importance.engine.scores.linearised import LinearisedScorer
from keras_importance.engine.scores.sample import FeatureScores, Sample
from keras_importance.statistics.arrays import Integers


class FeatureScorer(Protocol):
    """Scores rows with one feature replaced at a time."""

    def perturbed(self, sample: Sample, indices: Integers) -> Iterator[FeatureScores]:
        """Scores of the features with these indices, a piece of them at a time."""


class Scoring(Protocol):
    """A way to score; values of it are compared and hashed, so each has one scorer a training."""

    def scorer(self, context: ScoringContext) -> FeatureScorer:
        """What scores in this way."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Exact:
    """The model's own prediction for each replaced row."""

    def scorer(self, context: ScoringContext) -> FeatureScorer:
        """Runs the layers that the replaced feature changes."""
        return Scorer(context)


@dataclass(frozen=True)
class Averaged:
    """The mean prediction over all that may take the feature's place: the model without the feature.

    The mean over the repeats of what is returned is the score; see `pseudo_values`.
    """

    def scorer(self, context: ScoringContext) -> FeatureScorer:
        """Runs the same layers, and scores the mean of their outputs."""
        return Scorer(context, AveragedScorer)


@dataclass(frozen=True)
class Linearised:
    """The prediction of the model's first-order approximation, of features that have a gradient."""

    def scorer(self, context: ScoringContext) -> FeatureScorer:
        """Differentiates the model once for each value of its outputs."""
        return LinearisedScorer(context)


EXACT = Exact()
AVERAGED = Averaged()
LINEARISED = Linearised()
