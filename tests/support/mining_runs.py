"""Mining in processes that die: forked from the test, so that one costs milliseconds."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import time
import traceback

import h5py
import pytest
import torch

from deconvnet.mining.mine import Unfinished, mine
from deconvnet.mining.run.part import Part
from deconvnet.mining.run.part_folder import PartFolder
from deconvnet.store.store import open_store
from tests.support.mined import K, Pictures, Ties, pictures

COUNT, BATCH = 90, 4  # 23 microbatches, the last one ragged
BROKEN = (17,)
_FORK = multiprocessing.get_context("fork")


class Dawdling(Pictures):
    """Takes its time over every image, so that a process can be killed anywhere."""

    def __init__(self, images, *, broken=(), seconds=0.0):
        super().__init__(images, broken=broken)
        self.seconds = seconds

    def __getitem__(self, index):
        time.sleep(self.seconds)
        return super().__getitem__(index)

    def fingerprint(self):
        return "a fingerprint that costs no time"


def the_model():
    return Ties(quantised=False, seed=3).eval()


def the_images(*, seconds=0.0, seed=5):
    return Dawdling(pictures(COUNT, seed=seed), broken=BROKEN, seconds=seconds)


def mined(path, *, model=None, data=None, **arguments):
    """The store, with everything as in every run here unless told otherwise."""
    options = {"k": K, "batch_size": BATCH, "resume": True, **arguments}
    return mine(model or the_model(), data or the_images(), path, **options)


def tables(path):
    """SHA-256 of every dataset of a store, by name."""
    found = {}

    def note(name, thing):
        if isinstance(thing, h5py.Dataset):
            found[name] = hashlib.sha256(thing[()].tobytes()).hexdigest()

    with h5py.File(path) as file:
        file.visititems(note)
    return found


class After:
    """Asks to stop when so many microbatches are done."""

    def __init__(self, microbatches):
        self.left = microbatches

    def __call__(self):
        self.left -= 1
        return self.left < 0


def same(path, whole):
    return tables(path) == tables(whole) and path.read_bytes() == whole.read_bytes()


def stopped(path, microbatches, **arguments):
    """A run that is asked to stop; what it says."""
    with pytest.raises(Unfinished) as caught:
        mined(path, stop=After(microbatches), **arguments)
    return caught.value


def forked(work):
    """A copy of this process that does some work, and ends with 0 or what the work exits with."""

    def run():
        torch.set_num_threads(1)
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)  # none of the test's own cleaning up: this is another process
        os._exit(0)

    process = _FORK.Process(target=run)
    process.start()
    return process


def started(path, index, count, *, seconds=0.0, save_every=0.0, **arguments):
    """A process that does one share."""

    def work():
        try:
            mined(
                path,
                data=the_images(seconds=seconds),
                shard=(index, count),
                save_every=save_every,
                **arguments,
            )
        except Unfinished:
            return

    return forked(work)


def ended(processes, *, seconds=600):
    """The exit codes; negative after a signal."""
    for process in processes:
        process.join(seconds)
        assert not process.is_alive(), "a process hangs"
    return [process.exitcode for process in processes]


def torn(path):
    """The files of a run that cannot be read; a store or part that is there must be whole."""
    wrong = []
    for part in PartFolder.beside(path).names():
        try:
            Part.heading(part).whole()
        except FileNotFoundError:
            continue
        except ValueError as error:
            wrong.append(str(error))
    if path.exists():
        try:
            open_store(path)
        except ValueError as error:
            wrong.append(str(error))
    return wrong


def killed_and_resumed(folder, *, kills, generator, seconds=0.001, **arguments):
    """Runs whose processes are killed at random moments, until so many have been.

    Returns:
        The stores, and what was found torn.
    """
    stores, wrong, left, runs = [], [], kills, 0
    while left > 0 or not stores or not stores[-1].exists():
        path = folder / f"{runs}.h5"
        if path.exists():
            runs += 1
            continue
        if path not in stores:
            stores.append(path)
        count = int(torch.randint(1, 4, (), generator=generator))
        processes = [started(path, i, count, seconds=seconds, **arguments) for i in range(count)]
        if left > 0:
            time.sleep(0.5 * float(torch.rand((), generator=generator)))
            victim = processes[int(torch.randint(count, (), generator=generator))]
            victim.kill()  # which does nothing where it has ended and was waited for
        codes = ended(processes)
        assert set(codes) <= {0, -signal.SIGKILL}, codes
        left -= codes.count(-signal.SIGKILL)
        wrong += torn(path)
    return stores, wrong
