"""What patches and projections of a store will take: a few of them are made, and thrown away."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from deconvnet.data import Preprocessing
from deconvnet.data.samples import checked, first_image, read_item
from deconvnet.layers import Rectifier
from deconvnet.mining.run.job import Job
from deconvnet.mining.run.miner import Miner
from deconvnet.net import DeconvNet
from deconvnet.projection import receptive_field
from deconvnet.store.picture_codec import encode
from deconvnet.units import Unit

from .embed import AT_ONCE

_TIMED = 16  # projections of a layer that are timed
_HALVES = 3 * 2  # bytes of a pixel of a projection


@dataclass(frozen=True)
class Pictures:
    """What pictures take: bytes on the disk, seconds, and bytes of memory beside activations."""

    patches: int = 0
    projections: int = 0
    seconds: float = 0.0
    memory: int = 0


def estimate_pictures(
    job: Job,
    miner: Miner,
    *,
    preprocessing: Preprocessing,
    projections: Sequence[str | Rectifier],
    elsewhere: str | None,
) -> Pictures:
    """Make a few pictures of each layer.

    Args:
        job: the run.
        miner: with the tables of some microbatches.
        preprocessing: turns an image back into a picture.
        projections: policies.
        elsewhere: what happens at activations that a policy has no rule for.

    Raises:
        UnmirroredError: a policy has no rule for an activation on the way.
    """
    names = list(job.request.channels)
    entries = {
        name: count * min(job.request.k, job.request.images)
        for name, count in job.request.channels.items()
    }
    seen = receptive_field.of_layers(job.geometry, names)
    sizes = {name: (seen[name].size[-2], seen[name].size[-1]) for name in names}
    patches, seconds = _patches(job, preprocessing, entries, sizes)
    nets = [
        DeconvNet(job.graph.model, policy, elsewhere=elsewhere, input_size=job.image.shape[1:])
        for policy in projections
    ]
    for net in nets:
        seconds += sum(_seconds_each(job, miner, net, name) * entries[name] for name in names)
    values = sum(height * width * entries[name] for name, (height, width) in sizes.items())
    memory = 2 * AT_ONCE if nets else 0  # crops on their way from tensors to the file
    return Pictures(patches, len(nets) * values * _HALVES, seconds, memory)


def _patches(
    job: Job,
    preprocessing: Preprocessing,
    entries: dict[str, int],
    sizes: dict[str, tuple[int, int]],
) -> tuple[int, float]:
    """By what the middle of an image comes to; those that see all of an image share it."""
    picture = preprocessing.picture(first_image(job.dataset))
    total, seconds = 0, 0.0
    for name, count in entries.items():
        height, width = sizes[name]
        top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
        if (top, left) == (0, 0):
            count = min(count, job.request.images)
        began = time.perf_counter()
        total += count * len(encode(picture[top : top + height, left : left + width]))
        seconds += count * (time.perf_counter() - began)
    return total, seconds


def _seconds_each(job: Job, miner: Miner, net: DeconvNet, layer: str) -> float:
    """Of one projection, among several at once; 0 where no unit was excited so far."""
    units = list(_excited(job, miner, layer))
    images = sorted({unit.image for unit in units})
    if not units:
        return 0.0
    pixels = torch.stack([checked(read_item(job.dataset, i), i, None) for i in images])
    pixels = pixels.to(job.image.device, job.image.dtype)
    local = [
        Unit.at(layer, unit.channel, position=unit.position, image=images.index(unit.image))
        for unit in units
    ]
    net.project(pixels, units=local[:1], crop=True)  # it looks at the geometry once
    began = time.perf_counter()
    net.project(pixels, units=local, crop=True)
    return (time.perf_counter() - began) / len(local)


def _excited(job: Job, miner: Miner, layer: str) -> Iterator[Unit]:
    """The strongest unit so far of some channels, spread over the layer."""
    table, size = miner.tops[layer].table(), job.geometry.sizes[layer]
    alive = (table.activation[:, 0] > 0).nonzero().squeeze(1).tolist()
    for channel in alive[:: max(1, len(alive) // _TIMED)][:_TIMED]:
        place = int(table.position[channel, 0])
        position = tuple(int(n) for n in torch.unravel_index(torch.tensor(place), size[2:]))
        yield Unit.at(layer, channel, position=position or None, image=int(table.image[channel, 0]))
