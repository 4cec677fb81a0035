"""Integers that a caller gives, of whatever type."""

from __future__ import annotations

import operator
from typing import Any


def integer(name: str, value: Any) -> int:
    """An argument as Python's own integer, NumPy's too.

    Raises:
        TypeError: it is none.
    """
    try:
        return operator.index(value)
    except TypeError as error:
        raise TypeError(f"{name}={value!r} was given, expected an integer") from error
