"""What a user writes and reads: arguments, short texts of objects, and tables of them."""

from __future__ import annotations

import dataclasses
import html
import operator
import os
from collections.abc import Iterable, Mapping, Sequence, Sized
from numbers import Integral, Real
from os import PathLike
from typing import Any

LONGEST_REPR = 600  # characters
_LONGEST_VALUE = 80
_SCROLLS = "max-height:32em; overflow:auto"
_CELL = "text-align:left; white-space:nowrap"


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


def check_each(what: str, given: Sized, of: int) -> None:
    """Refuse a list that has not one entry for each.

    Raises:
        ValueError: "names of images: 1 given, expected 2, one for each".
    """
    if len(given) != of:
        raise ValueError(f"{what}: {len(given)} given, expected {of}, one for each")


class Brief:
    """A mixin whose repr tells the shapes of arrays and the numbers of things, on one line.

    It holds for subclasses too, whether they are data classes or not.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__repr__" not in vars(cls):  # else ``dataclass`` would write one of all values
            cls.__repr__ = cls.__repr__  # type: ignore[method-assign]  # the inherited one

    def __repr__(self) -> str:
        names = vars(self)
        if dataclasses.is_dataclass(self):
            names = {f.name: 0 for f in dataclasses.fields(self) if f.repr}
        public = {name: getattr(self, name) for name in names if name[:1] != "_"}
        return brief(type(self).__name__, **public)


def brief(kind: str, *told: str, **values: Any) -> str:
    """One line of at most ``LONGEST_REPR`` characters: ``kind(told, name=value)``."""
    parts = [*told, *(f"{name}={_short(value)}" for name, value in values.items())]
    return cut(f"{kind}({', '.join(parts)})", LONGEST_REPR)


def cut(text: str, longest: int) -> str:
    """The text on one line, its middle left out if it is longer."""
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]}…{text[longest // 2 + 1 - longest :]}"


def _short(value: Any) -> str:
    if _is_measured(value):
        return concise(value)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{str(value.dtype).rpartition('.')[2]} {tuple(value.shape)}"
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        whole = _whole(value)
        return whole if len(whole) <= _LONGEST_VALUE else f"{type(value).__name__} of {len(value)}"
    if isinstance(value, (str, bytes)):
        return repr(value if len(value) <= _LONGEST_VALUE else cut(str(value), _LONGEST_VALUE))
    if callable(getattr(value, "named_modules", None)):
        return type(value).__name__  # a model: its own text has a line for each module
    return cut(repr(value), _LONGEST_VALUE)


def _whole(value: Any) -> str:
    """A container with every entry in short."""
    if len(value) > _LONGEST_VALUE // 2:
        return " " * (_LONGEST_VALUE + 1)  # too long in any case
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_short(one)}" for key, one in value.items()) + "}"
    inside = ", ".join(map(_short, value))
    if isinstance(value, tuple):
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return f"[{inside}]" if isinstance(value, list) else f"{{{inside}}}"


def html_table(
    title: str, heads: Sequence[str], rows: Iterable[Sequence[object]], *, note: str = ""
) -> str:
    """A table for a notebook, of any texts: each is escaped. It scrolls where it is long."""
    head = "".join(f'<th style="{_CELL}">{html.escape(name)}</th>' for name in heads)
    lines = (
        "".join(f'<td style="{_CELL}">{html.escape(str(cell))}</td>' for cell in row)
        for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    below = f"<div>{html.escape(note)}</div>" if note else ""
    return (
        f'<div><div><b>{html.escape(title)}</b></div><div style="{_SCROLLS}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{below}</div>"
    )


def by(sizes: Any) -> str:
    """Sizes as text: "3 x 224 x 224"."""
    return " x ".join(f"{size:g}" for size in sizes)


def numeral(value: Any, *, sign: bool = False) -> str:
    """A measured number with three significant digits, trailing zeros too; whole from 1000 on.

    >>> [numeral(value) for value in (5, 0.018, 123.4, 1234.5, 2e-5, 0)]
    ['5.00', '0.0180', '123', '1234', '2.00e-05', '0']

    Args:
        value: the number.
        sign: write a plus before what is positive.
    """
    if value == 0:
        return "0"
    text = f"{value:{'+' if sign else ''}#.3g}"
    if "e+" in text and abs(value) < 1e6:
        text = f"{value:{'+' if sign else ''}.0f}"
    return text.rstrip(".")


def rounded(value: object) -> str:
    """A value of a table as people read it: floats as ``numeral`` writes them, in lists too.

    >>> rounded(1 / 3), rounded(12), rounded((0.25, None)), rounded("relu5:17")
    ('0.333', '12', '(0.250, none)', 'relu5:17')
    """
    if _is_measured(value):
        return numeral(value)
    if isinstance(value, list | tuple):
        return f"({', '.join(map(rounded, value))})"
    return "none" if value is None else str(value)


def _is_measured(value: object) -> bool:
    """Whether it is a real number that is no integer: Python's, or NumPy's."""
    return isinstance(value, Real) and not isinstance(value, Integral)


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun, in the plural (by default with an "s") unless it is one.

    >>> counted(1, "image"), counted(0, "image"), counted(1024, "axis", "axes")
    ('1 image', '0 images', '1,024 axes')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def concise(value: Any) -> str:
    """A float in a repr: exact where that is short, as settings are, else as ``numeral``.

    >>> concise(0.1), concise(1 / 3)
    ('0.1', '0.333')
    """
    return min(repr(float(value)), numeral(value), key=len)


def percent(share: Any, *, sign: bool = False) -> str:
    """A share in percent: "36 %"; below ten percent with one digit after the point.

    What would be rounded to zero has three significant digits.

    >>> percent(0.36), percent(-0.0417), percent(0.36, sign=True), percent(0), percent(1 / 30976)
    ('36 %', '-4.2 %', '+36 %', '0 %', '0.00323 %')
    """
    if 0 < abs(share) < 0.0005:
        return f"{numeral(100 * share, sign=sign)} %"
    digits = 0 if share == 0 or abs(share) >= 0.0995 else 1
    return f"{100 * share:{'+' if sign else ''}.{digits}f} %"
