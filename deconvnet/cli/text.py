"""Text for the terminal and JSON: escaped, aligned, and without values that JSON lacks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deconvnet.arguments import counted, rounded


def printable(text: str, *, kept: str = "") -> str:
    """The text with control characters escaped, except those in ``kept``."""
    return "".join(
        c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text
    )


def plain_json(value: Any) -> Any:
    """The value with None for numbers that are not finite, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: plain_json(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def columns(rows: Sequence[Sequence[str]], *, right: bool = False) -> Iterator[str]:
    """Rows as lines of aligned columns; all but the first flush ``right``, or left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = (f"{c:{'>' if right else '<'}{w}}" for c, w in zip(rest, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *cells])


def table(rows: Sequence[Mapping[str, object]], *, most: int = 10) -> Iterator[str]:
    """The first rows of a result as aligned columns below their names; then how many are left."""
    if not rows:
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[rounded(row.get(name, "")) for name in names] for row in rows[:most]]
    yield from (line.rstrip() for line in columns([names, *cells]))
    if len(rows) > most:
        yield f"… and {counted(len(rows) - most, 'more row')}; --json prints all"


def first(lines: Sequence[str], most: int, *, others: str) -> Iterator[str]:
    """The first lines; if there are more, also how many and where to find them."""
    yield from (f"  {line}" for line in lines[:most])
    if len(lines) > most:
        yield f"  … and {len(lines) - most} more; {others}"
