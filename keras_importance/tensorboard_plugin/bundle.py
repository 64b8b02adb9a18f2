"""The format in which the browser reads numbers: a JSON header and arrays in one body."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def bundle(header: Mapping[str, Any]) -> bytes:
    """A header that holds arrays as bytes: length of the header, header, arrays, each at a 4-byte place.

    In the header, the index of an array stands for it; `arrays` says of each its kind, such as `"f4"`,
    its offset in bytes behind the header, and its length. All is little-endian.

    The browser views the arrays in place: at 1,000 features x 200 epochs, text would take a second.
    """
    arrays: list[NDArray[Any]] = []
    indexed = _indexed(header, arrays)
    layout, contents, offset = [], [], 0
    for array in arrays:
        content = array.astype(array.dtype.newbyteorder("<")).tobytes()
        layout.append({"kind": array.dtype.str[1:], "offset": offset, "length": array.size})
        contents.append(content + bytes(-len(content) % 4))
        offset += len(contents[-1])
    head = json.dumps({**indexed, "arrays": layout}, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 4)
    return b"".join((struct.pack("<I", len(head)), head, *contents))


def json_number(value: float) -> float | None:
    """Six digits, as many as single precision knows; None for what JSON has no number for."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _indexed(value: Any, arrays: list[NDArray[Any]]) -> Any:
    """The value with the index of each array in its place; the arrays are appended to `arrays`."""
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return len(arrays) - 1
    if isinstance(value, Mapping):
        return {key: _indexed(item, arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_indexed(item, arrays) for item in value]
    return value
