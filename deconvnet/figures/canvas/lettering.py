"""Measure and fold text with the font that will be drawn."""

import re
import unicodedata
from contextlib import suppress
from functools import cache, lru_cache

from matplotlib import ft2font
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.textpath import text_to_path

from deconvnet.arguments import numeral

from .style import POINTS

FAMILY = "DejaVu Sans"  # as in paper.mplstyle
_NO_LETTERS = ("Last Resort", "cm")  # a box for every letter; letters under other codes
_JOINED = bool(getattr(ft2font, "__libraqm_version__", ""))  # matplotlib 3.11 sets Arabic


def printable(text: str) -> str:
    r"""The text on one line; a character that no font here draws is written as its code, \u732b.

    So are letters that run from right to left, where this matplotlib would set them in the wrong
    order and unjoined.
    """
    return "".join(
        sign if _drawable(sign) else sign.encode("unicode_escape", "surrogatepass").decode()
        for sign in " ".join(text.split())
    )


def digits(value: float, *, sign: bool = False) -> str:
    """A number as ``arguments.numeral`` writes it, with the typographer's minus."""
    return numeral(value, sign=sign).replace("-", "−")


def families(text: str) -> list[str]:
    """The font, and those installed on this machine that have the letters which it lacks."""
    others = (_cover(sign) for sign in text if ord(sign) not in _glyphs())
    return [FAMILY, *dict.fromkeys(name for name in others if name)]


@lru_cache(maxsize=4096)
def measure(text: str, size: float, *, weight: str = "normal") -> float:
    """Width of a line in inches; ``size`` in points."""
    text = printable(text)
    font = FontProperties(family=families(text), size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0]) / POINTS


def fitting(text: str, width: float, *, size: float, weight: str = "normal") -> float:
    """The size in points, smaller than ``size`` where the line is wider than ``width`` inches."""
    return size * min(1.0, width / max(measure(text, size, weight=weight), 1e-9))


def fold(text: str, width: float, *, size: float, weight: str = "normal") -> list[str]:
    """The text broken into lines of at most ``width`` inches; nothing is left out.

    It is broken at spaces, but not after ``=``; within a word only where that is wider than a
    line, after a dot or a colon or before ``@`` if possible: ``features.28:`` / ``42@7,7``.
    """

    def fits(line: str) -> bool:
        return measure(line, size, weight=weight) <= width

    lines: list[str] = []
    for word in re.split(r"(?<!=) ", printable(text)):
        space = " "
        for part in [word] if fits(word) else re.split(r"(?<=[.:/_-])|(?=@)", word):
            for piece in [part] if fits(part) else part:  # letter by letter
                if lines and fits(f"{lines[-1]}{space}{piece}"):
                    lines[-1] += f"{space}{piece}"
                elif piece:
                    lines.append(piece)
                space = ""
    return lines


def _drawable(sign: str) -> bool:
    if unicodedata.bidirectional(sign) in ("R", "AL") and not _JOINED:
        return False
    return ord(sign) in _glyphs() or _cover(sign) is not None


@cache
def _cover(sign: str) -> str | None:
    """The first family of installed fonts that has a character.

    TrueType alone, which PDF files hold as it is; and no font that stands for missing ones.
    """
    files = {font.name: font.fname for font in fontManager.ttflist}
    for name, file in sorted(files.items()):
        if file.lower().endswith(".ttf") and not name.startswith(_NO_LETTERS):
            with suppress(OSError, RuntimeError, ValueError):  # broken, or gone
                if all(_holds(name, weight, sign) for weight in ("normal", "bold")):
                    return name
    return None


def _holds(name: str, weight: str, sign: str) -> bool:
    """Whether the file that matplotlib takes for a family and a weight has a character."""
    font = get_font(findfont(FontProperties(family=name, weight=weight)))
    return bool(font.scalable and font.get_char_index(ord(sign)))


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family=FAMILY))).get_charmap())
