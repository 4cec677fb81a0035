"""From one isolated unit down the mirrored network to the pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from deconvnet import fields
from deconvnet.cone import Cone, ascend, cone_of
from deconvnet.descend import descend
from deconvnet.graph import Graph
from deconvnet.isolate import isolate, resolve, values_at
from deconvnet.layers import Crop, Policies
from deconvnet.record import Recording, Step
from deconvnet.units import Box, Unit

BUDGET = 512 * 2**20  # bytes that the signals of one pass may take; more units, more passes
NEAR = 16 * 2**20  # bytes of the largest value on windows: what a CPU's caches hold goes fast


@dataclass(frozen=True, eq=False)
class Projection:
    """What one unit responds to, cut at its receptive field.

    Args:
        pixels: (channels, *box.size) the signal at the pixels, signed.
        box: where they lie in the image.
        unit: whose it is.
        activation: the unit's value.
    """

    pixels: Tensor
    box: Box
    unit: Unit
    activation: float = float("nan")


@dataclass(frozen=True, eq=False)
class Found:
    """What some units of one layer respond to.

    Args:
        numbers: which of the units that were asked for.
        units: the units, with their positions.
        values: (units,) their activations.
        signal: (units, channels, *crop.size) the signal at the pixels; elsewhere it is zero.
        crop: where it lies in the images.
    """

    numbers: Sequence[int]
    units: Sequence[Unit]
    values: Tensor
    signal: Tensor
    crop: Crop


def from_recording(recording: Recording, units: Sequence[Unit], *, seed: str) -> Iterator[Found]:
    """Carry the signal of each unit down to the pixels, as many at a time as fit.

    Zeiler & Fergus 2014, 2.1: "we set all other activations in the layer to zero and pass the
    feature maps as input to the attached deconvnet layer".

    Args:
        recording: of the images the units are of.
        units: as many as you like, of any recorded layers.
        seed: "activation", "one" or "map" (see ``isolate``).
    """
    units = [resolve(recording, unit) for unit in units]
    for layer, members in by_layer(units).items():
        some, maps = [units[i] for i in members], recording[layer]
        cone = None if seed == "map" or not recording.separable else _cone(recording, some)
        limit = _fitting(recording) if cone is None else near(cone, maps)
        for part in _parts(len(some), limit):
            chosen, values = some[part], values_at(maps, some[part])
            if cone is None:
                signal = _whole(recording, chosen, seed)
                crop = Crop.whole(_owners(chosen).numpy(), signal.shape[2:])
            else:
                here = cone.of(part)
                signal = _windows(recording.steps, here, chosen, values, seed, recorded=True)
                crop = here.lies(here.input)
            yield Found(members[part], chosen, values, signal, crop)


def from_images(
    graph_of: Callable[[Tensor], Graph],
    images: Tensor,
    cone: Cone,
    units: Sequence[Unit],
    *,
    seed: str,
    policies: Policies,
) -> Iterator[Found]:
    """Run images up and signals down on nothing but what units of one layer see.

    Args:
        graph_of: the graph of the model for some images.
        images: (batch, channels, *size).
        cone: of the units, in this order.
        units: with their positions.
        seed: "activation" or "one".
        policies: of the mirror.
    """
    for part in _parts(len(units), near(cone, images)):
        chosen = units[part]
        used = None if cone.alone else sorted({unit.image for unit in chosen})
        here, some = cone.of(part, images=used), images if used is None else images[used]
        steps, top = ascend(graph_of(some), some, here, policies)
        values = top.flatten(1).gather(1, _channels(chosen, top)[:, None])[:, 0]
        signal = _windows(steps, here, chosen, values, seed, recorded=False)
        yield Found(range(len(units))[part], chosen, values, signal, here.lies(here.input))


def dense(found: Iterable[Found], count: int, image: Tensor) -> Tensor:
    """The signals of all units as whole images.

    Args:
        found: in any order.
        count: how many units there are.
        image: (batch, channels, *size), for sizes and type.

    Returns:
        (count, channels, *size), signed.
    """
    pixels = image.new_zeros((count, *image.shape[1:]))
    for some in found:
        if some.crop.size == some.crop.maps and not some.crop.starts.any():
            pixels[list(some.numbers)] = some.signal
            continue
        for row, number in enumerate(some.numbers):
            one = slice(row, row + 1)
            crop = some.crop.some(one, some.crop.rows[one])
            crop.add(some.signal[one], pixels[number : number + 1])
    return pixels


def cropped(found: Iterable[Found], count: int, geometry: Recording) -> list[Projection]:
    """The signals of all units, cut at their receptive fields.

    Args:
        found: in any order.
        count: how many units there are.
        geometry: a recording of images of this size up to their layers.
    """
    cuts: list[Projection | None] = [None] * count
    for some in found:
        seen = boxes(geometry, some.units)
        rows = zip(some.numbers, some.units, some.values.tolist(), some.signal, strict=True)
        for row, (number, unit, value, signal) in enumerate(rows):
            first = some.crop.starts[row].tolist()
            inside = tuple(
                slice(a - n, b - n)
                for a, b, n in zip(seen[row].start, seen[row].stop, first, strict=True)
            )
            pixels = signal[(slice(None), *inside)].clone(memory_format=torch.contiguous_format)
            cuts[number] = Projection(pixels, seen[row], unit, value)
    return [cut for cut in cuts if cut is not None]


def boxes(geometry: Recording, units: Sequence[Unit]) -> list[Box]:
    """The receptive fields of units, clipped to the image.

    Args:
        geometry: a recording of images of this size up to their layers.
        units: of any layers, with their positions.
    """
    seen: list[Box] = [Box((), ())] * len(units)
    for layer, members in by_layer(units).items():
        places = [units[i].position or () for i in members]
        channels = [units[i].channel for i in members]
        starts, stops = fields.boxes(geometry, layer, places, channels=channels)
        for i, start, stop in zip(members, starts.tolist(), stops.tolist(), strict=True):
            seen[i] = Box(tuple(start), tuple(stop))
    return seen


def by_layer(units: Sequence[Unit]) -> dict[str, list[int]]:
    """{layer: numbers of its units}."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, unit in enumerate(units):
        groups[unit.layer].append(number)
    return groups


def near(cone: Cone, like: Tensor) -> int:
    """How many units at once keep the largest of their values small."""
    budget = NEAR if like.device.type == "cpu" else BUDGET
    return max(1, budget // (cone.largest * like.element_size()))


def units_of(
    recording: Recording, layer: str, channel: int, *, position: tuple[int, ...] | None
) -> list[Unit]:
    """The same unit of every image of a recording."""
    unit = Unit.at(layer, channel, position=position)
    return [replace(unit, image=image) for image in range(recording.images)]


def _parts(count: int, limit: int) -> Iterator[slice]:
    yield from (slice(first, min(count, first + limit)) for first in range(0, count, limit))


def _fitting(recording: Recording) -> int:
    """How many signals at once stay within the budget: at a node there are up to four copies.

    Where a node mixes the images of a batch, a unit's signal may spread to all of them: then
    every unit travels alone, through the whole recording.
    """
    if not recording.separable:
        return 1
    largest = max(size.numel() / max(size[0], 1) for size in recording.sizes.values() if size)
    itemsize = next(iter(recording.activations.values())).element_size()
    return max(1, int(BUDGET / (4 * largest * itemsize)))


def _cone(recording: Recording, units: Sequence[Unit]) -> Cone | None:
    """Where units of one layer look; None if they see whole maps at once."""
    layer = units[0].layer
    places = [unit.position or () for unit in units]
    rows = [unit.image for unit in units]
    cone = cone_of(recording, layer, places, rows=rows, policies=recording.policies)
    return cone if layer in cone.seen else None


def _whole(recording: Recording, units: Sequence[Unit], seed: str) -> Tensor:
    """The pixels of units of one layer, by way of whole maps."""
    layer, image = units[0].layer, recording.sizes[recording.input]
    owners, start = _owners(units), isolate(recording[layer], units, seed=seed)
    if recording.separable:
        in_order = torch.equal(owners, torch.arange(recording.images))
        rows, channels = None if in_order else owners, _channels(units, start)
        signals = descend(recording.steps, layer, start, rows=rows, channels=channels)
        found: Tensor | None = signals.get(recording.input)
        return start.new_zeros((len(units), *image[1:])) if found is None else found
    spread = start.new_zeros((recording.images, *start.shape[1:]))
    spread[owners] = start
    found = descend(recording.steps, layer, spread).get(recording.input)
    return start.new_zeros((len(units), *image[1:])) if found is None else found[owners]


def _windows(
    steps: Sequence[Step],
    cone: Cone,
    units: Sequence[Unit],
    values: Tensor,
    seed: str,
    *,
    recorded: bool,
) -> Tensor:
    """The pixels of units of one layer, by way of windows."""
    channels = _channels(units, values)
    start = values.new_zeros(cone.held[cone.layer].sized(cone.sizes[cone.layer]))
    isolated = torch.ones_like(values) if seed == "one" else values
    start.flatten(1).scatter_(1, channels[:, None], isolated[:, None])
    rows = torch.from_numpy(cone.rows)
    signals = descend(
        steps, cone.layer, start, rows=rows, cone=cone, channels=channels, recorded=recorded
    )
    found: Tensor | None = signals.get(cone.input)
    if found is None:
        found = start.new_zeros(cone.lies(cone.input).sized(cone.sizes[cone.input]))
    return found


def _owners(units: Sequence[Unit]) -> Tensor:
    return torch.tensor([unit.image for unit in units])


def _channels(units: Sequence[Unit], like: Tensor) -> Tensor:
    return torch.tensor([unit.channel for unit in units], device=like.device)
