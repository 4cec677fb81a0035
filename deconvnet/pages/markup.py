"""The pages themselves: an index and pages of units, which can be read without scripts."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from urllib.parse import quote

import numpy as np

from deconvnet.arguments import by, cut
from deconvnet.store.store import Store

from .facts import histogram, strengths
from .plan import STRONGEST, Leaf, page_file
from .unit_data import entries, image_names, text_of

_POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file:; img-src 'self' file:; "
    "base-uri 'none'; form-action 'none'"
)
"""Nothing from elsewhere and no inline script. Some browsers do not count files of a folder that
is opened from disk as 'self'; on a web server ``file:`` allows nothing."""
_BARS = 16


def _text(text: object) -> str:
    return html.escape(text_of(str(text)), quote=True)


def page(title: str, body: str, *, root: str, facts: Mapping[str, object]) -> bytes:
    """A page of the atlas.

    Args:
        title: plain text.
        body: markup.
        root: the way to the index: "" or "../".
        facts: what the scripts are told of the page, as ``data-`` attributes of its body.
    """
    told = "".join(f' data-{name}="{_text(value)}"' for name, value in facts.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="referrer" content="no-referrer">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{_text(title)}</title><link rel="stylesheet" href="{root}atlas.css">'
        f'<script defer src="{root}data/index.js"></script>'
        f'<script defer src="{root}atlas.js"></script></head>\n'
        f'<body data-root="{root}"{told}>\n'
        '<a class="skip" href="#content">Skip to the content</a>\n'
        f'<header><a class="home" href="{root}index.html">Atlas</a><div id="tools"></div>'
        "</header>\n"
        f"{body}\n</body></html>\n"
    ).encode()


def index_page(
    store: Store, leaves: Sequence[Leaf], rules: Sequence[str], notes: Sequence[str]
) -> bytes:
    """The overview: network, data set, and the layers with their sizes and strengths."""
    model = _model(store)
    rows = "\n".join(_layer_row(leaf) for leaf in leaves)
    facts = "".join(
        f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in _facts(store, rules)
    )
    lacks = "".join(f"<li>{_text(note)}</li>" for note in notes)
    body = f"""<main id="content">
<section id="overview">
<h1>{_text(model)}: every unit</h1>
<p>For each unit the images of the data set that excite it most, cut out at its receptive field,
and what it responds to in them. A layer opens its units; a unit opens all that is known of it.</p>
<dl class="facts">{facts}</dl>
{f"<h2>What this atlas lacks</h2><ul>{lacks}</ul>" if lacks else ""}
<h2>Layers</h2>
<div class="scroll"><table>
<thead><tr><th scope="col">layer</th><th scope="col">units</th><th scope="col">map</th>
<th scope="col">field</th><th scope="col">stride</th><th scope="col">dead</th>
<th scope="col">strongest activations</th></tr></thead>
<tbody>
{rows}
</tbody></table></div>
<p class="quiet">Map: height and width. Field and stride: pixels of the model’s input. Dead: never
positive in the data set. The bars show how the strongest activations of a layer’s units are
distributed, from the least to the greatest.</p>
<noscript><p>The pages of layers need no scripts; search, filters, notes and the page of a single
unit do.</p></noscript>
</section>
<article id="unit" hidden></article>
</main>"""
    return page(f"{model}: atlas", body, root="", facts={"page": "index"})


def _model(store: Store) -> str:
    """The model by its class or its word, without the folders of a path."""
    name = str(store.attributes.get("model") or "A network")
    return PurePath(name).name if "/" in name or "\\" in name else name


def _facts(store: Store, rules: Sequence[str]) -> Iterator[tuple[str, object]]:
    told = store.attributes
    yield "network", _model(store)
    data = str(told.get("dataset") or "not named")
    yield "data set", PurePath(data).name or data
    if "images_seen" in told:
        yield "images", f"{told['images_seen']:,}"
    yield "input", f"{by(told['input_size'])} (channels, height, width)"
    how = "mean" if told.get("rank") == "mean" else "maximum"
    yield "ranked by", f"the {how} of a unit's map"
    yield "projections", ", ".join(rules)
    yield "preprocessing", cut(str(told.get("transform") or "unknown"), 200)
    yield "store", store.path.name


def _layer_row(leaf: Leaf) -> str:
    table = leaf.table
    dead = int((table.nonzero == 0).sum())
    cells = (
        f"{table.channels:,}", by(table.size) or "1", by(table.field) or "all",
        by(table.stride) or "–", f"{dead} ({dead / table.channels:.0%})",
    )  # fmt: skip
    middle = "".join(f"<td>{_text(cell)}</td>" for cell in cells)
    link = f'<a href="{page_file(leaf.number, 0)}">{_text(leaf.name)}</a>'
    return f'<tr><th scope="row">{link}</th>{middle}<td>{_bars(leaf)}</td></tr>'


def _bars(leaf: Leaf) -> str:
    """The distribution of the strongest activations as bars, with its numbers."""
    alive = np.array([value for value in strengths(leaf.table) if value is not None])
    told = histogram(alive)
    if told is None:
        return "none"
    low, middle, high = alive.min(), np.median(alive), alive.max()
    counts, _ = np.histogram(alive, _BARS)
    bars = "".join(
        f'<rect x="{6 * i}" y="{24 - tall}" width="5" height="{tall}"/>'
        for i, tall in enumerate(np.ceil(24 * counts / counts.max()).astype(int).tolist())
    )
    text = f"{low:.3g} to {high:.3g}, median {middle:.3g}"
    return (
        f'<svg class="bars" width="{6 * _BARS}" height="24" role="img" aria-label="{text}">{bars}'
        f"</svg> {text}"
    )


def layer_page(leaves: Sequence[Leaf], leaf: Leaf, number: int, rules: Sequence[str]) -> bytes:
    """A page of units of a layer."""
    channels, last = leaf.pages[number], leaf.table.channels - 1
    names = image_names(leaf.store)
    cards = "\n".join(_card(leaf, channel, rules, names) for channel in channels)
    size, field = by(leaf.table.size) or "one unit", by(leaf.table.field) or "the whole image"
    body = f"""<main id="content">
<h1>{_text(leaf.name)}</h1>
<p>Units {channels[0]} to {channels[-1]} of 0 to {last}; map {size}, field {field} pixels. Of each
unit: the strongest patches, and their projections ({_text(", ".join(rules))}).</p>
{_ways(leaves, leaf, number)}
<div id="filters"></div>
<div class="units">
{cards}
</div>
{_ways(leaves, leaf, number)}
</main>"""
    facts = {"page": "layer", "layer": leaf.number, "first": channels[0]}
    return page(f"{leaf.name}: atlas", body, root="../", facts=facts)


def _ways(leaves: Sequence[Leaf], leaf: Leaf, number: int) -> str:
    """Links to the other pages of the layer, and to the layers beside it."""
    links = []
    for beside, word in ((leaf.number - 1, "Below"), (leaf.number + 1, "Above")):
        if 0 <= beside < len(leaves):
            name = _text(leaves[beside].name)
            links.append(f'<a href="{PurePath(page_file(beside, 0)).name}">{word}: {name}</a>')
    if len(leaf.pages) > 1:
        for each, some in enumerate(leaf.pages):
            here = ' aria-current="page"' if each == number else ""
            name = PurePath(page_file(leaf.number, each)).name
            links.append(f'<a href="{name}"{here}>{some[0]}–{some[-1]}</a>')
    return f'<nav aria-label="Pages and layers">{" ".join(links)}</nav>'


def _card(leaf: Leaf, channel: int, rules: Sequence[str], names: Mapping[int, str]) -> str:
    """A unit on a page: its sprites, and its counters."""
    unit = f"{leaf.name}:{channel}"
    shown = entries(leaf, STRONGEST, channel)
    strength, active = shown[0][1] if shown else None, leaf.table.nonzero[channel]
    link = f"../index.html#{anchor(leaf.name, channel)}"
    counted = f"{strength:.3g}, positive in {active:.0%} of images" if shown else "never positive"
    files = leaf.files(STRONGEST, channel, rules)
    listed = "; ".join(f"{names[image]} {value:.3g}" for image, value, *_ in shown)
    alts = [f"{unit}, strongest patches: {listed}", *(f"{unit}, projections: {r}" for r in rules)]
    grid = leaf.grids[STRONGEST]
    height, width = grid.size
    pictures = "".join(
        f'<span class="grid rows-{grid.rows}"><img loading="lazy" decoding="async" '
        f'src="../{file}" width="{width}" height="{height}" alt="{_text(alt)}"></span>'
        for file, alt in zip(files, alts, strict=False)
    )
    dead = "" if shown else " dead"
    return (
        f'<article class="card{dead}" id="u{channel}" data-strength="{strength or ""}">'
        f'<a href="{link}"><h2>{channel}</h2><div class="sprites">{pictures}</div></a>'
        f'<p>{counted}<span class="label"></span></p></article>'
    )


def anchor(layer: str, channel: int) -> str:
    """The part of an address behind ``#`` that names a unit."""
    return f"{quote(text_of(layer), safe='')}:{channel}"
