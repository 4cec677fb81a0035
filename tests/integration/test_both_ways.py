"""Grey, small, 1-D, timm's and a user's own models: every question by Python and by command."""

import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import deconvnet as dn
from deconvnet.zoo.load import load
from tests.support.commands import said

NETS = """
import torch
from torch import nn
from deconvnet import Preprocessing

def grey():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 3),
                          nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3))
    model.preprocessing = Preprocessing((28, 28), 28, (0.13,), (0.3,))
    return model

def small():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 3),
                          nn.ReLU(), nn.Flatten(), nn.Linear(5 * 13 * 13, 3))
    model.preprocessing = Preprocessing((32, 32), 32, (0.5,) * 3, (0.25,) * 3)
    return model

def signal():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(2, 6, 5), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(6, 5, 5),
                         nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(5, 3))

def signals():
    made = torch.randn(7, 2, 64, generator=torch.Generator().manual_seed(0))
    return list(made)
"""
IMAGES = {
    "grey": ("{folder}/nets.py:grey", "4"),
    "32 pixels": ("{folder}/nets.py:small", "4"),
    "timm": ("timm:test_resnet", None),
}
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*random weights", "ignore:.*states no preprocessing"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("both")
    (made / "nets.py").write_text(NETS)
    (made / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (5, 50, 60, 3), dtype=np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(made / "photos" / f"{number}.png")
    return made


def json_of(capfd, *arguments):
    code, out, err = said(capfd, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def rows(result):
    """A table as the command prints it."""
    return json.loads(json.dumps(result.table()))


def same(by_command, by_python):
    assert len(by_command) == len(by_python) > 0
    for one, other in zip(by_command, by_python, strict=True):
        assert one["activation"] == pytest.approx(other["activation"], rel=1e-5)
        assert {k: v for k, v in one.items() if k != "activation"} == {
            k: v for k, v in other.items() if k != "activation"
        }


@pytest.mark.parametrize("kind", IMAGES)
def test_models_of_images(kind, folder, capfd):
    spec, layer = IMAGES[kind]
    if kind == "timm":
        pytest.importorskip("timm")
    spec, photo, out = spec.format(folder=folder), folder / "photos" / "1.png", folder / "out.png"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = load(spec)
    model, named = loaded.model, [] if layer is None else ["--layer", layer]
    # visualize and compare
    told = json_of(capfd, "visualize", spec, photo, *named, "-o", out)
    shown = dn.visualize(model, str(photo), layer=layer)
    same(told["units"], rows(shown))
    told = json_of(capfd, "compare", spec, photo, "--sign", "all,negative", "-o", out)
    compared = dn.compare(model, photo, sign=("all", "negative"))
    same(told["units"], rows(compared))
    # mine and exemplars
    layer, store = shown.layer, folder / f"{kind}.h5"
    json_of(capfd, "mine", spec, folder / "photos", "-o", store, "--layers", layer, "-k", 2)
    mined = dn.mine(model, folder / "photos", folder / "own.h5", layer, 2)
    opened = dn.open_store(store)
    np.testing.assert_array_equal(opened[layer].image, mined[layer].image)
    drawn = json_of(
        capfd, "exemplars", store, "--layer", layer, "--channels", "strongest:2", "-o", out
    )
    found, again = (
        dn.exemplars(mined, layer, "strongest:2"),
        dn.exemplars(store, layer, "strongest:2"),
    )
    assert drawn["channels"] == list(found.channels) == list(again.channels)
    same(rows(again), rows(found))
    for result in (shown, compared, found):
        assert len(result._repr_png_()) > 1000
    size = loaded.shape[1:]
    assert shown.rows[0].image.shape == (*size, 3)
    assert all(one.projection.shape[-1] == loaded.shape[0] for one in shown.rows[0].units)


def test_a_model_of_signals(folder, capfd):
    spec, data = f"{folder}/nets.py:signal", f"{folder}/nets.py:signals"
    model, signals = load(spec).model, torch.stack(list(load_data(data)))
    prepared = dn.Preprocessing((64,), None, (0.0, 0.0), (1.0, 1.0))
    names = ["0.npy", "1.npy"]
    shown = dn.visualize(model, signals[:2], preprocessing=prepared, names=names)
    assert shown.layer == "4"
    compared = dn.compare(
        model, signals[0], sign=("all", "positive"), preprocessing=prepared, names=names[:1]
    )
    assert len(compared.table()) == 1
    files = [folder / name for name in names]
    for file, values in zip(files, signals, strict=False):
        np.save(file, values.numpy())
    out = folder / "signals.png"
    same(json_of(capfd, "visualize", spec, *files, "-o", out)["units"], rows(shown))
    asked = ("--sign", "all,positive", "-o", out)
    same(json_of(capfd, "compare", spec, files[0], *asked)["units"], rows(compared))
    store = folder / "signals.h5"
    json_of(capfd, "mine", spec, data, "-o", store, "--layers", "4", "-k", 2, *NORMAL)
    mined = dn.mine(model, list(signals), folder / "own.h5", "4", 2, preprocessing=prepared)
    np.testing.assert_array_equal(dn.open_store(store)["4"].image, mined["4"].image)
    drawn = json_of(
        capfd, "exemplars", store, "--layer", "4", "--channels", "0-2", "-o", folder / "out.png"
    )
    found = dn.exemplars(mined, "4", "0-2", preprocessing=prepared)
    assert drawn["channels"] == list(found.channels)
    for result in (shown, compared, found):
        assert len(result._repr_png_()) > 1000


NORMAL = ("--mean", "0", "--std", "1", "--size", "2x64")


def load_data(spec):
    from deconvnet.data.resolve import dataset

    return dataset(spec, dn.Preprocessing.imagenet())
