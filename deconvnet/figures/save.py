"""Save figures with their provenance: reproducible bytes, written atomically."""

import io
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from xml.etree import ElementTree

from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image

from deconvnet.arguments import expanded
from deconvnet.atomic import write_whole
from deconvnet.figures.canvas.style import paper

_CREATOR = f"deconvnet {version('deconvnet')}"
_PNG_KEY = "deconvnet"
_DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"


def save(
    figure: Figure, path: str | PathLike[str], *, provenance: Mapping[str, str], dpi: float = 300
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
    write_whole(target, _encoded(figure, suffix, _metadata(suffix, provenance), dpi=dpi))
    return target


def png(figure: Figure, *, dpi: float = 144) -> bytes:
    """The figure as the bytes of a PNG file, for a screen."""
    return _encoded(figure, ".png", {}, dpi=dpi)


def _encoded(
    figure: Figure, suffix: str, metadata: Mapping[str, str | None], *, dpi: float
) -> bytes:
    buffer = io.BytesIO()
    with paper(), _averaged(figure) if suffix == ".png" else nullcontext():
        figure.savefig(buffer, format=suffix[1:], dpi=dpi, metadata=dict(metadata))
    return buffer.getvalue()


@contextmanager
def _averaged(figure: Figure) -> Iterator[None]:
    """Average pictures for a PNG, whose rows of pixels would be dropped otherwise."""
    images = [image for image in figure.findobj(AxesImage) if isinstance(image, AxesImage)]
    exact = [image for image in images if image.get_interpolation() == "none"]
    for image in exact:
        image.set_interpolation("antialiased")
    try:
        yield
    finally:
        for image in exact:
            image.set_interpolation("none")


def suffix_of(path: Path) -> str:
    """The suffix of a file name, which selects the format of a figure.

    Raises:
        ValueError: none of the three.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise ValueError(
            f"{str(path)!r} ends in {path.suffix or 'no suffix'!r}, expected one of "
            f"{', '.join(_READERS)}; name the figure so"
        )
    return suffix


def _metadata(suffix: str, provenance: Mapping[str, str]) -> dict[str, str | None]:
    """The provenance as metadata for matplotlib's writer of this format.

    All of it is kept as JSON in one place (PDF: Keywords, PNG: the chunk ``deconvnet``, SVG: the
    description), and as text where file managers show it.
    """
    for key, value in provenance.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise TypeError(f"provenance {key!r}: {value!r} is not text; give str(...) of both")
    exact = json.dumps(dict(provenance))  # plain ASCII, so no format has to encode it
    words = _plain("; ".join(f"{key}: {value}" for key, value in provenance.items()))
    title = _plain(provenance.get("title", "")) or "deconvnet figure"
    if suffix == ".pdf":
        # No date: it would be the only thing to differ when a figure is made again.
        dates = {"CreationDate": None}
        return {"Title": title, "Subject": words, "Keywords": exact, "Creator": _CREATOR, **dates}
    if suffix == ".png":
        return {"Title": title, "Description": words, "Software": _CREATOR, _PNG_KEY: exact}
    return {"Title": title, "Description": exact, "Creator": _CREATOR, "Date": None}


def read_provenance(path: str | PathLike[str]) -> dict[str, str]:
    """Read the provenance that ``save`` wrote into a PDF, PNG or SVG.

    Raises:
        ValueError: another suffix, or a file that ``save`` did not write.
        OSError: no such file.
    """
    target = Path(path)
    text = _READERS[suffix_of(target)](target.read_bytes())
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


def _plain(text: str) -> str:
    """The text on one line, without what XML and old PDF readers refuse."""
    return "".join(sign for sign in " ".join(text.split()) if sign.isprintable())


def _from_pdf(data: bytes) -> str | None:
    """The Keywords of the document's information dictionary, which matplotlib leaves readable."""
    numbers = re.findall(rb"/Info (\d+) 0 R", data)
    if not numbers:
        return None
    start = data.rfind(b"\n%d 0 obj\n" % int(numbers[-1]))
    entry = re.search(rb"/Keywords \(((?:[^\\()]|\\.)*)\)", data[max(start, 0) :])
    return re.sub(rb"\\(.)", rb"\1", entry[1]).decode("latin-1") if entry else None


def _from_png(data: bytes) -> str | None:
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            return picture.info.get(_PNG_KEY)
    except (OSError, SyntaxError, ValueError):  # no PNG
        return None


def _from_svg(data: bytes) -> str | None:
    try:
        return ElementTree.fromstring(data).findtext(f".//{_DESCRIPTION}")
    except ElementTree.ParseError:
        return None


_READERS = {".pdf": _from_pdf, ".png": _from_png, ".svg": _from_svg}
