"""What stands at the path of a store, and the work beside it: nothing is lost, whoever comes."""

import os
import shutil

import pytest

from deconvnet import Preprocessing, open_store
from deconvnet.mining.embed import embed
from deconvnet.mining.mine import Unfinished
from deconvnet.mining.run.part_folder import PartFolder
from tests.support.mined import SIZE, Pictures, Ties, pictures
from tests.support.mining_runs import COUNT, mined, same, stopped, the_images

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
    assert told[-1:] == [f"going on: {20 + 12 * (times - 1)} of {COUNT} images are done already"]
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


@pytest.mark.parametrize("change", ["touched", "with pictures", "moved"])
def test_an_old_store_that_has_changed_meanwhile_is_not_replaced(tmp_path, whole, changed, change):
    """Only the very file that stood there may go; once it is moved away, the work goes on."""
    path = shutil.copy(changed, tmp_path / "top.h5")
    stopped(path, 5, resume=False)
    if change == "touched":
        os.utime(path, ns=(1, 1))
    elif change == "moved":
        (tmp_path / "new").mkdir()
        for name in ("top.h5", "top.h5.parts"):
            (tmp_path / name).rename(tmp_path / "new" / name)
        path = shutil.copy(tmp_path / "new" / "top.h5", tmp_path / "new" / "copy")
        path = path.rename(tmp_path / "new" / "top.h5")
    else:
        images = pictures(COUNT, seed=6)
        model = Ties(quantised=False, seed=3).eval()
        data = Pictures(images, broken=(17,))
        data.fingerprint = lambda: "a fingerprint that costs no time"
        prepared = Preprocessing(SIZE, None, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        embed(open_store(path), model, data, preprocessing=prepared)
    content, before, told = path.read_bytes(), kept(path), []
    with pytest.raises(ValueError, match=rf"is finished, .*move that file away.* \(20 of {COUNT}"):
        mined(path)
    assert (path.read_bytes(), kept(path)) == (content, before)
    path.rename(tmp_path / "old.h5")
    mined(path, tell=told.append)
    assert told[-1:] == [f"going on: 20 of {COUNT} images are done already"]
    assert same(path, whole)


def test_another_file_than_the_one_to_be_replaced(tmp_path, whole, changed):
    """Neither the file nor the work is dropped, and the advice leads to neither."""
    path = shutil.copy(changed, tmp_path / "top.h5")
    stopped(path, 5, resume=False)
    shutil.copy(whole, path)
    before = kept(path)
    with pytest.raises(ValueError, match=rf"is finished, .*move that file away.* \(20 of {COUNT}"):
        mined(path)
    assert kept(path) == before
    path.unlink()
    mined(path)
    assert same(path, whole)


def test_a_store_that_came_after_is_recognised(tmp_path, whole, changed, monkeypatch):
    """Its process was killed before it had removed the parts."""
    path = shutil.copy(changed, tmp_path / "top.h5")
    stopped(path, 5, resume=False)
    with pytest.raises(Unfinished):
        mined(path, shard=(1, 2))
    with monkeypatch.context() as patched:
        patched.setattr(PartFolder, "tidy", lambda *_: None)
        mined(path, shard=(0, 2))
    assert len(kept(path)) == 3
    told = []
    mined(path, tell=told.append)
    assert "is finished already" in told[-1]
    assert same(path, whole)
    assert os.listdir(tmp_path) == ["top.h5"]


def test_an_old_store_that_changes_during_the_run_is_not_taken_for_the_new_one(
    tmp_path, whole, changed
):
    path = shutil.copy(changed, tmp_path / "top.h5")
    with pytest.raises(ValueError, match="to be replaced, but changed, and did not .*move that"):
        mined(path, resume=False, report=lambda *_: os.utime(path, ns=(1, 1)))
    assert same(path, changed)
    path.unlink()
    again = []
    mined(path, report=lambda *numbers: again.append(numbers))
    assert again == []
    assert same(path, whole)


def test_what_was_stopped_before_it_began(tmp_path, changed):
    path = shutil.copy(changed, tmp_path / "top.h5")
    said = stopped(path, 0, resume=False)
    assert str(said) == "mining was stopped: nothing is done yet, and nothing is kept"
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
    assert kept(path) == before != {}


def test_a_finished_store_beside_unfinished_work_of_another(tmp_path, whole):
    path = tmp_path / "top.h5"
    stopped(path, 5, model=Ties(quantised=False, seed=4))
    before = kept(path)
    shutil.copy(whole, path)
    told = []
    mined(path, tell=told.append)
    assert "is finished already" in told[-1]
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
