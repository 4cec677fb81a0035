"""Readers that are forked, spawned, or forked from a server: factories, siblings, scripts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

ROOT = Path(__file__).parents[3]
METHODS = ("fork", "forkserver", "spawn")
NETS = """
import torch
from torch import nn
from torch.utils.data import Dataset
from shapes import SIDE, shape

class Data(Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, index):
        import values  # only now
        return torch.full(shape(3), values.of(index))

def data():
    return Data()

def net():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    model.preprocessing = None
    return model
"""
SHAPES = "SIDE = 8\ndef shape(channels):\n    return (channels, SIDE, SIDE)\n"
VALUES = "def of(index):\n    return float(index)\n"
COMMAND = """
import multiprocessing, sys
multiprocessing.set_start_method(sys.argv[1])
from deconvnet.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of factories with two modules beside it, and the same as a package."""
    folder = tmp_path_factory.mktemp("files")
    for name, text in (("nets.py", NETS), ("shapes.py", SHAPES), ("values.py", VALUES)):
        (folder / name).write_text(text)
    (folder / "pack").mkdir()
    (folder / "pack" / "__init__.py").write_text("")
    package = NETS.replace("from shapes", "from .shapes").replace(
        "import values", "from . import values"
    )
    for name, text in (("nets.py", package), ("shapes.py", SHAPES), ("values.py", VALUES)):
        (folder / "pack" / name).write_text(text)
    return folder


def ran(*words, cwd):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done.returncode, done.stdout + done.stderr


def mined(method, model, data, path, *options, cwd):
    words = ("mine", model, data, "-o", path, "-k", 3, "--batch-size", 8, *options)
    return ran("-c", COMMAND, method, *words, cwd=cwd)


@pytest.mark.parametrize(
    ("form", "method"),
    [("file", "fork"), ("file", "forkserver"), ("file", "spawn"), ("module", "spawn")],
)
def test_model_and_data_from_one_place_with_siblings(files, tmp_path, form, method):
    """In another folder than the file's; a module is found from the folder above its package."""
    place, cwd = (files / "nets.py", tmp_path) if form == "file" else ("pack.nets", files)
    path = tmp_path / "a.h5"
    code, said = mined(method, f"{place}:net", f"{place}:data", path, "--workers", 2, cwd=cwd)
    assert code == 0, said
    with h5py.File(path) as store:
        assert store["layers/1/image"].shape == (4, 3)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_file_whose_name_is_taken(files, tmp_path, method):
    """``json.py`` beside the standard library's ``json``."""
    for name, text in (("shapes.py", SHAPES), ("values.py", VALUES), ("json.py", NETS)):
        (tmp_path / name).write_text(text)
    place = tmp_path / "json.py"
    (tmp_path / "cwd").mkdir()
    options = ("--workers", 2)
    code, said = mined(
        method, f"{place}:net", f"{place}:data", tmp_path / "a.h5", *options, cwd=tmp_path / "cwd"
    )
    assert code == 0, said


SCRIPT = """
import multiprocessing, sys
import torch
from torch import nn
from deconvnet.mining.mine import mine

class Data:
    def __len__(self):
        return 40
    def __getitem__(self, index):
        return torch.full((3, 8, 8), float(index))

GUARD
    multiprocessing.set_start_method(sys.argv[1], force=True)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    store = mine(model, Data(), sys.argv[2], k=3, batch_size=8, workers=2)
    print("mined", store["1"].image[0, 0])
"""


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_script_with_a_guard(tmp_path, method):
    (tmp_path / "script.py").write_text(SCRIPT.replace("GUARD", 'if __name__ == "__main__":'))
    code, said = ran(tmp_path / "script.py", method, tmp_path / "a.h5", cwd=tmp_path)
    assert (code, "mined" in said) == (0, True), said


@pytest.mark.parametrize("method", METHODS)
def test_a_script_without_a_guard_is_told_what_is_missing(tmp_path, method):
    (tmp_path / "script.py").write_text(SCRIPT.replace("GUARD", "if True:"))
    code, said = ran(tmp_path / "script.py", method, tmp_path / "a.h5", cwd=tmp_path)
    if method == "fork":
        assert (code, "mined" in said) == (0, True), said
        return
    assert code == 1
    last = said.strip().splitlines()[-1]
    assert f"with the start method {method!r} each reader runs" in last
    assert "script.py" in last
    assert 'if __name__ == "__main__":' in last
    assert not (tmp_path / "a.h5").exists()


def test_a_data_set_of_a_notebook_is_told_what_is_missing(tmp_path):
    """Its class is in no file, so that no new process can import it."""
    text = SCRIPT.replace("GUARD", "if True:")
    for wrapped in ("Data()", "torch.utils.data.Subset(Data(), range(30))"):
        words = ("-c", text.replace("Data()", wrapped), "spawn", tmp_path / "a.h5")
        code, said = ran(*words, cwd=tmp_path)
        assert code == 1
        assert "the class Data of the data set is defined in a notebook" in said
