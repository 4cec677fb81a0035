"""Readers: the user's data set is not touched before they start, and none of them is left."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import deconvnet.mining.run.readers
from deconvnet.mining.mine import mine
from deconvnet.mining.run.readers import ask
from tests.support.lazy_readers import COUNT, KINDS, SIZE, Raw, the_images, the_model, wrong_entries

ROOT = Path(__file__).parents[3]
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


@pytest.fixture(scope="module", params=KINDS)
def lazy(request, tmp_path_factory):
    """A class of data sets and its file."""
    kind = KINDS[request.param]
    path = tmp_path_factory.mktemp("lazy") / request.param
    kind.write(path, the_images())
    return kind, path


@pytest.mark.parametrize("by_process", [False, True])
def test_a_file_that_is_opened_at_first_use(lazy, tmp_path, by_process):
    kind, path = lazy
    data = kind(path, by_process=by_process)
    store = mine(the_model(), data, tmp_path / "a.h5", k=20, batch_size=16, workers=4)
    assert wrong_entries(store, the_images()) == 0
    assert data.handle is None  # nothing was read in this process


class Noting:
    """Writes down in which process it is read, and for what."""

    def __init__(self, path):
        self.path = path

    def note(self):
        with open(self.path, "a") as file:
            file.write(f"{os.getpid()}\n")

    def __len__(self):
        return 40

    def __getitem__(self, index):
        self.note()
        return torch.full(SIZE, float(index))

    def fingerprint(self):
        self.note()
        return "noted"


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_data_set_is_read_by_readers_alone(tmp_path, workers):
    data = Noting(tmp_path / "read")
    mine(the_model(), data, tmp_path / "a.h5", k=3, batch_size=8, workers=workers)
    read = (tmp_path / "read").read_text().split()
    assert (str(os.getpid()) in read) == (workers == 0)
    assert len(read) > 40


# --- handles that were open before ---------------------------------------------------------------


on_linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc")


def wrong(data, path, **options):
    given = {"k": 20, "batch_size": 16, "workers": 4, "resume": False, **options}
    return wrong_entries(mine(the_model(), data, path, **given), the_images())


@on_linux
@pytest.mark.parametrize("workers", [1, 4])
def test_readers_have_positions_of_their_own_in_files_that_were_open_before(
    lazy, tmp_path, workers
):
    """As in a notebook: looked at, mined twice, looked at again, and mined once more."""
    kind, path = lazy
    data = kind(path)
    for _ in range(3):
        assert torch.equal(data[7], torch.from_numpy(the_images()[7]))
        assert wrong(data, tmp_path / "a.h5", workers=workers) == 0
    data.close()


class LenOpens(Raw):
    """Its length may be asked for at any time, and opens the file."""

    def __len__(self):
        if self.handle is None:
            self.handle = self.open()
        return self.count


class NamesOpen(Raw):
    """What ``path`` opens is open when the last reader is started."""

    def path(self, index):
        if self.handle is None:
            self.handle = self.open()
        return str(index)


@on_linux
@pytest.mark.parametrize("kind", [LenOpens, NamesOpen])
def test_a_handle_that_another_method_opens(raw, tmp_path, kind):
    data = kind(raw.file)
    assert wrong(data, tmp_path / "a.h5") == 0
    data.close()


def test_a_handle_for_each_process_may_be_open_before(raw, tmp_path):
    raw.by_process = True
    raw[0]
    assert wrong(raw, tmp_path / "a.h5") == 0


def writable(data):
    """A handle that a reader may not open again: what is written to it may be a log."""
    data.handle = open(data.file, "r+b")
    return data


@pytest.mark.parametrize("workers", [1, 4])
def test_a_handle_that_stays_shared_is_told_before_any_work(raw, tmp_path, workers):
    """One reader alone is enough: it is not the only one that is started."""
    with pytest.raises(ValueError, match=r"opened before the readers .*raw.*os\.getpid\(\)"):
        mine(the_model(), writable(raw), tmp_path / "a.h5", k=3, batch_size=8, workers=workers)
    assert sorted(os.listdir(tmp_path)) == ["raw"]


@pytest.mark.parametrize("kind", [Raw, LenOpens])
def test_without_positions_of_their_own_readers_are_told(raw, tmp_path, monkeypatch, kind):
    """As on other systems than Linux."""
    monkeypatch.setattr(deconvnet.mining.run.readers, "own_positions", lambda: None)
    data = kind(raw.file)
    data.handle = data.open() if kind is Raw else None
    with pytest.raises(ValueError, match="opened before the readers"):
        mine(the_model(), data, tmp_path / "a.h5", k=3, batch_size=8, workers=4)
    data.close()


# --- files that move, and are not read by readers ------------------------------------------------


@contextmanager
def printed(path):
    yield lambda: os.write(1, b"read\n")


@contextmanager
def logged(path):
    with open(path, "a+") as log:
        yield lambda: (log.write("read\n"), log.flush())


@contextmanager
def read_elsewhere(path):
    """By another thread of this process, which goes on and on."""
    with open(path, "wb") as file:
        file.truncate(10**9)  # more than is read, of which nothing is on the disk
    begun, halt = threading.Event(), threading.Event()

    def work():
        with open(path, "rb", buffering=0) as file:
            while not halt.is_set():
                file.read(777)
                begun.set()
                time.sleep(0.001)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(600), "nothing was read"
    try:
        yield lambda: None
    finally:
        halt.set()
        thread.join()


class Noisy(Raw):
    """Does something else beside reading."""

    def __getitem__(self, index):
        self.beside()
        return super().__getitem__(index)


@pytest.mark.parametrize("busy", [printed, logged, read_elsewhere])
def test_other_files_may_move(raw, tmp_path, busy):
    with busy(tmp_path / "other") as beside:
        data = Noisy(raw.file)
        data.beside = beside
        store = mine(the_model(), data, tmp_path / "a.h5", k=20, batch_size=16, workers=2)
    assert wrong_entries(store, the_images()) == 0


class Standardised(Raw):
    """Each image by its own mean, whose last bits depend on the number of threads."""

    def __getitem__(self, index):
        large = super().__getitem__(index).repeat(1, 12, 12)
        return (large - large.mean()) / large.std()


def test_the_same_bytes_whoever_reads_with_however_many_threads(raw, tmp_path):
    data, found = Standardised(raw.file, count=24), []
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for workers in (0, 2):
            path = tmp_path / f"{workers}.h5"
            mine(the_model(), data, path, ["0"], k=3, batch_size=8, workers=workers)
            found.append(path.read_bytes())
            data.close()
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1]


# --- questions to a reader -----------------------------------------------------------------------


class Custom(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def fails(error):
    raise error


def test_a_reader_answers_or_raises():
    assert ask(len, [1, 2]) == 2
    assert torch.equal(ask(torch.stack, [torch.ones(2)] * 3), torch.ones(3, 2))
    with pytest.raises(KeyError, match="x"):
        ask(fails, KeyError("x"))
    with pytest.raises(RuntimeError, match="Custom: 1 and 2"):
        ask(fails, Custom(1, 2))
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_ten_runs_of_each_kind():
    """By the script, whose status is 1 if any entry of any table is wrong."""
    words = [sys.executable, "-m", "tests.support.lazy_readers", "--times", "10", "--readers", "4"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == len(KINDS)


def test_the_script_counts_wrong_entries(tmp_path):
    """Two images exchanged, as a reader would exchange them."""
    images = the_images()
    store = mine(the_model(), list(torch.from_numpy(images)), tmp_path / "a.h5", k=20)
    assert wrong_entries(store, images) == 0
    exchanged = images.copy()
    exchanged[[3, 4]] = images[[4, 3]]
    assert wrong_entries(store, exchanged) > 0


def test_the_count_of_images_is_what_the_tests_mean():
    assert COUNT == len(the_images()) == len(Raw("nowhere"))
