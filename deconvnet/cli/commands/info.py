"""``deconvnet info``: how a store was made and what it holds; torch is not imported."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from itertools import starmap
from typing import Any

import numpy as np

from deconvnet.arguments import by, counted
from deconvnet.cli.text import columns, first, printable
from deconvnet.store.format import MAX
from deconvnet.store.picture_index import PictureIndex
from deconvnet.store.store import Store, open_store
from deconvnet.store.table import LayerTable, Ranked

from . import said

SHOWN = 10  # failed images told one by one
HEAD = ("layer", "channels", "dead", "NaN", "map", "field", "stride", "pictures")
TOLD = (
    *("format", "format_version", "complete", "k", "order", "model", "weights", "dataset"),
    *("model_fingerprint", "dataset_fingerprint", "transform", "input_size", "batch_shape"),
    *("dtype", "device", "versions", "images_seen", "images_failed"),
    *("lowest", "sample", "random_state", "rank"),
)
"""Attributes that have a line of their own, or part of one."""


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Print the description of a store."""
    store = open_store(options.store)
    description = described(store)
    if not options.json:
        for line in lines(store, description):
            said(line, options)
    return description


def described(store: Store) -> dict[str, Any]:
    """The description, for JSON."""
    layers = {name: _layer(table, store.pictures.get(name)) for name, table in store.items()}
    return {
        "store": str(store.path),
        "bytes": store.path.stat().st_size,
        "attributes": store.attributes,
        "layers": layers,
        "channels": sum(layer["channels"] for layer in layers.values()),
        "dead": sum(layer["dead"] for layer in layers.values()),
        "images_in_tables": len(store.images),
        "failed": [vars(failed) for failed in store.failed],
    }


def _layer(table: LayerTable, pictures: PictureIndex | None) -> dict[str, Any]:
    low = table.lowest
    dead = np.flatnonzero(table.nonzero == 0).tolist()  # no image made the channel positive
    return {
        "channels": table.channels,
        "dead": len(dead),
        "dead_channels": dead,
        "nan": int(table.nan.sum()),
        "size": table.size,
        "field": table.field,
        "stride": table.stride,
        "tied": _tied(table),
        "lowest": {"of": low.of, "size": low.size, "tied": _tied(low)} if low else None,
        "directions": {name: each.channels for name, each in table.directions.items()},
        "patches": pictures is not None,
        "projections": sorted(pictures.projections) if pictures else [],
    }


def _tied(table: Ranked) -> int | None:
    """Of how many channels the last entry ties with images left out; None if it is not told."""
    return None if table.ties is None else int((table.ties > 0).sum())


def lines(store: Store, description: Mapping[str, Any]) -> Iterable[str]:
    """The description as lines of text."""
    facts = store.attributes
    path, version = printable(str(store.path)), facts["format_version"]
    yield f"{path}: a store of version {version}, {description['bytes']:,} bytes"
    for name, value in _facts(store, description):
        yield f"  {printable(name):<12} {printable(value)}"
    yield ""
    yield from columns([HEAD, *starmap(_row, description["layers"].items())], right=True)
    if store.failed:
        yield ""
        yield f"{counted(len(store.failed), 'image')} could not be used:"
        failed = [f"{f.index}  {printable(f.path)}: {printable(f.reason)}" for f in store.failed]
        yield from first(failed, SHOWN, others="--json lists them all")


def _facts(store: Store, description: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    facts = {name: value for name, value in store.attributes.items() if value not in ("", ())}
    yield "model", _with_print(facts.get("model"), facts.get("model_fingerprint"))
    if "weights" in facts:
        yield "weights", str(facts["weights"])
    yield "data", _with_print(facts.get("dataset"), facts.get("dataset_fingerprint"))
    seen, lost = facts.get("images_seen", "?"), facts.get("images_failed", len(store.failed))
    yield "images", f"{seen} seen, {lost} failed; {len(store.images)} of them stand in a table"
    alive = (
        f"{description['dead']} of which are dead"
        if description["dead"]
        else "none of which is dead"
    )
    channels = counted(description["channels"], "channel")
    yield (
        "kept",
        f"the {facts['k']} strongest images of {channels}, {alive}",
    )
    yield from _ranges(facts, description["layers"])
    if "input_size" in facts:
        size, transform = by(facts["input_size"]), facts.get("transform", "no transform")
        yield "input", f"{size}, {transform}"
    if "batch_shape" in facts:
        how = f"{facts.get('dtype', '?')} on {facts.get('device', '?')}"
        yield "batches", f"{by(facts['batch_shape'])}, {how}"
    versions = facts.get("versions")
    if isinstance(versions, Mapping):
        yield "made by", ", ".join(f"{name} {version}" for name, version in versions.items())
    for name, value in facts.items():
        if name not in TOLD:
            yield name, str(value)


def _ranges(
    facts: Mapping[str, Any], layers: Mapping[str, Mapping[str, Any]]
) -> Iterable[tuple[str, str]]:
    """How images were ranked, if not by the maximum; the lowest, the sample, and ties."""
    if facts.get("rank", MAX) != MAX:
        yield "ranked by", f"the {facts['rank']} of a map"
    tied = sum(layer["tied"] or 0 for layer in layers.values())
    if tied:
        yield "ties", f"in {counted(tied, 'channel')} more images are as strong as the last"
    if facts.get("lowest"):
        told = {name: layer["lowest"] for name, layer in layers.items()}
        fed = sum(low["of"] != name for name, low in told.items())
        also = f", in {counted(fed, 'layer')} of what feeds the rectifier" if fed else ""
        yield "lowest", f"the {facts['lowest']} lowest images of every channel{also}"
    if facts.get("sample"):
        drawn = f"{facts['sample']} images drawn with random state {facts.get('random_state', 0)}"
        yield "sample", f"{drawn}, the same for all channels"

    directed = [sum(layer["directions"].values()) for layer in layers.values()]
    if any(directed):
        where = counted(sum(map(bool, directed)), "layer")
        yield "directions", f"{sum(directed)} in the channels of {where}, mined as channels are"


def _with_print(name: object, fingerprint: object) -> str:
    end = f" (fingerprint {str(fingerprint)[:12]}…)" if fingerprint else ""
    return f"{name or 'not told'}{end}"


def _row(name: str, layer: Mapping[str, Any]) -> tuple[str, ...]:
    kept = ["patches", *layer["projections"]] if layer["patches"] else ["-"]
    return (
        printable(name),
        *(str(layer[count]) for count in ("channels", "dead", "nan")),
        *(by(layer[sizes]) or "-" for sizes in ("size", "field", "stride")),
        printable(", ".join(kept)),
    )
