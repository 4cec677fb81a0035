"""``deconvnet verify``: 0 for a store that holds, 1 and the reasons for one that does not."""

import json
import re
import shutil

import h5py
import pytest
import torch

from deconvnet import zoo
from deconvnet.cli.main import main
from tests.support.commands import make_files, said

pytestmark = pytest.mark.filterwarnings("default")
MODEL = "zoo:zfnet_mini"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Photographs, a store of them, and other weights."""
    folder = make_files(tmp_path_factory.mktemp("verify"))
    options = ["--layers", "relu2,relu4,classifier", "-k", "3", "--batch-size", "4"]
    path = str(folder / "top.h5")
    assert main(["mine", MODEL, str(folder / "photos"), "-o", path, *options]) == 0
    model = zoo.zfnet_mini()
    with torch.no_grad():
        model.conv2.weight *= 1.01
    torch.save(model.state_dict(), folder / "other.pth")
    return folder


def test_a_good_store(files, capfd):
    code, out, _ = said(capfd, "verify", files / "top.h5", "-n", 50, "--seed", 3)
    assert code == 0
    first, last = out.splitlines()
    assert re.match(
        r"50 of 1,869 entries \(random state 3\) recomputed over 5 images; .* bit for bit: 50;",
        first,
    )
    assert last == f"passed: {files / 'top.h5'} is what this model and this data set give"


def test_as_json_to_the_last_bit(files, capfd):
    code, out, _ = said(capfd, "verify", files / "top.h5", "--exact", "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["passed"], told["checked"], told["equal"]) == (True, 100, 100)
    assert (told["tolerance"], told["mismatches"]) == (0.0, [])


def test_other_weights(files, capfd):
    code, out, _ = said(capfd, "verify", files / "top.h5", "--weights", files / "other.pth")
    assert code == 1
    lines = out.splitlines()
    assert "model: 1 differs" in lines
    (activation,) = (i for i, line in enumerate(lines) if line.startswith("activation: "))
    count = int(lines[activation].split()[1])
    assert count > 10
    examples = [line for line in lines[activation + 1 : activation + 11] if line[:2] == "  "]
    assert len(examples) == 10
    assert "the store says" in examples[0]
    assert f"  … and {count - 10} more; --json lists them all" in lines
    assert lines[-1].startswith("failed: ")


def test_other_photographs(files, tmp_path, capfd):
    shutil.copytree(files / "photos", tmp_path / "photos")
    zoo.photograph("coffee").crop((0, 0, 120, 120)).save(tmp_path / "photos" / "cat2.png")
    code, out, _ = said(capfd, "verify", files / "top.h5", "--data", tmp_path / "photos")
    assert code == 1
    assert "data set: 1 differs" in out
    assert re.search(r"activation: \d+ differ", out)


def test_an_edited_table(files, tmp_path, capfd):
    shutil.copy(files / "top.h5", tmp_path / "top.h5")
    with h5py.File(tmp_path / "top.h5", "r+") as file:
        file["layers/relu4/row"][7, 0] = (file["layers/relu4/row"][7, 0] + 1) % 11
    code, out, _ = said(capfd, "verify", tmp_path / "top.h5", "-n", 2000, "--json")
    told = json.loads(out)
    assert code == 1
    assert not told["passed"]
    assert {mismatch["kind"] for mismatch in told["mismatches"]} == {"position", "box"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-n", 0), "n=0 was given"),
        (("--data", "nowhere"), "nowhere"),
        (("--device", "gpu"), "device 'gpu' cannot be used here"),
        (("--model", "zoo:vgg"), "the zoo has no 'vgg'"),
    ],
)
def test_bad_input_is_no_verdict(files, capfd, options, message):
    code, out, err = said(capfd, "verify", files / "top.h5", *options)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]


def demo(folder, capfd):
    """The demo's store passes, and does not with other weights."""
    code, _, err = said(capfd, "demo", "-o", folder / "demo")
    assert code == 0, err
    store = folder / "demo" / "top64.h5"
    code, out, _ = said(capfd, "verify", store, "--exact")
    assert code == 0, out
    assert out.splitlines()[0].startswith("100 of ")
    model = zoo.zfnet_mini()
    with torch.no_grad():
        model.conv3.weight[7, 0, 0, 0] += 1e-3  # one of 1.85 million
    torch.save(model.state_dict(), folder / "one.pth")
    code, out, _ = said(capfd, "verify", store, "--weights", folder / "one.pth")
    assert code == 1
    assert "model: 1 differs" in out


def test_the_store_of_a_small_demo(tmp_path, capfd, monkeypatch):
    few = zoo.photographs(["chelsea", "coffee"], scales=[2])
    monkeypatch.setattr(zoo, "photographs", lambda: few)
    monkeypatch.setattr("deconvnet.cli.commands.demo.LAYERS", ("relu2", "relu4"))
    monkeypatch.setattr("deconvnet.cli.commands.demo.GRIDS", {"relu4": (126, 132)})
    demo(tmp_path, capfd)


@pytest.mark.slow
def test_the_store_of_the_demo(tmp_path, capfd):
    demo(tmp_path, capfd)
