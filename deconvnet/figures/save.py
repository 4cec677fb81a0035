"""Figures as files: provenance inside, the same bytes every time, whole or not at all."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from os import PathLike
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from deconvnet.arguments import expanded
from deconvnet.atomic import write_whole
from deconvnet.figures.canvas.style import paper

from .metadata import metadata, suffix_of


def save(
    figure: Figure,
    path: str | PathLike[str],
    *,
    provenance: Mapping[str, str],
    dpi: float = 300,
) -> Path:
    """Write a figure as PDF, PNG or SVG, with how it was made in the file's metadata.

    The same figure and provenance give the same bytes: no date is written. PDF and SVG hold every
    pixel of every picture, and text as text (in PDF as TrueType, type 42). In a PNG, pictures
    finer than ``dpi`` are averaged down to it.

    Args:
        figure: its size in inches is kept.
        path: ends in ``.pdf``, ``.png`` or ``.svg``; its folder is made.
        provenance: model, layer, channels, policy, versions, …; an entry ``title`` becomes the
            file's title too.
        dpi: pixels per inch of a PNG.

    Returns:
        The path.

    Raises:
        ValueError: another suffix.
        TypeError: a provenance that is not text.
        OSError: the file cannot be written; an old file of that name is then intact.
    """
    target = Path(expanded(path))
    suffix = suffix_of(target)
    entries = metadata(suffix, provenance)
    buffer = io.BytesIO()
    with paper(), _averaged(figure) if suffix == ".png" else nullcontext():
        figure.savefig(buffer, format=suffix[1:], dpi=dpi, metadata=entries)
    write_whole(target, buffer.getvalue())
    return target


@contextmanager
def _averaged(figure: Figure) -> Iterator[None]:
    """Let pictures be averaged for a PNG: otherwise rows of their pixels would be dropped."""
    images = [image for image in figure.findobj(AxesImage) if isinstance(image, AxesImage)]
    exact = [image for image in images if image.get_interpolation() == "none"]
    for image in exact:
        image.set_interpolation("antialiased")
    try:
        yield
    finally:
        for image in exact:
            image.set_interpolation("none")
