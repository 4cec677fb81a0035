"""The strongest response of every channel of layers over a whole data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deconvnet.data.pictures import Prepares
from deconvnet.data.samples import checked
from deconvnet.mining.exemplars import project_units
from deconvnet.net import DeconvNet
from deconvnet.units import Exemplar, Unit

from .values import bar, values

_AT_ONCE = 8  # images: maps of first layers are large


@dataclass(frozen=True, eq=False)
class Strongest:
    """The strongest response of each channel of a layer.

    Args:
        value: (channels,), over all images and positions.
        image: (channels,) index of the first image that has it.
        position: (channels, axes), the first there in row-major order.
    """

    value: NDArray[np.float64]
    image: NDArray[np.int64]
    position: NDArray[np.int64]

    def merged(self, later: Strongest) -> Strongest:
        """The higher of both channel by channel, and of equals this."""
        higher = later.value > self.value
        return Strongest(
            np.where(higher, later.value, self.value),
            np.where(higher, later.image, self.image),
            np.where(higher[:, None], later.position, self.position),
        )

    @property
    def alive(self) -> NDArray[np.bool_]:
        """(channels,): positive anywhere in the data set."""
        return np.asarray(self.value > 0)


def strongest(
    net: DeconvNet, data: Any, layers: Sequence[str], *, does: str = "", progress: bool = False
) -> dict[str, Strongest]:
    """For each layer the strongest response of its channels over a data set, {layer: …}."""
    best: dict[str, Strongest] = {}
    starts = range(0, len(data), _AT_ONCE)
    for first in bar(starts, does, total=len(starts), progress=progress):
        images = _read(data, first)
        for layer, maps in values(net, images, layers, progress=False).items():
            here = _of(maps, first)
            best[layer] = best[layer].merged(here) if layer in best else here
    return best


def projected(
    net: DeconvNet,
    data: Any,
    layer: str,
    channel: int,
    responses: Strongest,
    *,
    preprocessing: Prepares,
) -> Exemplar:
    """The strongest unit of a channel, projected; ``unit.image`` is the index in the data set."""
    at, source = tuple(map(int, responses.position[channel])), int(responses.image[channel])
    unit = Unit.at(layer, channel, position=at)
    image = checked(data[source], source, None)
    (one,) = project_units(net, image[None], [unit], preprocessing=preprocessing)
    moved = Unit.at(layer, channel, position=at, image=source)
    return Exemplar(moved, one.activation, one.box, one.overhang, one.patch, one.projection)


def _read(data: Any, first: int) -> Tensor:
    """Images of a data set from a number on, as one batch."""
    one = checked(data[first], first, None).clone()  # some data sets fill one tensor again
    rest = range(first + 1, min(first + _AT_ONCE, len(data)))
    return torch.stack([one, *(checked(data[i], i, tuple(one.shape)).clone() for i in rest)])


def _of(maps: Tensor, first: int) -> Strongest:
    """The strongest response in maps (images, channels, *size), whose first image has a number."""
    high, place = maps.flatten(2).max(2)
    top, image = high.max(0)
    at = place.gather(0, image[None])[0]
    axes = torch.stack(torch.unravel_index(at, maps.shape[2:]), dim=1)
    return Strongest(top.double().cpu().numpy(), image.cpu().numpy() + first, axes.cpu().numpy())
