"""Execute a plan: run images forward, then the signal of each unit backward to the pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from deconvnet.graph.frontends import Graphs
from deconvnet.graph.observed_hooks import revoked
from deconvnet.layers import Crop, Policies
from deconvnet.units import Unit, by_layer

from .backward import backward
from .cone import Cone
from .folding import Folding
from .forward import record
from .geometry import Step
from .inputs import Request
from .plan import Part, Plan, parts_of, plan_of
from .readings import Readings
from .recording import Recording
from .result import Result
from .seeds import isolated, located, responses, spread
from .way import Way

Gathered = TypeVar("Gathered")


def answered(
    resolve: Callable[..., Request],
    gather: Callable[[Iterator[Result], Request], Gathered],
    *,
    readings: Readings,
    policies: Policies,
) -> Gathered:
    """Resolve arguments, plan, execute and gather.

    It is done again where a hook has begun to change values, which the geometry did not know.
    """
    for _ in range(2):
        changes = revoked(readings.model)
        request = resolve(readings=readings, policies=policies)
        if request.recording is None:
            plan = plan_of(request, policies)
            results = from_images(plan, request, graphs=readings.graphs, policies=policies)
        else:
            results = from_recording(request.recording, request.units, way=request.way)
        gathered = gather(results, request)
        if revoked(readings.model) == changes:
            break
    return gathered


def from_images(
    plan: Plan, request: Request, *, graphs: Graphs, policies: Policies
) -> Iterator[Result]:
    """Project units as planned, as many at a time as fit.

    ``graphs`` have the graph for some of the images alone, where that is another.
    """
    images, units, graph, way = request.images, request.units, request.graph, request.way

    def recorded(
        rows: Sequence[int],
        layers: Sequence[str],
        cone: Cone | None = None,
        folding: Folding | None = None,
    ) -> Recording:
        some, known = images, graph
        if len(rows) < len(images):
            some = images[list(rows)]
            known = graph if graph.reader == "torch.fx" else graphs.of(some)
        bound = request.memory.bound if known is graph else None
        return record(
            known, some, layers, policies=policies, cone=cone, bound=bound, folding=folding
        )

    shared = []
    for layer, members in by_layer(units).items():
        shared += [] if layer in plan.parts else members
        folding = None
        if layer in plan.parts and way.straight:
            folding = Folding(
                graph, request.geometry, layer, policies=policies, bound=request.memory.bound
            )
        for part in plan.parts.get(layer, ()):
            numbers = [members[i] for i in part.numbers]
            chosen = [units[i] for i in numbers]
            used, every = sorted({unit.image for unit in chosen}), range(len(images))
            some = used if part.cone and part.cone.wholes else every
            cone = _among(part, some)
            assert cone is not None, "these units have cones"
            recording = recorded(some, [layer], cone, folding)
            top = _responses(recording.activations[layer], way).flatten(1)
            values = top.gather(1, _channels(chosen, top)[:, None])[:, 0]
            signals = _windows(recording.steps, cone, chosen, values, way=way, recorded=False)
            yield Result(numbers, chosen, values, signals, _lies(cone, signals))
    for rows in plan.batches:
        here = [i for i in shared if units[i].image in rows]
        layers = list(dict.fromkeys(units[i].layer for i in here))
        yield from from_recording(recorded(rows, layers), units, way=way, numbers=here, images=rows)


def from_recording(
    recording: Recording,
    units: Sequence[Unit],
    *,
    way: Way,
    numbers: Sequence[int] | None = None,
    images: Sequence[int] | None = None,
) -> Iterator[Result]:
    """Carry the signal of each unit down to the pixels, as many at a time as fit.

    Zeiler & Fergus 2014, 2.1: "we set all other activations in the layer to zero and pass the
    feature maps as input to the attached deconvnet layer".

    Args:
        recording: of the images the units are of.
        units: as many as you like, of any recorded layers.
        way: of their signals.
        numbers: which of the units; all of them by default.
        images: ascending, which images were recorded; by default all of them.
    """
    there = range(recording.images) if images is None else images
    rows_of = {image: row for row, image in enumerate(there)}
    wanted = range(len(units)) if numbers is None else numbers
    for layer, places in by_layer([units[i] for i in wanted]).items():
        members = [wanted[place] for place in places]
        rows = torch.tensor([rows_of[units[i].image] for i in members])
        top = _responses(recording.activations[layer], way)
        some, values = located(top, [units[i] for i in members], rows)
        for part in parts_of(recording, some, way=way):
            own = list(part.numbers)
            chosen, values_there = [some[i] for i in own], values[own]
            cone, steps = _among(part, there), recording.steps
            if cone is None:
                start = isolated(top, chosen, rows[own], seed=way.seed)
                signals = _whole(recording, layer, start, chosen, rows=rows[own], way=way)
                crops = {
                    node: Crop.whole(rows[own].numpy(), signal.shape[2:])
                    for node, signal in signals.items()
                }
            else:
                signals = _windows(steps, cone, chosen, values_there, way=way, recorded=True)
                crops = _lies(cone, signals)
            yield Result([members[i] for i in own], chosen, values_there, signals, crops)


def _among(part: Part, images: Sequence[int]) -> Cone | None:
    """The cone of a part where only these images are there; None where it has none."""
    return None if part.cone is None else part.cone.among(images)


def _lies(cone: Cone, nodes: Iterable[str]) -> dict[str, Crop]:
    """Where the windows of some nodes lie."""
    return {node: cone.lies[node] for node in nodes}


def _responses(maps: Tensor, way: Way) -> Tensor:
    """What the units are units of: the channels of their layer, or directions in these."""
    return maps if way.directions is None else responses(maps, way.directions)


def _whole(
    recording: Recording,
    layer: str,
    start: Tensor,
    units: Sequence[Unit],
    *,
    rows: Tensor,
    way: Way,
) -> dict[str, Tensor]:
    """The signals of units of one layer, from where they start, computed on whole maps."""
    start, channels = _started(start, units, way)
    together = recording.apart
    if not together:  # the whole batch goes down for each
        start = start.new_zeros((recording.images, *start.shape[1:])).index_copy_(
            0, rows.to(start.device), start
        )
    in_order = not together or torch.equal(rows, torch.arange(recording.images))
    ends: list[str] = []
    signals = backward(
        recording.steps, {layer: start}, rows=None if in_order else rows,
        channels=channels if together else None, ends=ends, through=way.through, at=way.at,
    )  # fmt: skip
    taken = _taken(signals, way, recording.input, layer=layer, ends=[*recording.blocks, *ends])
    return taken if together else {node: signal[rows] for node, signal in taken.items()}


def _windows(
    steps: Sequence[Step],
    cone: Cone,
    units: Sequence[Unit],
    values: Tensor,
    *,
    way: Way,
    recorded: bool,
) -> dict[str, Tensor]:
    """The signals of units of one layer, computed on windows."""
    _, count, *window = cone.held[cone.layer].sized(cone.sizes[cone.layer])
    if way.directions is not None:
        count = len(way.directions)
    start = values.new_zeros((len(units), count, *window))
    isolated = torch.ones_like(values) if way.seed == "one" else values
    start.flatten(1).scatter_(1, _channels(units, values)[:, None], isolated[:, None])
    start, channels = _started(start, units, way)
    ends: list[str] = []
    signals = backward(
        steps, {cone.layer: start}, rows=torch.from_numpy(cone.rows), cone=cone,
        channels=channels, recorded=recorded, ends=ends, through=way.through, at=way.at,
    )  # fmt: skip
    return _taken(signals, way, cone.input, layer=cone.layer, ends=ends)


def _started(start: Tensor, units: Sequence[Unit], way: Way) -> tuple[Tensor, Tensor | None]:
    """Where signals start in the channels of their layer; and the only channel of each, if any."""
    if way.directions is not None:
        return spread(start, way.directions), None
    return start, _channels(units, start)


def _taken(
    signals: Mapping[str, Tensor], way: Way, images: str, *, layer: str, ends: Sequence[str]
) -> dict[str, Tensor]:
    """The signals where they are to be taken.

    Raises:
        ValueError: at one of these nodes none arrives.
    """
    missing = [node for node in way.at if node not in signals]
    if missing and way.strict:
        raise ValueError(
            f"no signal reaches {'the images' if missing[0] == images else missing[0]} from "
            f"{layer}: the path ends at "
            f"{', '.join(dict.fromkeys(ends or signals))}, where no derivative by what is below is "
            "taken (integers, rounding, detach, no_grad, or no use of the images at all); choose a "
            "layer below"
        )
    return {node: signals[node] for node in way.at if node in signals}


def _channels(units: Sequence[Unit], like: Tensor) -> Tensor:
    return torch.tensor([unit.channel for unit in units], dtype=torch.int64, device=like.device)
