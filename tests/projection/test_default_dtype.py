"""``torch.set_default_dtype(float64)`` in the user's program must not move a pixel."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.models import AlexNet_Weights

from deconvnet import DeconvNet, Preprocessing, embed, mine, verify
from deconvnet.data import ImageFolder
from deconvnet.graph.frontends import blank
from deconvnet.mining.exemplars import project_exemplars

PREPARE = Preprocessing.imagenet(16)


@contextmanager
def default(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def both(make):
    """What comes out under either default."""
    found = []
    for dtype in (torch.float32, torch.float64):
        with default(dtype):
            found.append(make())
    return found


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 5, stride=2), nn.ReLU(), nn.Conv2d(4, 3, 3)).eval()


def test_tensors_and_pictures(folder):
    data = ImageFolder(folder, PREPARE)
    here, there = both(lambda: data[0])
    assert here.dtype == there.dtype == torch.float32
    assert torch.equal(here, there)
    shown = both(lambda: PREPARE.picture(here))
    assert shown[0].dtype == shown[1].dtype == np.float32
    np.testing.assert_array_equal(*shown)


def test_torchvision_still_agrees_to_the_last_bit(folder):
    """The oracle is torchvision's own preset, under the default that it is published for."""
    with Image.open(folder / "0.png") as image:
        weights = AlexNet_Weights.DEFAULT
        expected = weights.transforms()(image)
        with default(torch.float64):
            assert torch.equal(Preprocessing.from_weights(weights)(image), expected)


def test_stores_pictures_and_checks(folder, model, tmp_path):
    data = ImageFolder(folder, PREPARE)
    paths = iter((tmp_path / "a.h5", tmp_path / "b.h5"))

    def mined():
        store = mine(model, data, next(paths), k=2, batch_size=2)
        made = embed(store, model, data, preprocessing=PREPARE, rectifiers=["guided"])
        return made.path.read_bytes()

    here, there = both(mined)
    assert here == there


def test_figures_and_verification_of_a_store(folder, model, tmp_path):
    data = ImageFolder(folder, PREPARE)
    store = mine(model, data, tmp_path / "a.h5", k=2, batch_size=2)
    assert both(lambda: verify(store, model, data, tolerance=0.0).passed) == [True, True]

    def drawn():
        net = DeconvNet(model, "guided")
        return project_exemplars(
            store, "2", [0, 1, 2], net=net, dataset=data, preprocessing=PREPARE
        )

    here, there = both(drawn)
    for channel, those in here.items():
        for one, other in zip(those, there[channel], strict=True):
            np.testing.assert_array_equal(one.projection, other.projection)
            np.testing.assert_array_equal(one.patch, other.patch)


def test_blank_images_of_a_model_without_parameters():
    found = both(lambda: blank(nn.ReLU(), (3, 4, 4)))
    assert [image.dtype for image in found] == [torch.float32] * 2
