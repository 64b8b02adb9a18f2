"""Elements of datasets that are single rows: how to recognise them, and batches of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import keras
import numpy as np

from keras_importance.data.arrays import mapped

ROWS_AT_ONCE = 1024


def is_row(element: Any) -> bool:
    """Whether an element is certainly a single row, not a batch.

    True if it holds a scalar, or arrays of unequal lengths.
    """
    shapes = [_shape(leaf) for leaf in keras.tree.flatten(element)]
    lengths = {shape[0] for shape in shapes if shape and shape[0] is not None}
    return () in shapes or len(lengths) > 1


def _shape(leaf: Any) -> tuple[int | None, ...] | None:
    """The shape of a value or of a tensor's specification; None if it is unknown."""
    if isinstance(leaf, (bool, int, float, str, bytes)):
        return ()
    shape = getattr(leaf, "shape", None)
    return None if shape is None or getattr(shape, "rank", 0) is None else tuple(shape)


def stacked(rows: Iterable[Any]) -> Iterator[Any]:
    """Batches of at most 1024 rows each; batches of one row where they differ in length."""
    rows = iter(rows)
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        try:
            yield mapped(lambda *leaves: np.stack(leaves), *chunk)
        except ValueError:
            yield from (mapped(lambda leaf: np.asarray(leaf)[None], row) for row in chunk)
