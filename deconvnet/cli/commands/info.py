"""``deconvnet info``: what a store is, how it was made, and what it holds; torch is not needed."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from deconvnet.cli.text import printable
from deconvnet.store.picture_index import Pictures
from deconvnet.store.store import Store, open_store
from deconvnet.store.table import LayerTable

from . import said

SHOWN = 10  # failed images told one by one
HEAD = ("layer", "channels", "dead", "NaN", "map", "field", "stride", "pictures")
TOLD = (
    *("format", "format_version", "complete", "k", "order", "model", "weights", "dataset"),
    *("model_fingerprint", "dataset_fingerprint", "transform", "input_size", "batch_shape"),
    *("dtype", "device", "versions", "images_seen", "images_failed"),
)
"""Attributes that have a line of their own, or part of one."""


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Print what the store says of itself."""
    store = open_store(options.store)
    found = described(store)
    if not options.json:
        for line in lines(store, found):
            said(line, options)
    return found


def described(store: Store) -> dict[str, Any]:
    """All of it, for a machine."""
    return {
        "store": str(store.path),
        "bytes": store.path.stat().st_size,
        "attributes": store.attributes,
        "layers": {
            name: _layer(table, store.pictures.get(name)) for name, table in store.layers.items()
        },
        "channels": sum(table.channels for table in store.layers.values()),
        "dead": sum(int(dead(table).sum()) for table in store.layers.values()),
        "images_in_tables": len(store.images),
        "failed": [vars(failed) for failed in store.failed],
    }


def dead(table: LayerTable) -> Any:
    """(channels,) True where no image made the channel positive."""
    return table.nonzero == 0


def _layer(table: LayerTable, pictures: Pictures | None) -> dict[str, Any]:
    return {
        "channels": table.channels,
        "dead": int(dead(table).sum()),
        "dead_channels": np.flatnonzero(dead(table)).tolist(),
        "nan": int(table.nan.sum()),
        "size": table.size,
        "field": table.field,
        "stride": table.stride,
        "patches": pictures is not None,
        "projections": sorted(pictures.projections) if pictures else [],
    }


def lines(store: Store, found: Mapping[str, Any]) -> Iterable[str]:
    """The same for a person."""
    facts = store.attributes
    path, version = printable(str(store.path)), facts["format_version"]
    yield f"{path}: a store of version {version}, {found['bytes']:,} bytes"
    for name, value in _facts(store, found):
        yield f"  {printable(name):<12} {printable(value)}"
    yield ""
    yield from columns([HEAD, *(_row(store, name) for name in store)])
    if store.failed:
        yield ""
        yield f"{len(store.failed)} images could not be used:"
    for failed in store.failed[:SHOWN]:
        yield f"  {failed.index}  {printable(failed.path)}: {printable(failed.reason)}"
    if len(store.failed) > SHOWN:
        yield f"  … and {len(store.failed) - SHOWN} more; --json lists them all"


def _facts(store: Store, found: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    facts = {name: value for name, value in store.attributes.items() if value not in ("", ())}
    yield "model", _with_print(facts.get("model"), facts.get("model_fingerprint"))
    if "weights" in facts:
        yield "weights", str(facts["weights"])
    yield "data", _with_print(facts.get("dataset"), facts.get("dataset_fingerprint"))
    seen, lost = facts.get("images_seen", "?"), facts.get("images_failed", len(store.failed))
    yield "images", f"{seen} seen, {lost} failed; {len(store.images)} of them stand in a table"
    yield (
        "kept",
        f"the {facts['k']} strongest images of {found['channels']} channels"
        + (f", {found['dead']} of which are dead" if found["dead"] else ", none of which is dead"),
    )
    if "input_size" in facts:
        yield (
            "input",
            f"{_by(facts['input_size'])} pixels, {facts.get('transform', 'no transform')}",
        )
    if "batch_shape" in facts:
        how = f"{facts.get('dtype', '?')} on {facts.get('device', '?')}"
        yield "batches", f"{_by(facts['batch_shape'])}, {how}"
    versions = facts.get("versions")
    if isinstance(versions, Mapping):
        yield "made by", ", ".join(f"{name} {version}" for name, version in versions.items())
    for name, value in facts.items():
        if name not in TOLD:
            yield name, str(value)


def _with_print(name: object, fingerprint: object) -> str:
    return f"{name or 'not told'}" + (
        f" (fingerprint {str(fingerprint)[:12]}…)" if fingerprint else ""
    )


def _row(store: Store, name: str) -> tuple[str, ...]:
    table, pictures = store[name], store.pictures.get(name)
    kept = ["patches", *sorted(pictures.projections)] if pictures else ["-"]
    counts = (table.channels, int(dead(table).sum()), int(table.nan.sum()))
    return (
        printable(name),
        *map(str, counts),
        _by(table.size) or "-",
        _by(table.field) or "-",
        _by(table.stride) or "-",
        printable(", ".join(kept)),
    )


def _by(numbers: Any) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def columns(rows: list[tuple[str, ...]]) -> Iterable[str]:
    """Rows of words as aligned lines, the first column to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = [word.rjust(width) for word, width in zip(rest, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells])
