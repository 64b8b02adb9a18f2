"""Names as pictures can show them: in a font that has their letters, and told apart from one another."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import takewhile

from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.textpath import text_to_path

_MAX_LENGTH = 34
_HEAD = 9
_BEFORE_THE_DIFFERENCE = 3
# Letters on the pixels of a screen are up to as much wider than those that are measured.
_HINTING = 1.06
# Looked up by name: opening each installed font takes seconds where there are hundreds.
_FALLBACKS = (
    "DejaVu Sans",
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR",
    "Source Han Sans SC", "Source Han Sans", "PingFang SC", "Hiragino Sans", "Hiragino Sans GB",
    "Heiti TC", "Apple SD Gothic Neo", "Microsoft YaHei", "Yu Gothic", "MS Gothic", "Meiryo",
    "Malgun Gothic", "SimHei", "SimSun", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
    "Droid Sans Fallback", "IPAexGothic", "IPAGothic", "TakaoGothic", "VL Gothic", "NanumGothic",
    "Noto Sans Devanagari", "Nirmala UI", "Noto Sans Thai", "Leelawadee UI", "Noto Sans Hebrew",
    "Noto Sans Arabic", "Noto Sans Symbols2", "Noto Emoji", "Segoe UI Emoji", "Segoe UI Symbol",
    "Symbola", "Arial Unicode MS", "Unifont",
)  # fmt: skip


def labels(names: Sequence[str]) -> list[str]:
    """The names as they can be drawn, the long ones cut so that different names stay different."""
    drawn = [drawable(name) for name in names]
    cut = dict.fromkeys(drawn, "")
    for name in cut:
        cut[name] = shortened(name)
    for alike in _alike(cut):
        cut |= _told_apart(alike)
    return [cut[name] for name in drawn]


def drawable(text: str) -> str:
    r"""The text in one line, with the codes of letters that no font here has: `\u98a8`."""
    base, line = _base(), " ".join(text.split())
    return "".join(one if _family(one, base) is not None else _code(one) for one in line)


def shortened(name: str, length: int = _MAX_LENGTH) -> str:
    """The name in one line, with its middle left out where it is too long to stand beside a picture."""
    name = " ".join(name.split())
    if len(name) <= length:
        return name
    head = (length - 1) * 2 // 3
    return f"{name[:head]}…{name[head + 1 - length :]}"


def families(text: str) -> list[str]:
    """The font families to draw the text with: the one in use, and those that have its other letters."""
    base = _base()
    others = dict.fromkeys(_family(letter, base) for letter in text)
    return [*FontProperties().get_family(), *(name for name in others if name)]


def width(text: str, size: float, weight: str = "normal") -> float:
    """How wide the text is drawn, in inches."""
    return _width(text, size, weight, tuple(families(text)))


@lru_cache(4096)
def _width(text: str, size: float, weight: str, family: tuple[str, ...]) -> float:
    font = FontProperties(family=list(family), size=size, weight=weight)
    points, _, _ = text_to_path.get_text_width_height_descent(text, font, False)
    return float(points) * _HINTING / 72


def _alike(cut: dict[str, str]) -> list[list[str]]:
    """The names that are cut to the same."""
    by_cut: dict[str, list[str]] = {}
    for name, short in cut.items():
        by_cut.setdefault(short, []).append(name)
    return [names for names in by_cut.values() if len(names) > 1]


def _told_apart(names: Iterable[str]) -> dict[str, str]:
    """Different names cut before the place where they begin to differ."""
    names = list(names)
    n_common = sum(
        1 for _ in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    )
    start = max(n_common - _BEFORE_THE_DIFFERENCE, 0)
    cut = {name: f"{name[:_HEAD]}…{shortened(name[start:], _MAX_LENGTH - _HEAD - 1)}" for name in names}
    # Each of them shows the first letter in which not all agree, so that fewer are alike each time.
    for alike in _alike(cut):
        cut |= _told_apart(alike)
    return cut


# --- fonts --------------------------------------------------------------------------------------


def _base() -> str:
    """The file of the font in use."""
    return str(findfont(FontProperties()))


@lru_cache(8192)
def _family(letter: str, base: str) -> str | None:
    """The family that has the letter: empty for the font in use, None for none."""
    if _has(base, letter):
        return ""
    return next((name for name, path in _installed().items() if _has(path, letter)), None)


def _has(path: str, letter: str) -> bool:
    return bool(get_font(path).get_char_index(ord(letter)))


@lru_cache(1)
def _installed() -> dict[str, str]:
    """The files of those fallbacks that are installed, by family."""
    found = {
        one.name: one.fname
        for one in fontManager.ttflist
        if one.name in _FALLBACKS and one.style == "normal" and one.weight in (400, "normal", "regular")
    }
    return {name: found[name] for name in _FALLBACKS if name in found}


def _code(letter: str) -> str:
    # Marks that only join or direct other letters have no shape that could be missed.
    is_invisible = unicodedata.category(letter) == "Cf"
    return "" if is_invisible else letter.encode("unicode_escape").decode()
