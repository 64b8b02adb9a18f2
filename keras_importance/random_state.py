"""Keeps the global random states as they were: a training may draw from them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def untouched_random_state() -> Iterator[None]:
    """Puts Python's and NumPy's global random states back afterwards.

    Nothing of this package draws from them, but a user's metric or dataset may.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
