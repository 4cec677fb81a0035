"""What a model looks like as a table: its layers, and its mirror from top to bottom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from deconvnet.arguments import brief, by, counted, cut, html_table
from deconvnet.graph.graph import Graph
from deconvnet.graph.modes import evaluation
from deconvnet.layers import Policies, UnmirroredError

from . import receptive_field
from .geometry import Geometry, Step

HEADS = ("node", "kind", "its mirror", "remembers", "size", "field")


@dataclass(frozen=True)
class Layer:
    """What a layer looks like for images of one size.

    Args:
        channels: number of feature maps.
        size: size of a map; empty for layers without positions.
        field: size of the receptive field in pixels, at most the image's; the largest one where
            those of neighbouring units differ, as they do after up-sampling.
        stride: pixels a cell, from the field of one unit to the next; on average, and maybe a
            fraction, after up-sampling.
        kind: "Conv2d", "ReLU", "add".
    """

    channels: int
    size: tuple[int, ...]
    field: tuple[int, ...]
    stride: tuple[float, ...]
    kind: str


class Layers(dict[str, Layer]):
    """{node name: Layer}, which shows itself as a table in a notebook."""

    def __repr__(self) -> str:
        names = list(self)
        ends = f"{names[0]} … {names[-1]}" if len(names) > 1 else "".join(names)
        return brief("Layers", f"{len(self)}", cut(ends, 300))

    def _repr_html_(self) -> str:
        heads = ("layer", "kind", "channels", "size", "field", "stride")
        rows = (
            (name, one.kind, one.channels, by(one.size), by(one.field), by(one.stride))
            for name, one in self.items()
        )
        return html_table(
            counted(len(self), "layer"), heads, rows, note="field and stride in pixels"
        )


def layers_of(graph: Graph, geometry: Geometry) -> Layers:
    """Every node that has feature maps, in forward order.

    Args:
        graph: the model.
        geometry: of images of one size, of all nodes.
    """
    names = [s.name for s in geometry.steps if len(geometry.sizes.get(s.name, ())) >= 2]
    layers = Layers()
    for name, field in receptive_field.of_layers(geometry, names).items():
        _, channels, *places = geometry.sizes[name]
        kind = graph.nodes[name].kind
        layers[name] = Layer(channels, tuple(places), field.size, field.stride, kind)
    return layers


def unknown_size(size: Sequence[int], error: ValueError) -> ValueError:
    """The error of a model whose images have another size than the usual one."""
    return ValueError(
        f"no size of images was given, and the model takes none of {by(size)}; give DeconvNet("
        f"model, input_size=(channels, *size)), or call net.layers_at((channels, *size)): {error}"
    )


def mirror_table(
    graph: Graph,
    geometry: Geometry,
    policies: Policies,
    layers: Mapping[str, Layer],
) -> Iterator[tuple[str, ...]]:
    """Rows of the mirrored network in the order in which a signal passes it: see ``HEADS``.

    Args:
        graph: the model.
        geometry: of images of one size, of all nodes.
        policies: the rules of the mirror.
        layers: for the same size.
    """
    like = next(graph.model.parameters(), torch.empty(0))
    with torch.no_grad(), evaluation(graph.model):
        for step in reversed(geometry.steps):
            does, remembers = _mirror_of(step, geometry, policies, like)
            size, layer = geometry.sizes.get(step.name, ()), layers.get(step.name)
            field = by(layer.field) if layer else ""
            yield step.name, graph.nodes[step.node].kind, does, remembers, by(size[1:]), field
    pixels = by(geometry.sizes[geometry.input][1:])
    yield geometry.input, "images", "the projection: a signed signal", "", pixels, ""


def _mirror_of(step: Step, geometry: Geometry, policies: Policies, like: Tensor) -> tuple[str, str]:
    """What the mirror of a node does, and what it remembers, in words."""
    try:
        layer = step.layer.under(policies)
    except UnmirroredError:
        return f"no rule for {step.layer.activation_name}; give fallback=", ""
    record, sources = step.record, [geometry.sizes.get(str(name)) for name in step.sources]
    if layer is not step.layer and None not in sources:  # the policies decide what is remembered
        record = layer.record(*(like.new_zeros(size) for size in sources if size is not None))[1]
    return layer.mirror_in_words, record.in_words


def mirror_html(
    title: str,
    graph: Graph,
    geometry: Geometry,
    policies: Policies,
    layers: Mapping[str, Layer],
) -> str:
    """``mirror_table`` as HTML for a notebook."""
    rows = mirror_table(graph, geometry, policies, layers)
    size = by(geometry.sizes[geometry.input][1:])
    note = f"for images of {size}; a signal passes the table from top to bottom"
    return html_table(title, HEADS, rows, note=note)
