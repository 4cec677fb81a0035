"""`deconvnet merge`: the store of parts that nobody has assembled."""

import os
import shutil

import pytest

from deconvnet.mining.mine import Unfinished
from deconvnet.mining.run.merge import merge
from deconvnet.mining.run.part_folder import PartFolder
from tests.support.commands import make_files, said
from tests.support.mined import Ties
from tests.support.mining_runs import mined, tables, the_model

MODEL = "zoo:zfnet_mini"
pytestmark = pytest.mark.filterwarnings("ignore:.*activations were NaN:UserWarning")


@pytest.fixture
def parts(tmp_path):
    """The parts of two of two processes, on machines that do not see each other's files."""
    gathered = tmp_path / "gathered"
    gathered.mkdir()
    for index in range(2):
        path = tmp_path / str(index) / "top.h5"
        with pytest.raises(Unfinished):
            mined(path, shard=(index, 2))
        for part in PartFolder.beside(path).names():
            shutil.copy(part, gathered)
    return gathered


def test_parts_that_were_gathered(tmp_path, parts, whole):
    merge(parts, tmp_path / "top.h5", the_model())
    assert (tmp_path / "top.h5").read_bytes() == whole.read_bytes()
    assert len(os.listdir(parts)) == 2  # they stay


def test_a_part_that_is_there_twice_counts_once(tmp_path, parts, whole):
    for name in sorted(parts.iterdir()):
        shutil.copy(name, parts / f"part-copy-{name.name}")
    merge(parts, tmp_path / "top.h5", the_model())
    assert tables(tmp_path / "top.h5") == tables(whole)


def test_parts_that_are_not_everything(tmp_path, parts):
    first, _ = sorted(parts.iterdir())
    first.unlink()
    with pytest.raises(ValueError, match=r"of 90 images are in these parts; images \d+-\d+.* none"):
        merge(parts, tmp_path / "top.h5", the_model())
    assert not (tmp_path / "top.h5").exists()


def test_parts_of_different_runs(tmp_path, parts):
    with pytest.raises(Unfinished):
        mined(tmp_path / "other.h5", k=2, shard=(0, 3))
    for part in PartFolder.beside(tmp_path / "other.h5").names():
        shutil.copy(part, parts)
    with pytest.raises(ValueError, match="are parts of different runs, of another k: k is"):
        merge(parts, tmp_path / "top.h5", the_model())


def test_a_damaged_part(tmp_path, parts):
    first, _ = sorted(parts.iterdir())
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(ValueError, match="holds no mined part"):
        merge(parts, tmp_path / "top.h5", the_model())


def test_what_cannot_be_merged(tmp_path, parts, whole):
    with pytest.raises(FileNotFoundError, match=r"no parts in .* its name ends in \.parts"):
        merge(tmp_path / "nowhere", tmp_path / "top.h5", the_model())
    with pytest.raises(FileExistsError, match="is there already; write to another file"):
        merge(parts, whole, the_model())
    with pytest.raises(ValueError, match=r"another model: its fingerprint is 2:\w{64}, this one's"):
        merge(parts, tmp_path / "top.h5", Ties(quantised=False, seed=4))


def test_the_command(tmp_path, capfd):
    photos = make_files(tmp_path) / "photos"
    options = ("mine", MODEL, photos, "--layers", "relu2", "--batch-size", 1)
    assert said(capfd, *options, "-o", tmp_path / "whole.h5")[0] == 0
    for index in range(2):
        path = tmp_path / str(index) / "top.h5"
        assert said(capfd, *options, "-o", path, "--shard", f"{index}/2")[0] == 0
    parts = tmp_path / "0" / "top.h5.parts"
    code, out, err = said(capfd, "merge", parts, "-o", tmp_path / "top.h5")
    assert (code, "images are in these parts" in err) == (2, True)
    for part in PartFolder.beside(path).names():
        shutil.copy(part, parts)
    code, out, err = said(capfd, "merge", parts, "-o", tmp_path / "top.h5")
    assert code == 0
    assert "2 parts over 5 images" in out
    assert (tmp_path / "top.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    code, out, err = said(capfd, "merge", tmp_path / "photos", "-o", tmp_path / "b.h5")
    assert (code, "there are no parts in" in err) == (2, True)


def test_a_model_mined_from_python_is_asked_for(tmp_path, parts, capfd):
    code, out, err = said(capfd, "merge", parts, "-o", tmp_path / "top.h5")
    assert (code, "--model path/to/file.py:factory" in err) == (2, True)
