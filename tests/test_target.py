"""What stands at the path of a store, and the work beside it: nothing is lost, whoever comes."""

import errno
import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path

import pytest

import deconvnet.assembling
from deconvnet.mining import Unfinished
from deconvnet.part_folder import PartFolder
from tests.mined import Ties
from tests.mining_runs import COUNT, After, mined, same, stopped, the_images

pytestmark = pytest.mark.filterwarnings("ignore:.*activations were NaN:UserWarning")


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """The same run by its fingerprints, of images that are others: what one starts over for."""
    path = tmp_path_factory.mktemp("changed") / "top.h5"
    mined(path, data=the_images(seed=6))
    return path


def kept(path):
    return {part: part.read_bytes() for part in PartFolder.beside(path).names()}


# --- starting over ----------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 3])
def test_starting_over_can_be_interrupted_and_gone_on_with(tmp_path, whole, changed, times):
    path = shutil.copy(changed, tmp_path / "top.h5")
    stopped(path, 5, resume=False)
    assert same(path, changed)
    for _ in range(times - 1):
        stopped(path, 3)
        assert same(path, changed)
    told = []
    mined(path, tell=told.append)
    assert told == [f"going on: {20 + 12 * (times - 1)} of {COUNT} images are done already"]
    assert same(path, whole)
    assert os.listdir(tmp_path) == ["top.h5"]


def test_several_processes_go_on_with_starting_over(tmp_path, whole, changed):
    path = shutil.copy(changed, tmp_path / "top.h5")
    stopped(path, 5, resume=False)
    with pytest.raises(Unfinished, match="shard 1/2 is done, others are not"):
        mined(path, shard=(1, 2))
    assert same(path, changed)
    mined(path, shard=(0, 2))
    assert same(path, whole)
    mined(path, shard=(1, 2))
    assert os.listdir(tmp_path) == ["top.h5"]


def test_a_store_that_came_after_is_recognised(tmp_path, whole, changed):
    """Its process was killed before it had removed the parts."""
    path = shutil.copy(changed, tmp_path / "top.h5")
    stopped(path, 5, resume=False)
    shutil.copy(whole, path)
    os.utime(path, ns=(1, 1))
    told = []
    mined(path, tell=told.append)
    assert "is finished already" in told[0]
    assert os.listdir(tmp_path) == ["top.h5"]


def test_what_cannot_start_over_drops_nothing(tmp_path):
    path = tmp_path / "top.h5"
    stopped(path, 5)
    before = kept(path)
    path.mkdir()
    with pytest.raises(OSError, match="it is a folder"):
        mined(path, resume=False)
    assert kept(path) == before != {}


def test_files_that_are_no_parts_of_ours_stay(tmp_path, whole):
    path = tmp_path / "top.h5"
    folder = PartFolder.beside(path).path
    folder.mkdir()
    (folder / "part-00001.safetensors").write_text("my model")
    for resume in (False, None, True):
        mined(path, resume=resume)
    assert same(path, whole)
    assert os.listdir(folder) == ["part-00001.safetensors"]


# --- somebody else's --------------------------------------------------------------------------


def test_unfinished_work_of_another_stays_beside_a_finished_store(tmp_path, whole):
    path, other = shutil.copy(whole, tmp_path / "top.h5"), Ties(quantised=False, seed=4)
    stopped(path, 5, model=other, resume=False)
    before = kept(path)
    with pytest.raises(ValueError, match="holds unfinished work on another model"):
        mined(path)
    os.utime(path, ns=(1, 1))  # as after a copy: it is another file, and finished
    mined(path)
    assert kept(path) == before != {}


@pytest.mark.parametrize("what", ["notes", "store"])
def test_what_was_put_in_the_way_of_a_run(tmp_path, whole, what):
    path = tmp_path / "top.h5"
    stopped(path, 5)
    before = kept(path)
    if what == "notes":
        path.write_text("my notes")
    else:
        mined(tmp_path / "other.h5", model=Ties(quantised=False, seed=4))
        shutil.move(tmp_path / "other.h5", path)
    content = path.read_bytes()
    with pytest.raises(ValueError, match="is there already and holds"):
        mined(path)
    assert (path.read_bytes(), kept(path)) == (content, before)
    path.unlink()
    mined(path)
    assert same(path, whole)


def test_two_runs_with_one_target_at_once(tmp_path, whole):
    """The later one to finish finds another store there; its work is kept."""
    path, other, seen = tmp_path / "top.h5", Ties(quantised=False, seed=4), []

    def report(done, total):
        if not seen:
            seen.append(mined(path, model=other).path.read_bytes())

    with pytest.raises(ValueError, match=r"holds another model: .*move that file away"):
        mined(path, report=report)
    assert path.read_bytes() == seen[0]
    path.rename(tmp_path / "other.h5")
    again = []
    mined(path, report=lambda *numbers: again.append(numbers))
    assert again == []
    assert same(path, whole)


# --- what is done is kept ---------------------------------------------------------------------


def test_a_store_that_cannot_be_written_costs_no_work(tmp_path, whole, monkeypatch):
    path = tmp_path / "top.h5"

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(deconvnet.assembling, "write_store", full)
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
    mined_before = deconvnet.job.microbatches

    def dying(*arguments, **options):
        for number, batch in enumerate(mined_before(*arguments, **options)):
            if number == 3:
                stop.left = 0
                raise RuntimeError("DataLoader worker (pid 7) exited unexpectedly")
            yield batch

    monkeypatch.setattr(deconvnet.job, "microbatches", dying)
    with pytest.raises(Unfinished, match=f"stopped: 12 of {COUNT} images are done"):
        mined(path, stop=stop)
    assert len(kept(path)) == 1
    stop.left = 10**6
    with pytest.raises(RuntimeError, match="a process that reads images has died"):
        mined(path, stop=lambda: False)
