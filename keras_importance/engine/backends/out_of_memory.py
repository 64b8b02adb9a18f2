"""What says that memory has run out, in the words of each backend."""

from __future__ import annotations

import re

# TensorFlow's and CUDA's exceptions, which can't be named where that backend isn't imported.
_KINDS = {"ResourceExhaustedError", "OutOfMemoryError"}
_WORDS = re.compile(
    r"RESOURCE_EXHAUSTED|out of memory|OOM when allocating|can't allocate memory|bad_alloc",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that there was no memory: less at once may do.

    TensorFlow raises `ResourceExhaustedError`, JAX an `XlaRuntimeError` that says RESOURCE_EXHAUSTED,
    torch an `OutOfMemoryError` or a `RuntimeError` of its allocator, NumPy and Python `MemoryError`.
    """
    if isinstance(error, MemoryError) or _KINDS & {kind.__name__ for kind in type(error).__mro__}:
        return True
    return isinstance(error, RuntimeError) and bool(_WORDS.search(str(error)))
