"""What a mining run will take: two microbatches are run, nothing is written."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from deconvnet.arguments import integer, listed
from deconvnet.data import Preprocessing
from deconvnet.data.samples import path_of
from deconvnet.graph.modes import ordinarily
from deconvnet.layers import Rectifier
from deconvnet.mining.run.job import Job
from deconvnet.mining.run.miner import Miner
from deconvnet.projection.forward import Recording
from deconvnet.store.format import COLUMNS, COUNTERS

from .estimate_pictures import Pictures, estimate_pictures
from .exemplars import AT_ONCE
from .run import part_file

_GROUP = 2500  # bytes that HDF5 needs for a layer besides its arrays
_FILE = 14_000  # and for the file


@dataclass(frozen=True)
class Estimate:
    """What a run is made of and will take, on this machine, in one process.

    Args:
        images: of the data set.
        microbatches: of how many images, and how many of them.
        channels: {layer: channels}.
        seconds: {"mining", "pictures"}: for all images, reading included, and for what is to be
            stored of them besides.
        memory: {"model", "tables", "activations", "pictures"} in bytes; the last two one after the
            other, the rest at the same time.
        disk: {"store", "part", "patches", "projections"} in bytes; a part for each process while
            it runs, and twice for a moment, since files are replaced whole.
    """

    images: int
    microbatches: tuple[int, int]
    channels: dict[str, int]
    seconds: dict[str, float]
    memory: dict[str, int]
    disk: dict[str, int]


@ordinarily
def estimate(
    model: nn.Module,
    dataset: Any,
    layers: str | nn.Module | Sequence[str | nn.Module] | None = None,
    k: int = 9,
    batch_size: int = 64,
    *,
    nan: str = "skip",
    workers: int = 0,
    threads: int | None = None,
    preprocessing: Preprocessing | None = None,
    projections: str | Rectifier | Sequence[str | Rectifier] = (),
    elsewhere: str | None = None,
) -> Estimate:
    """Run two microbatches, time the second, and say what ``mine`` with these arguments takes.

    Where pictures are asked for, a few are made of each layer, and timed too.

    Args:
        model: as for ``mine``.
        dataset: as for ``mine``.
        layers: as for ``mine``.
        k: as for ``mine``.
        batch_size: as for ``mine``.
        nan: as for ``mine``.
        workers: as for ``mine``.
        threads: as for ``mine``.
        preprocessing: if pictures are to be stored: it turns an image back into one.
        projections: policies under which projections are to be stored beside patches.
        elsewhere: what happens at activations that a policy has no rule for.

    Raises:
        KeyError, ValueError, TypeError, UntraceableError: as ``mine``.
        UnmirroredError: a policy has no rule for an activation on the way.
    """
    k, batch_size = integer("k", k), integer("batch_size", batch_size)
    if k < 1 or batch_size < 1:
        raise ValueError(f"k={k} and batch_size={batch_size} were given; both must be at least 1")
    job = Job.of(
        model, dataset, layers=layers, k=k, batch_size=batch_size, nan=nan, threads=threads,
        told={}, workers=workers, strict=False,
    )  # fmt: skip
    request, miner = job.request, job.start()
    seconds = _seconds(job, miner) * request.total
    pictures = Pictures()
    if preprocessing is not None:
        pictures = estimate_pictures(
            job,
            miner,
            preprocessing=preprocessing,
            projections=listed(projections, str, Rectifier),
            elsewhere=elsewhere,
        )
    disk = {
        "store": _store_bytes(job),
        "part": len(part_file.to_bytes(job.part(miner, "0/1"))),
        "patches": pictures.patches,
        "projections": pictures.projections,
    }
    live = _live(job.geometry, miner) * job.image.element_size()
    states = [top.state() for top in miner.tops.values()]
    parameters = [*job.graph.model.parameters(), *job.graph.model.buffers()]
    memory = {
        "model": sum(tensor.nbytes for tensor in parameters),
        "tables": sum(tensor.nbytes for state in states for tensor in state.values()),
        "activations": live * request.batch,
        "pictures": pictures.memory and pictures.memory + live * min(AT_ONCE, request.images),
    }
    shape = (request.total, request.batch)
    taken = {"mining": seconds, "pictures": pictures.seconds}
    return Estimate(request.images, shape, dict(request.channels), taken, memory, disk)


def _seconds(job: Job, miner: Miner) -> float:
    """Of the second microbatch; of the first if there is no other."""
    ends = [time.perf_counter()]

    def note(_: Miner) -> bool:
        ends.append(time.perf_counter())
        return False

    few = list(range(min(2, job.request.total)))
    job.run(miner, few, failed={}, after=note)
    return ends[-1] - ends[-2]


def _live(geometry: Recording, miner: Miner) -> int:
    """The most values of one image that are held at the same time."""
    nodes = miner.graph.upto(list(miner.tops))
    readers = Counter(source for node in nodes for source in node.sources)
    held: dict[str, int] = {}
    most = 0
    for node in nodes:
        size = geometry.sizes.get(node.name)
        held[node.name] = size.numel() if size is not None else 0
        most = max(most, sum(held.values()))
        readers.subtract(node.sources)
        for name in (*node.sources, node.name):
            if readers[name] <= 0:
                held.pop(name, None)
    return most


def _store_bytes(job: Job) -> int:
    """Of the tables, and of the paths of as many images as may stand in them."""
    request = job.request
    itemsize = {"<f4": 4, "<i4": 4, "<i8": 8, "<f8": 8}
    entry = sum(itemsize[kind] * (rest[0] if rest else 1) for kind, rest in COLUMNS.values())
    channel = sum(itemsize[kind] for kind in COUNTERS.values())
    table = entry * request.k * sum(request.channels.values())
    few = range(0, request.images, max(1, request.images // 64))
    paths = (path_of(job.dataset, index) for index in few)
    path = max(len(path.encode("utf-8", "surrogateescape")) for path in paths)
    entries = sum(request.channels.values()) * min(request.k, request.images)
    images = min(request.images, entries) * (8 + path)
    return (
        table
        + channel * sum(request.channels.values())
        + images
        + _GROUP * len(request.channels)
        + _FILE
    )
