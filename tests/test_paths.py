"""``~`` in every path that a user can give, and paths in printed commands."""

import shlex
import shutil

import pytest
import torch
from torch import nn

from deconvnet import Preprocessing, embed, mine, open_store, verify, zoo
from deconvnet.data import ImageFolder, read_image
from deconvnet.data.specs import anchored, dataset
from deconvnet.mining.run.merge import parts_in
from deconvnet.zoo.load import load
from deconvnet.zoo.state_dicts import read_weights
from tests.support.commands import make_files, said

PREPARE = Preprocessing((8, 8), 8)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder with photographs, a list of them, models and weights; one stands elsewhere."""
    (tmp_path / "me").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    make_files(tmp_path / "me")
    (tmp_path / "me" / "some.txt").write_text("photos/cat1.png\n~/photos/cat0.png\n")
    torch.save(zoo.zfnet_mini().state_dict(), tmp_path / "me" / "w.pth")
    yield tmp_path / "me"
    assert list((tmp_path / "elsewhere").iterdir()) == [], "a folder called ~ was made"


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()


def test_python(home):
    data = ImageFolder("~/photos", PREPARE)
    assert len(data) == len(dataset("~/photos", PREPARE)) == 5
    some = ImageFolder.from_list("~/some.txt", PREPARE)
    assert torch.equal(some[0], data[1])
    assert torch.equal(some[1], data[0])
    assert torch.equal(ImageFolder(["cat1.png"], PREPARE, root="~/photos")[0], data[1])
    assert some.path(1) == "~/photos/cat0.png", "as it was given"
    assert "missing" not in some.fingerprint()
    assert read_image("~/photos/cat0.png").size == (110, 100)
    store = mine(model(), "~/photos", "~/out/a.h5", k=2, preprocessing=PREPARE)
    assert store.path == home / "out" / "a.h5"
    assert store.attributes["dataset"] == str(home / "photos")
    assert list(open_store("~/out/a.h5")) == list(store)
    assert verify(store, model(), "~/photos").passed
    assert embed(store, model(), data, path="~/out/b.h5").path == home / "out" / "b.h5"
    assert load("~/nets.py:gelu").spec == "~/nets.py:gelu"
    assert anchored("~/nets.py:gelu") == f"{home}/nets.py:gelu"
    assert anchored("hf:~/rows:image") == f"hf:{home}/rows:image"
    assert len(read_weights("~/w.pth")) > 5
    with pytest.raises(FileNotFoundError, match="no parts in .*me/out/a.h5.parts"):
        parts_in("~/out/a.h5.parts")


def test_the_fingerprint_of_a_list_reads_the_file(home):
    one = ImageFolder(["~/photos/cat0.png"], PREPARE, identity="content").fingerprint()
    (home / "photos" / "cat0.png").write_bytes(b"another")
    assert ImageFolder(["~/photos/cat0.png"], PREPARE, identity="content").fingerprint() != one


def test_a_name_in_a_folder_is_a_name(home):
    (home / "photos" / "~").mkdir()
    shutil.copy(home / "photos" / "cat0.png", home / "photos" / "~" / "w.png")
    data = ImageFolder(home / "photos", PREPARE)
    names = [data.path(index) for index in range(len(data))]
    assert torch.equal(data[names.index("~/w.png")], data[names.index("cat0.png")])


def test_commands(home, capfd):
    weights, store = "--weights=~/w.pth", "~/out put/a.h5"
    mined = said(capfd, "mine", "zoo:zfnet_mini", "~/photos", weights, "-o", store, "--layers",
                 "relu1", "--store-patches")  # fmt: skip
    assert mined[0] == 0, mined
    (command,) = (line for line in mined[1].splitlines() if line.startswith("next: "))
    words = shlex.split(command.removeprefix("next: "))
    assert words == ["deconvnet", "figure", str(home / "out put" / "a.h5"), "--layer", "relu1"]
    code, _, err = said(capfd, *words[1:], "-o", "~/out put/f.png", "--channels", "0")
    assert (code, err) == (0, err)
    assert (home / "out put" / "f.png").is_file()
    for typed in (
        ["layers", "~/nets.py:gelu", "--rectifier=gradient"],
        ["info", store],
        ["verify", store, "--data=~/photos"],
        ["embed", store, "-o", "~/out put/b.h5"],
        ["compare", "zoo:zfnet_mini", "~/photos/cat0.png", "-o", "~/out put/c.png"],
        ["visualize", "zoo:zfnet_mini", "~/photos/cat0.png", "--layer", "relu1", "--channel=1",
         "-o=~/out put/d.png"],
    ):  # fmt: skip
        code, _, err = said(capfd, *typed)
        assert code == 0, (typed, err)
    assert {p.name for p in (home / "out put").iterdir()} >= {"b.h5", "c.png", "d.png"}
