"""What a mining run will take: two microbatches are run, nothing is written."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from deconvnet import fields, part_format
from deconvnet.fields import Field
from deconvnet.images import Preprocessing
from deconvnet.items import first_image, path_of
from deconvnet.job import Job
from deconvnet.miner import Miner
from deconvnet.picture_coding import encode
from deconvnet.record import Recording
from deconvnet.store_format import COLUMNS, COUNTERS

_GROUP = 2500  # bytes that HDF5 needs for a layer besides its arrays
_FILE = 14_000  # and for the file


@dataclass(frozen=True)
class Estimate:
    """What a run is made of and will take, on this machine, in one process.

    Args:
        images: of the data set.
        microbatches: of how many images, and how many of them.
        channels: {layer: channels}.
        seconds: for all images, reading included.
        memory: {"model", "tables", "activations"} in bytes, at the same time.
        disk: {"store", "part", "patches", "projections"} in bytes; a part for each process while
            it runs, and twice for a moment, since files are replaced whole.
    """

    images: int
    microbatches: tuple[int, int]
    channels: dict[str, int]
    seconds: float
    memory: dict[str, int]
    disk: dict[str, int]


def estimate(
    model: nn.Module,
    dataset: Any,
    layers: Sequence[str | nn.Module] | None = None,
    k: int = 9,
    batch_size: int = 64,
    *,
    workers: int = 0,
    threads: int | None = None,
    preprocessing: Preprocessing | None = None,
    projections: int = 0,
) -> Estimate:
    """Run two microbatches, time the second, and say what ``mine`` with these arguments takes.

    Args:
        model: as for ``mine``.
        dataset: as for ``mine``.
        layers: as for ``mine``.
        k: as for ``mine``.
        batch_size: as for ``mine``.
        workers: as for ``mine``.
        threads: as for ``mine``.
        preprocessing: if patches are to be stored: it turns an image back into a picture.
        projections: under how many policies they are to be stored.

    Raises:
        KeyError, ValueError, TypeError, UntraceableError: as ``mine``.
    """
    if k < 1 or batch_size < 1:
        raise ValueError(f"k={k} and batch_size={batch_size} were given; both must be at least 1")
    job = Job.of(
        model, dataset, layers=layers, k=k, batch_size=batch_size, nan="skip", threads=threads,
        told={}, workers=workers, strict=False,
    )  # fmt: skip
    request, miner = job.request, job.start()
    seconds = _seconds(job, miner) * request.total
    names = list(request.channels)
    entries = {name: n * min(k, request.images) for name, n in request.channels.items()}
    seen = fields.of_layers(job.geometry, names)
    disk = {
        "store": _store_bytes(job, sum(entries.values())),
        "part": len(part_format.to_bytes(job.part(miner, "0/1"))),
        "patches": 0 if preprocessing is None else _patches(job, preprocessing, entries, seen),
        "projections": projections * sum(_pixels(seen[n]) * 6 * entries[n] for n in names),
    }
    states = [top.state() for top in miner.tops.values()]
    parameters = [*job.graph.model.parameters(), *job.graph.model.buffers()]
    memory = {
        "model": sum(tensor.nbytes for tensor in parameters),
        "tables": sum(tensor.nbytes for state in states for tensor in state.values()),
        "activations": _live(job.geometry, miner) * request.batch * job.image.element_size(),
    }
    shape = (request.total, request.batch)
    return Estimate(request.images, shape, dict(request.channels), seconds, memory, disk)


def _seconds(job: Job, miner: Miner) -> float:
    """Of the second microbatch; of the first if there is no other."""
    ends = [time.perf_counter()]

    def note(_: Miner) -> bool:
        ends.append(time.perf_counter())
        return False

    few = list(range(min(2, job.request.total)))
    job.run(miner, few, failed=0, after=note)
    return ends[-1] - ends[-2]


def _live(geometry: Recording, miner: Miner) -> int:
    """The most values of one image that are held at the same time."""
    readers = Counter(source for node in miner.nodes for source in node.sources)
    held: dict[str, int] = {}
    most = 0
    for node in miner.nodes:
        size = geometry.sizes.get(node.name)
        held[node.name] = size.numel() if size is not None else 0
        most = max(most, sum(held.values()))
        readers.subtract(node.sources)
        for name in (*node.sources, node.name):
            if readers[name] <= 0:
                held.pop(name, None)
    return most


def _store_bytes(job: Job, entries: int) -> int:
    """Of the tables, and of the paths of as many images as may stand in them."""
    request = job.request
    itemsize = {"<f4": 4, "<i4": 4, "<i8": 8, "<f8": 8}
    entry = sum(itemsize[kind] * (rest[0] if rest else 1) for kind, rest in COLUMNS.values())
    channel = sum(itemsize[kind] for kind in COUNTERS.values())
    table = entry * request.k * sum(request.channels.values())
    few = range(0, request.images, max(1, request.images // 64))
    paths = (path_of(job.dataset, index) for index in few)
    path = max(len(path.encode("utf-8", "surrogateescape")) for path in paths)
    images = min(request.images, entries) * (8 + path)
    return (
        table
        + channel * sum(request.channels.values())
        + images
        + _GROUP * len(request.channels)
        + _FILE
    )


def _pixels(field: Field) -> int:
    height, width = field.size[-2:]
    return height * width


def _patches(
    job: Job, preprocessing: Preprocessing, entries: dict[str, int], seen: dict[str, Field]
) -> int:
    """By what the middle of an image comes to; those that see all of an image share it."""
    picture = preprocessing.picture(first_image(job.dataset))
    total = 0
    for name, count in entries.items():
        height, width = seen[name].size[-2:]
        top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
        if (top, left) == (0, 0):
            count = min(count, job.request.images)
        total += count * len(encode(picture[top : top + height, left : left + width]))
    return total
