"""Channels of a layer in words: ``0-15``, ``3,7,9``, ``strongest:12``, ``random:12``."""

from __future__ import annotations

import re

MOST = 2**20
"""Channels that no layer has: larger numbers are refused before the layer is known."""
_FORMS = "write 0-15, 3,7,9, strongest:12 or random:12"


def ranked(text: str) -> tuple[str, int] | None:
    """("strongest", 12) of ``strongest:12``, and likewise of ``random:12``; else None.

    >>> ranked("strongest:3"), ranked("3,7")
    (('strongest', 3), None)
    """
    named = re.fullmatch(r"(strongest|random):([1-9]\d*)", text)
    return (named[1], int(named[2])) if named else None


def numbered(text: str, channels: int = MOST) -> list[int]:
    """The channels that are named by their numbers, of a layer with so many.

    >>> numbered("3,0-2,1")
    [3, 0, 1, 2]

    Raises:
        ValueError: the text has another form.
        IndexError: the layer has no such channel.
    """
    ranges = _ranges(text)
    last = max(stop for _, stop in ranges)
    if last >= channels:
        raise IndexError(f"there is no channel {last}; the layer's are 0 to {channels - 1}")
    return list(dict.fromkeys(n for start, stop in ranges for n in range(start, stop + 1)))


def read(text: str) -> tuple[str, int] | list[int]:
    """What the words say, before the layer is known: a rank and how many, or numbers.

    Raises:
        ValueError: they have none of the forms.
    """
    return ranked(text) or numbered(text)


def _ranges(text: str) -> list[tuple[int, int]]:
    """The first and the last channel of every part."""
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise ValueError(f"channels were {text!r}; {_FORMS}")
    ranges = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        start, stop = int(first), int(last or first)
        if stop < start:
            raise ValueError(f"channels were {part!r}; write the smaller first: {stop}-{start}")
        ranges.append((start, stop))
    return ranges
