"""A mining run in one process: what is found, what is left behind, and when all is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import reduce
from operator import or_
from os import fspath
from pathlib import Path

from deconvnet.atomic import check_writable
from deconvnet.store.store import Store

from . import part_file
from .assemble import assemble, publish
from .blocks import from_ranges, share
from .destination import Target
from .job import Job, Pace, images_in
from .miner import Miner
from .part import Part, apart
from .part_folder import PartFolder
from .readers import ReaderDied
from .reread import ImagesDiffer, check_strongest, reread
from .sharding import Shard

_ASIDE = "write to another file, or replace it: resume=False, on the command line --restart"
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

    def __init__(self, job: Job, path: Path, shard: Shard, *, discard_groups: bool = False) -> None:
        self.job, self.path, self.shard = job, path, shard
        self.discard_groups = discard_groups
        self.target = Target(path)
        self.replaces = ""  # the mark of the file that the store is to replace, if it may
        self.stamp = self.target.stamp()
        self.folder = PartFolder.beside(path)
        self.file = self._new_file()

    def begin(self, *, resume: bool | None, adapt: bool) -> tuple[Store | None, list[Part]]:
        """The finished store, or what is done of it.

        Args:
            resume: False: what is there is dropped; None: only if it is a store, or nothing.
            adapt: go on with as many threads as the work was begun with.
        """
        if resume is None:
            self._check_nothing_is_lost()
        if not resume:
            check_writable(self.path)
            self._check_additions()
            self.replaces = self.target.mark()
            self.folder.clear()
            return None, []
        # parts first: whoever assembles the store removes them when it is there, never before
        found = self.folder.headings()
        mark = self.target.mark()
        if mark and mark in {part.replaces for part in found}:
            self._check_additions()
            self.replaces = mark  # what has begun to replace a store goes on with it
        elif mark:
            store, other = self.target.read(self.job.request)
            ours = [part for part in found if not self.folder.other(part, self.job.request)]
            if other:
                raise ValueError(
                    f"{fspath(self.path)!r} is there already and holds {other}; "
                    f"{self._aside(ours) if ours else _ASIDE}"
                )
            if store is not None:
                if any(part.replaces for part in ours) and not self._whole(apart(ours)):
                    raise ValueError(
                        f"{fspath(self.path)!r} is finished, from the same run, and beside it is "
                        f"work begun to replace another file; {self._aside(ours)}"
                    )
                self.folder.tidy(self.job.request)
                return store, []
        self.job = self.job.like(found) if adapt else self.job
        return None, apart(self.folder.of(self.job.request))

    def again(self) -> list[Part]:
        """Begin anew beside what all processes have left by now, this one too."""
        self.file = self._new_file()
        return apart(self.folder.of(self.job.request))

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

        failed = {each.index: each.reason for part in begun for each in part.failed}
        self.job.check_failed(failed)
        if numbers and not (stop is not None and stop()):
            try:
                self.job.run(miner, numbers, failed=failed, after=after)
            except ReaderDied:  # of the signal that we were sent too
                if stop is None or not stop():
                    raise
                if miner.done:
                    self._save(miner)
        if len(miner.done) < len(numbers):
            raise self.unfinished(miner, stopped=True)
        return miner

    def finish(self, miner: Miner) -> Store | None:
        """Write the store if all is done, by whomever; None if it is not."""
        own = [self._own(miner)] if miner.done else []
        refused: OSError | None = None
        if own and (self.job.workers or not self._whole(own)):  # first kept, then looked at again
            try:
                self.folder.write(self.file, own[0])
            except OSError as error:  # the last to finish needs its part in memory only
                refused = error
        for _ in range(_TRIES):
            others = [p for p in self.folder.of(self.job.request) if p.path != self.file]
            parts = apart([*others, *own])
            if self._whole(parts):
                try:
                    return self._assemble(parts)
                except FileNotFoundError:  # another process has assembled it meanwhile
                    continue
                except ImagesDiffer:
                    raise
                except Exception:
                    with suppress(OSError):  # a full disk takes neither
                        if own:
                            self.folder.write(self.file, own[0])
                    raise
            if refused is not None:
                raise refused
            if self.target.stamp() == self.stamp:
                return None
            if self.replaces and self.target.mark() == self.replaces and self.folder.names():
                return None  # the old one still, with pictures put into it, say
            store, _ = self.target.read(self.job.request)
            if store is not None:
                self.folder.tidy(self.job.request)
            return store
        return None

    def unfinished(self, miner: Miner, *, stopped: bool) -> Unfinished:
        """What to raise when there is no store yet."""
        parts = [p for p in self.folder.of(self.job.request) if p.path != self.file]
        own = [self._own(miner)] if miner.done else []
        done = sum(part.seen for part in apart([*parts, *own]))
        images = self.job.request.images
        what = "mining was stopped" if stopped else f"shard {self.shard} is done, others are not"
        kept = (
            f"{done} of {images} images are done and kept in {fspath(self.folder.path)!r}; "
            "the same call with resume=True goes on from there"
            if done
            else "nothing is done yet, and nothing is kept"
        )
        return Unfinished(
            f"{what}: {kept}",
            done=done,
            images=images,
            stopped=stopped,
        )

    def _check_additions(self) -> None:
        if not self.discard_groups:
            self.target.check_additions()

    def _check_nothing_is_lost(self) -> None:
        found = self.folder.headings()
        if found:
            done, images = sum(part.seen for part in apart(found)), found[0].request.images
            raise ValueError(
                f"{fspath(self.folder.path)!r} holds unfinished work, {done} of {images} images; "
                "go on with it: resume=True, or drop it: resume=False"
            )
        self.target.check_is_store()

    def _aside(self, ours: Sequence[Part]) -> str:
        """What to do where unfinished work must not be dropped for advice."""
        done, images = sum(part.seen for part in apart(ours)), self.job.request.images
        return (
            f"move that file away, and what is in {fspath(self.folder.path)!r} ({done} of {images} "
            "images) is gone on with; or remove that folder, to drop it"
        )

    def _new_file(self) -> Path:
        return self.folder.new_file(f"{self.shard.index}-of-{self.shard.count}")

    def _own(self, miner: Miner) -> Part:
        return self.job.part(miner, str(self.shard), replaces=self.replaces)

    def _save(self, miner: Miner) -> None:
        self.folder.of(self.job.request)  # another process may have begun it in another way
        self.folder.write(self.file, self._own(miner))

    def _whole(self, parts: Sequence[Part]) -> bool:
        """Whether together they hold every microbatch."""
        done = reduce(or_, (part.mask for part in parts), 0)
        return done == (1 << self.job.request.total) - 1

    def _reread(self, part: Part, parts: int) -> None:
        """Look again at a part, whoever made it; one that is wrong is set aside, and done anew.

        Raises:
            FileNotFoundError: its file has gone.
            ImagesDiffer: see ``reread``.
        """
        whole = part if part.path is None else part_file.read(part.path)
        tables = {name: top.table() for name, top in whole.tops.items()}
        try:
            reread(self.job, tables, from_ranges(part.done), parts=parts)
        except ImagesDiffer as error:
            aside = self.folder.set_aside(part.path or self.file)
            raise ImagesDiffer(
                f"{error}. The {part.seen} images of this part ({part.process}) are not kept, "
                f"{f'only as {aside.name!r}; ' if aside else ''}the same call with resume=True "
                "mines them again"
            ) from error

    def _assemble(self, parts: Sequence[Part]) -> Store:
        request = self.job.request
        now = self.target.stamp()
        if now not in ("", self.stamp) and self.target.mark() != self.replaces:
            store, other = self.target.read(request)
            if other:
                raise ValueError(
                    f"{fspath(self.path)!r} holds {other}, and did not when this run began; move "
                    "that file away: the same call, with resume=True, then writes the store"
                )
            if store is not None:
                self.folder.tidy(request)
                return store
        self._check_additions()  # they may have come meanwhile
        if self.job.workers:
            for part in parts:
                self._reread(part, len(parts))
        found = assemble(request, self.job.geometry, parts)
        check_strongest(self.job, found.layers)
        store = publish(self.path, request, found, limit=self.job.limit)
        self.folder.tidy(request)
        return store
