"""Texts from files and names, so that no terminal and no reader of JSON is misled by them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def printable(text: str, *, kept: str = "") -> str:
    """A text with whatever would move a terminal's cursor written out, but for what is kept."""
    return "".join(
        c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text
    )


def plain_json(value: Any) -> Any:
    """The same with null for numbers that are not finite, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: plain_json(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
