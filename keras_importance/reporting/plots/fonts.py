"""The fonts that have the letters of a text, and how wide it is drawn in them."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any

from matplotlib import rcParams
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.textpath import text_to_path

# On the pixels of a screen, letters are up to this factor wider than measured.
_HINTING = 1.06
# The settings of matplotlib that say which font is in use.
_SETTINGS = (
    "font.family", "font.style", "font.variant", "font.weight", "font.stretch", "font.serif",
    "font.sans-serif", "font.cursive", "font.fantasy", "font.monospace",
)  # fmt: skip
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


def drawable(text: str) -> str:
    r"""The text in one line, with the codes of letters that no font here has: `\u98a8`."""
    base, line = _base(), " ".join(text.split())
    return "".join(letter if _family(letter, base) is not None else _code(letter) for letter in line)


def families(text: str) -> list[str]:
    """Font families for the text: the family in use, then a fallback for each letter it lacks."""
    base = _base()
    others = dict.fromkeys(_family(letter, base) for letter in text)
    return [*rcParams["font.family"], *(family for family in others if family)]


def width(text: str, size: float, weight: str = "normal") -> float:
    """Width of the drawn text in inches; `size` is the font size in points."""
    return _width(text, size, weight, tuple(families(text)))


@lru_cache(4096)
def _width(text: str, size: float, weight: str, family: tuple[str, ...]) -> float:
    font = FontProperties(family=list(family), size=size, weight=weight)
    points, _, _ = text_to_path.get_text_width_height_descent(text, font, False)
    return float(points) * _HINTING / 72


def _base() -> str:
    """The file of the font in use."""
    settings: Any = rcParams
    return _file(*(str(settings[setting]) for setting in _SETTINGS))


@lru_cache(64)
def _file(*_settings: str) -> str:
    """The file of the font in use, looked up once for these settings: it is asked for at each name."""
    return str(findfont(FontProperties()))


@lru_cache(8192)
def _family(letter: str, base: str) -> str | None:
    """The first fallback family that has the letter; "" if the font in use has it, None if none has."""
    if _has(base, letter):
        return ""
    return next((family for family, path in _installed().items() if _has(path, letter)), None)


def _has(path: str, letter: str) -> bool:
    return bool(get_font(path).get_char_index(ord(letter)))


@lru_cache(1)
def _installed() -> dict[str, str]:
    """The font file of each installed fallback family, in the order of `_FALLBACKS`."""
    files = {
        font.name: font.fname
        for font in fontManager.ttflist
        if font.name in _FALLBACKS
        and font.style == "normal"
        and font.weight in (400, "normal", "regular")
    }
    return {family: files[family] for family in _FALLBACKS if family in files}


def _code(letter: str) -> str:
    r"""The code of a letter that no font has, such as `\u98a8`; empty for invisible marks."""
    # Marks that only join or direct other letters have no shape that could be missed.
    is_invisible = unicodedata.category(letter) == "Cf"
    return "" if is_invisible else letter.encode("unicode_escape").decode()
