"""A layer of a stranger's, from a file of his own: by the laws, in networks, by cone, and mined."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet, Unit, mine
from deconvnet.layers import Inside, MirroredLayer, Nothing
from deconvnet.layers.mirrors import MirrorError
from deconvnet.testing import LawBroken, check_layer, check_model
from tests.support.blur_pool import BlurPool, BlurPoolMirror

ROOT = Path(__file__).resolve().parents[2]
MIRRORS = {BlurPool: BlurPoolMirror}
TOLERANCE = 1e-12


def noise(*size):
    return torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Blurred(nn.Module):
    """Two of them among convolutions.

    Args:
        counted: let python count the images, which torch.fx does not follow.
    """

    def __init__(self, border="constant", *, counted=False):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.small = nn.Conv2d(3, 6, 3, padding=1), BlurPool(6, border)
        self.second, self.smaller = nn.Conv2d(6, 8, 3, padding=1), BlurPool(8, border)
        self.last, self.counted = nn.Conv2d(8, 4, 3, padding=1), counted

    def forward(self, x):
        if self.counted and x.shape[-1] > 10**6:
            return x
        x = self.smaller(F.relu(self.second(self.small(F.relu(self.first(x))))))
        return self.last(x)


@pytest.fixture(params=[False, True], ids=["torch.fx", "torch.export"])
def model(request):
    return Blurred(counted=request.param).double().eval()


def gradient(model, images, unit):
    """What autograd says of one unit of the last layer."""
    given = images.clone().requires_grad_()
    (found,) = torch.autograd.grad(
        model(given)[unit.image, unit.channel, unit.row, unit.col], given
    )
    return found[unit.image]


@pytest.mark.parametrize("border", ["constant", "reflect", "circular"])
@pytest.mark.parametrize("size", [(7, 8), (4, 9)])
def test_the_laws(border, size):
    layer = BlurPoolMirror(BlurPool(3, border).double())
    if border == "circular":  # the far end is not in the window
        with pytest.raises(LawBroken, match="window law: BlurPoolMirror"):
            check_layer(layer, noise(2, 3, *size))
    else:
        check_layer(layer, noise(2, 3, *size), exact_window=border == "constant")


def test_one_node_in_both_front_ends(model):
    net = DeconvNet(model, "gradient", mirrors=MIRRORS, input_size=(3, 24, 24))
    layers = net.layers
    assert (layers["small"].kind, layers["smaller"].kind) == ("BlurPool", "BlurPool")
    assert layers["small"].size == (12, 12)
    assert layers["small"].field == (5, 5)
    assert layers["smaller"].stride == (4, 4)
    assert not any("conv2d" in name for name in layers), "it was entered"
    assert net.graph.reader == ("torch.export" if model.counted else "torch.fx")
    assert check_model(model, noise(2, 3, 24, 24), mirrors=MIRRORS).ok


@pytest.mark.parametrize("border", ["constant", "reflect"])
def test_a_projection_is_the_gradient(border):
    model = Blurred(border).double().eval()
    net, images = DeconvNet(model, "gradient", mirrors=MIRRORS), noise(2, 3, 24, 24)
    for unit in (Unit("last", 1, 0, 5, image=0), Unit("last", 2, 3, 3, image=1)):
        (found,) = net.project(images, units=[unit], seed="one")
        torch.testing.assert_close(found, gradient(model, images, unit), rtol=0, atol=TOLERANCE)


def test_many_units_by_cone(model):
    net, images = DeconvNet(model, "gradient", mirrors=MIRRORS), noise(3, 3, 64, 64)
    units = [Unit("last", c, r, c + 9, image=r % 3) for c in range(4) for r in (0, 7, 8, 15)]
    plan = net.plan(images, units, strategy="cone")
    assert plan.strategies == {"last": "shared" if model.counted else "cone"}  # of one size: not up
    assert plan.uncounted == ()
    assert plan.multiply_adds["shared"] < plan.multiply_adds["full"] / 4, "down on crops"
    expected = torch.stack([gradient(model, images, unit) for unit in units])
    for way in ("cone", "shared"):
        found = net.project(images, units=units, seed="one", strategy=way)
        torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE)
    crops = net.project(images, units=units, seed="one", crop=True)
    for cut, whole in zip(crops, expected, strict=True):
        inside = tuple(map(slice, cut.box.start, cut.box.stop))
        torch.testing.assert_close(cut.pixels, whole[(..., *inside)], rtol=0, atol=TOLERANCE)
        assert whole.count_nonzero() == whole[(..., *inside)].count_nonzero()


def test_the_inside_law_catches_a_crop_that_is_padded_again():
    class Padded(BlurPoolMirror):
        def inside(self, record):
            return Inside(self, 0.0)

    with pytest.raises((LawBroken, RuntimeError)):
        check_layer(Padded(BlurPool(3).double()), noise(2, 3, 8, 8))


def test_mined_with_the_mirrors_that_the_model_brings(model, tmp_path):
    model.mirrors = MIRRORS
    images = [x.float() for x in noise(12, 3, 24, 24)]
    store = mine(model.float(), images, tmp_path / "top.h5", layers=["small", "last"], k=3)
    with torch.no_grad():
        maps = model(torch.stack(images))
    expected = maps.flatten(2).amax(2).T.topk(3).values
    torch.testing.assert_close(torch.as_tensor(store["last"].activation), expected)
    net = DeconvNet(model, "gradient")
    unit = Unit("last", 0, int(store["last"].row[0, 0]), int(store["last"].col[0, 0]))
    (cut,) = net.project(images[store["last"].image[0, 0]][None], units=[unit], crop=True)
    assert (*cut.box.start, *cut.box.stop) == tuple(store["last"].box[0, 0])
    assert store["small"].activation.shape == (6, 3)


def test_the_example_of_the_readme_runs():
    text = (ROOT / "layers/README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(code, names)
    net, images = names["net"], torch.rand(2, 3, 13, 12)
    assert [node.name for node in net.graph] == ["input", "0", "1", "2"]
    found = DeconvNet(net.model, "gradient", mirrors=net.graph.mirrors.named).project(
        images, layer="2", channel=1, position=(1, 1), seed="one"
    )
    given = images.clone().requires_grad_()
    (expected,) = torch.autograd.grad(names["model"](given)[:, 1, 1, 1].sum(), given)
    torch.testing.assert_close(found, expected)
    assert len(text.splitlines()) <= 60


class Blur(MirroredLayer):
    """A linear map with planted faults in what ``check_layer`` asks beside the mirror."""

    def __init__(self, cost=0, wrap=False):
        self.cost, self.wrap = cost, wrap

    def record(self, x):
        return 2 * x, Nothing()

    def mirror(self, signal, record):
        return (2 * signal,)

    def window(self, window, record):
        return ((window,),) if self.wrap else (window,)

    def multiply_adds(self, size):
        return self.cost


@pytest.mark.parametrize("cost", ["nonsense", torch.Size((1, 2)), -1, 0.5])
def test_a_cost_that_is_no_number_is_caught(cost):
    check_layer(Blur(), noise(2, 3, 4, 4))
    with pytest.raises(LawBroken, match="cost law: Blur.multiply_adds"):
        check_layer(Blur(cost), noise(2, 3, 4, 4))


def test_a_window_of_another_form_is_caught():
    with pytest.raises(LawBroken, match="Blur.window gave tuple .tuple., expected a tuple of 1"):
        check_layer(Blur(wrap=True), noise(2, 3, 4, 4))


@pytest.mark.parametrize(
    ("reader", "told"),
    [
        (lambda module, x: (Blur(), x), r"gave \(layer, Tensor\); expected the inputs as a tuple"),
        (lambda module: (Blur(), ()), "cannot read .*, Tensor.: too many positional"),
        (lambda module, x: Blur(), r"gave Blur; expected \(layer, its inputs\)"),
    ],
)
def test_a_reader_that_would_be_ignored_is_an_error(reader, told):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softsign(), nn.Conv2d(4, 2, 3)).double()
    with pytest.raises(MirrorError, match=told):
        DeconvNet(model, "gradient", mirrors={nn.Softsign: reader}).record(noise(2, 3, 9, 9), "2")


def test_what_is_no_layer_is_told():
    with pytest.raises(TypeError, match=r"the layer was tuple; give a MirroredLayer .*\[0\]"):
        check_layer((Blur(), ()), noise(2, 3, 4, 4))
