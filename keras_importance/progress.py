"""A progress bar for evaluations that take longer than a few seconds."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from tqdm import TqdmWarning

with warnings.catch_warnings():
    # Notebooks without ipywidgets get the bar of a console, which needs no warning.
    warnings.simplefilter("ignore", TqdmWarning)
    from tqdm.auto import tqdm

_PATIENCE = 3.0
_SECONDS_BETWEEN_LINES = 30.0


def progress_bar(n: int, what: str, *, unit: str = "feature", shown: bool) -> Any:
    """A progress bar, used as a context manager with `update(n)`.

    It appears after three seconds. In a log file, where it can't rewrite its line, it writes one every
    half minute.

    Args:
        n: how many things are counted in all.
        what: the text beside the bar.
        unit: what is counted.
        shown: False for a bar that is never shown.
    """
    is_rewritten = sys.stderr.isatty() or "ipykernel" in sys.modules
    return tqdm(
        total=n,
        desc=what,
        unit=unit,
        disable=not shown,
        delay=_PATIENCE,
        leave=False,
        mininterval=0.2 if is_rewritten else _SECONDS_BETWEEN_LINES,
    )
