"""Which way units are projected: each on its own windows, or images once for many units."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from deconvnet.graph.graph import Graph
from deconvnet.layers import Policies
from deconvnet.units import Unit

from .cone import counted
from .forward import Recording, record
from .project import Part, cones, from_images, from_recording
from .result import Found, by_layer

WAYS = ("cone", "shared")
RECORDED = 2**30  # bytes that whole images may take on their way up; more images, more recordings


@dataclass(frozen=True, eq=False)
class Route:
    """How units are projected, and what it costs.

    Args:
        ways: {layer: way}. "cone": images go up and signals down on nothing but what each unit
            sees. "shared": each image goes up once, as a whole, for all its units; their signals
            go down on what they see.
        multiply_adds: {way: multiply-adds of all filters, up and down, if every layer that can
            goes this way}, and of the way "taken"; "full" is one whole pass up and one down for
            every unit. Where nothing is known of an operation, it is tried on empty images whether
            it mixes those of a batch; where it does, each signal takes the filters of all of them.
        parts: {layer: parts of its units, each with its cone}, of the layers that go by cone.
    """

    ways: Mapping[str, str]
    multiply_adds: Mapping[str, int]
    parts: Mapping[str, Sequence[Part]]

    @property
    def way(self) -> str:
        """The way of all layers, or "mixed"."""
        ways = set(self.ways.values()) or {"shared"}
        return ways.pop() if len(ways) == 1 else "mixed"


def route_of(
    geometry: Recording,
    graph: Graph,
    units: Sequence[Unit],
    *,
    policies: Policies,
    like: Tensor,
    way: str | None = None,
) -> Route:
    """Count multiply-adds and choose.

    Args:
        geometry: a recording of images of this size up to the layers of the units.
        graph: the model.
        units: by position; those of no position need their images whole, to find it.
        policies: under which the signals will travel.
        like: any value of the network, for its type and device.
        way: to take, wherever it can be taken; by default the cheaper one.

    Raises:
        ValueError: no such way.
    """
    check_way(way)
    counts: dict[str, _Count] = {}
    for layer, members in by_layer(units).items():
        some = [units[i] for i in members]
        images = {unit.image for unit in some}
        up = _up_to(geometry, graph, [layer])
        if not geometry.apart:  # each signal goes down through the whole batch
            down = len(some) * up * len(like)
            counts[layer] = _Count(len(some), images, up, None, down=down)
            continue
        placed = [unit if unit.position else _central(unit, geometry) for unit in some]
        parts = cones(geometry, placed, policies=policies, like=like, graph=graph)
        above, down = (0, len(some) * up) if parts is None else _counts(parts)
        free = placed == some and parts is not None and geometry.separable
        own = parts if free else None
        counts[layer] = _Count(len(some), images, up, own, down=down, cone=above)
    return _chosen(counts, geometry, graph, way=way)


def check_way(way: str | None) -> None:
    """See that there is such a way.

    Raises:
        ValueError: there is none.
    """
    if way is not None and way not in WAYS:
        raise ValueError(f"the way was {way!r}; use one of {', '.join(WAYS)}, or None to choose")


@dataclass(frozen=True)
class _Count:
    """Multiply-adds of units of one layer.

    Args:
        units: how many they are.
        images: the images they are of.
        up: of one whole image, to the layer.
        parts: with their cones; None if they cannot go by cone.
        down: of all their signals.
        cone: of all the ways up by cone.
    """

    units: int
    images: set[int]
    up: int
    parts: Sequence[Part] | None
    down: int
    cone: int = 0


def _central(unit: Unit, geometry: Recording) -> Unit:
    """A unit of no position, in the middle of its map, to count what its signal may take."""
    middle = tuple(n // 2 for n in geometry.sizes[unit.layer][2:])
    return Unit.at(unit.layer, unit.channel, position=middle or None, image=unit.image)


def _up_to(geometry: Recording, graph: Graph, layers: Sequence[str]) -> int:
    """Multiply-adds of one whole image up to some layers."""
    names = {node.name for node in graph.upto(layers)}
    return counted([step for step in geometry.steps if step.node in names], geometry.sizes)


def _counts(parts: Sequence[Part]) -> tuple[int, int]:
    """Multiply-adds of all the ways up, and of all the ways down."""
    up = down = 0
    for part in parts:
        assert part.cone is not None, "these units have cones"
        windows, wholes = part.cone.multiply_adds()
        up += len(part.numbers) * windows + len(set(part.cone.rows.tolist())) * wholes
        down += len(part.numbers) * (windows + wholes)
    return up, down


def _chosen(
    counts: Mapping[str, _Count],
    geometry: Recording,
    graph: Graph,
    *,
    way: str | None,
) -> Route:
    """Each layer its cheaper way; or all shared, where one pass up serves all of them."""

    def total(ways: Mapping[str, str]) -> int:
        together = [layer for layer, taken in ways.items() if taken == "shared"]
        images = set().union(*(counts[layer].images for layer in together))
        up = len(images) * _up_to(geometry, graph, together) if together else 0
        alone = sum(count.cone for layer, count in counts.items() if ways[layer] == "cone")
        return up + alone + sum(count.down for count in counts.values())

    shared = dict.fromkeys(counts, "shared")
    cone = {layer: "shared" if count.parts is None else "cone" for layer, count in counts.items()}
    each = {
        layer: cone[layer] if count.cone < len(count.images) * count.up else "shared"
        for layer, count in counts.items()
    }
    ways = min((shared, each), key=total) if way is None else {"shared": shared, "cone": cone}[way]
    parts = {
        layer: count.parts
        for layer, count in counts.items()
        if ways[layer] == "cone" and count.parts is not None
    }
    full = sum(2 * count.units * count.up for count in counts.values())
    totals = {"cone": total(cone), "shared": total(shared), "full": full, "taken": total(ways)}
    return Route(ways, totals, parts)


def travel(
    route: Route,
    graph_of: Callable[[Tensor], Graph],
    images: Tensor,
    units: Sequence[Unit],
    *,
    geometry: Recording,
    seed: str,
    policies: Policies,
) -> Iterator[Found]:
    """Project units on their route, as many at a time as fit.

    Args:
        route: of these units.
        graph_of: the graph of the model for some images.
        images: (batch, channels, *size).
        units: of these images.
        geometry: the recording that the route was chosen by.
        seed: "activation", "one" or "map".
        policies: of the mirror.
    """
    together: list[int] = []
    for layer, members in by_layer(units).items():
        if layer not in route.parts:
            together += members
            continue
        some = [units[i] for i in members]
        for found in from_images(
            graph_of, images, route.parts[layer], some, seed=seed, policies=policies
        ):
            yield replace(found, numbers=[members[i] for i in found.numbers])
    for some_images in _groups(images, [units[i].image for i in together], geometry):
        here = [i for i in together if units[i].image in some_images]
        local = {image: row for row, image in enumerate(some_images)}
        moved = [replace(units[i], image=local[units[i].image]) for i in here]
        part = images[some_images] if len(some_images) < len(images) else images
        layers = list(dict.fromkeys(unit.layer for unit in moved))
        recording = record(graph_of(part), part, layers, policies=policies)
        for found in from_recording(recording, moved, seed=seed):
            named = [replace(unit, image=some_images[unit.image]) for unit in found.units]
            yield replace(found, numbers=[here[i] for i in found.numbers], units=named)


def _groups(images: Tensor, used: Sequence[int], geometry: Recording) -> Iterator[list[int]]:
    """Images that are recorded together: all of them, where a model mixes those of a batch."""
    if not used:
        return
    if not geometry.separable:
        yield list(range(len(images)))
        return
    numbers = sum(size.numel() for size in geometry.sizes.values()) // geometry.images
    limit = max(1, RECORDED // (numbers * images.element_size()))
    wanted = sorted(set(used))
    for first in range(0, len(wanted), limit):
        yield wanted[first : first + limit]
