"""Save figures with their provenance: reproducible bytes, written atomically."""

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from matplotlib.figure import Figure

from deconvnet.arguments import expanded
from deconvnet.atomic import write_whole
from deconvnet.figures.canvas.figure import SCREEN, file_of, pages_of
from deconvnet.figures.canvas.metadata import READERS


def save(
    figure: Figure,
    path: str | PathLike[str],
    *,
    provenance: Mapping[str, str] | None = None,
    dpi: float = 300,
) -> Path:
    """Write a figure as PDF, PNG, SVG, EPS or TIFF, with how it was made in the file's metadata.

    The same figure and provenance give the same bytes: no date is written. PDF, SVG and EPS hold
    every pixel of every picture, and text as text (in PDF and EPS as TrueType, type 42). In a PNG
    and a TIFF, pictures finer than ``dpi`` are averaged down to it.

    Args:
        figure: its size in inches is kept.
        path: ends in ``.pdf``, ``.png``, ``.svg``, ``.eps``, ``.tif`` or ``.tiff``; its folder is
            made.
        provenance: model, layer, channels, policy, versions, …, beside what the figure knows of
            itself; an entry ``title`` becomes the file's title too.
        dpi: pixels per inch of a PNG or TIFF.

    Returns:
        The path.

    Raises:
        ValueError: another suffix.
        TypeError: a provenance that is not text.
        OSError: the file cannot be written; an old file of that name is then intact.
    """
    target = Path(expanded(path))
    told = {**getattr(figure, "provenance", {}), **(provenance or {})}
    data = file_of(figure, suffix_of(target), provenance=told, options={"dpi": dpi})
    write_whole(target, data)
    return target


def save_pages(
    figures: Sequence[Figure],
    path: str | PathLike[str],
    *,
    provenance: Mapping[str, str] | None = None,
    dpi: float = 300,
) -> list[Path]:
    """Write figures as the pages of one PDF, or in other formats as numbered files.

    ``units.png`` becomes ``units-1.png``, ``units-2.png``, …; a single figure keeps the name.
    Arguments and errors are those of ``save``.
    """
    target = Path(expanded(path))
    suffix = suffix_of(target)
    if len(figures) == 1:
        return [save(figures[0], target, provenance=provenance, dpi=dpi)]
    if suffix != ".pdf":
        files = [target.with_stem(f"{target.stem}-{n}") for n in range(1, len(figures) + 1)]
        for figure, file in zip(figures, files, strict=True):
            save(figure, file, provenance=provenance, dpi=dpi)
        return files
    told = {**getattr(figures[0], "provenance", {}), **(provenance or {})}
    write_whole(target, pages_of(figures, provenance=told))
    return [target]


def png(figure: Figure, *, dpi: float = SCREEN) -> bytes:
    """The figure as the bytes of a PNG file, for a screen."""
    told = getattr(figure, "provenance", {})
    return file_of(figure, ".png", provenance=told, options={"dpi": dpi})


def suffix_of(path: Path) -> str:
    """The suffix of a file name, which selects the format of a figure.

    Raises:
        ValueError: none of those that ``save`` writes.
    """
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise ValueError(
            f"{str(path)!r} ends in {path.suffix or 'no suffix'!r}, expected one of "
            f"{', '.join(READERS)}; name the figure so"
        )
    return suffix


def read_provenance(path: str | PathLike[str]) -> dict[str, str]:
    """Read the provenance that ``save`` or a figure's ``savefig`` wrote into a file.

    Raises:
        ValueError: another suffix, or a file that neither wrote.
        OSError: no such file.
    """
    target = Path(path)
    text = READERS[suffix_of(target)](target.read_bytes())
    try:
        told = json.loads(text or "")
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise ValueError(
            f"{str(path)!r} carries no provenance; give a figure that deconvnet.figures.save wrote "
            "and no other program has changed since"
        )
    return told
