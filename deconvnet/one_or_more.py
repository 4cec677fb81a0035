"""Arguments that take several things of a kind, where one was given."""

from __future__ import annotations

from typing import Any


def listed(given: Any, *kinds: type) -> list[Any]:
    """A list of what was given; of one thing of these kinds, a list with it alone.

    A text is a sequence of its letters in Python, so that ``layers="conv1"`` would be taken for
    five layers.
    """
    return [given] if isinstance(given, kinds) else list(given)
