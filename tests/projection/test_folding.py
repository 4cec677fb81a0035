"""Batch normalisation goes with the convolution before it, and values are written over."""

import pytest
import torch
from torch import nn
from torchvision import transforms
from torchvision.ops import FrozenBatchNorm2d

from deconvnet import DeconvNet, Rectifier, Unit
from deconvnet.layers import Activation, Rectification, in_place
from deconvnet.layers.convolution import Convolution
from deconvnet.layers.normalization import BatchNormalization
from deconvnet.projection import folding, forward
from tests.support.cones import assert_same, borders, everything, in_cones
from tests.support.networks import noise
from tests.support.reference import projections

POLICIES = ("gradient", "deconvnet", "guided")
IMAGES = noise(2, 3, 30, 33)


class Blocks(nn.Module):
    """Residual blocks: every kind of convolution, with and without a normalisation of its own."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 5, stride=2, padding=2, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.bare = nn.BatchNorm2d(8, affine=False)
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2, padding_mode="replicate")
        self.frozen = FrozenBatchNorm2d(8)
        self.read_twice = nn.Conv2d(8, 8, 1)
        self.after = nn.BatchNorm2d(8)
        self.first = nn.BatchNorm2d(8)  # of no convolution
        self.down = nn.Conv2d(8, 9, 1, stride=2)
        self.short = nn.BatchNorm2d(9)
        self.strided = nn.Conv2d(8, 9, 3, stride=2, padding=1)
        self.last = nn.BatchNorm2d(9)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout()

    def forward(self, x):
        x = self.relu(self.bn(self.stem(x)))
        y = self.relu(self.bare(self.grouped(x)))
        y = self.frozen(self.dilated(y)) + x
        x = torch.relu(y)
        y = self.read_twice(x)
        x = (y + self.relu(self.after(y))).relu()
        x = self.first(x)
        y = self.short(self.down(x))
        y += self.last(self.strided(x))
        kept = self.dropout(y)  # the same tensor, or a view of it
        return y.relu() + kept * 2


FOLDED = {"stem", "grouped", "dilated", "down", "strided"}
LAYERS = ("bn", "grouped", "bare", "relu_1", "add", "relu_2", "read_twice")
LAYERS += ("after", "add_1", "relu_4", "first", "down", "short", "mul", "relu_5", "add_2", "add_3")


@pytest.fixture
def calls(monkeypatch):
    """How often a normalisation has run on its own."""
    seen = []

    def record(self, input, real=BatchNormalization.record):
        seen.append(len(self.mean))
        return real(self, input)

    monkeypatch.setattr(BatchNormalization, "record", record)
    return seen


def compared(net, layer, **how):
    units = borders(net, IMAGES, layer)
    found = in_cones(net, IMAGES, units, seed="one", **how)
    assert_same(found, projections(net.model, IMAGES, units, str(net.policies)))
    return units, found


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("layer", LAYERS)
def test_units_of_every_layer(layer, policy):
    model = everything(Blocks)
    net = DeconvNet(model, policy)
    units, found = compared(net, layer)
    again = in_cones(net, IMAGES, units, seed="one")
    assert torch.equal(again, found), "the second call gives other bits than the first"
    values = [one.activation for one in net.project(IMAGES, units=units, crop=True)]
    maps = net.record(IMAGES, layer)[layer]
    whole = [float(maps[u.image, u.channel, u.row, u.col]) for u in units]
    assert values == pytest.approx(whole, rel=1e-10, abs=1e-12)
    signals = net.project(net.record(IMAGES, layer), units=units, seed="one")
    assert_same(signals, projections(model, IMAGES, units, policy))


def test_normalisations_run_with_their_convolutions(calls):
    net = DeconvNet(everything(Blocks), "guided")
    units = [Unit("add_2", 3, 4, 5)]
    net.plan(IMAGES, units)
    net.project(IMAGES, units=units)
    calls.clear()
    net.project(IMAGES, units=units)
    assert len(calls) == 2, "those behind a value that is read twice, and behind no convolution"
    calls.clear()
    net.signals(IMAGES, units=units, at="grouped")
    assert len(calls) >= 7, "values between the two are asked for"


def test_the_layer_of_the_units_keeps_its_own_value(calls):
    net = DeconvNet(everything(Blocks), "guided")
    (one,) = net.project(IMAGES[:1], units=[Unit("strided", 2, 1, 2)], crop=True)
    value = net.record(IMAGES[:1], "strided")["strided"][0, 2, 1, 2]
    assert one.activation == pytest.approx(float(value), rel=1e-12)


WRITTEN = {
    "filters": lambda model: model.strided.weight.data.mul_(-1),
    "running variance": lambda model: model.last.running_var.data.mul_(9),
    "running mean": lambda model: model.last.running_mean.data.add_(1),
    "one filter": lambda model: model.stem.weight.data[2].zero_(),
}


def change_between_two_calls(change):
    net = DeconvNet(everything(Blocks), "guided")
    compared(net, "add_2")
    with torch.no_grad():
        change(net.model)
    compared(net, "add_2")


@pytest.mark.parametrize("change", WRITTEN.values(), ids=list(WRITTEN))
def test_what_is_written_behind_autograds_back_counts(change):
    change_between_two_calls(change)


def test_filters_that_outlive_a_call_are_caught(monkeypatch):
    """The planted wrong case: what was folded once is folded for ever."""
    kept = {}

    def of(self, name, layer, real=folding.Folding.of):
        return kept.setdefault(
            (name, type(layer), getattr(layer, "sides", 0)), real(self, name, layer)
        )

    monkeypatch.setattr(folding.Folding, "of", of)
    with pytest.raises(AssertionError, match="is off by"):
        change_between_two_calls(WRITTEN["filters"])


def test_a_forgotten_scale_is_caught(monkeypatch):
    """The planted wrong case: the shift alone."""

    def affine(self, scale, shift, real=Convolution.affine):
        return real(self, torch.ones_like(scale), shift)

    monkeypatch.setattr(Convolution, "affine", affine)
    with pytest.raises(AssertionError, match="is off by"):
        compared(DeconvNet(everything(Blocks), "gradient"), "relu_5")


class All(set):
    def __contains__(self, name):
        return True


def everything_is_read_once(monkeypatch):
    def init(self, *args, real=folding.Folding.__init__, **kwargs):
        real(self, *args, **kwargs)
        self.once = All(self.once)

    monkeypatch.setattr(folding.Folding, "__init__", init)


def test_a_value_that_is_still_read_is_not_written_over(monkeypatch):
    """The planted wrong case: every value is taken for one that is read once."""

    everything_is_read_once(monkeypatch)
    with pytest.raises((AssertionError, ValueError)):  # another value, or what shares memory
        test_units_of_every_layer("add_3", "guided")
    with pytest.raises(AssertionError, match="is off by"):
        compared(DeconvNet(everything(Gated), "guided", check=False), "last")


def test_a_signal_that_is_still_read_is_not_written_over(monkeypatch):
    """The planted wrong case: the signal of a sum, which goes two ways, is taken for a new one."""
    monkeypatch.setattr(in_place, "sends_new", lambda layer, own: True)
    with pytest.raises(AssertionError, match="is off by"):
        compared(DeconvNet(everything(Blocks), "gradient", check=False), "add_2")


class Added(nn.Module):
    """A rectifier's output is read once, by a sum that could be written over it."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Conv2d(3, 6, 3, padding=1) for _ in range(2))
        self.last = nn.Conv2d(6, 4, 3, padding=1)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)) + self.second(x))


@pytest.mark.parametrize("rule", ["gradient", "guided"])
def test_what_a_rectifier_remembers_is_not_written_over(rule):
    compared(DeconvNet(everything(Added), rule), "last")


def test_a_sum_over_what_a_rectifier_remembers_is_caught(monkeypatch):
    """The planted wrong case: its output is taken for one that no record holds."""
    monkeypatch.setattr(forward, "Active", type("Nobody", (), {}))
    with pytest.raises(AssertionError, match="is off by"):
        test_what_a_rectifier_remembers_is_not_written_over("gradient")


class WritesWithoutGradient(nn.Module):
    """What a rectifier gave is written into, where no gradient is taken."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Conv2d(6, 4, 3, padding=1)

    def forward(self, x):
        x = torch.relu(self.first(x))
        y = self.second(x)
        with torch.no_grad():
            x.mul_(-1)
        return self.last(x + y)


@pytest.mark.parametrize("rule", ["gradient", "guided"])
def test_what_is_written_into_without_a_gradient(rule):
    net = DeconvNet(everything(WritesWithoutGradient), rule)
    units = [Unit("last", 0, 5, 6), Unit("last", 2, 20, 9, image=1)]
    expected = net.project(IMAGES, units=units, seed="one", strategy="shared")
    assert_same(in_cones(net, IMAGES, units, seed="one"), expected)
    compared(DeconvNet(everything(Added), rule), "last")  # others are written over as ever


@pytest.mark.parametrize("last", [nn.ReLU(), nn.ReLU6()], ids=str)
def test_a_gradient_passes_where_an_image_is_no_number(last):
    """As PyTorch's own does, on windows and on whole maps."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), last, nn.Conv2d(6, 4, 3)).double()
    image = IMAGES[:1].clone().requires_grad_()
    image.data[0, 0, 5, 6] = torch.nan
    (expected,) = torch.autograd.grad(model(image)[0, 1, 5, 6], image)
    net, units = DeconvNet(model, "gradient"), [Unit("2", 1, 5, 6)]
    for strategy in ("cone", "shared"):
        found = net.project(image.detach(), units=units, seed="one", strategy=strategy)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_hooks_and_mirrors_of_the_users_own_stay_between():
    class Louder(BatchNormalization):
        def mirror(self, signal, record):
            return (7 * signal,)

    def mirror(module, x):
        norm = (module.running_mean, module.running_var, module.weight, module.bias, module.eps)
        return Louder(*norm), (x,)

    unit = [Unit("relu_1", 3, 4, 5)]
    own = DeconvNet(everything(Blocks), "identity", mirrors={nn.BatchNorm2d: mirror})
    whole = own.project(IMAGES, units=unit, seed="one", strategy="shared")
    assert_same(in_cones(own, IMAGES, unit, seed="one"), whole)
    hooked = DeconvNet(everything(Blocks), "gradient")
    handle = hooked.model.stem.register_forward_pre_hook(
        lambda module, _: setattr(module, "weight", module.weight)
    )
    try:
        compared_with_autograd(hooked, unit[0])
    finally:
        handle.remove()


def compared_with_autograd(net, unit):
    leaf = IMAGES.clone().requires_grad_()
    maps = nn.Sequential(net.model.stem, net.model.bn, net.model.relu)(leaf)
    value = net.model.bare(net.model.grouped(maps))[0, unit.channel, unit.row, unit.col]
    (gradient,) = torch.autograd.grad(value, leaf)
    found = net.project(IMAGES, units=[Unit("bare", unit.channel, unit.row, unit.col)], seed="one")
    assert_same(found, gradient[:1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_numbers_are_not_folded(dtype, calls):
    net = DeconvNet(everything(Blocks).to(dtype), "guided")
    net.project(IMAGES.to(dtype), units=[Unit("relu_1", 3, 4, 5)], strategy="cone")
    assert len(calls) >= 2


def test_a_rule_of_the_users_own_sees_what_was_before_the_rectifier():
    class Before(Rectifier):
        name = "before"
        pointwise = True

        def remember(self, z, a, activation):
            return z

        def signal(self, R, kept):
            return R * kept

    model = everything(Blocks)
    units = borders(DeconvNet(model, "gradient"), IMAGES, "relu_5")
    net = DeconvNet(model, Before())
    found = in_cones(net, IMAGES, units, seed="one")
    assert_same(found, net.project(IMAGES, units=units, seed="one", strategy="shared"))


def test_the_images_and_the_model_are_not_written_into():
    net, images = DeconvNet(everything(Blocks), "deconvnet"), IMAGES.clone()
    before = {name: value.clone() for name, value in net.model.state_dict().items()}
    compared(net, "add_2")
    assert torch.equal(images, IMAGES)
    assert all(torch.equal(before[name], now) for name, now in net.model.state_dict().items())


class Gate(nn.Module):
    """Gives back what it is given."""

    def forward(self, x):
        return x


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.gate = Gate()
        self.last = nn.Conv2d(6, 4, 3, padding=1)

    def forward(self, x):
        x = self.first(x)
        y = torch.relu(self.gate(x))
        return self.last(torch.max_pool2d(-x, 3, 1, 1) + y)


@pytest.mark.parametrize("rule", ["identity", "deconvnet", "guided"])
def test_a_function_of_the_users_own_may_give_back_its_argument(rule):
    def mirror(module, x):
        return Rectification(Activation("Gate", module.forward)), (x,)

    fallback = None if rule == "identity" else "rectify"
    net = DeconvNet(everything(Gated), rule, fallback=fallback, mirrors={Gate: mirror})
    images = IMAGES.clone()
    for units in borders(net, IMAGES, "last"), [Unit("last", 1, 15, 15)]:  # one: what is a view
        found = in_cones(net, images, units, seed="one")
        assert_same(found, net.project(images, units=units, seed="one", strategy="shared"))
    assert torch.equal(images, IMAGES)


def test_a_function_of_the_users_own_that_is_taken_for_a_new_value_is_caught(monkeypatch):
    """The planted wrong case: what it gives back is written over, though others read it too."""
    everything_is_read_once(monkeypatch)
    with pytest.raises(AssertionError, match="is off by"):
        test_a_function_of_the_users_own_may_give_back_its_argument("identity")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_preprocessing_behind_a_convolution(dtype):
    torch.manual_seed(0)
    normal = transforms.Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.4])
    model = nn.Sequential(nn.Conv2d(3, 3, 1), normal, nn.Conv2d(3, 6, 3, padding=1)).to(dtype)
    net, images = DeconvNet(model, "gradient"), IMAGES.to(dtype)
    units = borders(net, images, "2")
    for _ in range(2):
        found = in_cones(net, images, units, seed="one")
        expected = net.project(images, units=units, seed="one", strategy="shared")
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
