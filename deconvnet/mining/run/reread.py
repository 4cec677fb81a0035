"""Check the tables of a part by reading some of its images again in a single process."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing

import numpy as np
import torch
from numpy.typing import NDArray

from deconvnet.graph.errors import NotTheModel
from deconvnet.graph.kept_parameters import kept
from deconvnet.graph.observed_hooks import without_onlookers
from deconvnet.mining.topk import Table
from deconvnet.mining.topk.maxima import ranked_by

from .file_positions import IDIOM
from .job import Job
from .microbatches import CONTIGUOUS, activations, groups_of, laid_out
from .readers import readers_die

_IMAGES = 64  # read again, at least, in whole microbatches
_SLACK = {"cpu": 1e-4}  # of a layer's greatest activation; another image differs by far more
_SLACK_ELSEWHERE = 1e-2


class ImagesDiffer(ValueError):
    """The tables of a part are not those of its images."""


def reread(
    job: Job, tables: Mapping[str, Table], done: Collection[int], *, parts: int = 1, seed: int = 0
) -> None:
    """Read random microbatches of a part again in one new reader, run them, and compare.

    Readers that share the position of a file read each other's images, and nothing fails. They
    are given positions of their own where that is possible; this check is for other systems, and
    for data sets that are not the same in every process.

    The microbatches of a part, ``done``, with more entries in its tables are likelier to be drawn;
    of many ``parts``, fewer images are read of each. ``ImagesDiffer`` is raised where an entry is
    not what its image gives, or an image is stronger than the last entry and stands in none.
    """
    request = job.request
    count = max(1, -(-_IMAGES // (request.batch * parts)))
    numbers = _drawn(tables, sorted(done), request.batch, count=count, seed=seed)
    device, dtype = job.image.device, job.image.dtype
    slack = max(_SLACK.get(device.type, _SLACK_ELSEWHERE), 8 * torch.finfo(dtype).eps)
    again = job.microbatches(groups_of(numbers, request.batch, request.images), workers=1)
    graph, layout = job.graph, str(request.attributes["layout"])
    with readers_die(), closing(again), job.running(), without_onlookers(graph.model):
        for batch in again:  # an image that cannot be read this time tells nothing
            images = laid_out(batch.images.to(device), layout)
            with kept(graph, graph.upto(tables)):
                for layer, maps in activations(graph, images, list(tables)):
                    best = ranked_by(request.rank, batch.of_images(maps))
                    table, values = tables[layer], best.cpu().numpy()
                    for index, now in zip(batch.indices.tolist(), values, strict=True):
                        _compare(layer, table, index, now, slack=slack)


def check_strongest(job: Job, tables: Mapping[str, Table]) -> None:
    """Compare the graph with the model on one microbatch of the images in the first slots.

    A part of a graph that was at rest on the first microbatch is awake where units are strong.
    The tables are those of the whole run.
    """
    first = np.concatenate([table.image[:, 0].numpy() for table in tables.values()])
    if job.checked is None or job.request.total == 1 or (first < 0).all():
        return  # the first microbatch was the only one, or there is none
    images, counts = np.unique(first[first >= 0], return_counts=True)
    best = [
        int(table.image[np.nanargmax(table.activation[:, 0]), 0])
        for table in tables.values()
        if table.activation[:, 0].isfinite().any()
    ]
    order = [*best, *images[np.argsort(-counts, kind="stable")]]
    rows: dict[int, int] = {}  # each image runs in the row that it was mined in
    for image in map(int, order):
        rows.setdefault(image % job.request.batch, image)
    again = job.microbatches([sorted(rows.values())], workers=min(1, job.workers))
    with readers_die(), closing(again), job.running():
        for batch in again:
            held = laid_out(batch.images.to(job.image.device), CONTIGUOUS)
            row = job.checked.differs(held, list(tables))
            if row is not None:
                error = NotTheModel.at(job.graph.model, [(job.graph.reader, row)], [])
                raise NotTheModel(
                    f"{error}. So it is on images {batch.indices.tolist()}, among the strongest of "
                    "this run; on its first microbatch graph and model agreed. No store is written"
                )


def _drawn(
    tables: Mapping[str, Table], done: Sequence[int], batch: int, *, count: int, seed: int
) -> list[int]:
    """Random microbatches, ascending; a wrong image that is strong has many entries."""
    images = np.concatenate([table.image.numpy().ravel() for table in tables.values()])
    entries = np.bincount(images[images >= 0] // batch, minlength=max(done) + 1)[list(done)]
    weights = 1.0 + entries
    some = np.random.default_rng(seed).choice(
        done, min(count, len(done)), replace=False, p=weights / weights.sum()
    )
    return sorted(some.tolist())


def _compare(
    layer: str, table: Table, index: int, now: NDArray[np.float32], *, slack: float
) -> None:
    """Compare the entries that an image has, or should have, with its maxima (channels,)."""
    told, here = table.activation.numpy(), table.image.numpy() == index
    allowed = slack * float(np.abs(told[np.isfinite(told)]).max(initial=0.0))
    entry, was = here.any(1), np.where(here, told, -np.inf).max(1)
    with np.errstate(invalid="ignore"):
        other = entry & (was != now) & ~(np.abs(was - now) <= allowed)
        missing = ~entry & (now > told[:, -1] + allowed)
    for channel in np.flatnonzero(other | missing)[:1]:
        before = f"{was[channel]:.7g}" if entry[channel] else f"at most {told[channel, -1]:.7g}"
        raise ImagesDiffer(
            f"image {index} gave {layer}:{channel} an activation of {before}, and gives "
            f"{now[channel]:.7g} when one process alone reads it again. Either the processes that "
            "read share a file that was open before they started, or the data set, or the model, "
            f"answers differently each time. For a file: {IDIOM}"
        )
