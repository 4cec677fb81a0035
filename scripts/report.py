"""Measured tables in Markdown: how they are written, numbered and put into a README."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import TypeVar

import deconvnet
from deconvnet.atomic import write_whole

Row = TypeVar("Row")


def table(columns: Mapping[str, Callable[[Row], str]], rows: Iterable[Row]) -> str:
    """A table in Markdown, of columns {title: what the cell of a row shows} from left to right."""
    lines = [list(columns), ["---"] * len(columns)]
    lines += [[cell(row) for cell in columns.values()] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def paste(readme: Path, text: str, name: str) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->`` in a file.

    Raises:
        ValueError: the marks are not there, once each and in this order.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before = readme.read_text(encoding="utf-8")
    head, _, rest = before.partition(begin)
    _, closed, tail = rest.partition(end)
    if not closed or any(before.count(mark) != 1 for mark in (begin, end)):
        raise ValueError(
            f"{readme.name} does not have the marks {begin} and {end} once each, in this order; "
            "put them where the table should be"
        )
    write_whole(readme, f"{head}{begin}\n{text}\n{end}{tail}".encode())


def spread(values: Sequence[float]) -> str:
    """The median, and the smallest and largest of several: ``9.10 (8.80–9.30)``."""
    shown = number(median(values))
    if len(values) > 1:
        shown += f" ({number(min(values))}–{number(max(values))})"
    return shown


def number(value: float) -> str:
    """Three significant digits, never in scientific notation; two decimals below 1."""
    decimals = max(0, 3 - len(str(int(abs(value))))) if abs(value) >= 1 else 2
    return f"{value:.{decimals}f}"


def versions(*distributions: str) -> dict[str, str]:
    """Installed versions of deconvnet, these distributions and Python; empty if not installed."""
    numbers = {"deconvnet": deconvnet.__version__}  # a clone need not be installed
    for name in distributions:
        try:
            numbers.setdefault(name, version(name))
        except PackageNotFoundError:
            numbers.setdefault(name, "")
    return {**numbers, "Python": platform.python_version()}


def sentence(made_with: Mapping[str, str]) -> str:
    """Versions as the line below a table."""
    return ", ".join(f"{name} {number or '(not installed)'}" for name, number in made_with.items())
