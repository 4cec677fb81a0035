"""The plan of a projection: each unit on its own windows, or whole images once for many units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from deconvnet.graph.graph import Graph
from deconvnet.graph.hooks import hooks_see
from deconvnet.layers import Policies
from deconvnet.layers.packing import rounds
from deconvnet.units import Unit, by_layer

from . import receptive_field
from .cone import Cone, cone_of
from .geometry import Geometry
from .inputs import Resolved
from .recording import Recording

BUDGET = 512 * 2**20  # bytes that the signals of one pass may take; more units, more passes
NEAR = 32 * 2**20  # bytes of the largest value on windows; beyond, memory is the slower part
MOST = 96  # units at once on a CPU, which more would not make faster
RECORDED = 2**30  # bytes that whole images may take on their way up; more images, more recordings


@dataclass(frozen=True, eq=False)
class Part:
    """Units of one layer that are projected together.

    Args:
        numbers: which of the layer's units.
        cone: where they look; None for whole maps.
    """

    numbers: Sequence[int]
    cone: Cone | None


@dataclass(frozen=True, eq=False)
class Plan:
    """How units are projected, and what it costs.

    Args:
        strategies: {layer: strategy}. "cone": images go up and signals down on nothing but what
            each unit sees. "shared": each image goes up once, as a whole, for all its units; their
            signals go down on what they see.
        multiply_adds: {strategy: multiply-adds of all filters, up and down, if every layer that
            can is projected by it}, and of what is "taken"; "full" is one whole pass up and one
            down for every unit. Where nothing is known of an operation, this counts as if it mixed
            the images of the batch; whether it does is tried later, on their recording.
        parts: {layer: parts of its units, each with its cone}, of the layers projected by cone.
        batches: the images that are recorded together, for the units of all other layers.
    """

    strategies: Mapping[str, str]
    multiply_adds: Mapping[str, int]
    parts: Mapping[str, Sequence[Part]]
    batches: Sequence[Sequence[int]]

    @property
    def strategy(self) -> str:
        """The strategy of all layers, or "mixed"."""
        kinds = set(self.strategies.values()) or {"shared"}
        return kinds.pop() if len(kinds) == 1 else "mixed"


@dataclass(frozen=True)
class _Cost:
    """Multiply-adds of units of one layer.

    Args:
        units: how many they are.
        images: the images they are of.
        full: of one whole image, up to the layer.
        down: of all their signals.
        cone: of all the ways up by cone.
        parts: of the units, each with its cone; None if they cannot go by cone.
    """

    units: int
    images: set[int]
    full: int
    down: int
    cone: int = 0
    parts: Sequence[Part] | None = None


def plan_of(
    request: Resolved, *, policies: Policies, seed: str, strategy: str | None = None
) -> Plan:
    """Count multiply-adds and choose: each layer its cheaper strategy, or all of them shared.

    Units of no position need their images whole, to find it; so do whole maps as seeds, hooks,
    and graphs that hold for one number of images.

    Args:
        request: images and units.
        policies: under which the signals will travel.
        seed: "activation", "one" or "map".
        strategy: "cone" or "shared", wherever it can be used; None for the cheaper one.
    """
    geometry, graph, units, images = request.geometry, request.graph, request.units, request.images
    free = seed != "map" and graph.reader == "torch.fx" and not hooks_see(graph)

    def whole(layers: Sequence[str]) -> int:
        return geometry.multiply_adds({node.name for node in graph.upto(layers)})

    def cost(layer: str, some: list[Unit]) -> _Cost:
        count, pictures, full = len(some), {unit.image for unit in some}, whole([layer])
        if not geometry.separable:  # each signal goes down through the whole batch
            return _Cost(count, pictures, full, count * full * len(images))
        middle = tuple(n // 2 for n in geometry.sizes[layer][2:])
        placed = [unit if free and unit.position else unit.moved(middle) for unit in some]
        parts = _in_cones(geometry, placed, policies=policies, like=images, graph=graph)
        if parts is None:
            return _Cost(count, pictures, full, count * full)
        up, down = _of_cones(parts, geometry)
        own = parts if free and all(unit.position for unit in some) else None
        return _Cost(count, pictures, full, down, up, own)

    costs = {
        layer: cost(layer, [units[i] for i in members])
        for layer, members in by_layer(units).items()
    }

    def total(strategies: Mapping[str, str]) -> int:
        together = [layer for layer, chosen in strategies.items() if chosen == "shared"]
        pictures = set().union(*(costs[layer].images for layer in together))
        up = len(pictures) * whole(together) if together else 0
        alone = sum(each.cone for layer, each in costs.items() if strategies[layer] == "cone")
        return up + alone + sum(each.down for each in costs.values())

    shared = dict.fromkeys(costs, "shared")
    cone = {layer: "shared" if each.parts is None else "cone" for layer, each in costs.items()}
    cheaper = {
        layer: cone[layer] if each.cone < len(each.images) * each.full else "shared"
        for layer, each in costs.items()
    }
    known = {"shared": shared, "cone": cone}
    chosen = known[strategy] if strategy else min((shared, cheaper), key=total)
    full = sum(2 * each.units * each.full for each in costs.values())
    return Plan(
        chosen,
        {"cone": total(cone), "shared": total(shared), "full": full, "taken": total(chosen)},
        {layer: costs[layer].parts or () for layer in chosen if chosen[layer] == "cone"},
        _batches(geometry, {u.image for u in units if chosen[u.layer] == "shared"}, images),
    )


def _of_cones(parts: Sequence[Part], geometry: Geometry) -> tuple[int, int]:
    """Multiply-adds of all the ways up, and of all the ways down."""
    up = down = 0
    for part in parts:
        assert part.cone is not None, "these units have cones"
        windows, wholes = part.cone.multiply_adds, geometry.multiply_adds(part.cone.wholes)
        up += len(part.numbers) * windows + len(set(part.cone.rows.tolist())) * wholes
        down += len(part.numbers) * (windows + wholes)
    return up, down


def _batches(geometry: Geometry, used: set[int], images: Tensor) -> list[list[int]]:
    """Images that are recorded together: all of them, where a model mixes those of a batch."""
    if not used:
        return []
    if not geometry.separable:
        return [list(range(len(images)))]
    numbers = sum(size.numel() for size in geometry.sizes.values()) // geometry.images
    limit = max(1, RECORDED // (numbers * images.element_size()))
    wanted = sorted(used)
    return [wanted[first : first + limit] for first in range(0, len(wanted), limit)]


def parts_of(recording: Recording, units: Sequence[Unit], *, seed: str) -> Sequence[Part]:
    """Units of one recorded layer in parts whose signals go down together, as many as fit.

    Args:
        recording: of the images that the units are of.
        units: of one layer, with their positions.
        seed: "activation", "one" or "map".
    """
    if recording.apart and seed != "map":
        policies, maps = recording.policies, recording.activations[units[0].layer]
        parts = _in_cones(recording, units, policies=policies, like=maps)
        if parts is not None:
            return parts
    limit, every = _fitting(recording), range(len(units))
    if recording.apart and not recording.separable:
        return [Part(numbers, None) for numbers in _in_rounds(units, limit)]
    return [Part(every[first : first + limit], None) for first in every[::limit]]


def _in_cones(
    geometry: Geometry,
    units: Sequence[Unit],
    *,
    policies: Policies,
    like: Tensor,
    graph: Graph | None = None,
) -> list[Part] | None:
    """Units of one layer in parts that are projected together, each with its cone.

    Units that see boxes of one size are in one part: a window is as large as the largest of them.

    Args:
        geometry: of images of this size up to the layer.
        units: of one layer, with their positions.
        policies: under which the signals will travel.
        like: any value of the network, for its type and device.
        graph: the model, if values will be made on windows too.

    Returns:
        None for a layer without positions, or one that runs on whole maps.
    """
    layer = units[0].layer
    places = np.asarray([unit.position or () for unit in units], dtype=np.int64)
    rows = np.asarray([unit.image for unit in units], dtype=np.int64)

    def part(some: NDArray[np.int64]) -> Part:
        cone = cone_of(
            geometry, layer, places[some], rows=rows[some], policies=policies, graph=graph
        )
        return Part(some.tolist(), cone)

    whole = part(np.arange(len(units)))
    assert whole.cone is not None, "it was just made"
    if layer not in whole.cone.seen:
        return None
    size = whole.cone.largest * like.element_size()
    limit = max(1, min(MOST, NEAR // size) if like.device.type == "cpu" else BUDGET // size)
    if len(units) <= limit:
        return [whole]
    if not geometry.separable:
        return [part(np.asarray(some)) for some in _in_rounds(units, limit)]
    starts, stops = receptive_field.boxes(geometry, layer, places)
    order = np.argsort(rows, kind="stable")
    if not whole.cone.wholes:  # no image is needed whole
        order = np.lexsort((stops - starts).T)
    return [part(some) for some in np.split(order, range(limit, len(order), limit))]


def _in_rounds(units: Sequence[Unit], limit: int) -> Iterator[list[int]]:
    """Numbers of units, so that few of them are of one image: they need a pass each.

    A round of one unit an image is not taken apart, though it be above the limit: autograd takes
    the whole batch in any case.
    """
    some: list[int] = []
    for turn in rounds([unit.image for unit in units]):
        if some and len(some) + len(turn) > limit:
            yield some
            some = []
        some = some + turn
    if some:
        yield some


def _fitting(recording: Recording) -> int:
    """How many signals at once stay within the budget: at a node there are up to four copies.

    Where a node mixes the images of a batch, a unit's signal may spread to all of them: then
    every unit travels alone, through the whole recording.
    """
    if not recording.apart:
        return 1
    largest = max(size.numel() / max(size[0], 1) for size in recording.sizes.values() if size)
    itemsize = next(iter(recording.activations.values())).element_size()
    return max(1, int(BUDGET / (4 * largest * itemsize)))
