"""What every result of a study can do: show itself in a notebook, and be saved as a figure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from deconvnet.arguments import concise, counted, rounded
from deconvnet.figures import RULE, png, save_pages, suffix_of
from deconvnet.figures import width as inches
from deconvnet.units import Unit

from .provenance import provenance_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

_ROWS = 3  # of the table, in a repr
_LONGEST = 118  # signs in a line of a repr: five lines stay below 600


class Shown(ABC):
    """The base of the results of studies, which are frozen dataclasses with ``repr=False``.

    A study writes ``figure`` and ``table``. Texts, numbers, units, sequences of these and keys of
    mappings among its fields say how it was made: they stand in the metadata of its files.
    """

    rule: ClassVar[str] = RULE
    """How the pictures were scaled, as a sentence for the metadata."""

    @abstractmethod
    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """Draw the result.

        Args:
            width: a name in ``deconvnet.figures.WIDTHS``, or inches.
            title: stands above the drawing.
            caption: say above the drawing how it was made.
            parent: a figure, or a part of one, to draw into.
        """

    def pages(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
    ) -> list[Figure]:
        """What ``save`` writes: the figure, or several where it is too long for a page."""
        return [self.figure(width=width, title=title, caption=caption)]

    @abstractmethod
    def table(self) -> list[dict[str, object]]:
        """The numbers of the result, as rows."""

    def save(
        self,
        path: str | PathLike[str],
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        dpi: float = 300,
        provenance: Mapping[str, object] | None = None,
    ) -> Path:
        """Write the figure to a file, with how it was made in the metadata.

        Several pages are those of one PDF, or of other formats numbered files, whose first is
        returned.

        Args:
            path: its suffix selects the format, such as ``.pdf`` or ``.png``; see
                ``deconvnet.figures.save``. Its folder is made.
            width: as for ``figure``.
            title: as for ``figure``; the title of the file too.
            caption: as for ``figure``.
            dpi: pixels per inch, of formats that have pixels.
            provenance: further entries of the metadata, such as the file of the weights.

        Raises:
            ValueError: another suffix, or no such width.
            OSError: the file cannot be written; an old file of that name is then intact.
        """
        suffix_of(Path(path))
        inches(width)
        told = {"title": title} if title else {}
        made = provenance_of({**self._made(), **(provenance or {}), **told})
        figures = self.pages(width=width, title=title, caption=caption)
        return save_pages(figures, path, provenance=made, dpi=dpi)[0]

    def _made(self) -> dict[str, object]:
        rows, made = self.table(), {"study": type(self).__name__, **dict(self._told())}
        for name in ("image", "unit"):
            if rows and name in rows[0]:
                made[f"{name}s"] = ", ".join(dict.fromkeys(str(row[name]) for row in rows))
        return {**made, "contrast": self.rule}

    def _told(self, number: Callable[[Any], str] = str) -> Iterator[tuple[str, str]]:
        """The fields that can be told in a line, with their text; ``number`` writes floats."""
        for field in fields(self):  # type: ignore[arg-type]
            text = _text(getattr(self, field.name), number)
            if text:
                yield field.name, text

    def _repr_png_(self) -> bytes:
        return png(self.figure())

    def __repr__(self) -> str:
        return "\n".join(map(_cut, self._lines()))

    def _lines(self) -> list[str]:
        """Of the repr, at most five: how it was made, and the first rows of the table."""
        rows, told = self.table(), ", ".join(map("=".join, self._told(concise)))
        lines = [f"{type(self).__name__}({told})"]
        for row in rows[:_ROWS]:
            lines.append("  " + ", ".join(f"{name} {rounded(one)}" for name, one in row.items()))
        if len(rows) > _ROWS:
            lines.append(f"  … and {counted(len(rows) - _ROWS, 'more row')} in table()")
        return lines


def _text(value: Any, number: Callable[[Any], str]) -> str:
    """One line of text; empty for arrays, pictures and whatever else takes more."""
    if isinstance(value, float | np.floating):
        return number(value)
    if isinstance(value, str | int | np.integer | Unit):
        return str(value)
    if isinstance(value, Mapping):
        value = list(value)
    if isinstance(value, list | tuple):
        parts = [_text(one, number) for one in value]
        return ", ".join(parts) if all(parts) else ""
    return ""


def _cut(line: str) -> str:
    """The line without control characters, and cut where it is too long."""
    line = "".join(sign if sign.isprintable() else " " for sign in line)
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
