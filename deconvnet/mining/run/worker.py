"""A mining run in one process: resume, run the microbatches left, keep parts, write the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from os import fspath
from pathlib import Path

from deconvnet.atomic import check_writable
from deconvnet.store.store import Store

from .bad_images import check_failed
from .destination import check_additions, stamp, store_at
from .job import Job
from .merge import assemble
from .miner import Miner
from .part import Part, apart, done_by
from .part_folder import PartFolder
from .readers import ReaderDied
from .reread import ImagesDiffer, check_strongest, reread
from .sharding import Shard

_ASIDE = "write to another file, or replace it: resume=False, on the command line --restart"
_TRIES = 5  # how often another process may take the parts away while they are read
_ROUNDS = 3  # of a process that is alone, should an earlier one of the same run still be at work
_SHARE = 20  # the work between two checkpoints takes at least so many times as long as one

Reporter = Callable[[int, int], None]
"""Called with how many images are done, of how many."""
Stop = Callable[[], bool]
"""Whether to stop after this microbatch."""


class Unfinished(RuntimeError):
    """Work is done and kept, but there is no store yet; the same call resumes it.

    Attributes:
        done: images that are done, by all processes.
        images: how many the data set has.
        stopped: this process was asked to stop; else its share is done, and others' is not.
    """

    def __init__(self, message: str, *, done: int, images: int, stopped: bool) -> None:
        super().__init__(message)
        self.done, self.images, self.stopped = done, images, stopped


class Work:
    """The run of one process, which is ``shard`` of the job, for the store at ``path``.

    With ``discard_groups`` it may replace a store that a user has added to.
    """

    def __init__(self, job: Job, path: Path, shard: Shard, *, discard_groups: bool) -> None:
        self.job, self.path, self.shard = job, path, shard
        self.discard_groups = discard_groups
        self.replaces = stamp(path)  # of the only file that the store may replace
        self.folder = PartFolder.beside(path)
        self._start()

    def _start(self) -> None:
        self.file = self.folder.new_file(f"{self.shard.index}-of-{self.shard.count}")
        self.miner = Miner(self.job)

    def begin(self, *, resume: bool | None, adapt: bool) -> Store | None:
        """Return a finished store; else check that what is there may be resumed, or dropped.

        ``adapt``: resume with as many threads as the work was begun with.
        """
        if resume is None:
            self._check_nothing_is_lost()
        if not resume:
            check_writable(self.path)
            self._check_additions()
            self.folder.clear()
            return None
        # parts first: whoever assembles the store removes them when it is there, never before
        parts, request = self.folder.headings(), self.job.request
        if self.replaces and self.replaces in {part.replaces for part in parts}:
            self._check_additions()  # a run that has begun to replace a store goes on with it
        elif (store := store_at(self.path)) is not None:
            other = store if isinstance(store, str) else request.differs_from_store(store)
            ours = [part for part in parts if not request.differs(part.request)]
            if isinstance(store, str) or other:
                raise ValueError(
                    f"{fspath(self.path)!r} is there already and holds {other}; "
                    f"{self._aside(ours) if ours else _ASIDE}"
                )
            if any(part.replaces for part in ours) and not self._whole(apart(ours)):
                raise ValueError(
                    f"{fspath(self.path)!r} is finished, from the same run, and beside it is work "
                    f"begun to replace another file; {self._aside(ours)}"
                )
            self.folder.tidy(request)
            return store
        if adapt:
            self.job = self.job.like(parts)
            self._start()
        self.folder.of(self.job.request)
        return None

    def run(
        self,
        *,
        save_every: float,
        report: Reporter | None,
        stop: Stop | None,
        tell: Callable[[str], object] | None,
    ) -> Store:
        """Run what is left of this share; write the store, or raise ``Unfinished``."""
        for _ in range(1 if self.shard.count > 1 else _ROUNDS):
            begun = apart(self.folder.of(self.job.request))
            if begun and tell is not None:
                done, images = sum(part.seen for part in begun), self.job.request.images
                tell(f"going on: {done} of {images} images are done already")
                tell = None
            self._mine(begun, save_every=save_every, report=report, stop=stop)
            store = self._finish()
            if store is not None:
                return store
            self._start()  # beside what all processes have left by now, this one too
        raise self.unfinished(stopped=False)

    def unfinished(self, *, stopped: bool) -> Unfinished:
        """What to raise when there is no store yet."""
        done = sum(part.seen for part in apart([*self._others(), *self._own()]))
        images = self.job.request.images
        what = "mining was stopped" if stopped else f"shard {self.shard} is done, others are not"
        kept = (
            f"{done} of {images} images are done and kept in {fspath(self.folder.path)!r}; "
            "the same call with resume=True goes on from there"
            if done
            else "nothing is done yet, and nothing is kept"
        )
        return Unfinished(f"{what}: {kept}", done=done, images=images, stopped=stopped)

    def _mine(
        self,
        begun: Sequence[Part],
        *,
        save_every: float,
        report: Reporter | None,
        stop: Stop | None,
    ) -> None:
        """Run the microbatches of this share that are in none of the parts."""
        request, before = self.job.request, done_by(begun)
        numbers = [n for n in self.shard.microbatches(request.total) if n not in before]
        total, done, pace = request.images_in(numbers), 0, _Pace(save_every)

        def after(miner: Miner) -> bool:
            nonlocal done
            done += request.images_in(miner.done[-1:])
            if report is not None:
                report(done, total)
            if len(miner.done) == len(numbers):
                return True
            ending = stop is not None and stop()
            if ending or pace.due():
                began = time.monotonic()
                self._save()
                pace.saved(began)
            return ending

        failed = {each.index: each for part in begun for each in part.failed}
        check_failed(failed, request.images, limit=self.job.limit)
        if numbers and not (stop is not None and stop()):
            try:
                self.miner.run(numbers, after=after, failed=failed)
            except ReaderDied:
                if self.miner.done:
                    self._save()
                raise
        if len(self.miner.done) < len(numbers):
            raise self.unfinished(stopped=True)

    def _finish(self) -> Store | None:
        """Write the store if all is done, by whichever processes; None if it is not."""
        own = self._own()
        refused: OSError | None = None
        if own and (self.job.workers or not self._whole(own)):  # first saved, then checked again
            try:
                self.folder.write(self.file, own[0])
            except OSError as error:  # the last to finish needs its part in memory only
                refused = error
        for _ in range(_TRIES):
            parts = apart([*self._others(), *own])
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
            return self._written_meanwhile()
        return None

    def _assemble(self, parts: Sequence[Part]) -> Store:
        store = self._written_meanwhile()
        if store is not None:
            return store
        self._check_additions()  # they may have come meanwhile
        if self.job.workers:
            for part in parts:
                self._reread(part, len(parts))
        request, check = self.job.request, partial(check_strongest, self.job)
        store = assemble(
            self.path, request, self.job.geometry, parts, limit=self.job.limit, check=check
        )
        self.folder.tidy(request)
        return store

    def _written_meanwhile(self) -> Store | None:
        """The store of this run if another process has written it; no other file may be there."""
        now = stamp(self.path)
        store = store_at(self.path) if now != self.replaces else None
        if store is None:
            return None
        other = store if isinstance(store, str) else self.job.request.differs_from_store(store)
        if not other and now.rpartition(" ")[2] == self.replaces.rpartition(" ")[2]:
            other = "the store that was to be replaced, but changed"
        if isinstance(store, str) or other:
            raise ValueError(
                f"{fspath(self.path)!r} holds {other}, and did not when this run began; move "
                "that file away: the same call, with resume=True, then writes the store"
            )
        self.folder.tidy(self.job.request)
        return store

    def _reread(self, part: Part, parts: int) -> None:
        """Check a part, whoever made it; a wrong one is set aside, and its images mined again."""
        tops = part.whole().whole_tables.layers
        tables = {name: top.table() for name, top in tops.items()}
        try:
            reread(self.job, tables, part.done, parts=parts)
        except ImagesDiffer as error:
            aside = self.folder.set_aside(part.path or self.file)
            raise ImagesDiffer(
                f"{error}. The {part.seen} images of this part ({part.process}) are not kept, "
                f"{f'only as {aside.name!r}; ' if aside else ''}the same call with resume=True "
                "mines them again"
            ) from error

    def _check_additions(self) -> None:
        if not self.discard_groups:
            check_additions(self.path)

    def _check_nothing_is_lost(self) -> None:
        parts = self.folder.headings()
        if parts:
            done, images = sum(part.seen for part in apart(parts)), parts[0].request.images
            raise ValueError(
                f"{fspath(self.folder.path)!r} holds unfinished work, {done} of {images} images; "
                "go on with it: resume=True, or drop it: resume=False"
            )
        store = store_at(self.path)
        if isinstance(store, str):
            raise ValueError(
                f"{fspath(self.path)!r} is there already and holds {store}; write to another file, "
                "or replace it: resume=False"
            )

    def _aside(self, ours: Sequence[Part]) -> str:
        """The advice where unfinished work stands beside the file, and must not be lost."""
        done, images = sum(part.seen for part in apart(ours)), self.job.request.images
        return (
            f"move that file away, and what is in {fspath(self.folder.path)!r} ({done} of {images} "
            "images) is resumed; or remove that folder, to drop it"
        )

    def _own(self) -> list[Part]:
        """The part of this process, if it has done anything."""
        if not self.miner.done:
            return []
        return [self.miner.part(str(self.shard), replaces=self.replaces)]

    def _others(self) -> list[Part]:
        return [p for p in self.folder.of(self.job.request) if p.path != self.file]

    def _save(self) -> None:
        self.folder.of(self.job.request)  # another process may have begun it in another way
        self.folder.write(self.file, self._own()[0])

    def _whole(self, parts: Sequence[Part]) -> bool:
        """Whether together they hold every microbatch."""
        return len(done_by(parts)) == self.job.request.total


class _Pace:
    """When the next checkpoint is due, so that they take a small share of the time."""

    def __init__(self, every: float) -> None:
        self.every = every
        self._last = time.monotonic()  # the time of day may jump
        self._cost = 0.0

    def due(self) -> bool:
        """Whether it is time."""
        slow = min(_SHARE * self._cost, _SHARE * self.every)
        return time.monotonic() - self._last >= max(self.every, slow)

    def saved(self, began: float) -> None:
        """A checkpoint has been written; it began at this ``time.monotonic()``."""
        self._last = time.monotonic()
        self._cost = self._last - began
