"""A table that a program measures, and its place in the README."""

from __future__ import annotations

from pathlib import Path

from deconvnet.atomic import write_whole


def paste(readme: Path, text: str, marks: tuple[str, str]) -> None:
    """Put a text between its marks.

    Raises:
        ValueError: the marks are not there, once each and in this order.
    """
    before = readme.read_text(encoding="utf-8")
    head, begin, rest = before.partition(marks[0])
    _, end, tail = rest.partition(marks[1])
    if not (begin and end) or any(before.count(mark) != 1 for mark in marks):
        raise ValueError(
            f"{readme.name} was given without the marks {' … '.join(marks)}, once each; put them "
            "where the table should stand"
        )
    write_whole(readme, f"{head}{begin}\n{text}\n{end}{tail}".encode())
