"""Evaluator: one model on one sample of rows, as the methods see it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, TypeVar, cast

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance.data.features import Column, Feature, FeatureSet
from keras_importance.data.training_data import TrainingData
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends.backend import Inference
from keras_importance.engine.backends.compiler import Compiler
from keras_importance.engine.backends.out_of_memory import is_out_of_memory
from keras_importance.engine.cut.block_sizes import declared_batch
from keras_importance.engine.effort import Effort
from keras_importance.engine.gradients.differentiator import (
    Differentiator,
    InputGradients,
    RowScores,
    Scalar,
    Scalars,
)
from keras_importance.engine.gradients.moments import Moments
from keras_importance.engine.metrics.constant_prediction import constant_scores
from keras_importance.engine.metrics.from_argument import metric_from_argument
from keras_importance.engine.metrics.metric import Metric
from keras_importance.engine.scores.averaged import AveragedScorer
from keras_importance.engine.scores.exact import Scorer
from keras_importance.engine.scores.joint import JointScorer
from keras_importance.engine.scores.linearised import LinearisedScorer
from keras_importance.engine.scores.sample import DeviceData, FeatureScores, Replacement, Sample
from keras_importance.errors import InvalidArgumentError, reason_of
from keras_importance.statistics.arrays import Array, Floats, Integers, generator
from keras_importance.statistics.donors import Donors

_MADE_UP = re.compile(r"keras_tensor(_\d+)?$|input_layer(_\d+)?$")

Made = TypeVar("Made")

_FEW_ROWS = 16
# Draws of the errors: the 95% quantile of 200 is off by 1.5 points; for very many features half of them.
_N_DRAWS = 200
_MANY = 1000
# Where a thousandth of the usual is too much, it isn't what is lacking.
_SMALLEST_SHARE = 2**-10
_IN_BLOCKS = ("_scorer", "_averaged_scorer", "_linearised_scorer", "_joint_scorer", "_differentiator")


class Evaluator:
    """Scores and differentiates a model on a fixed sample of rows.

    Serves every evaluation of a training: compiled programs are made at first use and kept; weights
    are read anew in each call. The model itself is not changed.

    Attributes:
        model: the Keras model.
        data: the rows.
        features: the features that importance is asked of.
        compiler: compiles programs that run the model.
        seed: seed of everything drawn; each evaluation draws the same.
        effort: what the current evaluation may cost, and what it can build on.
        training: what the running `fit` trains on, for methods that train too; else None.
        unlimited_seconds: what was asked for whatever it takes, in all; it isn't on the `clock`.
    """

    def __init__(
        self,
        model: Any,
        data: ValidationData,
        features: FeatureSet,
        metric: Any = "loss",
        seed: int = 0,
        training: TrainingData | None = None,
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
        self.effort = Effort()
        self.training = training
        self.unlimited_seconds = 0.0
        self._seconds_per_row: dict[str, float] = {}
        self._some_data: dict[int, ValidationData] = {}
        self._made: dict[Hashable, Any] = {}
        self._metric_argument = metric

    def check(self) -> None:
        """Runs the model on a few rows, where it is built, so that unfit rows are reported early.

        Raises:
            InvalidArgumentError: where the model doesn't take the rows.
        """
        if self.model.built:
            try:
                _ = self.output_shapes
            except Exception as error:
                raise InvalidArgumentError(
                    f"got validation data that the model can't take ({reason_of(error)}). Pass rows "
                    "like those of the training."
                ) from error

    def check_metric(self) -> None:
        """Tries the metric out; of a model that isn't built, its name alone can be checked.

        Raises:
            InvalidArgumentError: for a metric that is unknown or fails.
        """
        _ = self.metric if self.model.built else self._named_metric

    def rng(self) -> np.random.Generator:
        """A fresh generator: the same draws in every evaluation keep epochs comparable."""
        return generator(self.seed, "evaluation")

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` returns, made when the key is first asked for and kept for the training."""
        if key not in self._made:
            self._made[key] = make()
        return cast(Made, self._made[key])

    def some_rows(self, n_rows: int) -> Integers | None:
        """Rows drawn at random, the same ones for the same number, and more for more; None for all."""
        if n_rows >= self.data.n_rows:
            return None
        return np.sort(self._drawn_rows[:n_rows])

    def data_of(self, n_rows: int) -> ValidationData:
        """The data of `some_rows`; the same object for the same number."""
        rows = self.some_rows(n_rows)
        if rows is None:
            return self.data
        if n_rows not in self._some_data:
            self._some_data = {n_rows: self.data.only(rows)}
        return self._some_data[n_rows]

    @cached_property
    def _drawn_rows(self) -> Integers:
        return generator(self.seed, "rows").permutation(self.data.n_rows)

    def affordable_data(self, method: str) -> ValidationData:
        """The rows that the effort lets a method differentiate, going by its last evaluation.

        All of them at first; a chunk at least.
        """
        per_row, chunk = self._seconds_per_row.get(method, 0.0), self._differentiator.rows_at_once
        if per_row <= 0 or math.isinf(self.effort.seconds):
            return self.data
        n_chunks = max(1, int(self.effort.seconds / per_row) // chunk)
        return self.data_of(n_chunks * chunk)

    def learn_rate(self, method: str, started: float, n_rows: int | None) -> None:
        """Notes what a row took a method that started at `started` by the `clock`."""
        self._seconds_per_row[method] = (self.clock() - started) / (n_rows or self.data.n_rows)

    def clock(self) -> float:
        """Seconds that run on while the model computes, and stand still while it is compiled."""
        # All processes go by the clock of the first, or they would decide differently.
        return self.agreed(time.perf_counter() - self.compiler.seconds - self.unlimited_seconds)

    def agreed(self, decision: Made) -> Made:
        """What the first process decides, where several train the model together."""
        return self.compiler.replicas.agreed(decision)

    @contextmanager
    def off_the_clock(self) -> Iterator[None]:
        """For what the user has asked for whatever it takes: no time budget limits it."""
        started = self.clock()
        try:
            yield
        finally:
            self.unlimited_seconds += self.clock() - started

    def within_memory(self, compute: Callable[[], Made]) -> Made:
        """What `compute` returns; each time that memory runs out, anew with half as much at once.

        What it takes now and in later evaluations is the time of more and smaller blocks.
        """
        while True:
            try:
                return compute()
            except Exception as error:
                if not is_out_of_memory(error) or self.compiler.share <= _SMALLEST_SHARE:
                    raise
            # Here and not above, where the exception still holds what filled the memory.
            self.compiler.share /= 2
            for name in _IN_BLOCKS:
                self.__dict__.pop(name, None)

    # --- outputs --------------------------------------------------------------------------------

    @cached_property
    def output_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the model's outputs for all rows."""
        return [(self.data.n_rows, *one.shape[1:]) for one in keras.tree.flatten(self._few_outputs)]

    @property
    def n_outputs(self) -> int:
        """How many values the outputs hold for a row."""
        return sum(math.prod(shape[1:]) for shape in self.output_shapes)

    @cached_property
    def _few_outputs(self) -> Any:
        return self._outputs(self._few_rows())

    def why_no_gradient(self, number: int) -> str | None:
        """Why an input has no gradient; None where the model ignores it, and the gradient is 0."""
        name, values = self.data.columns[number].name, self.data.inputs[number]
        if values.dtype.kind != "f":
            return f"input {name!r} holds {values.dtype} values, which have no gradient"
        columns = range(len(self.data.columns[number].columns))
        if self._depends_on(Feature(name, tuple((number, column) for column in columns))):
            return f"the model turns input {name!r} into whole numbers: no gradient"
        return None

    def why_zero_is_no_gradient(self, feature: Feature) -> str | None:
        """Why a gradient of 0 at every row is none; None where the feature has no effect.

        Some backends return 0 for what the model rounds, as the codes of an embedding.
        """
        if all(self._is_whole(column) for column in feature.columns) and self._depends_on(feature):
            return f"the model turns {feature.name!r} into whole numbers: no gradient"
        return None

    def _is_whole(self, column: Column) -> bool:
        number, place = column
        values = self.data.inputs[number]
        values = values if values.ndim == 1 else values[..., place]
        return values.dtype.kind == "f" and bool(np.all(values == np.rint(values)))

    def _depends_on(self, feature: Feature) -> bool:
        """Whether the outputs change when a few rows of a feature trade places."""
        leaves = self._few_rows()
        moved = [leaf.copy() for leaf in leaves]
        for number, place in feature.columns:
            column = ... if leaves[number].ndim == 1 else (..., place)
            moved[number][column] = np.roll(leaves[number][column], 1, axis=0)
        both = (keras.tree.flatten(self._outputs(rows)) for rows in (leaves, moved))
        pairs = zip(*both, strict=True)
        return any(not np.array_equal(*pair) for pair in pairs)

    def _few_rows(self) -> list[Array]:
        rows = np.arange(declared_batch(self.model) or _FEW_ROWS) % self.data.n_rows
        return [leaf[rows] for leaf in self.data.inputs]

    def _outputs(self, leaves: list[Array]) -> Any:
        outputs = self._inference([self.compiler.on_device(leaf) for leaf in leaves])
        return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)

    @cached_property
    def _inference(self) -> Callable[[list[Any]], Any]:
        # Compiled, as an eager call could draw from TensorFlow's global random state.
        def inference(call: Inference, leaves: list[Any]) -> Any:
            return call(self.data.pack(leaves))

        return self.compiler(inference, fuse=False)

    # --- scores ---------------------------------------------------------------------------------

    def perturbed(
        self,
        replacement: Replacement,
        donors: Donors,
        *,
        rows: Integers | None = None,
        numbers: Integers | None = None,
    ) -> Iterator[FeatureScores]:
        """Scores with one feature replaced at a time, a piece of the features at a time.

        Args:
            replacement: what takes a feature's place.
            donors: the donors, as positions in `rows`.
            rows: numbers of the rows to score; None for all.
            numbers: numbers of the features to score; None for all.
        """
        sample, numbers = self._sample(replacement, donors, rows), self._numbers(numbers)
        return self._scorer.perturbed(sample, numbers)

    def averaged(
        self,
        replacement: Replacement,
        donors: Donors,
        *,
        rows: Integers | None = None,
        numbers: Integers | None = None,
    ) -> Iterator[FeatureScores]:
        """The same for the model that predicts the mean over all that may take the feature's place.

        The mean over the repeats of what is returned is the score; see `pseudo_values`.
        """
        sample, numbers = self._sample(replacement, donors, rows), self._numbers(numbers)
        return self._averaged_scorer.perturbed(sample, numbers)

    def linearly_perturbed(
        self,
        replacement: Replacement,
        donors: Donors,
        *,
        rows: Integers | None = None,
        numbers: Integers | None = None,
    ) -> Iterator[FeatureScores]:
        """The same for the model's first-order approximation, of features that have a gradient."""
        sample, numbers = self._sample(replacement, donors, rows), self._numbers(numbers)
        return self._linearised_scorer.perturbed(sample, numbers)

    def jointly_perturbed(
        self,
        replacement: Replacement,
        donors: Donors,
        sets: Sequence[Integers],
        *,
        rows: Integers | None = None,
    ) -> FeatureScores:
        """Scores with all features of a set replaced at once, for each of the sets."""
        return self._joint_scorer.perturbed(self._sample(replacement, donors, rows), sets)

    def baseline_scores(self) -> Floats:
        """`(n_rows,)` scores of the untouched rows."""
        unused = Donors.draw(self.data.n_rows, 1, self.rng())
        found = self.jointly_perturbed(Replacement(donated=self.data.inputs), unused, [])
        return np.asarray(found.baseline, np.float64)

    @cached_property
    def constant_scores(self) -> Floats | None:
        """`(n_rows,)` scores of the best constant prediction; None where the metric has none."""
        names = [str(name) for name in getattr(self.model, "output_names", None) or []]
        data = self.data
        try:
            return constant_scores(self.metric, data.targets, self._few_outputs, names, data.weights)
        except Exception:  # noqa: BLE001 (a metric need not take a constant: another reference stands in)
            return None

    @cached_property
    def multipliers(self) -> NDArray[np.int8]:
        """`(n_rows, n_draws)` signs, the same in every evaluation, and for all rows of a block."""
        blocks, n_draws = self.data.blocks, _N_DRAWS if len(self.features) <= _MANY else _N_DRAWS // 2
        n_units = self.data.n_rows if blocks is None else int(blocks.max()) + 1
        signs = generator(self.seed, "multipliers").integers(0, 2, (n_units, n_draws), np.int8) * 2 - 1
        return signs.astype(np.int8) if blocks is None else signs.astype(np.int8)[blocks]

    def rate(self, replacement: Replacement, donors: Donors) -> tuple[float, int]:
        """Seconds for one more row of one more (feature, repeat) pair, and how many rows go at once.

        The first time it is tried out, which compiles what isn't compiled yet.
        """
        return self._rate(self._scorer, replacement, donors)

    def averaged_rate(self, replacement: Replacement, donors: Donors) -> tuple[float, int]:
        """The same for `averaged`."""
        return self._rate(self._averaged_scorer, replacement, donors)

    def _rate(self, scorer: Scorer, replacement: Replacement, donors: Donors) -> tuple[float, int]:
        sample = self._sample(replacement, donors, None)
        return self.agreed(scorer.seconds_per_score(sample)), scorer.rows_in_block(sample)

    def _sample(self, replacement: Replacement, donors: Donors, rows: Integers | None) -> Sample:
        rows = np.arange(self.data.n_rows) if rows is None else rows
        return self._on_device.sample(replacement, donors, rows)

    def _numbers(self, numbers: Integers | None) -> Integers:
        return np.arange(len(self.features)) if numbers is None else numbers

    def worsening(self, scores: Array, baseline: Array) -> Array:
        """How much worse the scores are than the baseline: positive where the replacement hurt."""
        assert self.metric.worse_is is not None  # noqa: S101 (a resolved metric knows)
        difference = np.asarray(scores - baseline)
        return difference if self.metric.worse_is > 0 else np.negative(difference, out=difference)

    @cached_property
    def metric(self) -> Metric:
        """The metric, tried out: it knows its direction and whether it is a mean over rows."""
        data = self.data
        return self._named_metric.resolved(data.targets, self.output_shapes, data.weights, self.seed)

    @cached_property
    def _named_metric(self) -> Metric:
        return metric_from_argument(self._metric_argument, self.model)

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer(self.compiler, self.data, self._on_device, self.features, self.metric)

    @cached_property
    def _averaged_scorer(self) -> Scorer:
        part = partial(AveragedScorer, n_outputs=self.n_outputs)
        return Scorer(self.compiler, self.data, self._on_device, self.features, self.metric, part)

    @cached_property
    def _linearised_scorer(self) -> LinearisedScorer:
        return LinearisedScorer(
            self.compiler,
            self.data,
            self._on_device,
            self.features,
            self.metric,
            self._few_outputs,
            in_parts=math.isfinite(self.effort.seconds),
        )

    @cached_property
    def _joint_scorer(self) -> JointScorer:
        return JointScorer(self.compiler, self.data, self._on_device, self.features, self.metric)

    @cached_property
    def _on_device(self) -> DeviceData:
        return DeviceData(self.compiler, self.data)

    # --- gradients ------------------------------------------------------------------------------

    def gradients(self, scalar: Scalar, data: ValidationData | None = None) -> InputGradients:
        """Gradients of each row's scalar, be it a sum of outputs or `row_loss`; None for all rows."""
        return self._differentiator.gradients(scalar, data or self.data)

    def gradient_moments(
        self, scalars: Scalars, data: ValidationData, passes: Sequence[InputGradients] = ()
    ) -> list[Moments | None]:
        """Sums over rows of the lengths of gradients, for each input; None without a gradient."""
        return self._differentiator.moments(scalars, data, passes)

    @property
    def has_row_loss(self) -> bool:
        """Whether the compiled loss is a mean over rows, so that each row has a gradient of its own."""
        return self._loss.row_scores is not None

    @property
    def row_loss(self) -> RowScores:
        """The compiled loss of each row.

        Raises:
            ValueError: for a loss that is no mean over rows.
        """
        if self._loss.row_scores is None:
            raise ValueError(
                "the compiled loss is no mean over rows, so no row has a gradient of its own."
            )
        return self._loss.row_scores

    def loss_slopes(self, data: ValidationData) -> Floats:
        """`(n_rows, n_outputs)` slopes of each row's compiled loss in the outputs, or their logits.

        Raises:
            ValueError: for a loss that is no mean over rows.
        """
        return self._differentiator.loss_slopes(self.row_loss, data)

    @cached_property
    def _loss(self) -> Metric:
        loss = metric_from_argument("loss", self.model)
        return loss.resolved(self.data.targets, self.output_shapes, None, self.seed)

    @cached_property
    def _differentiator(self) -> Differentiator:
        # Chunks for the way they are used at first: within one training that doesn't change.
        return Differentiator(self.compiler, self.data, in_parts=math.isfinite(self.effort.seconds))


def input_names(model: Any) -> list[str | None]:
    """The names that the user gave the model's inputs; None where Keras made one up."""
    names = [str(one.name) for one in getattr(model, "inputs", None) or []]
    return [None if _MADE_UP.match(name) else name for name in names]
