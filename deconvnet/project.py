"""From one isolated unit down the mirrored network to the pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from deconvnet import fields
from deconvnet.isolate import isolate, resolve
from deconvnet.record import Recording
from deconvnet.units import Box, Unit

BUDGET = 512 * 2**20  # bytes that the signals of one pass may take; more units, more passes


@dataclass(frozen=True, eq=False)
class Projection:
    """What one unit responds to, cut at its receptive field.

    Args:
        pixels: (channels, *box.size) the signal at the pixels, signed.
        box: where they lie in the image.
        unit: whose it is.
    """

    pixels: Tensor
    box: Box
    unit: Unit


def project(recording: Recording, units: Sequence[Unit], *, seed: str) -> Tensor:
    """Carry the signal of each unit down to the pixels.

    Zeiler & Fergus 2014, 2.1: "we set all other activations in the layer to zero and pass the
    feature maps as input to the attached deconvnet layer".

    Args:
        recording: of the images the units are of.
        units: as many as you like, of any recorded layers.
        seed: "activation", "one" or "map" (see ``isolate``).

    Returns:
        (len(units), channels, *size) like the images, signed.
    """
    units = [resolve(recording, unit) for unit in units]
    image = recording.sizes[recording.input]
    like = next(iter(recording.activations.values()))
    pixels = like.new_zeros((len(units), *image[1:]))
    for batch in _passes(recording, units):
        chosen = [units[i] for i in batch]
        pixels[batch] = _one_pass(recording, chosen, seed)
    return pixels


def crop(recording: Recording, pixels: Tensor, units: Sequence[Unit]) -> list[Projection]:
    """Cut projections at the receptive fields of their units."""
    units = [resolve(recording, unit) for unit in units]
    found: list[Projection | None] = [None] * len(units)
    by_layer: dict[str, list[int]] = defaultdict(list)
    for i, unit in enumerate(units):
        by_layer[unit.layer].append(i)
    for layer, members in by_layer.items():
        positions = [units[i].position or () for i in members]
        channels = [units[i].channel for i in members]
        starts, stops = fields.boxes(recording, layer, positions, channels=channels)
        for i, start, stop in zip(members, starts.tolist(), stops.tolist(), strict=True):
            box = Box(tuple(start), tuple(stop))
            found[i] = Projection(pixels[i][(slice(None), *box.slices)], box, units[i])
    return [projection for projection in found if projection is not None]


def _passes(recording: Recording, units: Sequence[Unit]) -> Iterator[list[int]]:
    """Which units travel together: those of one layer, as many as fit.

    Where a node mixes the images of a batch, a unit's signal may spread to all of them: then
    every unit travels alone, through the whole recording.
    """
    if not recording.separable:
        yield from ([i] for i in range(len(units)))
        return
    groups: dict[str, list[int]] = defaultdict(list)
    for i, unit in enumerate(units):
        groups[unit.layer].append(i)
    limit = _fitting(recording)
    for members in groups.values():
        for first in range(0, len(members), limit):
            yield members[first : first + limit]


def _fitting(recording: Recording) -> int:
    """How many signals at once stay within the budget: at a node there are up to four copies."""
    largest = max(size.numel() / max(size[0], 1) for size in recording.sizes.values() if size)
    itemsize = next(iter(recording.activations.values())).element_size()
    return max(1, int(BUDGET / (4 * largest * itemsize)))


def _one_pass(recording: Recording, units: Sequence[Unit], seed: str) -> Tensor:
    """The pixels of units of one layer."""
    layer, image = units[0].layer, recording.sizes[recording.input]
    owners = torch.tensor([unit.image for unit in units])
    start = isolate(recording[layer], units, seed=seed)
    if recording.separable:
        rows = None if _in_order(owners, recording.images) else owners
        found = _descend(recording, layer, start, rows)
        return start.new_zeros((len(units), *image[1:])) if found is None else found
    spread = start.new_zeros((recording.images, *start.shape[1:]))
    spread[owners] = start
    found = _descend(recording, layer, spread, None)
    return start.new_zeros((len(units), *image[1:])) if found is None else found[owners]


def _in_order(owners: Tensor, images: int) -> bool:
    return torch.equal(owners, torch.arange(images))


def _descend(recording: Recording, layer: str, seed: Tensor, rows: Tensor | None) -> Tensor | None:
    """Carry a signal from a layer to the images; None if nothing arrives."""
    signals: dict[str, Any] = {layer: seed}
    with torch.no_grad():
        for step in reversed(recording.steps):
            signal = signals.pop(step.name, None)
            if signal is None:
                continue
            record = step.record if rows is None else step.record.take(rows)
            below = step.layer.mirror(signal, record)
            for source, part in zip(step.sources, below, strict=True):
                if source is not None and part is not None:
                    signals[source] = _joined(signals.get(source), part)
    found: Tensor | None = signals.get(recording.input)
    return found


def _joined(one: Any, other: Any) -> Any:
    """The sum of signals that meet at a node; of a tuple's entries, entry by entry."""
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, Tensor):
        return one + other
    if isinstance(one, dict):
        return {key: _joined(one[key], other[key]) for key in one}
    return tuple(_joined(a, b) for a, b in zip(one, other, strict=True))


def units_of(
    recording: Recording, layer: str, channel: int, *, position: tuple[int, ...] | None
) -> list[Unit]:
    """The same unit of every image of a recording."""
    unit = Unit.at(layer, channel, position=position)
    return [replace(unit, image=image) for image in range(recording.images)]
