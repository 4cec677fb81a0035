"""The style of figures for papers: widths, font sizes, and matplotlib's settings."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files

import matplotlib.style
from matplotlib.figure import Figure, SubFigure

WIDTHS: dict[str, float] = {
    "acm": 3.33,
    "acm-full": 7.0,
    "aistats": 3.25,
    "aistats-full": 6.75,
    "cvpr": 3.25,
    "cvpr-full": 6.875,
    "eccv": 4.8,
    "elsevier": 90 / 25.4,
    "elsevier-full": 190 / 25.4,
    "iclr": 5.5,
    "icml": 3.25,
    "icml-full": 6.75,
    "ieee": 3.5,
    "ieee-full": 7.16,
    "jmlr": 6.0,
    "lncs": 122 / 25.4,
    "nature": 89 / 25.4,
    "nature-full": 183 / 25.4,
    "neurips": 5.5,
    "springer": 84 / 25.4,
    "springer-full": 174 / 25.4,
    "tmlr": 6.5,
    "uai": 3.25,
    "uai-full": 6.75,
}
"""Widths in inches: ``NAME`` is a column, ``NAME-full`` the text of a two-column page."""

PAGE = 9.0
"""Height in inches that a figure keeps to where it has a choice (a letter page's text)."""

POINTS = 72.0
"""Points in an inch."""

_IN_AN_INCH = {"in": 1.0, "cm": 2.54, "mm": 25.4, "pt": 72.27}  # pt as TeX has it
_LENGTH = re.compile(r"(\d+\.?\d*|\.\d+) ?(in|cm|mm|pt)?")

TITLE, LABEL, SMALL = 8.0, 7.0, 6.0
"""Sizes of text, in points."""

INK, QUIET = "#1a1a1a", "#5c5c5c"
"""Colours of text: labels, and what stands beside them."""


def width(name_or_inches: str | float, parent: Figure | SubFigure | None = None) -> float:
    """Width of a figure in inches: of a venue or publisher by name, or a length.

    Within a ``parent`` it is the parent's width.

    A length without a unit is in inches.

    >>> width("neurips"), width("cvpr-full"), width("4.5"), width(4.5), width("90 mm")
    (5.5, 6.875, 4.5, 4.5, 3.5433070866141736)

    Templates change: check the number against yours.

    Raises:
        ValueError: neither a name in ``WIDTHS`` nor a length between 1 and 50 inches.
    """
    if parent is not None:
        return float(parent.bbox.width / parent.dpi)
    if isinstance(name_or_inches, str) and name_or_inches.lower() in WIDTHS:
        return WIDTHS[name_or_inches.lower()]
    length = _LENGTH.fullmatch(str(name_or_inches).strip().lower())
    inches = float(length[1]) / _IN_AN_INCH[length[2] or "in"] if length else 0.0
    if not 1.0 <= inches <= 50.0:
        raise ValueError(
            f"width {name_or_inches!r} is neither a venue nor a length between 1 and 50 inches; "
            f"give 3.5in, 89mm, a number of inches, or one of {', '.join(WIDTHS)}"
        )
    return inches


@contextmanager
def paper() -> Iterator[None]:
    """Matplotlib's settings for papers, within a ``with`` block; the caller's return after it.

    The settings are matplotlib's defaults and then ``paper.mplstyle``, so that the caller's own
    ``matplotlibrc`` cannot change a figure. Settings are global in matplotlib: not for use by two
    threads at once.
    """
    with (
        as_file(files(__package__) / "paper.mplstyle") as sheet,
        matplotlib.style.context(str(sheet), after_reset=True),
    ):
        yield
