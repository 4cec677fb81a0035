"""Mining goes on where it was, in any number of processes, to the same bytes."""

import os
import shutil
import warnings

import pytest
import torch

import deconvnet.mining.run.job
import deconvnet.mining.run.worker
from deconvnet.mining.mine import Unfinished
from deconvnet.mining.run.part_folder import PartFolder
from deconvnet.mining.run.sharding import Shard
from deconvnet.store.store import open_store
from tests.support.mined import pictures
from tests.support.mining_runs import (
    COUNT,
    After,
    Dawdling,
    ended,
    killed_and_resumed,
    mined,
    same,
    started,
    stopped,
    tables,
    torn,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*activations were NaN:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def test_a_run_in_one_piece_leaves_the_store_alone(whole):
    assert os.listdir(whole.parent) == ["top.h5"]
    assert open_store(whole).attributes["images_failed"] == 1


@pytest.mark.parametrize("pieces", [[1], [5, 9], [22], [0, 0, 3]])
def test_a_run_in_pieces(tmp_path, whole, pieces):
    path = tmp_path / "top.h5"
    for piece in pieces:
        stopped(path, piece)
        assert not path.exists()
    told, seen = [], []
    mined(path, tell=told.append, report=lambda *numbers: seen.append(numbers))
    assert same(path, whole)
    assert os.listdir(tmp_path) == ["top.h5"]
    left = COUNT - 4 * sum(pieces)
    assert told[-1:] == [f"going on: {COUNT - left} of {COUNT} images are done already"]
    assert seen[-1] == (left, left)  # nothing is done twice


def test_what_a_stopped_run_says(tmp_path):
    said = stopped(tmp_path / "top.h5", 3)
    assert (said.done, said.images, said.stopped) == (12, COUNT, True)
    assert f"stopped: 12 of {COUNT} images are done and kept in" in str(said)
    assert str(stopped(tmp_path / "top.h5", 3)).startswith("mining was stopped: 24 of")


def _shared(path, index, count):
    """Do one share; whether it wrote the store."""
    try:
        mined(path, shard=(index, count))
    except Unfinished as unfinished:
        return unfinished.stopped or path.exists()
    return True


@pytest.mark.parametrize("count", [2, 3, 7, 40])
def test_several_processes(tmp_path, whole, count):
    """One after the other; the last writes the store. 40 processes: some have nothing to do."""
    path = tmp_path / "top.h5"
    finished = [_shared(path, index, count) for index in reversed(range(count))]
    assert finished.index(True) == (count - 1 if count < 40 else finished.index(True))
    assert same(path, whole)
    assert os.listdir(tmp_path) == ["top.h5"]


@pytest.mark.parametrize("counts", [(2, 3), (3, 1), (1, 2), (5, 4)])
def test_another_number_of_processes_goes_on(tmp_path, whole, counts):
    path = tmp_path / "top.h5"
    first, second = counts
    for index in range(first):
        stopped(path, 2, shard=(index, first))
    before, seen = sum(part.seen for part in PartFolder.beside(path).headings()), []
    for index in range(second):
        try:
            mined(path, shard=(index, second), report=lambda *numbers: seen.append(numbers))
        except Unfinished:
            continue
    assert same(path, whole)
    assert sum(total for done, total in seen if done == total) == COUNT - before


def test_processes_at_the_same_time(tmp_path, whole):
    path = tmp_path / "top.h5"
    assert ended([started(path, i, 3, seconds=0.001) for i in range(3)]) == [0, 0, 0]
    assert same(path, whole)
    assert os.listdir(tmp_path) == ["top.h5"]


def test_two_runs_on_one_target_do_the_work_twice_and_that_is_all(tmp_path, whole):
    path = tmp_path / "top.h5"
    runs = [started(path, i, n, seconds=0.001) for i, n in [(0, 1), (0, 1), (0, 2), (1, 2)]]
    assert ended(runs) == [0, 0, 0, 0]
    assert same(path, whole)
    mined(path)  # clears up what a slower run has left
    assert os.listdir(tmp_path) == ["top.h5"]


def test_kills_and_other_numbers_of_processes(tmp_path, whole):
    generator = torch.Generator().manual_seed(0)
    stores, wrong = killed_and_resumed(tmp_path, kills=6, generator=generator)
    assert wrong == []
    assert all(same(path, whole) for path in stores)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_many_kills(tmp_path, whole, seed):
    """A hundred and twenty in all; after each of them every file is looked at."""
    generator = torch.Generator().manual_seed(seed)
    stores, wrong = killed_and_resumed(tmp_path, kills=40, generator=generator)
    assert wrong == []
    assert all(same(path, whole) for path in stores)


# --- what these comparisons must catch --------------------------------------------------------


def test_work_that_counts_twice_would_be_seen(tmp_path, whole, monkeypatch):
    path = tmp_path / "top.h5"
    stopped(path, 5)
    (part,) = PartFolder.beside(path).names()
    shutil.copy(part, part.with_name("part-0-of-1-1-copy.safetensors"))
    kept = tmp_path / "kept.parts"
    shutil.copytree(part.parent, kept)
    mined(path)
    assert same(path, whole)
    shutil.copytree(kept, part.parent)
    path.unlink()
    monkeypatch.setattr(deconvnet.mining.run.worker, "apart", list)
    mined(path)
    assert tables(path) != tables(whole)
    twice = {name.rpartition("/")[2] for name, sum in tables(path).items()
             if sum != tables(whole)[name]}  # fmt: skip
    assert twice <= {"mean", "nonzero", "nan", "ties"}  # an image never takes a second slot


def test_work_that_is_missing_would_be_seen(tmp_path, whole, monkeypatch):
    path = tmp_path / "top.h5"
    monkeypatch.setattr(Shard, "microbatches", lambda self, total: range(total - 1))
    monkeypatch.setattr(deconvnet.mining.run.worker.Work, "_whole", lambda self, parts: bool(parts))
    mined(path)
    assert tables(path) != tables(whole)


def test_a_killed_writer_in_place_would_be_seen(tmp_path):
    path = tmp_path / "top.h5"
    stopped(path, 5)
    (part,) = PartFolder.beside(path).names()
    data = part.read_bytes()
    assert torn(path) == []
    for size in (0, 7, 100, len(data) // 2, len(data) - 1):
        part.write_bytes(data[:size])
        (reason,) = torn(path)
        assert "holds no mined part" in reason
        with pytest.raises(ValueError, match=r"holds no mined part .*delete it, and what it held"):
            mined(path)
    part.unlink()
    mined(path)


# --- images that cannot be read, and NaN, over several processes --------------------------------


def test_unreadable_images_are_counted_over_all_processes(tmp_path):
    """Two are too many of ninety, also where each process has met but one."""
    path, spread = tmp_path / "top.h5", Dawdling(pictures(COUNT, seed=5), broken=(0, 80))
    with pytest.raises(Unfinished):
        mined(path, data=spread, stop=After(3))
    with pytest.raises(ValueError, match="2 of 90 images .*: image 0: .*; image 80: "):
        mined(path, data=spread)
    (part,) = PartFolder.beside(path).headings()
    assert [each.index for each in part.failed] == [0]


def test_a_strict_run_does_not_take_over_what_is_not(tmp_path):
    path = tmp_path / "top.h5"
    with pytest.raises(Unfinished):
        mined(path, stop=After(6))
    with pytest.raises(ValueError, match="1 of 90 images cannot be read, the first is image 17"):
        mined(path, strict=True)
    assert not path.exists()


@pytest.mark.filterwarnings("default:.*activations were NaN:UserWarning")
def test_nan_is_told_once_wherever_it_was_met(tmp_path):
    """In the first process of two; the second tells of it, and names who called."""
    path = tmp_path / "top.h5"
    order = [0, 1] if 0 in Shard(0, 2).microbatches(23) else [1, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Unfinished):
            mined(path, shard=(order[0], 2))
    with pytest.warns(UserWarning, match=r"NaN .* first of them in conv1, images \[3\]") as told:
        mined(path, shard=(order[1], 2))
    assert len(told) == 1
    assert told[0].filename.endswith("mining_runs.py")
