"""The cone of a unit: the windows that it sees in every node below it.

The values of units of one layer are made, and their signals carried down, on windows of equal size
that lie where each unit looks. A window may hold cells outside of the map, with anything in them: a
layer that looks at several places finds there what its own padding would have put there, and no
signal comes back from there: the result is that of the whole maps. A node that sees all of its map
is run on whole maps, and so is all below it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from deconvnet.arguments import Brief
from deconvnet.graph.graph import Graph
from deconvnet.layers import Crop, Inside, Policies, UnmirroredError, Window
from deconvnet.layers.window import Interval, unseen

from .geometry import Geometry, Step

Unseen = tuple[torch.Size, torch.dtype]


@dataclass(frozen=True, eq=False)
class Cone(Brief):
    """Where units of one layer look, in every node below it; mappings are by node."""

    layer: str  # of the units
    input: str  # the node that is the images
    rows: NDArray[np.int64]  # (units,) the image of each unit
    held: Mapping[str, Crop]  # windows of its value, the images among them; what has none is whole
    seen: Mapping[str, tuple[Crop, ...]]  # windows of each input, of nodes that run on windows
    # of each input of the same, what its windows would be if no unit sees their channels
    unseen: Mapping[str, tuple[Unseen | None, ...]]
    # what stands in their inputs where a window leaves the map; None where it makes no difference
    outside: Mapping[str, float | None]
    steps: Mapping[str, Step]  # steps of whole maps, of every node below the units
    sizes: Mapping[str, torch.Size]  # of whole values, of the same and the images
    left: frozenset[str]  # steps that no unit sees

    def among(self, images: Sequence[int]) -> Cone:
        """The same cone for a batch of these images alone, in ascending order.

        A copy, whose crops remember what they work out no longer than it lives. What those of one
        unit remember is little: its cone is the same where the unit's image is.
        """
        rows, moved = np.searchsorted(np.asarray(images), self.rows), dict[int, Crop]()
        if len(rows) == 1 and rows[0] == self.rows[0]:
            return self

        def at(crop: Crop) -> Crop:
            if id(crop) not in moved:
                moved[id(crop)] = replace(crop, rows=rows)
            return moved[id(crop)]

        held = {node: at(crop) for node, crop in self.held.items()}
        seen = {node: tuple(map(at, crops)) for node, crops in self.seen.items()}
        return replace(self, rows=rows, held=held, seen=seen)

    @cached_property
    def places(self) -> dict[str, tuple[Crop | None, ...]]:
        """{node: where the windows of its inputs lie in what is held of these; None: all of it}."""
        sources = {name: self.steps[name].sources for name in self.seen}
        return {
            name: tuple(map(self._place, sources[name], crops)) for name, crops in self.seen.items()
        }

    def _place(self, source: str | None, crop: Crop) -> Crop | None:
        held = self.lies.get(str(source), crop)  # nothing is held of a source that no unit sees
        place = None if crop is held else crop.within(held)
        return None if place is None or place.everything else place

    @cached_property
    def lies(self) -> dict[str, Crop]:
        """{node: windows of its value}, of every node; all of it where it has none."""
        whole = {node: size[2:] for node, size in self.sizes.items() if node not in self.held}
        return {**self.held, **{node: Crop.whole(self.rows, maps) for node, maps in whole.items()}}

    def looks_around(self, node: str) -> bool:
        """Whether a node on windows looks at other places of its inputs than its own."""
        return any(crop is not self.held[node] for crop in self.seen[node])

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one pass, forward or backward, on the windows of one unit."""
        sizes = {node: self.held[node].sized(self.sizes[node]) for node in self.seen}
        return sum(self.steps[n].layer.multiply_adds(size) or 0 for n, size in sizes.items())

    @property
    def wholes(self) -> set[str]:
        """The nodes below the units that run on whole maps."""
        return set(self.steps) - set(self.seen)

    @property
    def largest(self) -> int:
        """The element count of the largest value that a unit needs."""
        counts = []
        for node, size in self.sizes.items():
            crop = self.held.get(node)
            counts.append(math.prod(size[1:2] + crop.size if crop else size[1:]))
        return max(1, *counts)


def cone_of(
    geometry: Geometry,
    layer: str,
    positions: NDArray[np.int64],
    *,
    rows: NDArray[np.int64],
    policies: Policies,
    channels: NDArray[np.int64] | None = None,
    graph: Graph | None = None,
) -> Cone:
    """Where units look, from their layer down to the images.

    What is joined along the channels is needed where a unit's own channels are: of a branch that
    no unit sees nothing is run.

    Args:
        geometry: of images of this size up to the layer.
        layer: of the units.
        positions: (units, axes) in its maps.
        rows: (units,) the image of each unit.
        policies: under which the signal will travel.
        channels: (units,) of each, if only what this one is made of counts; None for all.
        graph: the model, if its values will be made on windows too: what reads the size of a
            value must find it whole.

    Raises:
        UnmirroredError: an activation on the way has no rule.
    """
    asked: dict[str, list[Crop | None]] = defaultdict(list)
    parts: dict[str, Interval] = {}  # the channels that are asked for

    def ask(node: str, crop: Crop | None, channel: Interval) -> None:
        parts[node] = parts[node].union(channel) if node in parts else channel
        asked[node].append(crop)

    maps, everything = geometry.sizes[layer][2:], Interval.whole()
    placed = positions.shape[1] == len(maps) > 0
    # what is recorded of whole maps ends at their borders, and layers of users' own know no other
    within = {step.name for step in geometry.steps if graph is None or _is_own(graph, step)}
    top = Crop(rows, positions, (1,) * len(maps), tuple(maps)) if placed else None
    ask(layer, top, everything if channels is None else Interval.at(channels))
    for name in _unmirrored(graph, layer, {step.name for step in geometry.steps}):
        ask(name, None, everything)
    held: dict[str, Crop] = {}
    seen: dict[str, tuple[Crop, ...]] = {}
    hidden: dict[str, tuple[Unseen | None, ...]] = {}
    outside: dict[str, float | None] = {}
    below = {}
    for step in reversed(geometry.steps):
        if step.name not in asked:
            continue
        below[step.name] = step
        crop = _hull(asked[step.name], geometry.sizes.get(step.name), rows, step.name not in within)
        inside = None if crop is None else _inside(step, geometry.sizes, policies)
        if crop is None or inside is None:
            for source in filter(None, step.sources):
                ask(source, None, everything)
            continue
        held[step.name], outside[step.name] = crop, inside.outside
        windows = step.layer.window((everything, parts[step.name], *crop.window), step.record)
        pairs = list(zip(map(str, step.sources), windows, strict=True))
        crops = [_seen(w[2:], crop, geometry.sizes[source][2:], rows) for source, w in pairs]
        seen[step.name] = tuple(crops)
        looked_at = {source for source, window in pairs if not unseen(window[1:2])}
        if not looked_at:  # one is kept, to know where the numbers are
            looked_at = {source for source, _ in pairs}
        hidden[step.name] = tuple(
            None
            if source in looked_at
            else (own.sized(geometry.sizes[source]), geometry.dtypes[source])
            for (source, _), own in zip(pairs, crops, strict=True)
        )
        for (source, window), own in zip(pairs, crops, strict=True):
            if source in looked_at:
                ask(source, own, window[1])
    crop = _hull(asked[geometry.input], geometry.sizes[geometry.input], rows, graph is not None)
    if crop is not None:
        held[geometry.input] = crop
    sizes = {node: geometry.sizes[node] for node in asked if node in geometry.sizes}
    left = frozenset(step.name for step in geometry.steps if step.name not in below)
    return Cone(layer, geometry.input, rows, held, seen, hidden, outside, below, sizes, left)


def _unmirrored(graph: Graph | None, layer: str, mirrored: set[str]) -> set[str]:
    """The nodes that are read by others which carry no signal."""
    nodes = [] if graph is None else graph.upto([layer])
    return {source for node in nodes if node.name not in mirrored for source in node.sources}


def _is_own(graph: Graph, step: Step) -> bool:
    """Whether a node has a mirror of the user's own."""
    node = graph.nodes[step.node]
    return graph.mirrors.is_own(node.module, node.call.target)


def _seen(window: Window, crop: Crop, maps: Sequence[int], rows: NDArray[np.int64]) -> Crop:
    """The crop that covers a window; the node's own where it looks at the same places."""
    alike = len(window) == len(crop.window) and crop.maps == tuple(maps)
    if alike and all(one is own for one, own in zip(window, crop.window, strict=True)):
        return crop
    return Crop.covering(window, maps, rows)


def _hull(
    asked: Sequence[Crop | None], size: torch.Size | None, rows: NDArray[np.int64], alike: bool
) -> Crop | None:
    """Windows of one size over all that is asked for in a map; None for the whole map.

    ``alike``: where it makes them no larger, all windows lie alike around what their units ask for,
    across the border too; else inside of the map, those at its border nearer to its middle.
    """
    if size is None or len(size) < 3 or not asked or None in asked:
        return None
    maps, first = size[2:], asked[0]
    assert first is not None, "none of them is"
    if not first.leaves and all(crop is first for crop in asked):
        return None if math.prod(first.size) >= math.prod(maps) else first
    starts, stops = first.starts, first.starts + np.asarray(first.size)
    for crop in filter(None, asked[1:]):
        starts = np.minimum(starts, crop.starts)
        stops = np.maximum(stops, crop.starts + np.asarray(crop.size))
    inner = np.minimum(np.maximum(starts, 0), maps)
    lengths = (np.minimum(np.maximum(stops, inner), maps) - inner).max(0, initial=1)
    if math.prod(lengths.tolist()) >= math.prod(maps):
        return None
    inner = np.minimum(inner, maps - lengths)  # the smaller ones begin earlier, inside the map
    if alike:
        near = ((starts > -lengths) & (starts < maps)).all(0)  # none lies far outside
        inner = np.where(near & ((stops - starts).max(0) == lengths), starts, inner)
    if tuple(lengths.tolist()) == first.size and not (inner != first.starts).any():
        return first
    return Crop(rows, inner, tuple(lengths.tolist()), tuple(maps))


def _inside(step: Step, sizes: Mapping[str, torch.Size], policies: Policies) -> Inside | None:
    """How a node runs on windows; None for one that runs on whole maps."""
    if any(source is None or len(sizes.get(source, ())) < 3 for source in step.sources):
        return None
    try:
        return step.layer.under(policies).inside(step.record)
    except UnmirroredError as error:
        raise UnmirroredError(f"at {step.name}: {error}") from None
