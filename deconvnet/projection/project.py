"""Execute a plan: run images forward, then the signal of each unit backward to the pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from deconvnet.graph.frontends import Graphs
from deconvnet.layers import Crop, Policies
from deconvnet.units import Unit, by_layer

from .backward import backward
from .cone import Cone
from .forward import record
from .geometry import Step
from .inputs import Request
from .plan import Part, Plan, parts_of
from .recording import Recording
from .result import Result
from .seeds import isolated, located


def from_images(
    plan: Plan, request: Request, *, graphs: Graphs, policies: Policies
) -> Iterator[Result]:
    """Project units as planned, as many at a time as fit.

    ``graphs`` have the graph for some of the images alone, where that is another.
    """
    images, units, graph, seed = request.images, request.units, request.graph, request.seed

    def recorded(rows: Sequence[int], layers: Sequence[str], cone: Cone | None) -> Recording:
        some, known = images, graph
        if len(rows) < len(images):
            some = images[list(rows)]
            known = graph if graph.reader == "torch.fx" else graphs.of(some)
        return record(known, some, layers, policies=policies, cone=cone)

    shared = []
    for layer, members in by_layer(units).items():
        shared += [] if layer in plan.parts else members
        for part in plan.parts.get(layer, ()):
            numbers = [members[i] for i in part.numbers]
            chosen = [units[i] for i in numbers]
            used, every = sorted({unit.image for unit in chosen}), range(len(images))
            some = used if part.cone and part.cone.wholes else every
            cone = _among(part, some)
            assert cone is not None, "these units have cones"
            recording = recorded(some, [layer], cone)
            top = recording.activations[layer].flatten(1)
            values = top.gather(1, _channels(chosen, top)[:, None])[:, 0]
            signal = _windows(recording.steps, cone, chosen, values, seed=seed, recorded=False)
            yield Result(numbers, chosen, values, signal, cone.lies[cone.input])
    for rows in plan.batches:
        here = [i for i in shared if units[i].image in rows]
        layers = list(dict.fromkeys(units[i].layer for i in here))
        yield from from_recording(
            recorded(rows, layers, None), units, seed=seed, numbers=here, images=rows
        )


def from_recording(
    recording: Recording,
    units: Sequence[Unit],
    *,
    seed: str,
    numbers: Sequence[int] | None = None,
    images: Sequence[int] | None = None,
) -> Iterator[Result]:
    """Carry the signal of each unit down to the pixels, as many at a time as fit.

    Zeiler & Fergus 2014, 2.1: "we set all other activations in the layer to zero and pass the
    feature maps as input to the attached deconvnet layer".

    Args:
        recording: of the images the units are of.
        units: as many as you like, of any recorded layers.
        seed: "activation", "one" or "map" (see ``isolated``).
        numbers: which of the units; all of them by default.
        images: ascending, which images were recorded; by default all of them.
    """
    there = range(recording.images) if images is None else images
    rows_of = {image: row for row, image in enumerate(there)}
    wanted = range(len(units)) if numbers is None else numbers
    for layer, places in by_layer([units[i] for i in wanted]).items():
        members = [wanted[place] for place in places]
        rows = torch.tensor([rows_of[units[i].image] for i in members])
        some, values = located(recording.activations[layer], [units[i] for i in members], rows)
        for part in parts_of(recording, some, seed=seed):
            own = list(part.numbers)
            chosen, values_there = [some[i] for i in own], values[own]
            cone, steps = _among(part, there), recording.steps
            if cone is None:
                signal = _whole(recording, chosen, rows[own], seed)
                crop = Crop.whole(rows[own].numpy(), signal.shape[2:])
            else:
                signal = _windows(steps, cone, chosen, values_there, seed=seed, recorded=True)
                crop = cone.lies[cone.input]
            yield Result([members[i] for i in own], chosen, values_there, signal, crop)


def _among(part: Part, images: Sequence[int]) -> Cone | None:
    """The cone of a part where only these images are there; None where it has none."""
    return None if part.cone is None else part.cone.among(images)


def _whole(recording: Recording, units: Sequence[Unit], rows: Tensor, seed: str) -> Tensor:
    """The signals of units of one layer at the pixels, computed on whole maps."""
    layer = units[0].layer
    start = isolated(recording.activations[layer], units, rows, seed=seed)
    together = recording.apart
    if not together:  # the whole batch goes down for each
        start = start.new_zeros((recording.images, *start.shape[1:])).index_copy_(
            0, rows.to(start.device), start
        )
    in_order = not together or torch.equal(rows, torch.arange(recording.images))
    ends: list[str] = []
    signals = backward(
        recording.steps, {layer: start}, rows=None if in_order else rows,
        channels=_channels(units, start) if together else None, ends=ends,
    )  # fmt: skip
    pixels = signals.get(recording.input)
    if pixels is None:
        raise _no_signal(layer, [*recording.blocks, *ends] or list(signals))
    return pixels if together else pixels[rows]  # type: ignore[no-any-return]


def _windows(
    steps: Sequence[Step],
    cone: Cone,
    units: Sequence[Unit],
    values: Tensor,
    *,
    seed: str,
    recorded: bool,
) -> Tensor:
    """The signals of units of one layer at the pixels, computed on windows."""
    channels = _channels(units, values)
    start = values.new_zeros(cone.held[cone.layer].sized(cone.sizes[cone.layer]))
    isolated = torch.ones_like(values) if seed == "one" else values
    start.flatten(1).scatter_(1, channels[:, None], isolated[:, None])
    ends: list[str] = []
    signals = backward(
        steps, {cone.layer: start}, rows=torch.from_numpy(cone.rows), cone=cone,
        channels=channels, recorded=recorded, ends=ends,
    )  # fmt: skip
    if cone.input not in signals:
        raise _no_signal(cone.layer, ends or list(signals))
    return signals[cone.input]  # type: ignore[no-any-return]


def _no_signal(layer: str, ends: Sequence[str]) -> ValueError:
    return ValueError(
        f"no signal reaches the images from {layer}: the path ends at "
        f"{', '.join(dict.fromkeys(ends))}, where no derivative by what is below is taken "
        "(integers, rounding, detach, no_grad, or no use of the images at all); choose a layer "
        "below"
    )


def _channels(units: Sequence[Unit], like: Tensor) -> Tensor:
    return torch.tensor([unit.channel for unit in units], dtype=torch.int64, device=like.device)
