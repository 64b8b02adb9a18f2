"""The arguments of the running `fit`, read from the stack of callers."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass(frozen=True)
class FitArguments:
    """The arguments of a running `fit` that concern its data.

    Attributes:
        validation_data: what `fit` validates on; with `validation_split`, the part split off.
        validation_steps: how many batches of the validation data `fit` reads; None for all.
        callbacks: the callbacks of the training.
        x, y, sample_weight, class_weight, batch_size, validation_batch_size, shuffle,
            steps_per_epoch: as `fit` has them, without the rows that were split off.
    """

    validation_data: Any
    validation_steps: int | None
    callbacks: tuple[Any, ...] = ()
    x: Any = None
    y: Any = None
    sample_weight: Any = None
    class_weight: Any = None
    batch_size: int | None = None
    validation_batch_size: int | None = None
    shuffle: Any = True
    steps_per_epoch: int | None = None

    @property
    def rows_in_batch(self) -> int:
        """How many rows of arrays are validated at once."""
        return self.validation_batch_size or self.batch_size or _USUAL_BATCH


_USUAL_BATCH = 32
_OF_TRAINING = (
    "x", "y", "sample_weight", "class_weight", "batch_size", "validation_batch_size", "shuffle",
    "steps_per_epoch",
)  # fmt: skip


def _listed(callbacks: Any) -> Any:
    """The callbacks as a sequence. Keras has put them into its own `CallbackList` by then."""
    callbacks = getattr(callbacks, "callbacks", callbacks)
    if callbacks is None:
        return ()
    return callbacks if isinstance(callbacks, (list, tuple)) else (callbacks,)


def fit_arguments(model: Any) -> FitArguments | None:
    """The arguments of the running `fit` of `model`, from the stack of callers; None if none runs.

    Keras shows a callback neither `validation_data` nor whether there is any. Its evaluation iterator
    (`model._eval_epoch_iterator`) is no substitute. It exists only after the first validation, too late
    to refuse wrong data before training. It holds no column names, and is used up when it wraps a
    generator. The public arguments of `fit`, in the frame of the caller, are the same on every backend.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        # A subclass may wrap fit; the innermost frame that knows the argument is Keras' own.
        if frame.f_code.co_name == "fit":
            names = frame.f_locals
            if names.get("self") is model and "validation_data" in names:
                return FitArguments(
                    names["validation_data"],
                    names.get("validation_steps"),
                    tuple(_listed(names.get("callbacks"))),
                    **{name: names.get(name) for name in _OF_TRAINING},
                )
        frame = frame.f_back
    return None
