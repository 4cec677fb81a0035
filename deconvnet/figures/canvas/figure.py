"""A figure that shows itself in a notebook, and is saved for a paper by whatever way."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from deconvnet.arguments import expanded
from deconvnet.atomic import write_whole

from .metadata import (
    CREATOR,
    IMAGE_DESCRIPTION,
    READERS,
    SOFTWARE,
    STRIP_BYTE_COUNTS,
    STRIP_OFFSETS,
    entries,
    exact,
    into_eps,
)
from .style import paper

SCREEN = 144.0
"""Pixels per inch of a picture in a notebook."""


class _PaperCanvas(FigureCanvasBase):
    """What draws a figure for those who ask its canvas, as IPython does."""

    # the options are matplotlib's, whose method this overrides
    def print_figure(self, filename: Any, *args: Any, **options: Any) -> Any:
        """Write a file under the settings of ``paper()``."""
        with paper():
            return super().print_figure(filename, *args, **options)


class PaperFigure(Figure):
    """A figure for papers, of a width and height in inches.

    A notebook shows it without pyplot. ``savefig`` writes TrueType fonts, the exact pixels and
    the ``provenance``, whatever matplotlib's settings are.
    """

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height))
        self.set_layout_engine("none")  # every place is given
        _PaperCanvas(self)  # which becomes its canvas
        self.provenance: dict[str, str] = {}

    # the options are matplotlib's, whose method this overrides
    def savefig(self, fname: Any, *, format: str | None = None, **options: Any) -> None:
        """Save under the settings of ``paper()``; the arguments are those of matplotlib.

        PDF, PNG, SVG, EPS and TIFF carry the ``provenance``, and a path is written atomically.

        Raises:
            ValueError: a ``PdfPages`` that would embed Type 3 fonts.
        """
        named = isinstance(fname, (str, os.PathLike))
        kind = format or (Path(fname).suffix[1:] if named else "") or "png"
        suffix = f".{kind.lower()}"
        if suffix not in READERS or isinstance(fname, PdfPages):
            _check_fonts(fname)
            with paper():
                super().savefig(fname, format=format, **options)
            return
        data = file_of(self, suffix, provenance=self.provenance, options=options)
        if not named:
            fname.write(data)
        else:
            path = Path(expanded(fname))
            write_whole(path if path.suffix else path.with_suffix(suffix), data)

    def _repr_png_(self) -> bytes:
        """The figure as a notebook shows it."""
        return file_of(self, ".png", provenance=self.provenance, options={"dpi": SCREEN})


def file_of(
    figure: Figure, suffix: str, *, provenance: Mapping[str, str], options: Mapping[str, Any]
) -> bytes:
    """The bytes of a figure's file: fonts embedded, pixels kept, provenance in the metadata.

    Args:
        figure: of this toolkit, or any of matplotlib.
        suffix: one of ``metadata.READERS``.
        provenance: all text.
        options: for matplotlib's ``savefig``.
    """
    buffer, tiff = io.BytesIO(), suffix in (".tif", ".tiff")
    told = {**entries(suffix, provenance), **(options.get("metadata") or {})}
    with paper():
        given = {**options, "format": "png" if tiff else suffix[1:], "metadata": told}
        Figure.savefig(figure, buffer, **given)
    if tiff:
        return _tiff(buffer, provenance)
    data = buffer.getvalue()
    return into_eps(data, provenance) if suffix == ".eps" else data


def pages_of(figures: Sequence[Figure], *, provenance: Mapping[str, str]) -> bytes:
    """The bytes of a PDF with a page for each figure."""
    buffer = io.BytesIO()
    with paper():
        with PdfPages(buffer, metadata=entries(".pdf", provenance)) as pages:
            for figure in figures:
                Figure.savefig(figure, pages, format="pdf")
    return buffer.getvalue()


def _tiff(png: io.BytesIO, provenance: Mapping[str, str]) -> bytes:
    """A PNG as TIFF: three colours on white, without transparency."""
    memory = io.BytesIO()
    with Image.open(png) as drawn:
        dpi, picture = drawn.info["dpi"], drawn.convert("RGBA")
    flat = Image.new("RGB", picture.size, "white")
    flat.paste(picture, mask=picture.getchannel("A"))
    tags = {IMAGE_DESCRIPTION: exact(provenance), SOFTWARE: CREATOR}
    flat.save(memory, "TIFF", compression="tiff_lzw", dpi=dpi, tiffinfo=tags)
    return _padded_with_zero(memory)


def _padded_with_zero(memory: io.BytesIO) -> bytes:
    """A TIFF without the arbitrary byte that libtiff may leave between pixels and directory."""
    data = bytearray(memory.getvalue())
    directory = int.from_bytes(data[4:8], "little")
    memory.seek(0)
    with TiffImageFile(memory) as written:
        offsets, lengths = (written.tag_v2[tag] for tag in (STRIP_OFFSETS, STRIP_BYTE_COUNTS))
    end = max(offset + length for offset, length in zip(offsets, lengths, strict=True))
    if end == directory - 1:
        data[end] = 0
    return bytes(data)


def _check_fonts(target: Any) -> None:
    """Pages share one table of fonts, written when they are closed, with the settings of then."""
    if isinstance(target, PdfPages) and matplotlib.rcParams["pdf.fonttype"] != 42:
        raise ValueError(
            "these PdfPages would embed Type 3 fonts, which publishers refuse; use "
            'deconvnet.figures.save(figures, "name.pdf"), or set '
            'matplotlib.rcParams["pdf.fonttype"] = 42 before the first page'
        )
