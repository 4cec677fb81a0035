"""Gather signals: in whole maps, as whole images, or cropped at the units' receptive fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from deconvnet.arguments import Brief
from deconvnet.layers import Crop
from deconvnet.units import Box, Unit

from .inputs import Request
from .memory import FEW
from .receptive_field import boxes_of


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
    """The signals of some units of one layer."""

    numbers: Sequence[int]  # which of the units that were asked for
    units: Sequence[Unit]  # with their positions
    values: Tensor  # (units,) their activations
    signals: Mapping[str, Tensor]  # {node: (units, channels, *crop.size)}; elsewhere it is zero
    crops: Mapping[str, Crop]  # {node: where the signals lie in its maps}


def signals(results: Iterable[Result], request: Request) -> dict[str, Tensor]:
    """The signals of all units, from results in any order, in whole maps.

    Returns:
        {node: (units, channels, *size)}, signed.
    """
    count, sizes = len(request.units), request.geometry.sizes
    made = (
        {} if count else {n: request.images.new_zeros((0, *sizes[n][1:])) for n in request.way.at}
    )
    for some in results:
        for node, signal in some.signals.items():
            if node not in made:
                made[node] = signal.new_zeros((count, *sizes[node][1:]))
            made[node][list(some.numbers)] = some.crops[node].around(signal)
    return made


def pixels(results: Iterable[Result], request: Request) -> Tensor:
    """The signals of all units at the images: (units, channels, *size), signed, of their type."""
    return signals(results, request)[request.graph.input].to(request.images)


def cropped(results: Iterable[Result], request: Request) -> list[Projection]:
    """The signals of all units at the images, cut at their receptive fields."""
    cuts: dict[int, Projection] = {}
    images = request.graph.input
    for some in results:
        boxes = _boxes(some.units, request)
        starts = some.crops[images].starts.tolist()
        rows = zip(
            some.numbers, some.units, some.values.tolist(), some.signals[images], strict=True
        )
        for (number, unit, value, signal), box, first in zip(rows, boxes, starts, strict=True):
            ends = zip(box.start, box.stop, first, strict=True)
            inside = (slice(None), *(slice(a - n, b - n) for a, b, n in ends))
            cut = signal[inside].clone(memory_format=torch.contiguous_format)
            cuts[number] = Projection(cut, box, unit, value)
    return [cuts[number] for number in range(len(request.units))]


def _boxes(units: Sequence[Unit], request: Request) -> list[Box]:
    """What units of one layer see of the images: their own channels', if they are of channels."""
    own, answers = request.way.directions is None, request.memory.answers
    asked = ("boxes", tuple(units), own)
    known: list[Box] | None = answers.get(asked)
    if known is not None:
        return known
    channels = [unit.channel for unit in units] if own else None
    places = [unit.position or () for unit in units]
    boxes = boxes_of(request.geometry, units[0].layer, places, channels=channels)
    if len(units) <= FEW:
        answers[asked] = boxes
    return boxes
