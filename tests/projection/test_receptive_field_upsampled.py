"""Fields and strides of layers after up-sampling, against brute force, unit by unit."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import deconvnet
from deconvnet import DeconvNet, Unit
from deconvnet.projection import receptive_field
from tests.projection.test_receptive_field import positive
from tests.support.networks import noise


def conv(inputs, outputs, **settings):
    return nn.Conv2d(inputs, outputs, 3, **{"padding": 1, **settings})


def chain():
    """The case as it was reported: 11 pixels and a stride of 4 were told; 15 and 1 are right."""
    return nn.Sequential(
        conv(1, 2, stride=2), conv(2, 2, stride=2), nn.Upsample(scale_factor=2), conv(2, 2),
        nn.Upsample(scale_factor=2), conv(2, 2),
    )  # fmt: skip


def bilinear():
    return nn.Sequential(
        conv(1, 2, stride=2), conv(2, 2, stride=2), conv(2, 2),
        nn.Upsample(scale_factor=4, mode="bilinear"), conv(2, 1),
    )  # fmt: skip


def beyond():
    """More cells than the image has pixels."""
    return nn.Sequential(conv(1, 2), nn.Upsample(scale_factor=2), conv(2, 1))


def transposed():
    return nn.Sequential(
        conv(1, 2, stride=2), nn.AvgPool2d(2), nn.ConvTranspose2d(2, 2, 4, 2, 1), conv(2, 2),
        nn.ConvTranspose2d(2, 2, 3, 2, 1, output_padding=1),
    )  # fmt: skip


def shuffled():
    return nn.Sequential(
        conv(1, 4, stride=2), conv(4, 16, stride=2), nn.PixelShuffle(2), conv(4, 4),
        nn.PixelShuffle(2),
    )  # fmt: skip


class ByHand(nn.Module):
    """Up-sampling by views, as it was written before there was ``nn.Upsample``."""

    def forward(self, x):
        n, c, h, w = x.shape
        return x.view(n, c, h, 1, w, 1).expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)


def by_hand():
    return nn.Sequential(conv(1, 2, stride=2), conv(2, 2), ByHand(), conv(2, 1))


def reflected():
    """The decoder of CycleGAN (Zhu 2017): borders are reflected."""
    return nn.Sequential(
        nn.ReflectionPad2d(3), nn.Conv2d(1, 2, 7), conv(2, 2, stride=2), conv(2, 2, stride=2),
        nn.ConvTranspose2d(2, 2, 3, 2, 1, output_padding=1), nn.ReflectionPad2d(1),
        nn.Conv2d(2, 2, 3), nn.ConvTranspose2d(2, 2, 3, 2, 1, output_padding=1),
    )  # fmt: skip


def thinned():
    """Three cells out of four: neighbours lie one or two cells apart."""
    return nn.Sequential(conv(1, 2), nn.Upsample(scale_factor=0.75), conv(2, 2), nn.AvgPool2d(2))


class UNet(nn.Module):
    """Two levels down and up again, with what passed by (Ronneberger 2015)."""

    def __init__(self, mode):
        super().__init__()
        self.mode = mode
        self.one, self.two, self.low = conv(1, 2), conv(2, 2), conv(2, 2)
        self.mid, self.top = conv(4, 2), conv(4, 1)

    def forward(self, x):
        one = self.one(x)
        two = self.two(F.avg_pool2d(one, 2))
        low = self.low(F.avg_pool2d(two, 2))
        mid = self.mid(torch.cat([F.interpolate(low, scale_factor=2.0, mode=self.mode), two], 1))
        up = F.interpolate(mid, one.shape[2:], mode=self.mode)
        return self.top(torch.cat([up, one], 1))


CASES = {  # model, period in cells, the stride
    "chain": (chain, 4, 1),
    "bilinear": (bilinear, 4, 1),
    "beyond the image": (beyond, 2, Fraction(1, 2)),
    "transposed filters": (transposed, 4, 1),
    "pixel shuffle": (shuffled, 4, 1),
    "views": (by_hand, 2, 1),
    "reflected borders": (reflected, 4, 1),
    "three of four": (thinned, 3, Fraction(8, 3)),
    "U-Net, nearest": (lambda: UNet("nearest"), 4, 1),
    "U-Net, bilinear": (lambda: UNet("bilinear"), 4, 1),
}


def brute_force(model, image):
    """Hulls of the gradient's support, (start, stop), of a line of units of the output."""
    image = image.clone().requires_grad_()
    output = model(image)
    rows, column = output.shape[2], output.shape[3] // 2
    hulls = []
    for row in range(rows):
        seen = torch.autograd.grad(output[0, :, row, column].sum(), image, retain_graph=True)[0]
        lit = seen[0].sum(0).sum(1).nonzero().flatten().tolist()
        hulls.append((lit[0], lit[-1] + 1))
    return hulls


def told_by(hulls, length, period):
    """The largest field that no border cuts, and the mean step of their centres over a period."""
    free = [i for i, (start, stop) in enumerate(hulls) if start > 0 and stop < length]
    assert len(free) > 2 * period, "the image is too small to see a period"
    one, other = free[len(free) // 2], free[len(free) // 2] + period
    centres = [Fraction(start + stop, 2) for start, stop in hulls]
    return max(hulls[i][1] - hulls[i][0] for i in free), (centres[other] - centres[one]) / period


@pytest.mark.parametrize("name", CASES)
def test_field_and_stride_are_those_of_brute_force(name):
    make, period, stride = CASES[name]
    torch.manual_seed(0)
    model = positive(make().double().eval())
    net = DeconvNet(model, "gradient", input_size=(1, 64, 32))
    layer = net.layers[net.graph.returned[0]]
    field, step = told_by(brute_force(model, noise(1, 1, 64, 32)), 64, period)
    assert step == stride
    assert layer.field[0] == field
    assert layer.stride == pytest.approx((float(stride),) * 2, abs=1e-12)
    assert all(isinstance(one, int) is (stride == int(stride)) for one in layer.stride)


def test_the_layers_of_the_reported_case():
    net = DeconvNet(chain(), input_size=(1, 64, 64))
    told = {name: (layer.field[0], layer.stride[0]) for name, layer in net.layers.items()}
    assert told == {
        "0": (3, 2), "1": (7, 4), "2": (7, 2), "3": (11, 2), "4": (11, 1), "5": (15, 1)
    }  # fmt: skip
    model = positive(chain().double())
    sizes = {b - a for a, b in brute_force(model, noise(1, 1, 64, 64))[24:40]}
    assert sizes == {11, 15}, "a field of one unit would not be that of the layer"


def test_the_brute_force_catches_the_field_of_the_central_unit():
    """Planted: what was told before."""
    model = positive(chain().double())
    field, step = told_by(brute_force(model, noise(1, 1, 64, 64)), 64, 4)
    assert (field, step) != (11, 4)


@pytest.mark.parametrize(("mode", "axes"), [("linear", 1), ("trilinear", 3)])
def test_other_dimensions(mode, axes):
    filters = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    model = nn.Sequential(filters(1, 1, 3, 2, 1), nn.Upsample(scale_factor=2.0, mode=mode))
    layer = DeconvNet(model, input_size=(1, *[16] * axes)).layers["1"]
    assert (layer.field, layer.stride) == ((5,) * axes, (1,) * axes)


def test_maps_too_small_to_show_a_period():
    """From 2 x 2 cells to 4 x 4, where all but two rows are border: the stride is half of 32."""
    down = [conv(1, 1, stride=2) for _ in range(5)]
    for mode in ("nearest", "bilinear"):
        model = nn.Sequential(*down, nn.Upsample(scale_factor=2, mode=mode))
        layers = DeconvNet(model, input_size=(1, 64, 64)).layers
        assert (layers["4"].size, layers["4"].stride) == ((2, 2), (32, 32))
        assert (layers["5"].size, layers["5"].stride) == ((4, 4), (16, 16))


def test_a_ratio_that_does_not_divide():
    """65 cells become 513, as in DeepLab (Chen 2017): 8 pixels times 65 / 513."""

    class Logits(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.AvgPool2d(8, ceil_mode=True)

        def forward(self, x):
            return F.interpolate(self.down(x), x.shape[2:], mode="bilinear")

    layers = DeconvNet(Logits(), input_size=(1, 513, 513)).layers
    assert layers["interpolate"].stride == pytest.approx((8 * 65 / 513,) * 2, abs=1e-9)
    assert layers["interpolate"].field == (16, 16)


@pytest.mark.parametrize("make", [chain, bilinear, lambda: UNet("bilinear")])
def test_a_box_fits_into_the_field_it_is_laid_on(make):
    net = DeconvNet(make().double(), input_size=(1, 64, 32))
    geometry = net.geometry((1, 64, 32))
    for layer in net.layers:
        rows, columns = geometry.sizes[layer][2:]
        places = [(row, columns // 2) for row in range(rows)]
        starts, stops = receptive_field.boxes(geometry, layer, places)
        hung = torch.tensor(receptive_field.overhang(geometry, layer, places))
        assert (hung >= 0).all()
        fits = hung + torch.from_numpy(stops - starts) <= torch.tensor(net.layers[layer].field)
        assert fits.all(), layer


def test_fractions_go_through_a_store(tmp_path):
    model = beyond().eval()
    images = [torch.rand(1, 16, 16) for _ in range(4)]
    path = tmp_path / "top.h5"
    for store in (deconvnet.mine(model, images, path, k=2), deconvnet.open_store(path)):
        assert store["2"].stride == (0.5, 0.5)
        assert store["0"].stride == (1, 1)
        assert all(isinstance(one, int) for one in store["0"].stride)
    assert not deconvnet.verify(store, model, images).mismatches


def test_units_of_a_decoder_are_cut_at_their_own_boxes():
    model = positive(UNet("nearest").double())
    net = DeconvNet(model, "gradient")
    units = [Unit("top", 0, row, 15) for row in range(12, 20)]
    cuts = net.project(noise(1, 1, 32, 32), units=units, crop=True, seed="one")
    sizes = {cut.box.size[0] for cut in cuts}
    assert len(sizes) > 1
    assert max(sizes) <= net.layers["top"].field[0]
    assert all(cut.pixels[0].any(1).all() for cut in cuts)
