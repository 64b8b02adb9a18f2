"""Tries the model on rows: those that it can't take, that it has no output for, and that are padded."""

from __future__ import annotations

from typing import Any

import keras

from keras_importance.data.frames import listed
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.keras_internals import has_own_step
from keras_importance.engine.mixed_rows import MixedRows
from keras_importance.engine.model_outputs import ModelOutputs
from keras_importance.errors import InvalidArgumentError, NotEvaluableError, reason_of


def check_rows(model: Any, data: ValidationData, rows: MixedRows) -> None:
    """Runs the model on a few rows, and on rows with missing values.

    Raises:
        InvalidArgumentError: if the model, which declares its inputs, can't take the rows.
        NotEvaluableError: if another model can't, which its own `train_step` may call in another way;
            for missing values of which the model makes outputs that are not finite; and for ragged
            rows whose outputs change when they are padded.
    """
    try:
        outputs = rows.outputs
        _ = outputs.shapes
    except Exception as error:
        is_wrong = bool(getattr(model, "inputs", None)) and not has_own_step(model)
        raise (InvalidArgumentError if is_wrong else NotEvaluableError)(
            f"got validation data that the model can't take ({reason_of(error)}). Pass rows like those "
            "of the training."
        ) from error
    if data.missing and (n_rows := outputs.n_not_finite):
        columns = [data.columns[index].columns[column] for index, column in data.missing]
        raise NotEvaluableError(
            f"got NaN or infinite values in the validation data, in {listed(columns)} "
            f"({sum(data.missing.values())} values), of which the model makes outputs that are not "
            f"finite in {n_rows} rows. Impute or drop them."
        )
    if data.is_ragged and keras.backend.backend() == "tensorflow":
        reason = why_padding_matters(outputs)
        if reason is not None:
            raise NotEvaluableError(f"got ragged validation data, whose rows it {reason}")


def why_padding_matters(outputs: ModelOutputs) -> str | None:
    """What padding does to predictions, and what mends it; None where it changes none."""
    if not outputs.differ_with_padding:
        return None
    return (
        "pads to the longest row, and the model's predictions differ with the padding: it doesn't mask "
        "all of it. Put keras.layers.Masking(mask_value=0.0) behind the input, give the Embedding "
        "mask_zero=True, or pass rows of one length as validation_data=."
    )
