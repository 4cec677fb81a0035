"""A mining run in one process: what is found, what is left behind, and when all is done."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from os import fspath
from pathlib import Path

from deconvnet.assembling import publish
from deconvnet.blocks import from_ranges, share
from deconvnet.job import Job, Pace, images_in
from deconvnet.miner import Miner
from deconvnet.part_folder import PartFolder
from deconvnet.parts import Part, apart
from deconvnet.request import MEANT, Request, differences
from deconvnet.shards import Shard
from deconvnet.store import Store, open_store

_TRIES = 5  # how often another process may take the parts away while they are read

Reporter = Callable[[int, int], None]
"""Told how many images are done, of how many."""


class Unfinished(RuntimeError):
    """Work is done and kept, but there is no store yet; the same call goes on from here.

    Attributes:
        done: images that are done, by all processes.
        images: how many the data set has.
        stopped: this process was asked to stop; else its share is done, and others' is not.
    """

    def __init__(self, message: str, *, done: int, images: int, stopped: bool) -> None:
        super().__init__(message)
        self.done, self.images, self.stopped = done, images, stopped


class Work:
    """A run in one process: where it keeps what it has done, and when all is done."""

    def __init__(self, job: Job, path: Path, shard: Shard) -> None:
        self.job, self.path, self.shard = job, path, shard
        self.folder = PartFolder.beside(path)
        self.file = self.folder.new_file(f"{shard.index}-of-{shard.count}")

    def begin(self, *, resume: bool | None, adapt: bool) -> tuple[Store | None, list[Part]]:
        """The finished store, or what is done of it.

        Args:
            resume: False: what is there is dropped; None: only if it is a store, or nothing.
            adapt: go on with as many threads as the work was begun with.
        """
        if resume is None:
            self._check_nothing_is_lost()
        if not resume:
            self.folder.clear()
            return None, []
        # parts first: whoever assembles the store removes them when it is there, never before
        found = self.folder.headings()
        store, other = self._finished()
        if store is not None:
            self.folder.clear()
            return store, []
        self.job = self.job.like(found) if adapt else self.job
        parts = self.folder.of(self.job.request)
        if other and not found:
            raise ValueError(
                f"{fspath(self.path)!r} is there already and holds {other}; write to another "
                "file, or replace it: resume=False, on the command line --restart"
            )
        return None, apart(parts)

    def go_on(
        self,
        begun: Sequence[Part],
        *,
        save_every: float,
        report: Reporter | None,
        stop: Callable[[], bool] | None,
    ) -> Miner:
        """Do what is left of this process' share."""
        request, miner, pace = self.job.request, self.job.start(), Pace(save_every)
        before = from_ranges(one for part in begun for one in part.done)
        every = share(request.total, self.shard.index, self.shard.count)
        numbers = [n for n in every if n not in before]
        total, done = images_in(numbers, request), 0

        def after(miner: Miner) -> bool:
            nonlocal done
            done += images_in(miner.done[-1:], request)
            if report is not None:
                report(done, total)
            if len(miner.done) == len(numbers):
                return True
            ending = stop is not None and stop()
            if ending or pace.due():
                began = time.monotonic()
                self._save(miner)
                pace.saved(began)
            return ending

        if numbers and not (stop is not None and stop()):
            failed = sum(len(part.failed) for part in begun)
            self.job.run(miner, numbers, failed=failed, after=after)
        if len(miner.done) < len(numbers):
            raise self.unfinished(miner, stopped=True)
        return miner

    def finish(self, miner: Miner) -> Store | None:
        """Write the store if all is done, by whomever; None if it is not."""
        own = [self.job.part(miner, str(self.shard))] if miner.done else []
        if own and self.shard.count > 1:
            self.folder.write(self.file, own[0])
        for _ in range(_TRIES):
            others = [p for p in self.folder.of(self.job.request) if p.path != self.file]
            parts = apart([*others, *own])
            if _union(parts) == (1 << self.job.request.total) - 1:
                try:
                    return self._assemble(parts)
                except FileNotFoundError:  # another process has assembled it meanwhile
                    continue
            store, _ = self._finished()
            if store is not None:
                self.folder.clear()
            return store
        return None

    def unfinished(self, miner: Miner, *, stopped: bool) -> Unfinished:
        """What to raise when there is no store yet."""
        parts = [p for p in self.folder.of(self.job.request) if p.path != self.file]
        own = [self.job.part(miner, str(self.shard))] if miner.done else []
        done = sum(part.seen for part in apart([*parts, *own]))
        images = self.job.request.images
        what = "mining was stopped" if stopped else f"shard {self.shard} is done, others are not"
        return Unfinished(
            f"{what}: {done} of {images} images are done and kept in {fspath(self.folder.path)!r}; "
            "the same call with resume=True goes on from there",
            done=done,
            images=images,
            stopped=stopped,
        )

    def _check_nothing_is_lost(self) -> None:
        found = self.folder.headings()
        if found:
            done, images = sum(part.seen for part in apart(found)), found[0].request.images
            raise ValueError(
                f"{fspath(self.folder.path)!r} holds unfinished work, {done} of {images} images; "
                "go on with it: resume=True, or drop it: resume=False"
            )
        if os.path.isfile(self.path):
            try:
                open_store(self.path)
            except (ValueError, OSError) as error:
                raise ValueError(
                    f"{fspath(self.path)!r} is there already and holds something else ({error}); "
                    "write to another file, or replace it: resume=False"
                ) from error

    def _save(self, miner: Miner) -> None:
        self.folder.of(self.job.request)  # another process may have begun it in another way
        self.folder.write(self.file, self.job.part(miner, str(self.shard)))

    def _finished(self) -> tuple[Store | None, str]:
        """The store if it is there and of this run; else what it is instead, or nothing."""
        if not os.path.isfile(self.path):  # what else it is, `check_writable` says
            return None, ""
        try:
            store = open_store(self.path)
        except FileNotFoundError:
            return None, ""
        except (ValueError, OSError) as error:
            return None, f"something else ({error})"
        other = difference(self.job.request, store)
        return (None, other) if other else (store, "")

    def _assemble(self, parts: Sequence[Part]) -> Store:
        request = self.job.request
        store = publish(self.path, request, self.job.geometry, parts=parts, strict=self.job.strict)
        self.folder.clear()
        return store


def difference(request: Request, store: Store) -> str:
    """How a store differs from what is asked for; empty if it does not."""
    attributes = {"nan_policy": request.attributes["nan_policy"], **store.attributes}
    seen, failed = attributes.get("images_seen"), attributes.get("images_failed")
    images = seen + failed if isinstance(seen, int) and isinstance(failed, int) else None
    theirs = {**attributes, "images": images, "layers": list(store.layers)}
    return next(differences(request.claims(), theirs, MEANT), "")


def _union(parts: Sequence[Part]) -> int:
    return reduce(or_, (part.mask for part in parts), 0)
