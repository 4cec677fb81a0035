"""What units respond to, as whole images or cut at their receptive fields."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from deconvnet.layers import Crop
from deconvnet.units import Box, Unit

from . import receptive_field
from .forward import Recording


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
            pixels[list(some.numbers)] = some.signal.to(pixels.dtype)
            continue
        whole = some.signal.new_zeros((len(some.numbers), *pixels.shape[1:]))
        pixels[list(some.numbers)] = some.crop.add(some.signal, whole).to(pixels.dtype)
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
        starts, stops = receptive_field.boxes(geometry, layer, places, channels=channels)
        for i, start, stop in zip(members, starts.tolist(), stops.tolist(), strict=True):
            seen[i] = Box(tuple(start), tuple(stop))
    return seen


def by_layer(units: Sequence[Unit]) -> dict[str, list[int]]:
    """{layer: numbers of its units}."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, unit in enumerate(units):
        groups[unit.layer].append(number)
    return groups
