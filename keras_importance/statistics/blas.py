"""NumPy's products on one thread."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np  # noqa: F401  (its library must be loaded to be found)
from threadpoolctl import ThreadpoolController


def on_one_thread() -> AbstractContextManager[Any]:
    """A context in which NumPy's products use one thread.

    The threads of OpenBLAS wait for one another in loops. Beside a busy process, a product of half a
    millisecond then takes a hundred times as long. One thread also gives the same sums on any machine.
    """
    limited: AbstractContextManager[Any] = _openblas().limit(limits=1)
    return limited


@cache
def _openblas() -> Any:
    return ThreadpoolController().select(internal_api="openblas")
