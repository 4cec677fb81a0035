"""The cone of a unit: of every node below it only the windows that the unit sees.

The values of units of one layer are made, and their signals carried down, on windows of equal size
that lie where each unit looks, inside of the maps. A layer that looks over the border finds there
what its own padding would have put there, and no signal comes back from there: the result is that
of the whole maps. A node that sees all of its map is run on whole maps, and so is all below it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deconvnet.graph.graph import Graph
from deconvnet.graph.hooks import make_weights
from deconvnet.graph.interpreter import execute
from deconvnet.graph.modes import evaluation
from deconvnet.graph.node import Node, arguments
from deconvnet.layers import Crop, Inside, Interval, Policies, UnmirroredError, Window
from deconvnet.layers.linear import Linear
from deconvnet.layers.window import whole

from .forward import Recorder, Recording, Step, bind


@dataclass(frozen=True, eq=False)
class Cone:
    """Where units of one layer look, in every node below it.

    Args:
        layer: of the units.
        input: the node that is the images.
        rows: (units,) the image of each unit.
        held: {node: windows of its value}, the images among them; what has none is whole.
        seen: {node: windows of each of its inputs}, of the nodes that run on windows.
        outside: {node: what stands in its inputs where a window leaves the map}, of the same;
            None where it makes no difference.
        steps: {node: step of a recording of whole maps}, of every node below the units.
        sizes: {node: size of its whole value}, of the same and the images.
    """

    layer: str
    input: str
    rows: NDArray[np.int64]
    held: Mapping[str, Crop]
    seen: Mapping[str, tuple[Crop, ...]]
    outside: Mapping[str, float | None]
    steps: Mapping[str, Step]
    sizes: Mapping[str, torch.Size]

    def among(self, images: Sequence[int]) -> Cone:
        """The same where only these images are there, in this order.

        A copy, whose crops remember what they work out no longer than it lives.
        """
        rows = np.searchsorted(np.asarray(images), self.rows)
        held = {node: replace(crop, rows=rows) for node, crop in self.held.items()}
        seen = {
            node: tuple(replace(crop, rows=rows) for crop in crops)
            for node, crops in self.seen.items()
        }
        return replace(self, rows=rows, held=held, seen=seen)

    @property
    def alone(self) -> bool:
        """Whether all nodes run on windows, none on whole images."""
        return set(self.steps) <= set(self.seen)

    def lies(self, node: str) -> Crop:
        """The windows of a node's value; everything where it has none."""
        return self.held.get(node) or Crop.whole(self.rows, self.sizes[node][2:])

    def multiply_adds(self) -> tuple[int, int]:
        """Of the way up or down on windows, for each unit; and on whole maps, for each image."""
        windows = wholes = 0
        for node, step in self.steps.items():
            if node in self.seen:
                windows += step.layer.multiply_adds(self.held[node].size)
            else:
                wholes += counted([step], self.sizes)
        return windows, wholes

    @property
    def largest(self) -> int:
        """Numbers in the largest value that a unit needs."""
        counts = []
        for node, size in self.sizes.items():
            crop = self.held.get(node)
            counts.append(math.prod(size[1:2] + crop.size if crop else size[1:]))
        return max(1, *counts)


def cone_of(
    recording: Recording,
    layer: str,
    positions: NDArray[np.int64],
    *,
    rows: NDArray[np.int64],
    policies: Policies,
    graph: Graph | None = None,
) -> Cone:
    """Where units look, from their layer down to the images.

    Args:
        recording: of images of this size up to the layer, under any policies.
        layer: of the units.
        positions: (units, axes) in its maps.
        rows: (units,) the image of each unit.
        policies: under which the signal will travel.
        graph: the model, if its values will be made on windows too: what reads the size of a
            value must find it whole.

    Raises:
        UnmirroredError: an activation on the way has no rule.
    """
    asked: dict[str, list[Window | None]] = defaultdict(list)
    asked[layer].append(tuple(Interval.at(place) for place in positions.T))
    for name in _unmirrored(graph, layer, {step.name for step in recording.steps}):
        asked[name].append(None)
    held: dict[str, Crop] = {}
    seen: dict[str, tuple[Crop, ...]] = {}
    outside: dict[str, float | None] = {}
    below = {}
    for step in reversed(recording.steps):
        if step.name not in asked:
            continue
        below[step.name] = step
        crop = _hull(asked[step.name], recording.sizes.get(step.name), rows)
        inside = None if crop is None else _inside(step, recording.sizes, policies)
        if crop is None or inside is None:
            for source in filter(None, step.sources):
                asked[source].append(None)
            continue
        held[step.name], outside[step.name] = crop, inside.outside
        windows = step.layer.window((*whole(2), *crop.window), step.record)
        parts = []
        for source, window in zip(map(str, step.sources), windows, strict=True):
            parts.append(Crop.covering(window[2:], recording.sizes[source][2:], rows))
            asked[source].append(parts[-1].window)
        seen[step.name] = tuple(parts)
    crop = _hull(asked[recording.input], recording.sizes[recording.input], rows)
    if crop is not None:
        held[recording.input] = crop
    sizes = {node: recording.sizes[node] for node in asked if node in recording.sizes}
    return Cone(layer, recording.input, rows, held, seen, outside, below, sizes)


def counted(steps: Iterable[Step], sizes: Mapping[str, torch.Size]) -> int:
    """Multiply-adds of the way up, or down, on the whole maps of one image."""
    return sum(step.layer.multiply_adds(_places(step, sizes.get(step.name))) for step in steps)


def _places(step: Step, size: torch.Size | None) -> tuple[int, ...]:
    """Places of a value of (1, channels, *maps), or of the (1, ..., features) of a matrix."""
    if size is None:
        return (0,)
    return tuple(size[1:-1] if isinstance(step.layer, Linear) else size[2:])


def _unmirrored(graph: Graph | None, layer: str, mirrored: set[str]) -> set[str]:
    """What is read by nodes that carry no signal."""
    nodes = [] if graph is None else graph.upto([layer])
    return {source for node in nodes if node.name not in mirrored for source in node.sources}


def _hull(
    windows: Sequence[Window | None], size: torch.Size | None, rows: NDArray[np.int64]
) -> Crop | None:
    """Windows of one size inside of a map, over all that is asked for; None for the whole map."""
    if size is None or len(size) < 3 or not windows or None in windows:
        return None
    maps = size[2:]
    crops = [Crop.covering(window, maps, rows) for window in windows if window is not None]
    ends = [crop.starts + np.asarray(crop.size) for crop in crops]
    starts = np.clip(np.min([crop.starts for crop in crops], axis=0), 0, maps)
    stops = np.clip(np.max(ends, axis=0), starts, maps)
    lengths = (stops - starts).max(0, initial=1)
    if math.prod(lengths.tolist()) >= math.prod(maps):
        return None
    starts = np.minimum(starts, maps - lengths)  # the smaller ones begin earlier, inside the map
    return Crop(rows, starts, tuple(lengths.tolist()), tuple(maps))


def _inside(step: Step, sizes: Mapping[str, torch.Size], policies: Policies) -> Inside | None:
    """How a node runs on windows; None for one that runs on whole maps."""
    if any(source is None or len(sizes.get(source, ())) < 3 for source in step.sources):
        return None
    try:
        return step.layer.under(policies).inside(step.record)
    except UnmirroredError as error:
        raise UnmirroredError(f"at {step.name}: {error}") from None


def ascend(
    graph: Graph, images: Tensor, cone: Cone, policies: Policies
) -> tuple[list[Step], Tensor]:
    """Run images up to the units, on windows wherever the cone has them.

    Args:
        graph: the model.
        images: (batch, channels, *size).
        cone: of units of these images.
        policies: they decide what is remembered.

    Returns:
        The steps; and the value of the units' layer, (units, channels, *size of the windows).
    """
    recorder = Recorder(graph, policies)

    def run(node: Node, values: dict[str, Any], readers: Mapping[str, int]) -> Any:
        if node.name not in cone.seen:
            return recorder.run(node, values, readers)
        known = cone.steps[node.name]
        given = {
            source: _cut(values[source], source, crop, cone, cone.outside[node.name])
            for source, crop in zip(map(str, known.sources), cone.seen[node.name], strict=True)
        }
        # read anew, since the user may have given the model other parameters
        if node.module is not None:
            make_weights(node.module)
        bound = bind(node, *arguments(node, graph.names, {**values, **given}), given)
        assert bound is not None, "the table has read this node before"
        layer, inputs, sources = bound
        inside = layer.under(policies).inside(known.record)
        assert inside is not None, "the layer is of the kind that it was"
        with node.state.entered():
            output, kept = inside.layer.record(*inputs)
        recorder.carriers.add(node.name)
        step = Step(node.name, inside.layer, kept, sources, node.state, known.dtypes)
        recorder.steps.append(step)
        return output

    top: Tensor | None = None
    with torch.no_grad(), evaluation(graph.model):
        for node, value in execute(graph, images, graph.upto([cone.layer]), run):
            if node.name == cone.layer:
                top = value
    assert top is not None, "the layer was among the nodes"
    return recorder.steps, top


def _cut(value: Tensor, source: str, crop: Crop, cone: Cone, outside: float | None) -> Tensor:
    """The windows that a node sees of a value, with its padding where they leave the map."""
    held = cone.held.get(source) if source in cone.seen else None
    return (crop.within(held) if held else crop).of(value, outside or 0.0)
