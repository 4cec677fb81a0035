"""Arguments as a user writes them: paths, integers, one thing or several."""

from __future__ import annotations

import operator
import os
from os import PathLike
from typing import Any


def expanded(path: str | PathLike[str]) -> str:
    """The path as text, with ``~`` and ``~user`` at its start replaced by that home folder."""
    return os.path.expanduser(os.fspath(path))


def listed(given: Any, *kinds: type) -> list[Any]:
    """A list of what was given; of one thing of these kinds, a list with it alone.

    A text is a sequence of its letters in Python, so that ``layers="conv1"`` would be taken for
    five layers.
    """
    return [given] if isinstance(given, kinds) else list(given)


def integer(name: str, value: Any) -> int:
    """An argument as Python's own integer, NumPy's too.

    Raises:
        TypeError: it is none.
    """
    try:
        return operator.index(value)
    except TypeError as error:
        raise TypeError(f"{name}={value!r} was given, expected an integer") from error
