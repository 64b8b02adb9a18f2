"""Scores of a trained model on held-out rows, in one or several metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_importance.data.arrays import mapped
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends.compiler import Compiler
from keras_importance.engine.cut.block_sizes import declared_batch, rows_at_once
from keras_importance.engine.metrics.from_argument import metric_from_argument
from keras_importance.engine.metrics.metric import Metric
from keras_importance.engine.metrics.trial import Trials
from keras_importance.engine.model_outputs import ModelOutputs
from keras_importance.statistics.arrays import Floats


def resolved_metrics(
    arguments: Sequence[Any], model: Any, data: ValidationData, seed: int
) -> tuple[Metric, ...]:
    """The metrics that the user's arguments name, resolved on the targets of some rows.

    Args:
        arguments: `metric` arguments; see `metric_from_argument`.
        model: the compiled model.
        data: the rows.
        seed: seed of the shuffled predictions; see `Metric.resolved`.

    Raises:
        InvalidArgumentError: if a metric is unknown, fails, or doesn't depend on the predictions.
    """
    trials = Trials(data, ModelOutputs(Compiler(model), data).of_rows)
    candidates = (metric_from_argument(argument, model) for argument in arguments)
    return tuple(candidate.resolved(trials, seed) for candidate in candidates)


def few_rows(model: Any, data: ValidationData) -> Any:
    """Inputs of two rows in the model's nest; if its inputs are fixed to a batch, of as many rows."""
    few = data.only(np.arange(declared_batch(model) or 2) % data.n_rows)
    return few.pack(few.inputs)


def held_out_scores(model: Any, data: ValidationData, metrics: Sequence[Metric]) -> list[Floats]:
    """For each resolved metric `(n_rows,)` scores, or one number `()` if it needs all rows at once."""
    compiler = Compiler(model)
    n_at_once = rows_at_once(model, data)
    packing, each = data.packing, [metric.row_scores for metric in metrics]

    def scored(call: Any, inputs: Any, truth: Any) -> list[Any]:
        outputs = call(packing(inputs))
        return [outputs if row_scores is None else row_scores(truth, outputs) for row_scores in each]

    program = compiler(scored, fuse=False)
    pieces = []
    for first in range(0, data.n_rows, n_at_once):
        # The last part is padded with the last row: one static shape.
        part = data.only(np.minimum(np.arange(first, first + n_at_once), data.n_rows - 1))
        of_part = program(*mapped(compiler.on_device, [list(part.inputs), part.truth]))
        pieces.append(mapped(ops.convert_to_numpy, of_part))
    joined = keras.tree.map_structure(lambda *leaves: np.concatenate(leaves)[: data.n_rows], *pieces)
    return finished_scores(joined, data, metrics)


def finished_scores(
    computed: Sequence[Any], data: ValidationData, metrics: Sequence[Metric]
) -> list[Floats]:
    """For each metric `(n_rows,)` scores, or one number `()` for all rows.

    Args:
        computed: for each metric its `(n_rows,)` row scores; the outputs if it has no row scores.
        data: the rows.
        metrics: the resolved metrics.
    """
    return [
        np.asarray(
            scores_or_outputs
            if metric.row_scores is not None
            else metric.score(data.truth, scores_or_outputs, data.row_weights),
            np.float64,
        )
        for metric, scores_or_outputs in zip(metrics, computed, strict=True)
    ]
