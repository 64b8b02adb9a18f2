"""Where the logs of a training go."""

from __future__ import annotations

import sys
from types import FrameType


def tuner_trial() -> str | None:
    """The folder of the trial that KerasTuner runs, `"<trial>/execution<n>"`; None outside of a search.

    KerasTuner hands each trial copies of all callbacks, and gives a folder of its own to those that are
    called `TensorBoard` alone. Which trial it is, a callback finds in the frame of the caller.
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
