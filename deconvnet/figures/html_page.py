"""A page of figures in one HTML file, without scripts or external resources."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

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
"""
# nothing may be loaded and nothing may run: the file is safe to pass on
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Entry:
    """A figure of the page."""

    title: str
    text: str  # what it shows
    picture: Path  # a PNG file, which is copied into the page


def write_page(
    path: str | PathLike[str],
    *,
    title: str,
    text: str,
    entries: Sequence[Entry],
    commands: str = "",
) -> Path:
    """Write the page atomically; the same content gives the same bytes."""
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(text)}</p>"]
    for entry in entries:
        parts.append(f"<h2>{html.escape(entry.title)}</h2><p>{html.escape(entry.text)}</p>")
        parts.append(_image(entry))
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
