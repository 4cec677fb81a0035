"""``deconvnet layers``: what can be looked at in a model."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from deconvnet.commands import load_model, said
from deconvnet.mirror import DeconvNet, Layer


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Print the table of layers."""
    loaded = load_model(options)
    size = (3, *loaded.preprocessing.size)
    net = DeconvNet(loaded.model, "identity", input_size=size)
    layers = net.layers
    if not options.json:
        said(_table(layers, size), options)
    return {
        "model": loaded.spec,
        "input_size": size,
        "layers": {name: asdict(layer) for name, layer in layers.items()},
    }


def _table(layers: Any, size: tuple[int, ...]) -> str:
    rows = [("layer", "kind", "channels", "map", "field", "stride")]
    rows += [(name, *_cells(layer)) for name, layer in layers.items()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    note = f"for images of {_by(size)}; field and stride in pixels, a field is at most the image"
    return "\n".join([*(line.rstrip() for line in lines), "", note])


def _cells(layer: Layer) -> tuple[str, ...]:
    return (
        layer.kind,
        str(layer.channels),
        _by(layer.size) or "-",
        _by(layer.field),
        _by(layer.stride) if layer.size else "-",
    )


def _by(numbers: tuple[int, ...]) -> str:
    return " x ".join(map(str, numbers))
