"""Whether images are still what the tables say when one reader alone reads them again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deconvnet.runs.feed import by_row, microbatches
from deconvnet.runs.job import Job
from deconvnet.runs.miner import activations
from deconvnet.runs.positions import IDIOM
from deconvnet.runs.readers import outlive_signals, readers_die
from deconvnet.topk.reduction import strongest

_IMAGES = 64  # read again, at least, and two whole microbatches
_SLACK = {"cpu": 1e-4}  # of a layer's greatest activation; another image differs by far more
_SLACK_ELSEWHERE = 1e-2


class ImagesDiffer(ValueError):
    """What was mined is not what the images give when they are read again."""


def reread(job: Job, tables: Mapping[str, Any], *, seed: int = 0) -> None:
    """Read random images of the tables again in one new reader, run them, and compare.

    Readers that were forked from a process in which the data set had its file open share the
    file's position: one reads what another has sought, and nothing fails. A reader that is alone
    reads what is there.

    Args:
        job: the run; this process must not have read its data set.
        tables: {layer: table}, with ``activation`` and ``image`` of shape (channels, k).
        seed: which images.

    Raises:
        ImagesDiffer: an entry is not what its image gives; the message names the remedy.
        ReaderDied, RuntimeError: as ``readers.reading``.
    """
    batch, layout = job.request.batch, str(job.request.attributes["layout"])
    images = [np.asarray(table.image).ravel() for table in tables.values()]
    kept = np.unique(np.concatenate([[-1], *images]))[1:]
    drawn = _drawn(kept, batch, seed=seed)
    if not drawn:
        return
    size, device, dtype = tuple(job.image.shape[1:]), job.image.device, job.image.dtype
    slack = max(_SLACK.get(device.type, _SLACK_ELSEWHERE), 8 * torch.finfo(dtype).eps)
    parts = microbatches(
        job.dataset, batch, size=size, dtype=dtype, workers=1,
        groups=by_row(drawn, batch), signals=outlive_signals,
    )  # fmt: skip
    with readers_die(), closing(parts), job.running():
        for part in parts:
            for index, reason in part.failed.items():
                raise ImagesDiffer(f"image {index} could be read once, and then not: {reason}")
            for layer, maps in activations(
                job.graph, part, list(tables), layout=layout, device=device
            ):
                maxima = strongest(maps).numpy()
                _compare(layer, tables[layer], maxima, part.indices, slack=slack)


def _drawn(images: NDArray[np.int64], batch: int, *, seed: int) -> list[int]:
    """Random ones, as many of each row of a microbatch."""
    most = max(2, -(-_IMAGES // batch))
    taken: Counter[int] = Counter()
    found = []
    for image in np.random.default_rng(seed).permutation(images).tolist():
        if taken[image % batch] < most:
            taken[image % batch] += 1
            found.append(image)
    return found


def _compare(
    layer: str, table: Any, maxima: NDArray[np.float32], images: Any, *, slack: float
) -> None:
    """All entries of some images against the maxima (images, channels) that they give now."""
    told, image = np.asarray(table.activation), np.asarray(table.image)
    allowed = slack * float(np.abs(told[np.isfinite(told)]).max(initial=0.0))
    for index, now in zip(images.tolist(), maxima, strict=True):
        channels, slots = np.nonzero(image == index)
        with np.errstate(invalid="ignore"):
            near = np.abs(told[channels, slots] - now[channels]) <= allowed
        odd = np.flatnonzero(~near & (told[channels, slots] != now[channels]))
        for at in odd[:1]:
            was = told[channels[at], slots[at]]
            raise ImagesDiffer(
                f"image {index} gave {layer}:{channels[at]} an activation of {was:.7g}, and gives "
                f"{now[channels[at]]:.7g} when one process alone reads it again; no store was "
                "written. The processes that read have got in each other's way, by a file that was "
                f"open before they started: {IDIOM}. Mine again with resume=False, on the command "
                "line --restart"
            )
