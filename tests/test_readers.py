"""Readers: the user's data set is not touched before they start, and none of them is left."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deconvnet.mining import mine
from deconvnet.runs.look import look
from deconvnet.runs.readers import ask
from deconvnet.runs.reread import ImagesDiffer
from scripts.lazy_readers import COUNT, KINDS, SIZE, Raw, the_images, the_model, wrong_entries

ROOT = Path(__file__).parents[1]
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


@pytest.fixture
def raw(tmp_path):
    Raw.write(tmp_path / "raw", the_images())
    data = Raw(tmp_path / "raw")
    yield data
    data.close()


@pytest.mark.parametrize("workers", [1, 4])
def test_a_handle_that_was_open_before_is_told_before_any_work(raw, tmp_path, workers):
    """One reader alone is enough: it is not the only one that is started."""
    raw[0]
    with pytest.raises(ValueError, match=r"opened before the readers .*raw.*os\.getpid\(\)"):
        mine(the_model(), raw, tmp_path / "a.h5", k=3, batch_size=8, workers=workers)
    assert sorted(os.listdir(tmp_path)) == ["raw"]


def test_a_handle_for_each_process_may_be_open_before(raw, tmp_path):
    raw.by_process = True
    raw[0]
    store = mine(the_model(), raw, tmp_path / "a.h5", k=20, batch_size=16, workers=4)
    assert wrong_entries(store, the_images()) == 0


class Garbling(Raw):
    """What shared positions do, where nothing can see them: odd images are read wrong.

    Only where there are several readers, as the race would have it.
    """

    def __getitem__(self, index):
        info = torch.utils.data.get_worker_info()
        image = super().__getitem__(index)
        garbled = info is not None and info.num_workers > 1 and index % 7 == 3
        return image.flip(-1) if garbled else image


@pytest.mark.parametrize("shard", [(0, 1), (0, 2)])
def test_entries_are_read_once_more_by_one_reader_alone(raw, tmp_path, shard):
    data = Garbling(raw.path)
    options = {"k": 3, "batch_size": 8, "resume": True, "shard": shard, "save_every": 0.0}
    with pytest.raises(ImagesDiffer, match=r"gave [01]:\d an activation .*os\.getpid\(\)"):
        mine(the_model(), data, tmp_path / "a.h5", workers=2, **options)
    assert sorted(os.listdir(tmp_path)) == ["raw"]  # nor is the wrong part left to be gone on with
    assert mine(the_model(), data, tmp_path / "b.h5", k=3, batch_size=8, workers=1)


def test_parts_of_an_earlier_process_are_read_again_too(raw, tmp_path):
    """Mined wrong and interrupted; gone on with by readers that do nothing wrong."""
    from deconvnet.mining import Unfinished

    path, options = tmp_path / "a.h5", {"k": 3, "batch_size": 8, "resume": True, "save_every": 0.0}
    done = []
    with pytest.raises(Unfinished):
        mine(the_model(), Garbling(raw.path), path, workers=2, **options,
             stop=lambda: len(done) > 25, report=lambda *at: done.append(at))  # fmt: skip
    with pytest.raises(ImagesDiffer):
        mine(the_model(), raw, path, workers=2, **options)
    assert not path.exists()
    store = mine(the_model(), raw, path, workers=2, **{**options, "resume": False})
    assert wrong_entries(store, the_images()) == 0


def test_files_that_are_only_printed_to_do_not_count(raw, tmp_path, capfd):
    class Talking(Raw):
        def __getitem__(self, index):
            os.write(1, b"read\n")
            return super().__getitem__(index)

    assert look(Talking(raw.path), 2).image.shape == SIZE
    assert "read" in capfd.readouterr().out


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
    words = [sys.executable, "scripts/lazy_readers.py", "--times", "10", "--readers", "4"]
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
