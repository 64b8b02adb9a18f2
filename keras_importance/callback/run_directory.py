"""The directory that a run of `fit` logs to, and the writers for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

from keras_importance.engine.backends.backend import is_chief
from keras_importance.errors import InvalidArgumentError
from keras_importance.reporting.writers.base import Writer
from keras_importance.reporting.writers.history import HistoryWriter
from keras_importance.reporting.writers.tensorboard import TensorBoardWriter


def run_directory(log_dir: str | None) -> str | None:
    """The directory of this run: `log_dir`, or in a hyperparameter search a folder in it per trial."""
    return log_dir and os.path.join(log_dir, tuner_trial() or "")


def writers_of_run(model: Any, log_dir: str | None, further: Sequence[Writer]) -> tuple[Writer, ...]:
    """The writers of this process: those for `log_dir`, then `further`; none unless it is the chief.

    Raises:
        InvalidArgumentError: for a directory that can't be written to.
    """
    if not is_chief(model):
        return ()
    directory = run_directory(log_dir)
    if directory is None:
        return tuple(further)
    try:
        tensorboard = TensorBoardWriter(directory)
    except OSError as error:
        raise InvalidArgumentError(
            f"got log_dir={log_dir!r}, which can't be written to ({error}). Pass a directory "
            "that can, or None."
        ) from error
    if "://" in directory:
        return tensorboard, *further
    # The history comes last: if a kill interrupts the writing, the epoch is evaluated and written again.
    return tensorboard, HistoryWriter(directory), *further


def tuner_trial() -> str | None:
    """The folder of the KerasTuner trial that runs, `"<trial>/execution<n>"`; None outside of a search.

    KerasTuner gives each trial copies of all callbacks. It sets a folder only for callbacks of the class
    `TensorBoard`. Other callbacks can find the trial only in the call stack.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "run_trial":
            names = frame.f_locals
            trial = getattr(names.get("trial"), "trial_id", None)
            if trial is not None:
                return f"{trial}/execution{names.get('execution', 0)}"
        frame = frame.f_back
    return None
