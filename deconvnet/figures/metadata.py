"""How a figure was made, inside its file: written for matplotlib, read back without it."""

import json
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from xml.etree import ElementTree

from deconvnet import __version__

_CREATOR = f"deconvnet {__version__}"
_PNG_KEY = b"deconvnet"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"


def suffix_of(path: Path) -> str:
    """The suffix that says in which format a figure is kept.

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


def metadata(suffix: str, provenance: Mapping[str, str]) -> dict[str, str | None]:
    """The provenance as the metadata that matplotlib's writer of this format takes.

    All of it is kept as JSON in one place (PDF: Keywords, PNG: the chunk ``deconvnet``, SVG: the
    description), and in words where file managers show it.

    Raises:
        TypeError: a key or a value that is not text.
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
        told = {"Title": title, "Description": words, "Software": _CREATOR}
        return {**told, _PNG_KEY.decode(): exact}
    return {"Title": title, "Description": exact, "Creator": _CREATOR, "Date": None}


def provenance(path: str | PathLike[str]) -> dict[str, str]:
    """What ``save`` was told of a figure, read back from its PDF, PNG or SVG.

    Raises:
        ValueError: another suffix, or a file that ``save`` did not write.
        OSError: no such file.
    """
    target = Path(path)
    found = _READERS[suffix_of(target)](target.read_bytes())
    try:
        told = json.loads(found or "")
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
    """The text chunk with our key; a chunk is length, type, content, checksum."""
    place = len(_PNG_SIGNATURE)
    while data.startswith(_PNG_SIGNATURE) and place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        content = data[place + 8 : place + 8 + length]
        if data[place + 4 : place + 8] == b"tEXt" and content.startswith(_PNG_KEY + b"\0"):
            return content[len(_PNG_KEY) + 1 :].decode("latin-1")
        place += length + 12
    return None


def _from_svg(data: bytes) -> str | None:
    try:
        return ElementTree.fromstring(data).findtext(f".//{_DESCRIPTION}")
    except ElementTree.ParseError:
        return None


_READERS = {".pdf": _from_pdf, ".png": _from_png, ".svg": _from_svg}
