"""``deconvnet layers``: what can be looked at in a model."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from deconvnet.net import DeconvNet, Layer
from deconvnet.projection import receptive_field, unruled
from deconvnet.projection.check.report import check_model
from deconvnet.units import Box
from deconvnet.zoo.load import LoadedModel

from . import load_model, said

HEADER = ("layer", "kind", "channels", "map", "field", "stride", "box")


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Args:
        layer: channels, sizes and receptive field.
        box: the pixels that its central unit sees.
        rule: "yes" for activations that the policy rules, "-" for nodes with nothing to rule, and
            what has no rule at a node or below it.
        unruled: the nodes, on the way down from here, of activations without a rule.
    """

    layer: Layer
    box: Box
    rule: str
    unruled: tuple[str, ...]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Print the table of layers."""
    loaded = load_model(options)
    size = (3, *loaded.preprocessing.size)
    if options.check:
        return _checked(options, loaded, size)
    net = DeconvNet(loaded.model, options.rectifier, elsewhere=options.elsewhere, input_size=size)
    every = _lines(net, size)
    lines = _chosen(_upto(net, every, options.depth), options.kinds)
    if not options.json:
        said(_table(lines, net.policies.rectifier.name), options)
        said(
            f"\n{len(lines)} of {len(every)} layers, for images of {_by(size)}; box: top, left, "
            "bottom, right of what the central unit sees",
            options,
        )
        said("field, stride and box in pixels; a field is at most the image", options)
    return {
        "model": loaded.spec,
        "input_size": size,
        "rectifier": net.policies.rectifier.name,
        "layers": {name: _plain(line) for name, line in lines.items()},
    }


def _checked(
    options: argparse.Namespace, loaded: LoadedModel, size: tuple[int, ...]
) -> dict[str, Any]:
    """Print how far each node is from the model.

    Raises:
        ValueError: one is another than the model's.
    """
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


def _lines(net: DeconvNet, size: tuple[int, ...]) -> dict[str, Line]:
    layers, recording = net.layers, net.geometry(size)
    boxes = receptive_field.central_boxes(recording, list(layers))
    activations = unruled.activations(recording)
    without = unruled.unruled(recording, net.policies)
    return {
        name: Line(layer, boxes[name], _rule(name, activations, without[name]), without[name])
        for name, layer in layers.items()
    }


def _rule(name: str, activations: Mapping[str, str], unruled: Collection[str]) -> str:
    if name in unruled:
        return f"no rule: {activations[name]}"
    if unruled:
        kinds = dict.fromkeys(activations[node] for node in unruled)
        return f"no rule: {', '.join(kinds)} below"
    return "yes" if name in activations else "-"


def _upto(net: DeconvNet, lines: Mapping[str, Line], depth: int | None) -> dict[str, Line]:
    """One line a module at this depth: its last node, which is what its name stands for."""
    if depth is None:
        return dict(lines)
    if depth < 1:
        raise ValueError(f"the depth was {depth}; give 1 or more")
    found = {}
    for name, line in lines.items():
        short = ".".join(name.split(".")[:depth])
        if short != name:
            kind = type(net.model.get_submodule(short)).__name__
            line = replace(line, layer=replace(line.layer, kind=kind))
        found[short] = line
    return found


def _chosen(lines: Mapping[str, Line], kinds: list[str] | None) -> dict[str, Line]:
    there = dict.fromkeys(line.layer.kind for line in lines.values())
    unknown = [kind for kind in kinds or () if kind not in there]
    if unknown:
        raise ValueError(
            f"no layer is of kind {', '.join(map(repr, unknown))}; here are {', '.join(there)}"
        )
    return {name: line for name, line in lines.items() if not kinds or line.layer.kind in kinds}


def _table(lines: Mapping[str, Line], policy: str) -> str:
    rows = [(*HEADER, policy), *(_cells(name, line) for name, line in lines.items())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    texts = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in _in_groups(rows, texts, "-" * len(texts[0])))


def _in_groups(rows: list[tuple[str, ...]], texts: list[str], rule: str) -> Iterator[str]:
    """The lines of the table, with an empty one around each of the model's own parts."""
    yield from (texts[0], rule)
    last = ""
    for row, text in zip(rows[1:], texts[1:], strict=True):
        part = row[0].split(".")[0] if "." in row[0] else ""
        if part != last and text is not texts[1]:
            yield ""
        last = part
        yield text


def _cells(name: str, line: Line) -> tuple[str, ...]:
    layer = line.layer
    return (
        name,
        layer.kind,
        str(layer.channels),
        _by(layer.size) or "-",
        _by(layer.field),
        _by(layer.stride) if layer.size else "-",
        ",".join(map(str, (*line.box.start, *line.box.stop))),
        line.rule,
    )


def _plain(line: Line) -> dict[str, Any]:
    box = (*line.box.start, *line.box.stop)
    return {**asdict(line.layer), "box": box, "rule": line.rule, "unruled": line.unruled}


def _by(numbers: tuple[float, ...]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)
