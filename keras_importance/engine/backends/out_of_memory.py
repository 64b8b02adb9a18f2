"""Recognises that memory has run out, by the exceptions and messages of each backend."""

from __future__ import annotations

import re

# Names of TensorFlow's and torch's exceptions: the classes exist only where the backend is imported.
_KINDS = {"ResourceExhaustedError", "OutOfMemoryError"}
_WORDS = re.compile(
    r"RESOURCE_EXHAUSTED|out of memory|OOM when allocating|can't allocate memory|bad_alloc",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory has run out, so that smaller blocks may help.

    TensorFlow raises `ResourceExhaustedError`, JAX an `XlaRuntimeError` that says RESOURCE_EXHAUSTED,
    torch an `OutOfMemoryError` or a `RuntimeError` of its allocator, NumPy and Python `MemoryError`.
    """
    if isinstance(error, MemoryError) or _KINDS & {kind.__name__ for kind in type(error).__mro__}:
        return True
    return isinstance(error, RuntimeError) and bool(_WORDS.search(str(error)))
