"""Full disks, folders that cannot be written, readers: the last good state stays, and is said."""

import errno
import fcntl
import os
import resource
import shutil
import subprocess
import time

import h5py
import pytest
import torch
from torch import nn

import deconvnet.atomic
from deconvnet.mining.mine import Unfinished
from deconvnet.mining.run.part_folder import PartFolder
from deconvnet.store.store import open_store
from tests.support.mining_runs import ended, forked, mined, tables, torn

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*activations were NaN:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system does not let us mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def filled(folder, *, but):
    """Take all room of a file system but some bytes."""
    ballast = os.open(folder / "ballast", os.O_CREAT | os.O_WRONLY)
    try:
        while True:
            os.write(ballast, bytes(4096))
    except OSError:
        os.truncate(ballast, os.fstat(ballast).st_size - but)
    os.close(ballast)


def test_a_full_disk_keeps_the_last_checkpoint(small_disk, whole):
    path, seen = small_disk / "top.h5", []

    def report(done, total):
        seen.append(done)
        if len(seen) == 3:
            filled(small_disk, but=4096)

    with pytest.raises(OSError, match=r"part-0-of-1.* could not be written \(\d+ bytes: No space"):
        mined(path, report=report, save_every=0.0)
    assert torn(path) == []
    (part,) = PartFolder.beside(path).headings()
    assert part.seen == 8
    assert [name for name in os.listdir(part.path.parent) if name.endswith(".tmp")] == []
    (small_disk / "ballast").unlink()
    mined(path)
    assert tables(path) == tables(whole)
    assert os.listdir(small_disk) == ["top.h5"]


def test_a_disk_full_at_the_end_keeps_the_old_store_and_the_work(small_disk, whole):
    path = small_disk / "top.h5"
    mined(path, k=1, layers=["fc1"])
    before = path.read_bytes()

    def report(done, total):
        if done == total:
            filled(small_disk, but=0)

    with pytest.raises(OSError, match="top.h5' could not be written .*No space left"):
        mined(path, resume=False, save_every=0.0, report=report)
    assert path.read_bytes() == before
    (part,) = PartFolder.beside(path).headings()
    assert part.seen == 88
    (small_disk / "ballast").unlink()
    mined(path)
    assert path.read_bytes() == whole.read_bytes()


def test_a_limit_on_the_size_of_files(tmp_path, whole):
    """Where no small disk can be made; HDF5 would have torn its file here."""
    path = tmp_path / "top.h5"

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
        try:
            mined(path)
        except OSError as error:
            os._exit(
                7 if error.errno == errno.EFBIG and "could not be written" in str(error) else 8
            )
        os._exit(9)

    assert ended([forked(work)]) == [7]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_a_checkpoint_that_fails_keeps_the_one_before(tmp_path, monkeypatch, whole, at):
    path, calls, real = tmp_path / "top.h5", [], getattr(os, at)

    def third(*arguments):
        calls.append(arguments)
        if len(calls) >= 5:  # a file and a folder are synced for every checkpoint
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(deconvnet.atomic.os, at, third)
    with pytest.raises(OSError, match="could not be written"):
        mined(path, save_every=0.0)
    monkeypatch.setattr(deconvnet.atomic.os, at, real)
    (part,) = PartFolder.beside(path).headings()
    assert part.seen == (8 if at == "fsync" else 16)
    assert torn(path) == []
    mined(path)
    assert path.read_bytes() == whole.read_bytes()


# --- folders that cannot be written -----------------------------------------------------------


def test_what_cannot_be_written_is_said_before_the_work(tmp_path):
    seen = []
    (tmp_path / "file").write_text("")
    (tmp_path / "read-only.h5").write_text("")
    (tmp_path / "read-only.h5").chmod(0o444)
    for path, message in (
        (tmp_path / "file" / "top.h5", "could not be written"),
        (tmp_path / "read-only.h5", "marked read-only"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(OSError, match=message):
            mined(path, resume=False, report=lambda *numbers: seen.append(numbers))
    assert seen == []
    assert sorted(os.listdir(tmp_path)) == ["file", "read-only.h5"]


def test_a_file_system_that_is_read_only(small_disk):
    mined(small_disk / "top.h5", k=1, layers=["fc1"])
    before = (small_disk / "top.h5").read_bytes()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OSError, match="Read-only file system.*give a file name in a folder that"):
        mined(small_disk / "other.h5")
    told = []
    mined(small_disk / "top.h5", k=1, layers=["fc1"], tell=told.append)
    assert "finished already" in told[0]
    assert (small_disk / "top.h5").read_bytes() == before


def test_temporary_files_of_killed_processes_are_removed_after_a_day(tmp_path):
    for name, age in (("old", 90_000), ("new", 100)):
        file = tmp_path / f".deconvnet-{name}.tmp"
        file.write_bytes(b"")
        now = file.stat().st_mtime
        os.utime(file, (now - age, now - age))
    mined(tmp_path / "top.h5")
    assert sorted(os.listdir(tmp_path)) == [".deconvnet-new.tmp", "top.h5"]


def test_a_clock_that_jumps(tmp_path, monkeypatch, whole):
    """A year ahead, then back: what other processes are writing is not taken for old."""
    (tmp_path / ".deconvnet-1-2.tmp").write_bytes(b"")
    times = iter([4e9, 0.0] * 1000)
    monkeypatch.setattr(time, "time", lambda: next(times))
    with pytest.raises(Unfinished):
        mined(tmp_path / "top.h5", stop=iter([False, False, True]).__next__)
    mined(tmp_path / "top.h5")
    assert (tmp_path / "top.h5").read_bytes() == whole.read_bytes()
    assert sorted(os.listdir(tmp_path)) == [".deconvnet-1-2.tmp", "top.h5"]


def test_a_store_that_somebody_has_locked(tmp_path, whole):
    """No lock is asked for, so a file system without locks, or with a stale one, is no trouble."""
    path = tmp_path / "top.h5"
    shutil.copy(whole, path)

    def work():
        told = []
        mined(path, tell=told.append)
        mined(path, resume=False)
        os._exit(0 if "finished already" in told[0] else 2)

    with path.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="unable to lock file"):  # what h5py itself would do
            h5py.File(path, "r+")
        assert ended([forked(work)]) == [0]
    assert path.read_bytes() == whole.read_bytes()


def test_a_name_that_is_too_long(tmp_path):
    for name in ("n" * 256, "d/" * 3000 + "top.h5"):
        with pytest.raises(OSError, match="could not be written .*name too long"):
            mined(tmp_path / name)


class Reserved(nn.Module):
    """Names that no file can have on Windows."""

    def __init__(self):
        super().__init__()
        self.con, self.aux = nn.Conv2d(3, 2, 3), nn.ReLU()

    def forward(self, x):
        return self.aux(self.con(x))


def test_layers_are_not_the_names_of_files(tmp_path):
    torch.manual_seed(0)
    path, model = tmp_path / "top.h5", Reserved().eval()
    with pytest.raises(Unfinished):
        mined(path, model=model, stop=iter([False, False, True]).__next__)
    assert list(mined(path, model=model)) == ["con", "aux"]


def test_a_tight_umask(tmp_path):
    def work():
        os.umask(0o077)
        with pytest.raises(Unfinished):
            mined(tmp_path / "a b" / "top.h5", stop=iter([False, False, True]).__next__)
        mined(tmp_path / "a b" / "top.h5")
        os._exit(0)

    assert ended([forked(work)]) == [0]
    assert os.listdir(tmp_path / "a b") == ["top.h5"]
    assert (tmp_path / "a b" / "top.h5").stat().st_mode & 0o777 == 0o600


# --- readers ----------------------------------------------------------------------------------


def test_a_reader_during_writing_sees_one_store_or_the_other(tmp_path):
    path = tmp_path / "top.h5"
    mined(path, k=1, layers=["fc1"])

    def work():
        for turn in range(12):
            mined(path, resume=False, k=1 + turn % 2, layers=["fc1"])
        os._exit(0)

    held = path.open("rb")  # the old store, as long as somebody has it open
    before = held.read()
    writer, seen = forked(work), set()
    while writer.is_alive():
        store = open_store(path)
        assert store["fc1"].k == store.attributes["k"]
        seen.add(store.attributes["k"])
    assert ended([writer]) == [0]
    assert seen == {1, 2}
    held.seek(0)
    assert held.read() == before
    held.close()
