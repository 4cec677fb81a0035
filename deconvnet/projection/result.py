"""Gather projections: as whole images, or cropped at the units' receptive fields."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from deconvnet.arguments import Brief
from deconvnet.layers import Crop
from deconvnet.units import Box, Unit

from .backward import whole
from .geometry import Geometry
from .receptive_field import unit_boxes


@dataclass(frozen=True, eq=False)
class Projection(Brief):
    """What one unit responds to, cut at its receptive field.

    Args:
        pixels: (channels, *box.size) the signal at the pixels, signed.
        box: where they lie in the image.
        unit: whose it is, with its position.
        activation: the unit's value.
    """

    pixels: Tensor
    box: Box
    unit: Unit
    activation: float = float("nan")


@dataclass(frozen=True, eq=False)
class Result(Brief):
    """What some units of one layer respond to."""

    numbers: Sequence[int]  # which of the units that were asked for
    units: Sequence[Unit]  # with their positions
    values: Tensor  # (units,) their activations
    signal: Tensor  # (units, channels, *crop.size) at the pixels; elsewhere it is zero
    crop: Crop  # where the signal lies in the images


def dense(results: Iterable[Result], count: int, images: Tensor) -> Tensor:
    """The signals of all units, from results in any order, as whole images.

    The images are (batch, channels, *size), for size, type and device.

    Returns:
        (count, channels, *size), signed.
    """
    pixels = images.new_zeros((count, *images.shape[1:]))
    for some in results:
        pixels[list(some.numbers)] = whole(some.signal, some.crop).to(pixels.dtype)
    return pixels


def cropped(results: Iterable[Result], count: int, geometry: Geometry) -> list[Projection]:
    """The signals of all units, from results in any order, cut at their receptive fields."""
    cuts: dict[int, Projection] = {}
    for some in results:
        boxes = unit_boxes(geometry, some.units)
        starts = some.crop.starts.tolist()
        rows = zip(some.numbers, some.units, some.values.tolist(), some.signal, strict=True)
        for (number, unit, value, signal), box, first in zip(rows, boxes, starts, strict=True):
            ends = zip(box.start, box.stop, first, strict=True)
            inside = (slice(None), *(slice(a - n, b - n) for a, b, n in ends))
            pixels = signal[inside].clone(memory_format=torch.contiguous_format)
            cuts[number] = Projection(pixels, box, unit, value)
    return [cuts[number] for number in range(count)]
