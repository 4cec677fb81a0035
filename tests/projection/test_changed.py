"""A box of an image changes: what is run again gives what the model gives for the whole image."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet
from deconvnet.layers import Crop
from deconvnet.projection import changed
from deconvnet.projection.changed import Rerun, reached
from tests.support.mined import SIZE, Ties
from tests.support.networks import network, noise

FAR = np.array([[0, 0], [5, 9], [43, 43], [20, 0]])


def both(model, image, starts, boxes, layers):
    """What is run again at these layers, and the same by whole forward passes of the model."""
    net = DeconvNet(model)
    whole = image.repeat(len(boxes), 1, 1, 1)
    height, width = boxes.shape[2:]
    for one, box, (top, left) in zip(whole, boxes, starts.tolist(), strict=True):
        one[:, top : top + height, left : left + width] = box
    expected = net.with_rectifier("gradient").record(whole, layers).activations
    net.record(image)
    geometry = net.geometry(tuple(image.shape[1:]))
    return Rerun(net.graph, geometry, image, layers=layers).of(starts, boxes), expected


@pytest.mark.parametrize(
    "name", ["alexnet", "resnet18", "googlenet", "densenet121", "mobilenet_v2"]
)
def test_it_is_what_the_model_gives_for_whole_images(name):
    model, image = network(name), noise(1, 3, 64, 64)
    layers = DeconvNet(model).graph.returned
    boxes = noise(len(FAR), 3, 21, 21, seed=2)
    actual, expected = both(model, image, FAR, boxes, layers)
    torch.testing.assert_close(actual, dict(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_in_place_residual_and_size_reading_operations(dtype):
    model = Ties(quantised=False).to(dtype).eval()
    image = noise(1, 3, *SIZE).to(dtype)
    starts = np.array([[0, 0], [13, 10], [6, 5], [7, 0], [0, 10]])
    layers = ["relu1", "pool", "relu", "relu3", "fc2"]
    boxes = noise(5, 3, 4, 4, seed=3).to(dtype)
    actual, expected = both(model, image, starts, boxes, layers)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(actual, dict(expected), rtol=tolerance, atol=tolerance)
    alone, _ = both(model, image, starts[:1], boxes[:1], layers)
    for layer in layers:
        torch.testing.assert_close(alone[layer][0], actual[layer][0])


def test_nothing_of_the_unchanged_image_is_written():
    model, image = Ties(quantised=False).double().eval(), noise(1, 3, *SIZE)
    net = DeconvNet(model)
    net.record(image)
    rerun = Rerun(net.graph, net.geometry((3, *SIZE)), image, layers=["fc2"])
    before = {name: value.clone() for name, value in rerun._unchanged.items()}
    for start in ([0, 0], [6, 6]):
        rerun.of(np.array([start]), noise(1, 3, 4, 4, seed=5))
    torch.testing.assert_close(rerun._unchanged, before, rtol=0, atol=0)
    torch.testing.assert_close(rerun.unchanged("fc2"), model(image).detach())


STRIDED = nn.Sequential(nn.Conv2d(1, 1, 2, stride=5), nn.ReLU(), nn.Conv2d(1, 1, 3, padding=1))


def test_only_what_sees_the_box_is_run_again():
    """Cells 0 and 1 of a filter of 2 in steps of 5 see the pixels 0 and 1, 5 and 6."""
    geometry = DeconvNet(STRIDED).geometry((1, 42, 42))
    change = reached(geometry, np.array([[1, 6], [5, 7]]), (1, 1))
    crop = change.held["0"]
    assert (crop.size, crop.starts[0].tolist(), crop.starts[1, 0]) == ((1, 1), [0, 1], 1)
    assert change.held["2"].size == (3, 3)
    counted = {name: crop.size for name, crop in change.held.items()}
    assert all(np.prod(size) <= 9 for size in counted.values())
    image, boxes = noise(1, 1, 42, 42), noise(2, 1, 1, 1)
    model = STRIDED.double()
    actual, expected = both(model, image, np.array([[1, 6], [5, 7]]), boxes, ["2"])
    torch.testing.assert_close(actual, dict(expected), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(actual["2"][1:], model(image))  # no filter sees column 7


def test_without_the_halo_it_would_be_caught(monkeypatch):
    """The planted wrong case: around the changed cells stands padding, not the image."""
    model, image = STRIDED.double(), noise(1, 1, 42, 42)
    monkeypatch.setattr(
        changed.Crop, "of", lambda self, tensor, outside=0.0: tensor.new_zeros(
            self.sized(tensor.shape)
        )
    )  # fmt: skip
    actual, expected = both(model, image, np.array([[12, 12]]), noise(1, 1, 9, 9), ["2"])
    assert (actual["2"] - expected["2"]).abs().max() > 1e-3


def test_pasting_is_where_both_crops_overlap():
    maps = torch.arange(36.0).reshape(1, 1, 6, 6)
    rows = np.zeros(1, np.int64)
    window = Crop(rows, np.array([[-1, 3]]), (3, 4), (6, 6))
    into = torch.full((1, 1, 3, 4), -1.0)
    assert window.paste(maps, into) is into
    expected = F.pad(maps[0, 0, :2, 3:], (0, 1, 1, 0), value=-1.0)
    torch.testing.assert_close(into[0, 0], expected)
