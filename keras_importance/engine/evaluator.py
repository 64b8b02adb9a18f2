"""Evaluator: one model on one sample of rows, as the methods see it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from keras_importance.data import ValidationData
from keras_importance.engine import backend
from keras_importance.engine.gradients import Differentiator
from keras_importance.engine.metrics import Metric, metric_from_argument
from keras_importance.engine.scoring import Array, Replacement, Scorer
from keras_importance.errors import InvalidArgumentError
from keras_importance.features import FeatureSet
from keras_importance.statistics import Donors, Floats

_MADE_UP = re.compile(r"keras_tensor(_\d+)?$|input_layer(_\d+)?$")


class Evaluator:
    """Scores and differentiates a model on a fixed sample of rows.

    Serves every evaluation of a training: compiled programs are made at first use and kept; weights
    are read anew in each call. The model itself is not changed.

    Attributes:
        model: the Keras model.
        data: the rows.
        features: the features that importance is asked of.
        metric: the metric that scores are in.
        seed: seed of everything drawn; each evaluation draws the same.
    """

    def __init__(
        self,
        model: Any,
        data: ValidationData,
        features: FeatureSet,
        metric: Any = "loss",
        seed: int = 0,
    ) -> None:
        backend.current()
        self.model = model
        self.data = data
        self.features = features
        self.seed = seed
        self.metric = metric_from_argument(metric, model, weighted=data.weights is not None)

    def rng(self) -> np.random.Generator:
        """A fresh generator: the same draws in every evaluation keep epochs comparable."""
        return np.random.default_rng(self.seed)

    # --- scores ---------------------------------------------------------------------------------

    def baseline(self) -> Array:
        """Scores of the untouched rows: `(n_rows,)`, or `()` where the metric needs them all at once."""
        return self._scorer.baseline()

    def perturbed(self, replacement: Replacement, donors: Donors) -> Iterator[Array]:
        """For each feature the scores with it replaced: `(n_repeats, n_rows)`, or `(n_repeats,)`."""
        return self._scorer.perturbed(replacement, donors)

    def worsening(self, scores: Array, baseline: Array) -> Floats:
        """How much worse the scores are than the baseline: positive where the replacement hurt."""
        return self._scorer.worsening(scores, baseline)

    def mean_score(self, scores: Array) -> Floats:
        """The metric over all rows, weighted: of row scores their mean, else the score itself."""
        return self._scorer.mean(scores)

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer(self.model, self.data, self.features, self.metric, self.seed)

    # --- gradients ------------------------------------------------------------------------------

    @cached_property
    def loss(self) -> Metric | None:
        """The compiled loss; None for a model without one."""
        try:
            return metric_from_argument("loss", self.model, weighted=False)
        except InvalidArgumentError:
            return None

    @cached_property
    def differentiator(self) -> Differentiator:
        """Gradients with respect to the inputs."""
        return Differentiator(self.model, self.data, self.loss)


def input_names(model: Any) -> list[str]:
    """The names that the user gave the model's inputs; `input_0, ...` where Keras made one up."""
    names = [str(one.name) for one in getattr(model, "inputs", None) or []]
    return [f"input_{number}" if _MADE_UP.match(name) else name for number, name in enumerate(names)]
