"""The rows that a running `fit` trains on, for methods that train further networks beside it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from keras_importance.data.loaders import batches
from keras_importance.data.running_fit import FitArguments
from keras_importance.data.unequal_lengths import PaddingValues
from keras_importance.data.validation_data import ValidationData
from keras_importance.errors import Naming, NotEvaluableError, about
from keras_importance.statistics.arrays import Floats

_BATCH_SIZE = 32
X_AND_Y = Naming("data", "x=", "an array with y= beside it")
_FOR_TWINS = replace(X_AND_Y, rows="training data for twins", or_steps=", or give fit steps_per_epoch=")


@dataclass(eq=False)
class TrainingData:
    """The rows that a `fit` trains on, and the learning rates of the epochs so far.

    Attributes:
        data: the rows.
        batch_size: how many rows a training step takes.
        is_shuffled: whether each epoch takes the rows in another order.
        learning_rates: the optimizer's learning rate at the end of each epoch that is over; NaN where a
            schedule sets it.
    """

    data: ValidationData
    batch_size: int
    is_shuffled: bool
    learning_rates: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, fit: FitArguments, padding: PaddingValues = 0.0) -> TrainingData:
        """Reads the training rows of a `fit` once, into memory.

        Args:
            fit: the arguments of the `fit`.
            padding: the value of the steps that a row gets if it is shorter than others.

        Raises:
            InvalidArgumentError: for generators, infinite datasets, weights that aren't one per row, and
                arrays with `steps_per_epoch`.
        """
        is_dataset = fit.y is None and not isinstance(fit.x, (np.ndarray, dict, list, tuple))
        source = fit.x if is_dataset else (fit.x, fit.y, fit.sample_weight)
        if fit.steps_per_epoch is not None and not is_dataset:
            raise NotEvaluableError(
                f"got a fit with steps_per_epoch={fit.steps_per_epoch}, whose epochs are parts of the "
                "rows. Leave it out to train twins in lock step."
            )
        with about(_FOR_TWINS):
            data = ValidationData.read(source, steps=fit.steps_per_epoch, padding=padding)
        batch_size = fit.batch_size or _BATCH_SIZE
        if is_dataset:
            with closing(batches(fit.x, 1)) as stream:
                x, _, _ = next(stream)
                batch_size = len(keras.tree.flatten(x)[0])
        if fit.class_weight is not None:
            data = replace(data, weights=_with_class_weights(data, fit.class_weight))
        return cls(data, int(batch_size), fit.shuffle is not False and not is_dataset)

    def note_epoch(self, optimizer: Any) -> None:
        """Appends the optimizer's learning rate at the end of an epoch."""
        rate = getattr(optimizer, "learning_rate", None)
        value = keras.ops.convert_to_numpy(rate.value) if isinstance(rate, keras.Variable) else np.nan
        self.learning_rates.append(float(value))


def _with_class_weights(data: ValidationData, class_weight: Mapping[int, float]) -> Floats:
    """`(n_rows,)` sample weights times the weight of each row's class, as in `fit`."""
    (targets,) = keras.tree.flatten(data.targets)
    is_one_hot = targets.ndim > 1 and targets.shape[-1] > 1
    labels = targets.argmax(axis=-1) if is_one_hot else targets.reshape(len(targets), -1)[:, 0]
    of_class = np.array([class_weight.get(int(label), 1.0) for label in labels], np.float64)
    return of_class if data.weights is None else of_class * data.weights
