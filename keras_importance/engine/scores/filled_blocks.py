"""Blocks of scores brought together in whole arrays."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


class FilledBlocks:
    """A nest of arrays `(n_slots, n_rows, ...)` that blocks are written into, without their padding."""

    def __init__(self, n_slots: int, n_rows: int) -> None:
        self._shape = n_slots, n_rows
        self.nest: Any = None

    def fill(self, block: Any, slot: int, row: int) -> None:
        """Writes a block whose first slot and row are given."""
        if self.nest is None:
            self.nest = keras.tree.map_structure(
                lambda leaf: np.empty((*self._shape, *leaf.shape[2:]), leaf.dtype), block
            )
        leaves = zip(keras.tree.flatten(self.nest), keras.tree.flatten(block), strict=True)
        for whole, leaf in leaves:
            part = whole[slot : slot + len(leaf), row : row + leaf.shape[1]]
            part[...] = leaf[: part.shape[0], : part.shape[1]]
