"""Run a model again where a box of its image has changed: the cone of the box, upward.

Of a node that looks at its input through windows, only the cells that see the box can change. They
are run again on crops that include their halo, cut from the values of the unchanged image with the
changed cells pasted in. A node that looks at all of its map runs whole, and so does all above it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deconvnet.graph.graph import Graph
from deconvnet.graph.hooks import hooks_see
from deconvnet.graph.interpreter import execute
from deconvnet.graph.modes import evaluation
from deconvnet.graph.node import Node, arguments, run_call
from deconvnet.layers import Crop, Interval, Policies
from deconvnet.layers.crop import layout
from deconvnet.layers.window import whole

from .binding import bind
from .geometry import Geometry, Step

_POLICIES = Policies.of("gradient", None)  # which has a rule for every activation


@dataclass(frozen=True, eq=False)
class Change:
    """Which cells of every node some boxes of an image reach; mappings are by node."""

    held: Mapping[str, Crop]  # the cells that are run again, the boxes in the image among them
    seen: Mapping[str, tuple[Crop, ...]]  # windows of each input that these cells look at
    steps: Mapping[str, Step]  # of the whole maps

    @property
    def boxes(self) -> int:
        """How many boxes there are."""
        return len(next(iter(self.held.values())).rows)


class Rerun:
    """One image, of which many boxes are changed, one at a time.

    Args:
        graph: the model, read by torch.fx, without hooks that see values (see ``possible``).
        geometry: of one image of this size, up to the layers.
        image: (1, channels, *size), unchanged.
        layers: whose values are asked for.
    """

    def __init__(
        self, graph: Graph, geometry: Geometry, image: Tensor, *, layers: Sequence[str]
    ) -> None:
        self.graph, self.geometry, self.layers = graph, geometry, list(layers)
        self.nodes = graph.upto(layers)
        self._unchanged: dict[str, Tensor] = {}
        image = image.contiguous(memory_format=layout(image))
        with torch.no_grad(), evaluation(graph.model):
            for node, value in execute(graph, image, self.nodes, self._plain):
                if isinstance(value, Tensor):
                    self._unchanged[node.name] = value

    @staticmethod
    def possible(graph: Graph) -> bool:
        """Whether the graph holds for any batch, and no hook must see whole values."""
        return graph.reader == "torch.fx" and not hooks_see(graph)

    def unchanged(self, layer: str) -> Tensor:
        """(1, channels, *size): the layer's value for the image as it was given."""
        return self._unchanged[layer]

    def of(self, starts: NDArray[np.int64], boxes: Tensor) -> dict[str, Tensor]:
        """The layers' values with the pixels of a box replaced.

        Args:
            starts: (boxes, axes) the first pixel of each box, which lies within the image.
            boxes: (boxes, channels, *size of the boxes), the new pixels.

        Returns:
            {layer: (boxes, channels, *size)}.
        """
        change = reached(self.geometry, starts, tuple(boxes.shape[2:]))

        def run(node: Node, values: dict[str, Any], readers: Mapping[str, int]) -> Any:
            if node.name in change.seen:
                return self._on_windows(node, values, change)
            return self._plain(node, {**values, **self._wholes(node, values, change)}, readers)

        given: dict[str, Tensor] = {}
        with torch.no_grad(), evaluation(self.graph.model):
            for node, value in execute(self.graph, boxes, self.nodes, run):
                if node.name in self.layers:
                    given[node.name] = self._whole(node.name, value, change)
        return given

    def _plain(self, node: Node, values: dict[str, Any], readers: Mapping[str, int]) -> Any:
        """By the model's own module or function; what it writes into is a copy."""
        if node.mutates and isinstance(values[node.sources[0]], Tensor):
            values = {**values, node.sources[0]: values[node.sources[0]].clone()}
        return run_call(node, *arguments(node, self.graph.names, values))

    def _wholes(self, node: Node, values: dict[str, Any], change: Change) -> dict[str, Tensor]:
        """The whole values of what a node reads and what was run on windows."""
        held = [source for source in set(node.sources) if source in change.held]
        return {source: self._whole(source, values[source], change) for source in held}

    def _whole(self, name: str, value: Tensor, change: Change) -> Tensor:
        if name not in change.held:
            return value
        unchanged, crop = self._unchanged[name], change.held[name]
        every = Crop.whole(crop.rows, unchanged.shape[2:])
        maps = unchanged.repeat(change.boxes, *[1] * (unchanged.ndim - 1))
        return every.within(crop).paste(value, maps)

    def _on_windows(self, node: Node, values: dict[str, Any], change: Change) -> Any:
        step, cut = change.steps[node.name], {}
        rule = step.layer.under(_POLICIES).inside(step.record)
        assert rule is not None, "only such layers have windows"
        for source, crop in zip(map(str, step.sources), change.seen[node.name], strict=True):
            around = crop.of(self._unchanged[source], rule.outside or 0.0)
            if change.boxes == 1:
                around = around.clone()  # it may be a view of what is kept
            cut[source] = crop.within(change.held[source]).paste(values[source], around)
        call = arguments(node, self.graph.names, {**values, **cut})
        with node.state.entered():
            bound = bind(self.graph, node, call, cut)
            assert bound is not None, "the table knew it before"
            inside = bound[0].under(_POLICIES).inside(step.record)
            assert inside is not None, "the layer is of the kind that it was"
            return inside.layer.record(*bound[1])[0]


def reached(geometry: Geometry, starts: NDArray[np.int64], size: tuple[int, ...]) -> Change:
    """Which cells of every node see boxes of the image.

    Args:
        geometry: of images of this size.
        starts: (boxes, axes) the first pixel of each box.
        size: of every box, in pixels.
    """
    rows, steps = np.zeros(len(starts), dtype=np.int64), {}
    maps = tuple(geometry.sizes[geometry.input][2:])
    held, seen = {geometry.input: Crop(rows, starts, size, maps)}, {}
    for step in geometry.steps:
        crop = _cells(step, geometry, held)
        if crop is None:
            continue
        windows = step.layer.window((*whole(2), *crop.window), step.record)
        pairs = zip(map(str, step.sources), windows, strict=True)
        seen[step.name] = tuple(
            Crop.covering(window[2:], geometry.sizes[source][2:], rows) for source, window in pairs
        )
        held[step.name], steps[step.name] = crop, step
    return Change(held, seen, steps)


def _cells(step: Step, geometry: Geometry, held: Mapping[str, Crop]) -> Crop | None:
    """The cells of a node that see changed cells of its inputs; None if it must run whole."""
    maps = tuple(geometry.sizes.get(step.name, torch.Size(()))[2:])
    if not maps or not step.sources or any(source not in held for source in step.sources):
        return None
    if step.layer.under(_POLICIES).inside(step.record) is None:
        return None
    starts, stops = zip(*(_along(step, axis, maps, held) for axis in range(len(maps))), strict=True)
    first, last = np.stack(starts, axis=1), np.stack(stops, axis=1)
    size = tuple((last - first).max(0).tolist())
    if np.prod(size) >= np.prod(maps):
        return None
    rows = next(iter(held.values())).rows
    return Crop(rows, np.minimum(first, np.asarray(maps) - size), size, maps)


def _along(
    step: Step, axis: int, maps: tuple[int, ...], held: Mapping[str, Crop]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and one past the last index of an axis that sees changed cells, of every box."""
    asked = list(whole(2 + len(maps)))
    asked[2 + axis] = Interval.at(np.arange(maps[axis]))
    boxes = len(next(iter(held.values())).rows)
    sees = np.zeros((boxes, maps[axis]), dtype=bool)
    for source, window in zip(
        step.sources, step.layer.window(tuple(asked), step.record), strict=True
    ):
        meets = np.ones_like(sees)
        for seen, changed in zip(window[2:], held[str(source)].window, strict=True):
            meets &= np.atleast_1d(seen.start) < np.asarray(changed.stop)[:, None]
            meets &= np.atleast_1d(seen.stop) > np.asarray(changed.start)[:, None]
        sees |= meets
    sees[~sees.any(1), 0] = True  # nobody looks there: one cell is run again, to no effect
    first = sees.argmax(1).astype(np.int64)
    return first, maps[axis] - sees[:, ::-1].argmax(1).astype(np.int64)
