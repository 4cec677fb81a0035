"""A page of figures in one HTML file, without scripts or external resources."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from deconvnet.arguments import expanded
from deconvnet.atomic import write_whole

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 62rem;
  margin: 3rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; } h2 { font-size: 1.1rem; margin: 3rem 0 .3rem; }
p { margin: .3rem 0 1rem; max-width: 46rem; color: #444; }
img { display: block; max-width: 100%; height: auto; }
pre { background: #f4f4f4; padding: 1rem; overflow-x: auto; font-size: .85rem; }
.figure { position: relative; }
.figure svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.figure rect { fill: transparent; } .figure a:hover rect { fill: #d55e0044; }
.opened { display: none; position: fixed; inset: 0; background: #fffffff2; padding: 2rem;
  text-align: center; }
.opened:target { display: block; } .opened svg { max-width: 100%; height: 80vh; }
.opened rect { fill: none; stroke: #d55e00; } .hidden { display: none; }
"""
# nothing may be loaded and nothing may run: the file is safe to pass on
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_WIDEST = 640  # pixels of a photograph on the page


@dataclass(frozen=True)
class Spot:
    """A tile of a picture that opens its photograph, with the receptive field drawn."""

    place: tuple[float, float, float, float]  # left, top, width, height, as shares of the picture
    photograph: str  # a name among those of the page
    box: tuple[float, float, float, float]  # top, left, bottom, right, in its pixels
    text: str


@dataclass(frozen=True)
class Entry:
    """A figure of the page."""

    title: str
    text: str  # what it shows
    picture: Path  # a PNG file, which is copied into the page
    files: Sequence[str] = ()  # beside the page, which are linked
    spots: Sequence[Spot] = field(default=())


def write_page(
    path: str | PathLike[str],
    *,
    title: str,
    text: str,
    entries: Sequence[Entry],
    photographs: Mapping[str, Image.Image] | None = None,
    commands: str = "",
    links: Mapping[str, str] | None = None,
) -> Path:
    """Write the page atomically; the same content gives the same bytes.

    Args:
        path: the HTML file.
        title: of the page.
        text: below the title.
        entries: the figures, from top to bottom.
        photographs: that the spots of the entries open, by name.
        commands: stand at the end.
        links: {address: text} of pages beside this one, below the text.

    Raises:
        KeyError: a spot names no photograph.
        OSError: a picture cannot be read, or the page cannot be written.
    """
    shown = photographs or {}
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(text)}</p>", *_symbols(shown)]
    for address, what in (links or {}).items():
        parts.append(f'<p><a href="{quote(address)}">{html.escape(what)}</a></p>')
    for number, entry in enumerate(entries):
        parts += _entry(entry, number, shown)
    if commands:
        parts.append(f"<h2>On your own network</h2><pre>{html.escape(commands.strip())}</pre>")
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>"
    )
    path = expanded(path)
    write_whole(path, (head + "\n".join(parts) + "</body></html>\n").encode())
    return Path(path)


def _entry(entry: Entry, number: int, shown: Mapping[str, Image.Image]) -> Iterator[str]:
    """A figure with its text, its links, and the photographs behind its tiles."""
    links = " ".join(f'<a href="{quote(name)}">{html.escape(name)}</a>' for name in entry.files)
    yield f'<h2 id="f{number}">{html.escape(entry.title)}</h2>'
    yield f"<p>{html.escape(entry.text)} {links}</p>"
    names = {(spot.photograph, spot.box, spot.text): "" for spot in entry.spots}
    names = {spot: f"f{number}s{place}" for place, spot in enumerate(names)}
    tiles = "".join(
        f'<a href="#{names[spot.photograph, spot.box, spot.text]}"><title>{html.escape(spot.text)}'
        '</title><rect x="{:.4f}" y="{:.4f}" width="{:.4f}" height="{:.4f}"/></a>'.format(
            *spot.place
        )
        for spot in entry.spots
    )
    over = f'<svg viewBox="0 0 1 1" preserveAspectRatio="none">{tiles}</svg>' if tiles else ""
    yield f'<div class="figure">{_image(entry)}{over}</div>'
    for (photograph, box, text), name in names.items():
        yield _opened(photograph, box, text, name, back=f"f{number}", shown=shown)


def _symbols(shown: Mapping[str, Image.Image]) -> Iterator[str]:
    """Every photograph once, to be used by the tiles that open it."""
    for name, picture in shown.items():
        width, height = picture.size
        small = picture.convert("RGB")
        small.thumbnail((_WIDEST, _WIDEST))
        memory = io.BytesIO()
        small.save(memory, "WEBP", quality=80, method=4)
        data = base64.b64encode(memory.getvalue()).decode()
        yield (
            f'<svg class="hidden"><symbol id="{_id(name)}" viewBox="0 0 {width} {height}">'
            f'<image width="{width}" height="{height}" href="data:image/webp;base64,{data}"/>'
            "</symbol></svg>"
        )


def _opened(
    photograph: str,
    box: tuple[float, float, float, float],
    text: str,
    name: str,
    *,
    back: str,
    shown: Mapping[str, Image.Image],
) -> str:
    """A photograph with a receptive field, shown while the page's address names it."""
    (width, height), (top, left, bottom, right) = shown[photograph].size, box
    line = max(width, height) / 200
    return (
        f'<a class="opened" id="{name}" href="#{back}"><svg viewBox="0 0 {width} {height}">'
        f'<use href="#{_id(photograph)}" width="{width}" height="{height}"/>'
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
        f'height="{bottom - top:.1f}" stroke-width="{line:.1f}"/></svg>'
        f"<p>{html.escape(text)}</p></a>"
    )


def _id(name: str) -> str:
    """A photograph's name as the name of an element."""
    return "p" + name.encode().hex()


def _image(entry: Entry) -> str:
    """The picture as lossless WebP: two thirds of the PNG, and every pixel the same."""
    memory = io.BytesIO()
    with Image.open(entry.picture) as picture:
        picture.convert("RGB").save(memory, "WEBP", lossless=True, method=4)
        width, height = picture.size
    data = base64.b64encode(memory.getvalue()).decode()
    alt = html.escape(f"{entry.title}: {entry.text}", quote=True)
    return (
        f'<img src="data:image/webp;base64,{data}" width="{width}" height="{height}" alt="{alt}">'
    )
