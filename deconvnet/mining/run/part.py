"""What one process has mined, and which such parts go together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deconvnet.mining.topk import TopK
from deconvnet.store.store import Failed

from .blocks import Ranges, mask_of
from .request import Request

_TRIED = 12  # overlapping parts among which the best choice is looked for; beyond, a good one is


@dataclass(frozen=True)
class FirstNaN:
    """Where NaN was met first: in which microbatch, layer and images."""

    microbatch: int
    layer: str
    images: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Part:
    """The tables of some microbatches, or only what the file says of them.

    Args:
        request: the run it belongs to.
        done: its microbatches.
        failed: the images among them that could not be read.
        nan: where NaN was met first, if it was.
        process: who made it: shard, process and machine.
        replaces: the mark of the file that the store is to replace, see ``Target.mark``; empty
            where there was none.
        path: the file it comes from; None in the process that makes it.
        tops: {layer: table}; empty as long as only the heading has been read.
        images: index → path, of the images that stand in its tables.
    """

    request: Request
    done: Ranges
    failed: tuple[Failed, ...]
    nan: FirstNaN | None
    process: str
    replaces: str
    path: Path | None
    tops: Mapping[str, TopK]
    images: Mapping[int, str]

    @property
    def mask(self) -> int:
        """Its microbatches as the bits of an integer."""
        return mask_of(self.done)

    @property
    def seen(self) -> int:
        """How many images of the data set its microbatches hold, broken ones too."""
        batch, images = self.request.batch, self.request.images
        return sum(min(stop * batch, images) - start * batch for start, stop in self.done)


def apart(parts: Iterable[Part]) -> list[Part]:
    """The parts that together hold most microbatches, none of them twice.

    Counts add up, so that a microbatch may enter once. Two parts overlap only where two processes
    did the same work: a run was started twice, or again while the first still ran.
    """
    ordered = sorted(parts, key=lambda part: (-part.mask.bit_count(), str(part.path)))
    return _most(ordered, [part.mask for part in ordered])


def _most(parts: list[Part], masks: list[int]) -> list[Part]:
    clashing = [
        any(mask & other for place, other in enumerate(masks) if place != number)
        for number, mask in enumerate(masks)
    ]
    free = [part for part, clash in zip(parts, clashing, strict=True) if not clash]
    left = [(p, m) for p, m, clash in zip(parts, masks, clashing, strict=True) if clash]
    if not left:
        return free
    (first, mask), *others = left
    beside = [(part, other) for part, other in others if not other & mask]
    taken = [first, *_most([part for part, _ in beside], [other for _, other in beside])]
    if len(left) > _TRIED:
        return free + taken
    refused = _most([part for part, _ in others], [other for _, other in others])
    return free + max(taken, refused, key=lambda some: sum(one.mask.bit_count() for one in some))
