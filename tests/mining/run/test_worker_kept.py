"""What is done is kept, whatever happens to the store, the parts or the readers."""

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest

import deconvnet.mining.run.assemble
import deconvnet.mining.run.job
from deconvnet.mining.mine import Unfinished
from deconvnet.mining.run.part_folder import PartFolder
from tests.support.mining_runs import COUNT, After, mined, same, stopped

pytestmark = pytest.mark.filterwarnings("ignore:.*activations were NaN:UserWarning")


def test_a_store_that_cannot_be_written_costs_no_work(tmp_path, whole, monkeypatch):
    path = tmp_path / "top.h5"

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(deconvnet.mining.run.assemble, "write_store", full)
        with pytest.raises(OSError, match="No space"):
            mined(path)
    again = []
    mined(path, report=lambda *numbers: again.append(numbers))
    assert again == []
    assert same(path, whole)
    assert os.listdir(tmp_path) == ["top.h5"]


def test_the_last_process_need_not_write_its_part(tmp_path, whole, monkeypatch):
    """The folder is somebody else's, who began the run."""
    path = tmp_path / "top.h5"
    stopped(path, 5)

    def refuse(self, file, part):
        raise PermissionError(errno.EACCES, "not your folder")

    monkeypatch.setattr(PartFolder, "write", refuse)
    with pytest.raises(PermissionError, match="not your folder"):
        mined(path, shard=(0, 2))
    mined(path)
    assert same(path, whole)


def test_an_earlier_process_that_still_runs(tmp_path, whole):
    """It takes what the later one has begun, and dies."""
    path, begun, on, end = tmp_path / "top.h5", *(threading.Event() for _ in range(3))

    def zombie(done, total):
        if done == 8:
            begun.set()
            on.wait(20)
        if done == 16:
            end.set()
            raise KeyboardInterrupt

    def first():
        with suppress(KeyboardInterrupt):
            mined(path, report=zombie, save_every=0.0)

    def report(done, total):
        on.set()
        end.wait(20)

    thread = threading.Thread(target=first)
    thread.start()
    begun.wait(20)
    mined(path, report=report)
    thread.join()
    assert same(path, whole)
    assert os.listdir(tmp_path) == ["top.h5"]


def test_strictness_is_told_before_the_work(tmp_path):
    path, seen = tmp_path / "top.h5", []
    stopped(path, 6)  # image 17 is broken
    with pytest.raises(ValueError, match="1 of 90 images cannot be read, the first is image 17"):
        mined(path, strict=True, report=lambda *numbers: seen.append(numbers))
    assert seen == []


def test_parts_that_cannot_be_removed_harm_nothing(tmp_path, whole, monkeypatch):
    path = tmp_path / "top.h5"
    stopped(path, 5)

    unlink = Path.unlink

    def refuse(self, missing_ok=False):
        if self.name.startswith("part-"):
            raise PermissionError(errno.EACCES, "Permission denied")
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    for _ in range(2):
        with pytest.warns(UserWarning, match="parts in .*could not be removed"):
            mined(path)
        assert same(path, whole)
    with pytest.raises(PermissionError):
        mined(path, resume=False)


def test_a_signal_that_ends_the_readers_first(tmp_path, monkeypatch):
    """While they start, nobody has told them yet to leave it to us."""
    path, stop = tmp_path / "top.h5", After(5)
    mined_before = deconvnet.mining.run.job.microbatches

    def dying(*arguments, **options):
        for number, batch in enumerate(mined_before(*arguments, **options)):
            if number == 3:
                stop.left = 0
                raise RuntimeError("DataLoader worker (pid 7) exited unexpectedly")
            yield batch

    monkeypatch.setattr(deconvnet.mining.run.job, "microbatches", dying)
    with pytest.raises(Unfinished, match=f"stopped: 12 of {COUNT} images are done"):
        mined(path, stop=stop)
    assert len(PartFolder.beside(path).names()) == 1
    stop.left = 10**6
    with pytest.raises(RuntimeError, match="a process that reads images has died"):
        mined(path, stop=lambda: False)
