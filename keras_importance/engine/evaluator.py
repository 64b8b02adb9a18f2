"""Evaluator: methods run one model on one sample of rows through it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cached_property
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance.data.features import FeatureSet
from keras_importance.data.subsamples import Subsamples, multipliers
from keras_importance.data.training_data import TrainingData
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends.compiler import Compiler
from keras_importance.engine.backends.out_of_memory import is_out_of_memory
from keras_importance.engine.clock import Clock
from keras_importance.engine.gradient_support import GradientSupport
from keras_importance.engine.gradients.differentiator import (
    Differentiator,
    InputGradients,
    RowScores,
    Scalar,
    Scalars,
)
from keras_importance.engine.gradients.moments import Moments
from keras_importance.engine.meter import Meter
from keras_importance.engine.metrics.metric import Metric
from keras_importance.engine.mixed_rows import MixedRows
from keras_importance.engine.model_outputs import ModelOutputs
from keras_importance.engine.resolved_metrics import ResolvedMetrics
from keras_importance.engine.row_checks import check_rows, why_padding_matters
from keras_importance.engine.scores.context import ScoringContext
from keras_importance.engine.scores.joint import JointScorer
from keras_importance.engine.scores.sample import DeviceData, FeatureScores, ScoreRequest
from keras_importance.engine.scores.scoring import (
    EXACT,
    FeatureScorer,
    Scoring,
)
from keras_importance.errors import InvalidArgumentError
from keras_importance.results.result import ImportanceResult
from keras_importance.statistics.arrays import Array, Floats, Integers, generator

Made = TypeVar("Made")

# Draws of the errors: the 95% quantile of 200 is off by 1.5 points; for very many features half of them.
_N_DRAWS = 200
_MANY_FEATURES = 1000
# If blocks of a thousandth of the default size still don't fit, their size isn't the cause.
_SMALLEST_FRACTION = 2**-10


class Evaluator:
    """Scores and differentiates a model on a fixed sample of rows.

    It serves all evaluations of a training. Programs are compiled at first use and kept. The model's
    weights are read anew in each call. The model itself is not changed.

    Attributes:
        model: the Keras model.
        data: the rows.
        features: the features whose importance is computed.
        seed: seed of all random draws; they are the same in each evaluation.
        training_data: the rows that the running `fit` trains on, for methods that train too; or None.
        compiler: compiles programs that run the model.
        clock: measures the seconds of evaluations, without compilation, to report them.
        meter: counts the work of evaluations, by which they are planned.
        subsamples: random parts of the rows, for evaluations that can't afford all rows.
        metrics: the user's metric and the compiled loss, tried on the model's predictions.
        baselines: scores of untouched rows from the program for sets, by the result of their evaluation.
        mixed_rows: whether the model mixes the rows of a batch, and the batches that it then gets.

    Args:
        metric: the user's `metric` argument.

    Raises:
        InvalidArgumentError: if `model` is no Keras model.
    """

    def __init__(
        self,
        model: Any,
        data: ValidationData,
        features: FeatureSet,
        metric: Any = "loss",
        seed: int = 0,
        training_data: TrainingData | None = None,
    ) -> None:
        if not isinstance(model, keras.Model):
            raise InvalidArgumentError(
                f"got a {type(model).__name__} for a model. Pass a keras.Model, compiled."
            )
        self.compiler = Compiler(model)
        self.model = model
        self.data = data
        self.features = features
        self.seed = seed
        self.training_data = training_data
        self.clock = Clock(self.compiler)
        self.meter = Meter()
        self.subsamples = Subsamples(data, seed)
        self.mixed_rows = MixedRows(self.compiler, data)
        self.metrics = ResolvedMetrics(metric, model, data, self.mixed_rows, seed)
        self.baselines: WeakKeyDictionary[ImportanceResult, Array] = WeakKeyDictionary()
        self._made: dict[Hashable, Any] = {}
        self._scorers: dict[Scoring, FeatureScorer] = {}

    def check(self) -> None:
        """Runs the model on a few rows, so that rows that it can't take are reported early.

        A model that isn't built yet can't be checked.

        Raises:
            InvalidArgumentError: if the model, which declares its inputs, can't take the rows.
            NotEvaluableError: for rows that can't be evaluated; see `check_rows`.
        """
        if self.model.built:
            check_rows(self.model, self.data, self.mixed_rows)

    def is_served_by(self, earlier: Evaluator) -> bool:
        """Whether an earlier evaluator of the same model, compiled as it was, does the same.

        It does with the same metric and seed, the same features and rows, and no training of its own.
        """
        is_same = earlier.model is self.model and earlier.seed == self.seed
        is_same = is_same and earlier.metrics.argument is self.metrics.argument
        trains = self.training_data is not None or earlier.training_data is not None
        return (
            is_same
            and not trains
            and self.features.features == earlier.features.features
            and self.data.has_rows_of(earlier.data)
        )

    def why_padding_matters(self) -> str | None:
        """What padding does to predictions, and what mends it; None where it changes none."""
        return why_padding_matters(self.outputs) if self.model.built else None

    def check_metric(self) -> None:
        """Tries the metric on the targets; if the model isn't built, only the argument is checked.

        Raises:
            InvalidArgumentError: if the metric is unknown, or a callable that fails.
            NotEvaluableError: if the compiled loss or a compiled metric can't be evaluated.
        """
        self.metrics.check()

    def rng(self) -> np.random.Generator:
        """A fresh generator: the same draws in every evaluation keep epochs comparable."""
        return generator(self.seed, "evaluation")

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """The value of a key: made by `make` when it is first asked for, then kept for the training."""
        if key not in self._made:
            self._made[key] = make()
        return cast(Made, self._made[key])

    def agreed(self, decision: Made) -> Made:
        """The first process's decision, which all processes that train the model together follow."""
        return self.compiler.replicas.agreed(decision)

    def within_memory(self, compute: Callable[[], Made]) -> Made:
        """The result of `compute`, which is repeated with blocks of half the size when memory runs out.

        Later evaluations keep the smaller blocks, and are slower.

        Raises:
            Exception: an error of `compute` other than a lack of memory; or a lack of memory although
                the blocks have at most 1/1024 of their default size.
        """
        while True:
            try:
                return compute()
            except Exception as error:
                if not is_out_of_memory(error) or self.compiler.fraction <= _SMALLEST_FRACTION:
                    raise
            # Not in the `except` clause: there the exception still refers to the tensors in memory.
            self.compiler.fraction /= 2
            self._scorers.clear()
            for name in ("_joint_scorer", "differentiator"):
                self.__dict__.pop(name, None)

    @property
    def outputs(self) -> ModelOutputs:
        """The model's outputs for a few rows, and their shapes."""
        return self.mixed_rows.outputs

    @cached_property
    def gradient_support(self) -> GradientSupport:
        """Which inputs and features have a gradient, and why others have none."""
        return GradientSupport(self.data, self.outputs, self.gradients, self.rng())

    # --- scores ---------------------------------------------------------------------------------

    def scores(self, request: ScoreRequest, scoring: Scoring = EXACT) -> Iterator[FeatureScores]:
        """Scores with one feature replaced at a time; yields a piece of the features at a time.

        Args:
            request: which features of which rows are replaced, and by what.
            scoring: which prediction is scored. `EXACT`: the model's own. `AVERAGED`: the mean of the
                model's predictions over all replacing values. `LINEARISED`: that of the model's
                first-order approximation, for features that have a gradient. `LOSS_SLOPES`: none; the
                scores are derivatives of the loss.
        """
        features = request.features
        indices = np.arange(len(self.features)) if features is None else features
        return self.scorer(scoring).perturbed(self._device_data.sample(request), indices)

    def scores_of_sets(
        self, request: ScoreRequest, sets: Sequence[Integers], baseline: Array | None = None
    ) -> FeatureScores:
        """Scores with all features of a set replaced at once, for each of the sets.

        Args:
            request: which rows are scored, and what replaces their values.
            sets: for each set the indices of its features.
            baseline: the baseline of an earlier call with the same rows and weights, if there was one.

        Returns:
            Scores `(n_sets, n_repeats, n_rows)`; their `indices` are positions in `sets`.
        """
        return self._joint_scorer.perturbed(self._device_data.sample(request), sets, baseline)

    @property
    def constant_scores(self) -> Floats | None:
        """`(n_rows,)` scores of the best constant prediction; None if no constant can be scored."""
        return self.metrics.constant_scores

    @cached_property
    def multipliers(self) -> NDArray[np.int8]:
        """`(n_rows, n_draws)` random signs, +1 or -1; a draw of the error multiplies rows by its signs.

        The signs are the same in every evaluation. Rows that depend on one another share their signs.
        """
        n_draws = _N_DRAWS if len(self.features) <= _MANY_FEATURES else _N_DRAWS // 2
        return multipliers(self.data, n_draws, self.seed)

    def worsening(self, scores: Array, baseline: Array) -> Array:
        """How much worse the scores are than the baseline: `worse_is · (scores - baseline)`.

        It is positive where the replacement hurt.
        """
        difference = np.asarray(scores - baseline)
        return difference if self.metric.worse_is > 0 else np.negative(difference, out=difference)

    @property
    def metric(self) -> Metric:
        """The resolved metric: it knows its direction, and whether it is a mean over rows."""
        return self.metrics.metric

    @property
    def row_weights(self) -> Floats | None:
        """`(n_rows,)` how much each row counts in the metric; None where all count the same."""
        return self.metrics.row_weights

    @property
    def needs_no_targets(self) -> bool:
        """Whether the metric is a loss that the model computes without targets."""
        return self.metrics.needs_no_targets

    def scorer(self, scoring: Scoring) -> FeatureScorer:
        """The scorer of a way to score, made when it is first asked for."""
        if scoring not in self._scorers:
            self._scorers[scoring] = scoring.scorer(self.context)
        return self._scorers[scoring]

    @cached_property
    def _joint_scorer(self) -> JointScorer:
        return JointScorer(self.context)

    @cached_property
    def context(self) -> ScoringContext:
        """What scorers need."""
        return ScoringContext(
            compiler=self.compiler,
            data=self.metrics.data,
            device_data=self._device_data,
            features=self.features,
            metric=self.metric,
            outputs=self.outputs.few,
            meter=self.meter,
            batch_size=self.mixed_rows.size if self.metric.by_batch else self.mixed_rows.batch_size,
            loss=lambda: self.metrics.loss,
            once=self.once,
        )

    @cached_property
    def _device_data(self) -> DeviceData:
        return DeviceData(self.compiler, self.metrics.data)

    # --- gradients ------------------------------------------------------------------------------

    def gradients(self, scalar: Scalar, data: ValidationData | None = None) -> InputGradients:
        """Gradients of each row's scalar with respect to the inputs.

        Args:
            scalar: directions `(n_rows, n_outputs)` or `(1, n_outputs)`, for a weighted sum of the
                outputs; or `row_loss`.
            data: the rows; None for all rows of the evaluator.
        """
        return self.differentiator.gradients(scalar, data or self.data)

    def gradient_moments(
        self, scalars: Scalars, data: ValidationData, passes: Sequence[InputGradients] = ()
    ) -> list[Moments | None]:
        """For each input the sums over rows of its gradients' lengths; None if it has no gradient.

        Args:
            scalars: the scalars of each row that are differentiated.
            data: the rows.
            passes: the gradients of each scalar, if they are known already.
        """
        return self.differentiator.moments(scalars, data, passes)

    @property
    def has_row_loss(self) -> bool:
        """Whether the compiled loss is a mean over rows, so that each row has a gradient of its own."""
        return self.metrics.loss.row_scores is not None and not self.mixed_rows.are_mixed

    @property
    def row_loss(self) -> RowScores:
        """The compiled loss of each row, `(truth, outputs) -> (n_rows,)`.

        Raises:
            ValueError: if the loss is no mean over rows.
        """
        row_scores = self.metrics.loss.row_scores
        if row_scores is None:
            raise ValueError(
                "the compiled loss is no mean over rows, so no row has a gradient of its own."
            )
        return row_scores

    @cached_property
    def differentiator(self) -> Differentiator:
        """Computes gradients with respect to the inputs."""
        batch_size = self.mixed_rows.batch_size
        return Differentiator(self.compiler, self.data, self.meter, batch_size=batch_size)
