"""What an interrupted run leaves, when it is written, and a finished store that is recognised."""

import os
import shutil

import pytest

import deconvnet.mining.run.worker
from deconvnet.mining.mine import mine
from deconvnet.mining.run.part_folder import PartFolder
from deconvnet.store.store import open_store
from tests.support.mining_runs import COUNT, mined, same, stopped, the_images, the_model

pytestmark = pytest.mark.filterwarnings("ignore:.*activations were NaN:UserWarning")


def test_an_interruption_leaves_the_last_checkpoint(tmp_path, whole):
    path, seen = tmp_path / "top.h5", []

    def interrupt(done, total):
        seen.append(done)
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mined(path, report=interrupt, save_every=0.0)
    (part,) = PartFolder.beside(path).headings()
    assert part.seen == 12  # the fourth microbatch was not written down yet
    mined(path)
    assert same(path, whole)


def test_checkpoints_keep_to_their_time(tmp_path, monkeypatch):
    """A clock that runs by the second: every microbatch takes one."""
    clock, writes = [0.0], []

    def monotonic():
        clock[0] += 0.5
        return clock[0]

    monkeypatch.setattr(deconvnet.mining.run.worker.time, "monotonic", monotonic)
    real = PartFolder.write
    monkeypatch.setattr(
        PartFolder, "write", lambda *args: (writes.append(clock[0]), real(*args))[1]
    )
    mined(tmp_path / "a.h5", save_every=4.0)
    assert 1 <= len(writes) <= 23 / 4
    writes.clear()
    mined(tmp_path / "b.h5", save_every=1000.0)
    assert writes == []


def test_a_new_run_drops_what_was_there(tmp_path, whole):
    path = tmp_path / "top.h5"
    stopped(path, 5, k=2)
    mined(path, resume=False)
    assert same(path, whole)
    assert os.listdir(tmp_path) == ["top.h5"]


def test_a_finished_store_is_recognised(tmp_path, whole):
    path = tmp_path / "top.h5"
    shutil.copy(whole, path)
    before, told, seen = path.stat().st_mtime_ns, [], []
    store = mined(path, tell=told.append, report=lambda *numbers: seen.append(numbers))
    assert list(store) == list(open_store(path))
    assert told[-1:] == [f"{path} is finished already, from the same run: nothing was done"]
    assert (path.stat().st_mtime_ns, seen) == (before, [])


def test_replacing_a_store_can_be_interrupted(tmp_path, whole):
    path = tmp_path / "top.h5"
    mined(path, k=2)
    stopped(path, 5, resume=False)
    assert open_store(path).attributes["k"] == 2  # there until the new one is
    mined(path)
    assert same(path, whole)


def test_links_lead_to_one_folder_of_parts(tmp_path, whole):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.h5"
    link.symlink_to(tmp_path / "real" / "top.h5")
    stopped(link, 5)
    mined(tmp_path / "real" / "top.h5")
    assert same(link, whole)
    assert sorted(os.listdir(tmp_path)) == ["link.h5", "real"]


@pytest.mark.parametrize("name", ["with space.h5", "%d-{0}[a]*.h5", "-leading.h5", "n" * 250])
def test_odd_names(tmp_path, whole, name):
    stopped(tmp_path / name, 5)
    mined(tmp_path / name)
    assert same(tmp_path / name, whole)
    assert os.listdir(tmp_path) == [name]


def test_unfinished_work_is_not_dropped_without_a_word(tmp_path, whole):
    path = tmp_path / "top.h5"
    stopped(path, 5)
    parts = {part: part.read_bytes() for part in PartFolder.beside(path).names()}
    with pytest.raises(ValueError, match=f"holds unfinished work, 20 of {COUNT} images; go on"):
        mined(path, resume=None)
    assert {part: part.read_bytes() for part in PartFolder.beside(path).names()} == parts
    mined(path, resume=True)
    assert same(path, whole)


def test_a_store_is_replaced_but_no_other_file(tmp_path, whole):
    path = tmp_path / "top.h5"
    mined(path, resume=None, k=2)
    mined(path, resume=None)
    assert same(path, whole)
    path.write_text("my notes")
    with pytest.raises(ValueError, match="is there already and holds something else"):
        mined(path, resume=None)
    assert path.read_text() == "my notes"
    mined(path, resume=False)
    assert same(path, whole)


def test_shards_need_resume(tmp_path):
    with pytest.raises(ValueError, match="no process uses the work of the others"):
        mined(tmp_path / "top.h5", resume=False, shard=(0, 2))
    with pytest.raises(ValueError, match="given with resume=None, expected resume=True"):
        mined(tmp_path / "top.h5", resume=None, shard=(0, 2))
    with pytest.raises(ValueError, match="save_every=-1"):
        mined(tmp_path / "top.h5", save_every=-1)
    with pytest.raises(ValueError, match="shard 2/2 was given"):
        mine(the_model(), the_images(), tmp_path / "a.h5", resume=True, shard=(2, 2))
