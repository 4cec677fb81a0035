"""The files of numbers: what the scripts of an atlas read, as JavaScript that holds only JSON."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any

import numpy as np

from deconvnet.mining.stored_rules import named_policies
from deconvnet.store.store import Store
from deconvnet.studies.spectrum import QUANTILES

from .facts import alike, histogram, strengths
from .plan import CHUNK, PAGE, STRONGEST, Leaf, image_size

Feeding = Callable[[Leaf, int], list[tuple[int, float]]]
"""(channel below, share of the unit's activation) of a unit, the greatest first."""


def script(call: str, *values: object) -> bytes:
    """JavaScript that calls a function with values; whatever texts are in them, no tag ends it."""
    how: dict[str, Any] = {"allow_nan": False, "separators": (",", ":")}
    text = ",".join(json.dumps(value, **how) for value in values)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f"{call}({text});\n".encode()


def index_data(
    store: Store, leaves: Sequence[Leaf], rules: Sequence[str], *, feeds: Mapping[str, str],
    photographs: bool,
) -> dict[str, Any]:  # fmt: skip
    """What every page knows: the layers, and how strong their units are."""
    return {
        "key": identity(store, [leaf.name for leaf in leaves])[:16],
        "rules": list(rules),
        "quantiles": [f"{q:.0%}".replace("%", " %") for q in QUANTILES],
        "chunk": CHUNK,
        "page": PAGE,
        "photographs": photographs,
        "image": image_size(store),
        "layers": [
            {
                "name": text_of(leaf.name),
                "strengths": strengths(leaf.table),
                "grids": {
                    kind: [grid.columns, grid.rows, *grid.cell] for kind, grid in leaf.grids.items()
                },
                "lowest_of": text_of(leaf.layer_of("lowest")),
                "at": text_of(feeds.get(leaf.name, "")),
                "commands": commands(leaf, rules[0]),
            }
            for leaf in leaves
        ],
    }


def chunk_data(
    leaf: Leaf, channels: range, like: Iterator[Any], feeding: Feeding
) -> dict[str, Any]:
    """The units of some channels, and the names of their images.

    Args:
        leaf: the layer.
        channels: of it.
        like: what ``alike`` yields, at the first of the channels.
        feeding: what feeds a unit; nothing where that was not asked for.
    """
    names = image_names(leaf.store)
    units = [
        _unit(leaf, channel, near, feeding)
        for channel, near in zip(channels, islice(like, len(channels)), strict=True)
    ]
    seen = sorted(leaf.images(channels))
    return {"units": units, "images": {index: text_of(names[index]) for index in seen}}


def _unit(leaf: Leaf, channel: int, near: Any, feeding: Feeding) -> dict[str, Any]:
    table = leaf.table
    told: dict[str, Any] = {
        "mean": number(table.mean[channel]),
        "active": number(table.nonzero[channel]),
        "nan": int(table.nan[channel]),
    }
    if table.ties is not None:
        told["ties"] = int(table.ties[channel])
    for kind in leaf.grids:
        told[kind] = entries(leaf, kind, channel)
    if table.sample is not None:
        told["histogram"] = histogram(table.sample.activation[channel])
        told["near"], told["opposite"] = ([[c, number(r)] for c, r in some] for some in near)
    fed = feeding(leaf, channel) if told[STRONGEST] else []
    return {**told, "feeds": [[c, number(share)] for c, share in fed]} if fed else told


def entries(leaf: Leaf, kind: str, channel: int) -> list[list[Any]]:
    """[image, activation, top, left, bottom, right, position] of what is shown of a channel."""
    table = leaf.table_of(kind)
    assert table is not None, "there is a grid of what is there"
    made = []
    for slot in leaf.slots(kind, channel):
        place = ",".join(map(str, table.unit(leaf.name, channel, slot).position or ()))
        value = number(table.activation[channel, slot])
        box = table.box[channel, slot].tolist()
        made.append([int(table.images[channel, slot]), value, *box, place])
    return made


def number(value: Any) -> float | None:
    """A number of five digits; None for NaN and infinities, which JSON has not."""
    return float(f"{value:.5g}") if np.isfinite(value) else None


def commands(leaf: Leaf, rule: str) -> dict[str, list[str]]:
    """{"shell", "python"}: what draws a unit, as texts between which its channel stands.

    Only the file name of the store is told: a path would tell of somebody's disk. Of a rule of the
    user's own, which has no name, there is none.
    """
    try:
        policies = named_policies(rule)
    except ValueError:
        return {}
    layer, store = leaf.name, leaf.store.path.name
    figure = re.sub(r"[^\w.-]+", "-", layer).strip(".-") or "layer"
    words = ["deconvnet", "exemplars", store, "--layer", layer, "--channels", "\0", "-k"]
    words += [str(leaf.k), "-o", f"{figure}-\0.pdf"]
    words += ["--per-source", str(leaf.per_source)] if leaf.per_source else []
    words += ["--rectifier", str(policies.rectifier)] if rule != "deconvnet" else []
    words += ["--unpooling", policies.unpooling] if policies.unpooling != "switches" else []
    words += ["--normalization", policies.normalization] if policies.normalization else []
    shell = " ".join(word if "\0" in word else shlex.quote(word) for word in words)
    how = f", k={leaf.k}" + (f", per_source={leaf.per_source}" if leaf.per_source else "")
    how += f", rectifier={rule!r}" if rule != "deconvnet" else ""
    python = f"dn.exemplars({store!r}, {layer!r}, \0{how}).save('{figure}-\0.pdf')"
    return {"shell": text_of(shell).split("\0"), "python": text_of(python).split("\0")}


def image_names(store: Store) -> dict[int, str]:
    """The images' paths without the folder that all share, where they are absolute."""
    paths = store.images
    if len(paths) > 1 and all(map(os.path.isabs, paths.values())):
        shared = os.path.commonpath(map(os.path.dirname, paths.values()))
        return {index: os.path.relpath(path, shared) for index, path in paths.items()}
    return {i: os.path.basename(path) if os.path.isabs(path) else path for i, path in paths.items()}


def text_of(text: str) -> str:
    """A text that can be encoded: undecodable bytes of a file name are shown as such."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def identity(store: Store, layers: Sequence[str]) -> str:
    """A digest of what a store holds of some layers."""
    digest = blake2b(digest_size=16)
    for name in layers:
        table = store[name]
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
        for one in table.tables.values():
            for array in (one.activation, one.image, one.box):
                digest.update(np.ascontiguousarray(array).tobytes())
    facts = [str(store.attributes.get(f"{of}_fingerprint", "")) for of in ("model", "dataset")]
    digest.update("\0".join(facts).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def neighbours(leaf: Leaf) -> Iterator[Any]:
    """The channels alike, for each channel of a layer; nothing without a sample."""
    if leaf.table.sample is None:
        return iter([((), ())] * leaf.table.channels)
    return alike(leaf.table.sample)
