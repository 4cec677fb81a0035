"""Text that fits: measured with the font that will be drawn."""

import re
from bisect import bisect_left
from functools import cache, lru_cache

from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import text_to_path

from .style import POINTS

FAMILY = "DejaVu Sans"  # as in paper.mplstyle


def printable(text: str) -> str:
    """The text on one line, a replacement sign for every character the font lacks."""
    glyphs = _glyphs()
    return "".join(sign if ord(sign) in glyphs else "\ufffd" for sign in " ".join(text.split()))


@lru_cache(maxsize=4096)
def measure(text: str, size: float, *, weight: str = "normal") -> float:
    """Width of a line in inches; ``size`` in points."""
    font = FontProperties(family=FAMILY, size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0]) / POINTS


def shorten(text: str, width: float, *, size: float, weight: str = "normal") -> str:
    """The text, cut at its beginning if it is wider than ``width`` inches.

    The end is what tells labels apart (``…denselayer16.conv2:31``).
    """
    text = printable(text)
    if measure(text, size, weight=weight) <= width:
        return text

    def fits(cut: int) -> bool:
        return measure("…" + text[cut:], size, weight=weight) <= width

    # The first cut that fits: the more is cut, the narrower the rest.
    cut = bisect_left(range(len(text)), True, lo=1, key=fits)
    return "…" + text[cut:].lstrip()


def fold(text: str, width: float, *, size: float) -> list[str]:
    """The text broken into lines of at most ``width`` inches.

    It is broken at spaces, but not after ``@`` or ``=``; within a word only where that is wider
    than a line, after a dot or a colon: ``features.28:`` / ``42 @ 7,7``.
    """
    lines: list[str] = []
    for word in re.split(r"(?<![@=]) ", printable(text)):
        space = " "
        for piece in [word] if measure(word, size) <= width else re.split(r"(?<=[.:])", word):
            longer = f"{lines[-1]}{space}{piece}" if lines else piece
            if lines and measure(longer, size) <= width:
                lines[-1] = longer
            elif piece:
                lines.append(shorten(piece, width, size=size))
            space = ""
    return lines


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family=FAMILY))).get_charmap())
