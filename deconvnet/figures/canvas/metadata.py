"""Provenance in a file's metadata: how it is written into each format, and read again."""

import io
import json
import re
from collections.abc import Callable, Mapping
from importlib.metadata import version
from xml.etree import ElementTree

from PIL import Image

CREATOR = f"deconvnet {version('deconvnet')}"
_PNG_KEY = "deconvnet"
_EPS_LINE = "%deconvnet: "
_EPS_WIDTH = 200  # characters; the lines of an EPS have at most 255
_DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"
IMAGE_DESCRIPTION, SOFTWARE = 270, 305
STRIP_OFFSETS, STRIP_BYTE_COUNTS = 273, 279
"""Tags of a TIFF."""


def exact(provenance: Mapping[str, str]) -> str:
    """The provenance as JSON in plain ASCII, so that no format has to encode it.

    Raises:
        TypeError: an entry that is not text.
    """
    for key, value in provenance.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise TypeError(f"provenance {key!r}: {value!r} is not text; give str(...) of both")
    return json.dumps(dict(provenance))


def entries(suffix: str, provenance: Mapping[str, str]) -> dict[str, str | None]:
    """The provenance as metadata for matplotlib's writer of this format.

    All of it is kept as JSON in one place (PDF: Keywords, PNG: the chunk ``deconvnet``, SVG: the
    description; EPS and TIFF: see ``into_eps`` and ``IMAGE_DESCRIPTION``), and as text where file
    managers show it. No date is written: it would be all that differs when a figure is made again.
    """
    words = plain("; ".join(f"{key}: {value}" for key, value in provenance.items()))
    title = plain(provenance.get("title", "")) or "deconvnet figure"
    told = exact(provenance)
    match suffix:
        case ".pdf":
            dates = {"CreationDate": None}
            return {"Title": title, "Subject": words, "Keywords": told, "Creator": CREATOR, **dates}
        case ".svg":
            return {"Title": title, "Description": told, "Creator": CREATOR, "Date": None}
        case ".eps":
            return {"Title": title, "Creator": CREATOR}
        case _:
            return {"Title": title, "Description": words, "Software": CREATOR, _PNG_KEY: told}


def into_eps(data: bytes, provenance: Mapping[str, str]) -> bytes:
    """An EPS with the provenance as comments in its header, and without a date."""
    told = exact(provenance)
    parts = [told[start : start + _EPS_WIDTH] for start in range(0, len(told), _EPS_WIDTH)]
    lines = "".join(f"{_EPS_LINE}{part}\n" for part in parts).encode()
    undated = re.sub(rb"%%CreationDate:.*\n", b"", data, count=1)
    return undated.replace(b"%%EndComments", lines + b"%%EndComments", 1)


def plain(text: str) -> str:
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


def _from_eps(data: bytes) -> str | None:
    header = data.partition(b"%%EndComments")[0].decode("latin-1")
    lines = [line for line in header.splitlines() if line.startswith(_EPS_LINE)]
    return "".join(line.removeprefix(_EPS_LINE) for line in lines)


def _from_tiff(data: bytes) -> str | None:
    try:
        with Image.open(io.BytesIO(data), formats=["TIFF"]) as picture:
            return str(picture.getexif().get(IMAGE_DESCRIPTION))
    except (OSError, SyntaxError, ValueError):  # no TIFF
        return None


READERS: dict[str, Callable[[bytes], str | None]] = {
    ".pdf": _from_pdf,
    ".png": _from_png,
    ".svg": _from_svg,
    ".eps": _from_eps,
    ".tif": _from_tiff,
    ".tiff": _from_tiff,
}
"""{suffix: reads the JSON of the provenance from a file's bytes}; these are the formats."""
