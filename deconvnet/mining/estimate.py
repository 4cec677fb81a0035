"""Estimate the time, memory and disk space of a mining run from two microbatches."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from deconvnet.arguments import Brief, listed
from deconvnet.data.pictures import Prepares
from deconvnet.data.samples import checked, first_image, path_of, read_item
from deconvnet.graph.modes import plain
from deconvnet.layers import Policies, Rectifier
from deconvnet.net import DeconvNet
from deconvnet.projection import receptive_field
from deconvnet.store.format import COUNTERS, columns
from deconvnet.store.picture_codec import encode
from deconvnet.store.table import QUANTILES
from deconvnet.units import Unit

from .embed import AT_ONCE
from .exemplars import AT_ONCE as IMAGES_AT_ONCE
from .run.job import Job, Settings
from .run.miner import Miner

_GROUP = 2500  # bytes that HDF5 needs for a layer besides its arrays
_FILE = 14_000  # and for the file
_TIMED = 16  # projections of a layer that are timed
_HALVES = 2  # bytes of one value of a projection


@dataclass(frozen=True)
class Estimate(Brief):
    """What a run takes, on this machine, in one process."""

    images: int  # of the data set
    microbatches: tuple[int, int]  # how many of them, and of how many images
    channels: dict[str, int]  # by layer
    seconds: dict[str, float]
    """{"mining", "pictures"}: for all images, reading included, and for pictures of the entries"""
    memory: dict[str, int]
    """{"model", "tables", "activations", "pictures"} in bytes; the last two one after the other"""
    disk: dict[str, int]
    """{"store", "part", "patches", "projections"} in bytes; a part for each process while it runs,
    and twice for a moment, since files are replaced whole"""


@plain()
def estimate(
    model: nn.Module,
    dataset: Any,
    layers: str | nn.Module | Sequence[str | nn.Module] | None = None,
    *,
    settings: Settings,
    preprocessing: Prepares | None = None,
    rectifiers: str | Rectifier | Policies | Sequence[str | Rectifier | Policies] = (),
    fallback: str | None = None,
) -> Estimate:
    """Run two microbatches, time the second, and extrapolate to all; nothing is written.

    The first arguments and errors are those of ``mine``; ``settings`` holds its others. With a
    ``preprocessing``, which turns images back into pictures, the patches that ``embed`` would
    store are estimated too, and its projections by some ``rectifiers``: a few are made of each
    layer, and timed.
    """
    job = Job.of(model, dataset, layers, settings=settings, told={})
    request, miner = job.request, Miner(job)
    seconds = {"mining": _seconds(miner) * request.total, "pictures": 0.0}
    patches, pixels, nets = 0, 0, []
    if preprocessing is not None:
        kept = (request.k, request.lowest, min(request.sample, len(QUANTILES)))
        each = sum(min(count, request.images) for count in kept)
        entries = {
            name: (count + len(request.directions.get(name, ()))) * each
            for name, count in request.channels.items()
        }
        fields = receptive_field.of_layers(job.geometry, list(entries))
        sizes = {name: fields[name].size for name in entries}
        pixels = sum(math.prod(size) * entries[name] for name, size in sizes.items())
        pixels *= job.image.shape[1]
        patches, seconds["pictures"] = _patches(job, preprocessing, entries, sizes)
        nets = [
            DeconvNet(job.graphs.model, Policies.of(one, fallback), input_size=job.image.shape[1:])
            for one in listed(rectifiers, str, Rectifier, Policies)
        ]
        for net in nets:
            lasts = {name: _seconds_each(miner, net, name) for name in entries}
            seconds["pictures"] += sum(lasts[name] * entries[name] for name in entries)
    live = _live(job) * job.image.element_size()
    tables = miner.tables.state().values()
    parameters = [*job.graphs.model.parameters(), *job.graphs.model.buffers()]
    # crops on their way from tensors to the file, and the images that they are made from
    crops = 2 * AT_ONCE + live * min(IMAGES_AT_ONCE, request.images)
    return Estimate(
        images=request.images,
        microbatches=(request.total, request.batch),
        channels=dict(request.channels),
        seconds=seconds,
        memory={
            "model": sum(tensor.nbytes for tensor in parameters),
            "tables": sum(tensor.nbytes for tensor in tables),
            "activations": live * request.batch,
            "pictures": crops if nets else 0,
        },
        disk={
            "store": _store_bytes(job),
            "part": len(miner.part("0/1").to_bytes()),
            "patches": patches,
            "projections": len(nets) * pixels * _HALVES,
        },
    )


def _seconds(miner: Miner) -> float:
    """The seconds of the second microbatch; of the first if there is no other."""
    ends = [time.perf_counter()]

    def note(_: Miner) -> bool:
        ends.append(time.perf_counter())
        return False

    miner.run(range(min(2, miner.job.request.total)), after=note)
    return ends[-1] - ends[-2]


def _live(job: Job) -> int:
    """The peak number of values of one image that are held at the same time."""
    nodes = job.graph.upto(list(job.request.channels))
    readers = Counter(source for node in nodes for source in node.sources)
    held: dict[str, int] = {}
    most = 0
    for node in nodes:
        size = job.geometry.sizes.get(node.name)
        held[node.name] = size.numel() if size is not None else 0
        most = max(most, sum(held.values()))
        readers.subtract(node.sources)
        for name in (*node.sources, node.name):
            if readers[name] <= 0:
                held.pop(name, None)
    return most


def _store_bytes(job: Job) -> int:
    """The bytes of the tables, and of the paths of as many images as may be in them."""
    request = job.request
    channels = sum(request.tops.values())
    table = columns(len(job.image.shape) - 2, request.rank)
    sizes = {n: np.dtype(kind).itemsize * int(np.prod(rest)) for n, (kind, rest) in table.items()}
    entry, ties = sum(sizes.values()), np.dtype("i8").itemsize
    kept = request.k + request.lowest
    channel = sum(np.dtype(kind).itemsize for kind in COUNTERS.values()) + entry * kept + ties
    channel += (ties if request.lowest else 0) + (entry - sizes["image"]) * request.sample
    groups = 1 + bool(request.lowest) + bool(request.sample)
    few = range(0, request.images, max(1, request.images // 64))
    paths = (path_of(job.dataset, index) for index in few)
    path = max(len(path.encode("utf-8", "surrogateescape")) for path in paths)
    images = min(request.images, channels * kept + request.sample)
    tables = channels * channel + _GROUP * groups * len(request.tops)
    tables += sum(len(vectors.data) for vectors in request.directions.values())
    return tables + images * (8 + path) + _FILE


def _patches(
    job: Job,
    preprocessing: Prepares,
    entries: Mapping[str, int],
    sizes: Mapping[str, tuple[int, ...]],
) -> tuple[int, float]:
    """Bytes and seconds, from crops at the centre of an image; whole images are shared."""
    picture = preprocessing.pixels(first_image(job.dataset))
    total, seconds = 0, 0.0
    for name, count in entries.items():
        starts = [(whole - n) // 2 for whole, n in zip(picture.shape, sizes[name], strict=False)]
        if not any(starts):
            count = min(count, job.request.images)
        box = tuple(slice(a, a + n) for a, n in zip(starts, sizes[name], strict=True))
        began = time.perf_counter()
        total += count * len(encode(picture[box]))
        seconds += count * (time.perf_counter() - began)
    return total, seconds


def _seconds_each(miner: Miner, net: DeconvNet, layer: str) -> float:
    """The seconds of one of several projections; 0 where no unit is active so far."""
    job, units = miner.job, list(_excited(miner, layer))
    if not units:
        return 0.0
    images = sorted({unit.image for unit in units})
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


def _excited(miner: Miner, layer: str) -> Iterator[Unit]:
    """The strongest units so far of some channels, spread over the layer."""
    table, size = miner.tables.tops[layer].table(), miner.job.geometry.sizes[layer]
    alive = (table.activation[:, 0] > 0).nonzero().squeeze(1).tolist()
    for channel in alive[:: max(1, len(alive) // _TIMED)][:_TIMED]:
        place = np.unravel_index(int(table.position[channel, 0]), size[2:] or (1,))
        position = tuple(int(n) for n in place) if size[2:] else None
        yield Unit.at(layer, channel, position=position, image=int(table.image[channel, 0]))
