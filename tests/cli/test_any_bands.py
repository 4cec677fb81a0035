"""The command line on images of other bands and axes, and where preprocessing is unknown."""

import json

import numpy as np
import pytest
from PIL import Image

from deconvnet.store.store import open_store
from tests.support.commands import said

MODELS = """
import torch
from torch import nn

def net(kind, channels):
    convolution = {1: nn.Conv1d, 2: nn.Conv2d}[kind]
    return nn.Sequential(convolution(channels, 4, 3), nn.ReLU(), convolution(4, 3, 3), nn.ReLU())

def grey(): return net(2, 1)
def colours(): return net(2, 3)
def four(): return net(2, 4)
def signal(): return net(1, 1)

def noise(*size):
    return list(torch.rand(8, *size, generator=torch.Generator().manual_seed(0)))

def tensors(): return noise(3, 12, 14)
def signals(): return noise(1, 40)
"""
STATING = """
from deconvnet import Preprocessing

class Stated(list):
    preprocessing = Preprocessing((12, 14), 14, (0.2,) * 3, (0.5,) * 3)

def own(): return Stated(tensors())
"""
STATED = ("--mean", "0.5", "--std", "0.5")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text(MODELS)
    rng = np.random.default_rng(0)
    for folder in ("grey", "four"):
        (tmp_path / folder).mkdir()
    for number in range(8):
        pixels = rng.integers(0, 256, (28, 28, 4), np.uint8)
        Image.fromarray(pixels[..., 0]).save(tmp_path / "grey" / f"{number}.png")
        np.save(tmp_path / "four" / f"{number}.npy", pixels)
    return tmp_path


def ran(capfd, *arguments):
    code, out, err = said(capfd, *arguments)
    assert code == 0, err
    return out + err


def test_grey_images_from_the_files_to_the_figure(capfd, here):
    how = ("--size", "28", "--mean", "0.13", "--std", "0.31")
    ran(capfd, "mine", "m.py:grey", "grey", *how, "-k", 2, "--store-patches", "-o", "a.h5")
    told = json.loads(open_store("a.h5").attributes["transform"])
    assert (told["size"], told["mean"], told["std"]) == ([28, 28], [0.13], [0.31])
    assert told["resize"] == 28, "small images are not enlarged to be cropped"
    ran(capfd, "exemplars", "a.h5", "--layer", "3", "-o", "a.png")
    ran(capfd, "verify", "a.h5")
    ran(capfd, "embed", "a.h5", "--projections", "guided")
    ran(capfd, "exemplars", "a.h5", "--layer", "3", "--rectifier", "guided", "-o", "b.png")
    units = ("--layer", "3", "--channel", "0")
    ran(capfd, "visualize", "m.py:grey", "grey/0.png", *how, *units, "-o", "c.png")
    ran(capfd, "compare", "m.py:grey", "grey/0.png", *how, *units, "-o", "d.png")
    for name in "abcd":
        red, green, blue = np.asarray(Image.open(f"{name}.png").convert("RGB")).transpose(2, 0, 1)
        photo = np.abs(red.astype(int) - blue) < 3
        assert photo.mean() > 0.95, "grey but for the outlines"
        assert len(np.unique(green)) > 20


@pytest.mark.parametrize("size", ["28", "28x28", "1x28x28"])
def test_the_size_of_layers(capfd, here, size):
    out = ran(capfd, "layers", "m.py:grey", "--size", size, "--json")
    told = json.loads(out)
    assert told["input_size"] == [1, 28, 28]
    assert told["layers"]["0"]["size"] == [26, 26]


CLASSIFIERS = """
from torch import nn

def grey(): return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2704, 3))
def four(): return nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2704, 3))
def signal(): return nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(52, 3))
"""


@pytest.mark.filterwarnings("ignore:.*states no preprocessing")
@pytest.mark.parametrize(
    ("model", "given", "taken", "advice"),
    [
        ("grey", (), "1 x 224 x 224", "--size 1xHEIGHTxWIDTH"),
        ("four", (), "4 x 224 x 224", "--size 4xHEIGHTxWIDTH"),
        ("signal", (), "1 x 224", "--size 1xLENGTH"),
        ("grey", ("--size", "3x28x28"), "3 x 28 x 28", "--size CHANNELSxHEIGHTxWIDTH"),
    ],
)
def test_a_model_of_another_size_says_what_to_do(capfd, here, model, given, taken, advice):
    (here / "c.py").write_text(CLASSIFIERS)
    code, _, err = said(capfd, "layers", f"c.py:{model}", *given)
    assert code == 2
    told = err.strip().splitlines()[-1]
    assert "do not fit the model" in told
    sizes = " ".join(given) or "no --size"
    assert f"; {sizes} was given, so that images are {taken}: give the size" in told
    assert told.endswith(advice)


@pytest.mark.filterwarnings("ignore:.*states no preprocessing")
def test_bands(capfd, here):
    mining = ("mine", "m.py:four", "four", "--size", "28", "-k", 2, "-o", "f.h5")
    ran(capfd, *mining, "--store-projections", "guided")
    figure = ("exemplars", "f.h5", "--layer", "3", "--rectifier", "guided", "-o")
    for bands in ("3,2,1", "1,2,3", "3"):
        ran(capfd, *figure, f"{bands}.png", "--bands", bands)
    shown = [np.asarray(Image.open(f"{b}.png").convert("RGB")) for b in ("3,2,1", "1,2,3")]
    np.testing.assert_array_equal(shown[0], shown[1][..., ::-1])
    assert (shown[0] != shown[1]).any()
    code, _, err = said(capfd, *figure, "x.png", "--bands", "4,2,1")
    assert code == 2
    assert "bands=(4, 2, 1) was given for an image of 4 bands" in err


def test_a_factory_that_states_nothing_is_unknown_and_never_imagenets(capfd, here):
    mining = ("mine", "m.py:colours", "m.py:tensors", "-k", 2, "-o", "t.h5")
    out = ran(capfd, *mining)
    assert 'records the preprocessing of its images as "unknown"' in out
    assert open_store("t.h5").attributes["transform"] == "unknown"
    drawing = ("exemplars", "t.h5", "--layer", "3", "-o", "t.png")
    code, _, err = said(capfd, *drawing)
    assert code == 2
    assert "on the command line give --mean and --std" in err
    ran(capfd, *drawing, *STATED)
    code, _, err = said(capfd, *mining[:-1], "u.h5", "--store-patches")
    assert code == 2
    assert "no preprocessing is known" in err
    assert not (here / "u.h5").exists(), "it is said before the long work"
    out = ran(capfd, *mining[:-1], "u.h5", "--store-patches", *STATED)
    assert "unknown" not in out
    assert json.loads(open_store("u.h5").attributes["transform"])["mean"] == [0.5] * 3


def test_signals(capfd, here):
    ran(capfd, "mine", "m.py:signal", "m.py:signals", "-k", 2, "-o", "s.h5", "--store-patches")
    ran(capfd, "exemplars", "s.h5", "--layer", "3", "-o", "s.png")
    assert "passed" in ran(capfd, "verify", "s.h5")
    told = json.loads(ran(capfd, "layers", "m.py:signal", "--size", "40", "--json"))
    assert told["layers"]["3"]["size"] == [36]


def test_what_a_data_set_states_is_recorded(capfd, here):
    (here / "m.py").write_text(MODELS + STATING)
    out = ran(capfd, "mine", "m.py:colours", "m.py:own", "-k", 2, "-o", "o.h5", "--store-patches")
    assert "unknown" not in out
    assert json.loads(open_store("o.h5").attributes["transform"])["mean"] == [0.2] * 3
