"""Every bad input is one error that shows what was given and says what to do."""

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Unit
from tests.support.networks import noise


def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 4, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(4 * 3 * 3, 5),
    ).double()  # fmt: skip


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = model()[:5]

    def forward(self, x):
        return self.features(x)


IMAGES = noise(2, 3, 12, 12)
NET, NAMED = DeconvNet(model()), DeconvNet(Named().double())


def project(**given):
    return lambda: NET.project(IMAGES, **given)


def unit(*given, **more):
    return lambda: NET.project(IMAGES, units=[Unit("0", 1, 2, 2), Unit(*given, **more)])


BAD = {
    "layer": (
        lambda: NAMED.project(IMAGES, layer="feature.3", channel=1),
        KeyError,
        "no layer is called 'feature.3'; the nearest are features.3",
    ),
    "layer that is like none": (
        project(layer="zzz", channel=1),
        KeyError,
        "no layer is called 'zzz'; the layers are input, 0, 1, 2, 3, 4, 5, 6, …; "
        "see DeconvNet.layers",
    ),
    "layer of a unit": (unit("7", 1), KeyError, "no layer is called '7'"),
    "module of another model": (
        project(layer=nn.ReLU(), channel=1),
        KeyError,
        "this ReLU is no part of the model",
    ),
    "channel": (
        project(layer="3", channel=4),
        IndexError,
        "3 has no channel 4; its channels are 0 to 3",
    ),
    "negative channel": (project(layer="3", channel=-1), IndexError, "3 has no channel -1"),
    "position": (
        project(layer="3", channel=1, position=(3, 0)),
        IndexError,
        "3 has no position (3, 0); its maps are 3 x 3",
    ),
    "negative position": (unit("3", 1, 0, -1), IndexError, "3 has no position (0, -1)"),
    "position of one number": (
        project(layer="3", channel=1, position=(2,)),
        IndexError,
        "3 has no position (2,); its maps are 3 x 3",
    ),
    "position where there is none": (
        project(layer="6", channel=1, position=(0, 0)),
        IndexError,
        "6 has no position (0, 0); it has no positions",
    ),
    "image": (
        unit("3", 1, 0, 0, 2),
        IndexError,
        "there is no image 2; the batch has 0 to 1",
    ),
    "image of none": (
        lambda: NET.project(IMAGES[:0], units=[Unit("3", 1, 0, 0)]),
        IndexError,
        "there is no image 0; the batch has none",
    ),
    "seed": (
        project(layer="3", channel=1, seed="two"),
        ValueError,
        "the seed was 'two'; use one of activation, one, map",
    ),
    "crop of a map": (
        project(layer="3", channel=1, seed="map", crop=True),
        ValueError,
        "a whole map has no receptive field of its own: use crop=False",
    ),
    "layer and units": (
        project(layer="3", channel=1, units=[]),
        ValueError,
        "give either layer= and channel=, or layer= and direction=, or units=",
    ),
    "nothing": (
        project(),
        ValueError,
        "give either layer= and channel=, or layer= and direction=, or units=",
    ),
    "no channel": (project(layer="3"), ValueError, "give either layer= and channel="),
    "no layer": (project(channel=3), ValueError, "give either layer= and channel="),
    "position beside units": (
        project(units=[Unit("3", 1)], position=(1, 1)),
        ValueError,
        "position=(1, 1) was given beside units=; each unit has its own position",
    ),
    "position of no tuple": (
        project(layer="3", channel=1, position=2),
        ValueError,
        "the position was 2; give (row, col) for images",
    ),
    "unit as text": (
        project(units=["3:1@0,0"]),
        TypeError,
        "a unit was '3:1@0,0'; give deconvnet.Unit(layer, channel, row, col), or "
        "Unit.parse('layer:channel@row,col')",
    ),
    "recording under another policy": (
        lambda: DeconvNet(model(), "gradient").project(NET.record(IMAGES), layer="6", channel=1),
        ValueError,
        "made by another DeconvNet, under 'deconvnet' (this one is under 'gradient')",
    ),
    "channel beside units": (
        project(units=[Unit("3", 1)], channel=2),
        ValueError,
        "give either layer= and channel=, or layer= and direction=, or units=",
    ),
    "layer that was not recorded": (
        lambda: NET.project(NET.record(IMAGES, "3"), layer="4", channel=1),
        KeyError,
        "'4' was not recorded; this recording holds 3",
    ),
    "no tensor": (
        lambda: NET.record([[1.0]]),
        TypeError,
        "image 0 was list; give a float tensor (batch, channels, *size)",
    ),
    "no batch axis": (
        lambda: NET.record(IMAGES[0, 0]),
        ValueError,
        "images of shape (12, 12) have no batch axis; expected (batch, channels, *size)",
    ),
    "pixels as bytes": (
        lambda: NET.record((IMAGES * 50).to(torch.uint8)),
        ValueError,
        "images were given as Tensor of torch.uint8 and shape (3, 12, 12), without a preprocessing",
    ),
    "channels of the images": (
        lambda: NET.record(IMAGES[:, :1]),
        ValueError,
        "images of shape (2, 1, 12, 12) and type torch.float64 do not fit the model: it stopped "
        "at 0 (Conv2d)",
    ),
    "images that are too small": (
        lambda: NET.record(IMAGES[..., :4, :4]),
        ValueError,
        "images of shape (2, 3, 4, 4) and type torch.float64 do not fit the model: it stopped at "
        "3 (Conv2d)",
    ),
    "images of another size than the linear layer's": (
        lambda: NET.record(noise(1, 3, 14, 14)),
        ValueError,
        "it stopped at 6 (Linear)",
    ),
    "rectifier": (
        lambda: DeconvNet(model(), "guidedd"),
        ValueError,
        "no rectifier is called 'guidedd'; use one of gradient, deconvnet, guided, identity, "
        "rectgrad, or an instance of a subclass of deconvnet.Rectifier",
    ),
    "rectifier that is no policy": (
        lambda: DeconvNet(model(), nn.ReLU()),
        ValueError,
        "no rectifier is called ReLU()",
    ),
    "percentile": (
        lambda: DeconvNet(model(), "rectgrad(101)"),
        ValueError,
        "rectgrad's percentile was 101.0; give one between 0 and 100",
    ),
    "fallback": (
        lambda: DeconvNet(model(), fallback="nowhere"),
        ValueError,
        "fallback was 'nowhere'; use 'derivative' or 'rectify'",
    ),
    "normalization": (
        lambda: DeconvNet(model(), normalization="none"),
        ValueError,
        "normalization was 'none'; use 'exact' or 'identity'",
    ),
    "no module": (
        lambda: DeconvNet(lambda x: x),
        TypeError,
        "the model was function; give a torch.nn.Module",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_it_is_one_clear_error(case):
    do, kind, message = BAD[case]
    with pytest.raises((KeyError, IndexError, ValueError, TypeError)) as caught:
        do()
    assert issubclass(caught.type, kind)
    assert message in str(caught.value).replace('"', "'")
    assert "\n" not in str(caught.value)
