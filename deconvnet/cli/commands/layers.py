"""``deconvnet layers``: the layers of a model, with sizes, receptive fields and rules."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

import torch

from deconvnet.arguments import by, counted
from deconvnet.cli.text import columns
from deconvnet.net import DeconvNet
from deconvnet.projection import receptive_field, unruled
from deconvnet.projection.check.report import check_model
from deconvnet.zoo.load import LoadedModel

from . import check, load_model, mirrored, said

HEADER = ("layer", "kind", "channels", "map", "field", "stride", "box")
_Rows = dict[str, dict[str, Any]]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Print the table of layers."""
    check(options)
    loaded = load_model(options)
    size = loaded.shape
    if options.check:
        return _checked(options, loaded, size)
    net = mirrored(loaded, options)
    every = _rows(net, size)
    rows = _chosen(_upto(net, every, options.depth), options.kinds)
    rectifier = str(net.policies.rectifier)
    if not options.json:
        said(_table(rows, rectifier), options)
        shown = f"{len(rows)} of {counted(len(every), 'layer')}, for images of {by(size)}"
        box = "box: top, left, bottom, right of what the central unit sees"
        said(f"\n{shown}; {box}", options)
        said("field, stride and box in pixels; a field is at most the image", options)
    return {"model": loaded.spec, "input_size": size, "rectifier": rectifier, "layers": rows}


def _checked(
    options: argparse.Namespace, loaded: LoadedModel, size: tuple[int, ...]
) -> dict[str, Any]:
    """Print the difference of each node from the model; a node that differs is an error."""
    noise = torch.randn((2, *size), generator=torch.Generator().manual_seed(0))
    report = check_model(loaded.model, noise)
    if not options.json:
        said(str(report), options)
    if not report.ok:
        wrong = [row.name for row in report.rows if not row.ok]
        raise ValueError(
            f"the graph of {loaded.spec} is not the model: {report.error or ', '.join(wrong)}"
        )
    rows = [{"node": r.name, "kind": r.kind, "difference": r.difference} for r in report.rows]
    return {"model": loaded.spec, "input_size": size, "read_by": report.reader, "checked": rows}


def _rows(net: DeconvNet, size: tuple[int, ...]) -> _Rows:
    """For each layer: sizes, the box of its central unit, and activations without a rule."""
    layers, geometry = net.layers_at(size), net.geometry(size)
    boxes = receptive_field.central_boxes(geometry, list(layers))
    activations = unruled.activations(geometry)
    without = unruled.unruled(geometry, net.policies)
    return {
        name: asdict(layer)
        | {"box": boxes[name].edges, "rule": _rule(name, activations, without[name])}
        | {"unruled": without[name]}
        for name, layer in layers.items()
    }


def _rule(name: str, activations: Mapping[str, str], unruled: Collection[str]) -> str:
    """Activations without a rule at a node or below it; else "yes" or, if it is none, "-"."""
    if name in unruled:
        return f"no rule: {activations[name]}"
    if unruled:
        kinds = dict.fromkeys(activations[node] for node in unruled)
        return f"no rule: {', '.join(kinds)} below"
    return "yes" if name in activations else "-"


def _upto(net: DeconvNet, rows: _Rows, depth: int | None) -> _Rows:
    """One row for each module at this depth of names: that of its last node, its output."""
    if depth is None:
        return rows
    if depth < 1:
        raise ValueError(f"the depth was {depth}; give 1 or more")
    modules = {}
    for name, row in rows.items():
        short = ".".join(name.split(".")[:depth])
        kind = row["kind"] if short == name else type(net.model.get_submodule(short)).__name__
        modules[short] = row | {"kind": kind}
    return modules


def _chosen(rows: _Rows, kinds: list[str] | None) -> _Rows:
    there = dict.fromkeys(row["kind"] for row in rows.values())
    unknown = [kind for kind in kinds or () if kind not in there]
    if unknown:
        raise ValueError(
            f"no layer is of kind {', '.join(map(repr, unknown))}; here are {', '.join(there)}"
        )
    return {name: row for name, row in rows.items() if not kinds or row["kind"] in kinds}


def _table(rows: _Rows, policy: str) -> str:
    """Aligned lines, with an empty line between the model's top-level modules."""
    cells = [(*HEADER, policy), *(_cells(name, row) for name, row in rows.items())]
    head, *texts = columns(cells)
    parts = [name.split(".")[0] if "." in name else "" for name in rows]
    lines = [head.rstrip(), "-" * len(head)]
    for text, part, before in zip(texts, parts, parts[:1] + parts, strict=False):
        lines += [text.rstrip()] if part == before else ["", text.rstrip()]
    return "\n".join(lines)


def _cells(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    return (
        name,
        row["kind"],
        str(row["channels"]),
        by(row["size"]) or "-",
        by(row["field"]),
        by(row["stride"]) if row["size"] else "-",
        ",".join(map(str, row["box"])),
        row["rule"],
    )
