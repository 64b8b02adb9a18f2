"""Names cut to fit beside a picture, so that different names stay different."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile

from keras_importance.reporting.plots.fonts import drawable

# In letters.
_MAX_LENGTH = 34
_HEAD = 9
_BEFORE_THE_DIFFERENCE = 3


def labels(names: Sequence[str]) -> list[str]:
    """The names in letters that a font has, cut where long; different names have different labels."""
    drawn = [drawable(name) for name in names]
    cut = dict.fromkeys(drawn, "")
    for name in cut:
        cut[name] = shortened(name)
    for alike in _alike(cut):
        cut |= _told_apart(alike)
    return [cut[name] for name in drawn]


def shortened(name: str, length: int = _MAX_LENGTH) -> str:
    """The name in one line; beyond `length` letters its middle is replaced by "…"."""
    name = " ".join(name.split())
    if len(name) <= length:
        return name
    head = (length - 1) * 2 // 3
    return f"{name[:head]}…{name[head + 1 - length :]}"


def _alike(cut: dict[str, str]) -> list[list[str]]:
    """Groups of two or more names with the same label in `cut`."""
    by_cut: dict[str, list[str]] = {}
    for name, short in cut.items():
        by_cut.setdefault(short, []).append(name)
    return [names for names in by_cut.values() if len(names) > 1]


def _told_apart(names: Iterable[str]) -> dict[str, str]:
    """Labels that show where names differ: the letters from shortly before the first difference."""
    names = list(names)
    n_common = sum(
        1 for _ in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    )
    start = max(n_common - _BEFORE_THE_DIFFERENCE, 0)
    cut = {name: f"{name[:_HEAD]}…{shortened(name[start:], _MAX_LENGTH - _HEAD - 1)}" for name in names}
    # Each label shows the first letter in which not all names agree: fewer are alike each time.
    for alike in _alike(cut):
        cut |= _told_apart(alike)
    return cut
