"""Plan projections: each unit on windows of its own, or whole images once for many units."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from deconvnet.arguments import Brief
from deconvnet.graph.graph import Graph
from deconvnet.graph.hooks import hooks_see
from deconvnet.layers import Policies
from deconvnet.layers.local import rounds
from deconvnet.units import Unit, by_layer

from . import receptive_field
from .cone import Cone, cone_of
from .geometry import Geometry
from .groups import alike
from .inputs import Request
from .memory import FEW, LATEST
from .recording import Recording
from .way import Way

BUDGET = 512 * 2**20  # bytes that the signals of one pass may take; more units, more passes
NEAR = 32 * 2**20  # bytes of the largest value on windows; beyond, memory is the slower part
MOST = 96  # units at once on a CPU, which more would not make faster
OVERHEAD = 16_000_000  # of one node in one pass, in multiply-adds of a CPU
OVERHEAD_GPU = 100 * OVERHEAD  # the same on a GPU; an estimate
LARGEST = 1 << 14  # pixels along an axis; a larger field counts as one of this size
RECORDED = 2**30  # bytes that whole images may take on their way up; more images, more recordings


@dataclass(frozen=True, eq=False)
class Part(Brief):
    """Units of one layer that are projected together."""

    numbers: Sequence[int]  # which of the layer's units
    cone: Cone | None  # where they look; None for whole maps


@dataclass(frozen=True, eq=False)
class Plan(Brief):
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
        uncounted: the nodes whose layers do not say their multiply-adds, which are left out.
    """

    strategies: Mapping[str, str]
    multiply_adds: Mapping[str, int]
    parts: Mapping[str, Sequence[Part]]
    batches: Sequence[Sequence[int]]
    uncounted: tuple[str, ...]

    @property
    def strategy(self) -> str:
        """The strategy of all layers, or "mixed"."""
        kinds = set(self.strategies.values()) or {"shared"}
        return kinds.pop() if len(kinds) == 1 else "mixed"


@dataclass(frozen=True)
class _Cost:
    """Multiply-adds of units of one layer."""

    units: int
    images: set[int]  # that they are of
    full: int  # of one whole image, up to the layer
    down: int  # of all their signals
    cone: int = 0  # of all the ways up by cone
    parts: Sequence[Part] | None = None  # which these go in; None if they cannot go by cone


def plan_of(request: Request, policies: Policies) -> Plan:
    """Count multiply-adds and choose: each layer its cheaper strategy, or all of them shared.

    Units of no position need their images whole, to find it; so do whole maps as seeds, hooks,
    and graphs that hold for one number of images.
    """
    if len(request.units) > FEW:
        return _planned(request, policies)
    apart, whole = _apart(request.way, policies), request.way.seed == "map"
    asked = ("plan", tuple(request.units), policies, request.strategy, apart, whole)
    answers = request.memory.answers
    plan: Plan | None = answers.get(asked)
    if plan is None:
        for oldest in [*answers][: 1 - LATEST]:
            answers.pop(oldest, None)  # another thread may have done it
        plan = answers[asked] = _planned(request, policies)
    return plan


def _planned(request: Request, policies: Policies) -> Plan:
    costs = {
        layer: _cost(request, [request.units[i] for i in members], policies)
        for layer, members in by_layer(request.units).items()
    }

    def total(strategies: Mapping[str, str]) -> int:
        together = [layer for layer, chosen in strategies.items() if chosen == "shared"]
        pictures = set().union(*(costs[layer].images for layer in together))
        up = len(pictures) * _whole(request, together) if together else 0
        alone = sum(each.cone for layer, each in costs.items() if strategies[layer] == "cone")
        return up + alone + sum(each.down for each in costs.values())

    shared = dict.fromkeys(costs, "shared")
    cone = {layer: "shared" if each.parts is None else "cone" for layer, each in costs.items()}
    cheaper = {
        layer: cone[layer] if each.cone < len(each.images) * each.full else "shared"
        for layer, each in costs.items()
    }
    chosen = min((shared, cheaper), key=total)
    if request.strategy is not None:
        chosen = {"shared": shared, "cone": cone}[request.strategy]
    full = sum(2 * each.units * each.full for each in costs.values())
    return Plan(
        chosen,
        {"cone": total(cone), "shared": total(shared), "full": full, "taken": total(chosen)},
        {layer: costs[layer].parts or () for layer in chosen if chosen[layer] == "cone"},
        _batches(request, {u.image for u in request.units if chosen[u.layer] == "shared"}),
        request.geometry.uncounted,
    )


def _cost(request: Request, units: Sequence[Unit], policies: Policies) -> _Cost:
    """The cost of units of one layer by each strategy."""
    geometry, graph, layer = request.geometry, request.graph, units[0].layer
    free = request.way.seed != "map" and graph.reader == "torch.fx" and not hooks_see(graph)
    count, images, full = len(units), {unit.image for unit in units}, _whole(request, [layer])
    if not geometry.apart:  # each signal goes down through the whole batch
        return _Cost(count, images, full, count * full * len(request.images))
    middle = tuple(n // 2 for n in geometry.sizes[layer][2:])
    placed = [unit if free and unit.position else unit.moved(middle) for unit in units]
    apart = _apart(request.way, policies)
    parts = _in_cones(geometry, placed, apart, policies=policies, like=request.images, graph=graph)
    if parts is None:
        return _Cost(count, images, full, count * full)
    up = down = 0
    for part in parts:
        assert part.cone is not None, "these units have cones"
        windows, wholes = part.cone.multiply_adds, geometry.multiply_adds(part.cone.wholes)
        up += len(part.numbers) * windows + len(set(part.cone.rows.tolist())) * wholes
        down += len(part.numbers) * (windows + wholes)
    free = free and geometry.per_sample and all(unit.position for unit in units)
    return _Cost(count, images, full, down, up, parts if free else None)


def _whole(request: Request, layers: Sequence[str]) -> int:
    """Multiply-adds of one whole image up to some layers."""
    return request.geometry.multiply_adds({node.name for node in request.graph.upto(layers)})


def _batches(request: Request, used: set[int]) -> list[list[int]]:
    """Images that are recorded together: all of them, where a model mixes those of a batch."""
    geometry, images = request.geometry, request.images
    if not used:
        return []
    if not geometry.per_sample:
        return [list(range(len(images)))]
    numbers = sum(size.numel() for size in geometry.sizes.values()) // geometry.images
    limit = max(1, RECORDED // (numbers * images.element_size()))
    wanted = sorted(used)
    return [wanted[first : first + limit] for first in range(0, len(wanted), limit)]


def parts_of(recording: Recording, units: Sequence[Unit], *, way: Way) -> Sequence[Part]:
    """Units of one recorded layer in parts whose signals go down together, as many as fit."""
    if recording.apart and way.seed != "map":
        policies, maps = recording.policies, recording.activations[units[0].layer]
        apart = _apart(way, policies)
        parts = _in_cones(recording, units, apart, policies=policies, like=maps)
        if parts is not None:
            return parts
    limit, every = _fitting(recording), range(len(units))
    if recording.apart and not recording.per_sample:
        return [Part(numbers, None) for numbers in _in_rounds(units, limit)]
    return [Part(every[first : first + limit], None) for first in every[::limit]]


def _apart(way: Way, policies: Policies) -> bool:
    """Whether branches that no unit sees may be left out: signals are asked for at images alone."""
    return way.straight and way.directions is None and policies.channelwise


def _in_cones(
    geometry: Geometry,
    units: Sequence[Unit],
    apart: bool,
    *,
    policies: Policies,
    like: Tensor,
    graph: Graph | None = None,
) -> list[Part] | None:
    """Units of one layer in parts that are projected together, each with its cone.

    Args:
        geometry: of the images, up to the layer.
        units: with their positions.
        apart: of the layer only a unit's own channel counts, under the policies.
        policies: under which their signals will travel.
        like: any value of the network, for its type and device.
        graph: given if values will be made on windows too.

    Returns:
        None for a layer without positions, or one that runs on whole maps.
    """
    layer = units[0].layer
    places = np.asarray([unit.position or () for unit in units], dtype=np.int64)
    rows = np.asarray([unit.image for unit in units], dtype=np.int64)
    channels = np.asarray([unit.channel for unit in units], dtype=np.int64) if apart else None

    def part(some: NDArray[np.int64]) -> Part:
        cone = cone_of(
            geometry, layer, places[some], rows=rows[some], policies=policies,
            channels=None if channels is None else channels[some], graph=graph,
        )  # fmt: skip
        return Part(some.tolist(), cone)

    whole = part(np.arange(len(units)))
    assert whole.cone is not None, "it was just made"
    if layer not in whole.cone.seen:
        return None
    limit, work = _limit(whole.cone, like), len(units) * whole.cone.multiply_adds
    if len(units) == 1 or (len(units) <= limit and work <= _overhead(whole.cone, like)):
        return [whole]
    if not geometry.per_sample:
        return [part(np.asarray(some)) for some in _in_rounds(units, limit)]
    order = np.argsort(rows, kind="stable")
    groups = [order]
    if len(set(rows.tolist())) == len(rows) or not whole.cone.wholes:  # none shares a whole image
        seen = [
            receptive_field.boxes(geometry, layer, places, channels=channels, clip=clip)
            for clip in (True, False)
        ]
        boxes, fields = (np.clip(stops - starts, 1, LARGEST) for starts, stops in seen)
        # where branches of different depth meet, the deeper has the larger field
        sizes = np.column_stack([boxes, fields.mean(1)])[order]
        groups = [order[some] for some in _alike(sizes, whole.cone, like)]

    def split(some: NDArray[np.int64]) -> list[Part]:
        made = whole if len(some) == len(units) else part(some)
        assert made.cone is not None, "it was just made"
        pieces = math.ceil(len(some) / _limit(made.cone, like))
        if pieces == 1:
            return [made]
        return [small for piece in np.array_split(some, pieces) for small in split(piece)]

    return [small for some in groups for small in split(some)]


def _alike(sizes: NDArray[np.float64], whole: Cone, like: Tensor) -> list[NDArray[np.int64]]:
    """Units in groups whose windows are of about the same size.

    Args:
        sizes: (units, axes) of their boxes, and at last of their whole fields.
        whole: the cone of all of them.
        like: any value of the network.
    """
    largest = sizes.max(0)
    room, most = _room(like)
    return alike(
        sizes,
        room=room * largest[:-1].prod() / whole.largest,
        most=most,
        overhead=_overhead(whole, like) * largest.prod() / max(1, whole.multiply_adds),
    )


def _overhead(cone: Cone, like: Tensor) -> float:
    """The overhead of one pass, in multiply-adds."""
    return len(cone.seen) * (OVERHEAD if like.device.type == "cpu" else OVERHEAD_GPU)


def _room(like: Tensor) -> tuple[int, float]:
    """The elements that the largest value of one pass may have, and its most units."""
    if like.device.type == "cpu":
        return NEAR // like.element_size(), MOST
    return BUDGET // like.element_size(), np.inf


def _limit(cone: Cone, like: Tensor) -> int:
    """How many units like those of a cone go together."""
    room, most = _room(like)
    return int(max(1, min(most, room // cone.largest)))


def _in_rounds(units: Sequence[Unit], limit: int) -> Iterator[list[int]]:
    """Numbers of units in groups with few units per image: units of one image need a pass each.

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
