"""ResolvedMetrics: the metric and the loss of a model, tried on its predictions for the rows."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import keras
import numpy as np

from keras_importance.data.arrays import mapped
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.metrics.constant_prediction import constant_scores
from keras_importance.engine.metrics.from_argument import metric_from_argument
from keras_importance.engine.metrics.losses import has_own_loss, why_no_loss
from keras_importance.engine.metrics.metric import Candidate, Metric
from keras_importance.engine.metrics.row_form import RowForm
from keras_importance.engine.metrics.trial import Trials
from keras_importance.engine.mixed_rows import MixedRows
from keras_importance.errors import InvalidArgumentError, NotEvaluableError
from keras_importance.statistics.arrays import Floats


class ResolvedMetrics:
    """The user's metric and the compiled loss, and how much each row counts in the metric.

    Attributes:
        argument: the user's `metric` argument.

    Args:
        model: the model.
        data: the rows.
        rows: whether the model mixes them.
        seed: seed of the trials.
    """

    def __init__(
        self, argument: Any, model: Any, data: ValidationData, rows: MixedRows, seed: int
    ) -> None:
        self.argument = argument
        self._model = model
        self._data = data
        self._rows = rows
        self._seed = seed

    @cached_property
    def data(self) -> ValidationData:
        """The rows, with the masks of the model's outputs."""
        return replace(self._data, output_masks=self._rows.outputs.masks)

    @cached_property
    def candidate(self) -> Candidate:
        """The metric that the user means, not yet tried."""
        return metric_from_argument(self.argument, self._model)

    @cached_property
    def metric(self) -> Metric:
        """The metric: it knows its direction, and whether it is a mean over rows."""
        return self._resolved(self.candidate)

    def check(self) -> None:
        """Tries the metric; if the model isn't built, only the argument is checked.

        Raises:
            InvalidArgumentError: if the metric is unknown, or a callable that fails.
            NotEvaluableError: if the compiled loss or a metric of Keras can't be evaluated.
        """
        _ = self.candidate
        try:
            _ = self.metric if self._model.built else None
        except InvalidArgumentError as error:
            if isinstance(self.argument, (str, keras.metrics.Metric)):
                raise NotEvaluableError(str(error)) from error
            raise

    @cached_property
    def loss(self) -> Metric:
        """The compiled loss."""
        if isinstance(self.argument, str) and self.argument == "loss":
            return self.metric
        return self._resolved(metric_from_argument("loss", self._model))

    @property
    def needs_no_targets(self) -> bool:
        """Whether the metric is a loss that the model computes without targets."""
        is_loss = isinstance(self.argument, str) and self.argument == "loss"
        if not is_loss or not self._model.built:
            return False
        is_compiled = getattr(self._model, "loss", None) is not None
        return has_own_loss(self._model) or (not is_compiled and self._rows.outputs.add_losses)

    @cached_property
    def row_weights(self) -> Floats | None:
        """`(n_rows,)` how much each row counts: its sample weight, and its steps that count.

        None where all rows count the same.
        """
        form, data = self.metric.of_rows, self.data
        if not self.metric.is_weighted:
            return self._steps_counted(form) if form is not None and form.has_weights else None
        if form is None:
            return data.weights
        if not form.has_weights:
            return data.row_weights
        counts = self._steps_counted(form)
        return counts if data.row_weights is None else counts * data.row_weights

    def _steps_counted(self, form: RowForm) -> Floats:
        """`(n_rows,)` how much each row counts for its steps."""
        trial = self._trials.every
        tensors = mapped(keras.ops.convert_to_tensor, (trial.truth, trial.predicted))
        return np.asarray(keras.ops.convert_to_numpy(form.weights(*tensors)), np.float64)

    def why_not_finite(self) -> str:
        """Why the score of the untouched rows is not finite, as far as that can be told."""
        outputs = keras.tree.flatten(self._rows.outputs.few)
        if not all(np.isfinite(leaf).all() for leaf in outputs if leaf.dtype.kind == "f"):
            return "the model's outputs are not finite"
        name = self.metric.name
        targets = [leaf for leaf in keras.tree.flatten(self._data.targets) if leaf is not None]
        are_missing = [
            ~np.isfinite(leaf).reshape(len(leaf), -1).all(axis=1)
            for leaf in targets
            if leaf.dtype.kind == "f"
        ]
        n_missing = int(np.any(are_missing, axis=0).sum()) if are_missing else 0
        if n_missing:
            return (
                f"{n_missing} rows have targets that are NaN or infinite, and the metric {name!r} "
                "doesn't skip them: leave these rows out, or use a loss that skips them"
            )
        return f"the metric {name!r} is not finite for the model's own predictions"

    @cached_property
    def constant_scores(self) -> Floats | None:
        """`(n_rows,)` scores of the best constant prediction; None if no constant can be scored."""
        names = [str(name) for name in getattr(self._model, "output_names", None) or []]
        few = self._rows.outputs.few
        try:
            return constant_scores(self.metric, self.data.truth, few, names, self.row_weights)
        except Exception:  # noqa: BLE001 (a metric need not take a constant: another reference stands in)
            return None

    def _resolved(self, candidate: Candidate) -> Metric:
        """The metric, tried on predictions; a loss that rows don't have alone is left to batches."""
        if not candidate.is_loss or candidate.output is not None:
            return candidate.resolved(self._trials, self._seed)
        by_batch = Metric(candidate.name, worse_is=1, by_batch=True)
        if self._rows.outputs.add_losses:
            return by_batch
        if getattr(self._model, "loss", None) is None and not has_own_loss(self._model):
            raise NotEvaluableError(why_no_loss(self._model))
        try:
            metric = candidate.resolved(self._trials, self._seed)
        except InvalidArgumentError:
            raise
        except Exception:  # noqa: BLE001 (a loss may need the inputs too, or work in a training step alone)
            return by_batch
        return by_batch if self._rows.are_mixed and metric.of_rows is None else metric

    @cached_property
    def _trials(self) -> Trials:
        return Trials(self.data, self._rows.outputs.of_rows, self._rows.batch_size)
