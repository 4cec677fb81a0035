"""Channels of a layer in words: ``0-15``, ``3,7,9``, ``strongest:12``, ``random:12``."""

from __future__ import annotations

import re

_FORMS = "write 0-15, 3,7,9, strongest:12 or random:12"


def ranked(text: str) -> tuple[str, int] | None:
    """("strongest", 12) of ``strongest:12``, and likewise of ``random:12``; else None.

    >>> ranked("strongest:3"), ranked("3,7")
    (('strongest', 3), None)
    """
    named = re.fullmatch(r"(strongest|random):([1-9]\d*)", text)
    return (named[1], int(named[2])) if named else None


def numbered(text: str) -> list[int]:
    """The channels that are named by their numbers.

    >>> numbered("3,0-2,1")
    [3, 0, 1, 2]

    Raises:
        ValueError: the text has another form.
    """
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise ValueError(f"channels were {text!r}; {_FORMS}")
    chosen: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        start, stop = int(first), int(last or first)
        if stop < start:
            raise ValueError(f"channels were {part!r}; write the smaller first: {stop}-{start}")
        chosen.extend(range(start, stop + 1))
    return list(dict.fromkeys(chosen))


def check(text: str) -> None:
    """Check the form of the words, before the layer is known.

    Raises:
        ValueError: they have none of the forms.
    """
    if ranked(text) is None:
        numbered(text)
