"""The comparison is made once, on the images themselves, and leaves nothing behind."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet, UntraceableError, mine
from tests.support.networks import noise
from tests.support.planted import IMAGES, made, planted, stale
from tests.support.reference import error


class Passes:
    """How often a model is called by its user's door, and how often its convolutions run."""

    def __init__(self, monkeypatch, model):
        self.models, run = 0, type(model).forward

        def forward(module, x):
            self.models += isinstance(x, torch.Tensor)  # not while it is read
            return run(module, x)

        monkeypatch.setattr(type(model), "forward", forward)


def test_the_second_call_pays_nothing(monkeypatch):
    model = made()
    net, other = DeconvNet(model), DeconvNet(model, "guided")
    passes = Passes(monkeypatch, model)
    net.project(IMAGES, layer="two", channel=0)
    assert passes.models == 1
    net.project(IMAGES[:1], layer="relu_1", channel=0)
    net.record(IMAGES + 1)
    other.record(IMAGES)
    assert passes.models == 1, "once for a size, up to whatever layer, for every DeconvNet"
    net.record(noise(1, 3, 9, 9))
    assert passes.models == 2, "another size"
    model.two.weight.data.mul_(1.1)
    model.two.weight.data = model.two.weight.data.clone()
    net.record(IMAGES)
    assert passes.models == 3, "other parameters"
    with torch.no_grad():
        model.one.bias.add_(1)
    net.record(IMAGES)
    assert passes.models == 4, "a parameter was written into"
    model.norm.register_forward_hook(lambda *args: None)
    net.record(IMAGES)
    assert passes.models == 5, "another hook"
    model.float()
    net.record(IMAGES)
    assert passes.models >= 6, "another precision"
    unchecked = DeconvNet(model, check=False)
    before = passes.models
    unchecked.record(noise(1, 3, 7, 7).float())
    assert passes.models == before


def test_mining_compares_values_on_its_first_microbatch(monkeypatch, tmp_path):
    images = [image for image in noise(7, 3, 12, 12)]
    model = made()
    passes = Passes(monkeypatch, model)
    right = mine(model, images, tmp_path / "a.h5", ["two", "relu"], 3, 4)
    assert passes.models == 5, (
        "an image to choose by, two calls for the fingerprint, 2 microbatches"
    )
    mine(model, images, tmp_path / "b.h5", ["two", "relu"], 3, 4, check=False)
    assert passes.models == 5 + 2, "for the fingerprint alone"
    mine(model, images[:4], tmp_path / "f.h5", ["two", "relu"], 3, 4)
    assert passes.models == 5 + 2 + 2, "the only microbatch was compared already, in another run"
    planted(monkeypatch, stale, ["trace"])
    other = mine(made(), images, tmp_path / "c.h5", ["two", "relu"], 3, 4)
    assert (other["two"].activation == right["two"].activation).all(), "torch.export read it"
    planted(monkeypatch, stale, ["trace", "export"])
    with pytest.raises(UntraceableError, match="another at two"):
        mine(made(), images, tmp_path / "d.h5", ["two", "relu"], 3, 4)
    assert mine(made(), images, tmp_path / "e.h5", ["one"], 3, 4)["one"].channels == 4


INSIDE = []  # holds something while the model itself runs, and not while its graph does


class Flattering(nn.Module):
    """Its graph is right on noise, and another model on bright images."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.one(x)
        INSIDE.append(True)
        x = chosen(x)
        INSIDE.clear()
        return self.two(x)


@torch.fx.wrap
def chosen(x):
    return x * 2 if x.amax() < 50 or INSIDE else x


def test_it_is_the_images_themselves_that_mining_compares(tmp_path):
    dark, bright = ([scale * image for image in noise(4, 3, 12, 12)] for scale in (1, 100))
    assert mine(Flattering().double(), dark, tmp_path / "a.h5", ["two"], 3, 4)["two"].channels == 4
    with pytest.raises(UntraceableError, match="another at two"):
        mine(Flattering().double(), bright, tmp_path / "b.h5", ["two"], 3, 4)


def test_nothing_of_the_comparison_is_left():
    model = made().train()
    model.norm.eval()
    calls, buffers = model.calls, [b.clone() for b in model.buffers()]
    state, images = torch.get_rng_state(), IMAGES.clone()
    DeconvNet(model).record(images)
    assert model.calls == calls
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), buffers, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, IMAGES)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    assert model.training
    assert not model.norm.training


def test_rounding_is_settled_in_float64(monkeypatch):
    from deconvnet.projection.check import float64, tolerance

    monkeypatch.setitem(tolerance.TOLERANCE, torch.float32, -1.0)  # bits may agree by luck
    asked = []
    run = float64.compare
    monkeypatch.setattr(
        float64, "compare", lambda g, x, *a, **k: asked.append(x.dtype) or run(g, x, *a, **k)
    )
    DeconvNet(made().float()).record(IMAGES.float())
    assert asked == [torch.float32, torch.float64]


class Rolling(nn.Module):
    """Not the same twice."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return F.dropout(self.one(x), training=True)


def test_two_answers_to_one_input_are_told_as_such():
    net = DeconvNet(Rolling().double())
    with pytest.raises(UntraceableError, match="two answers to one input, first at the model's"):
        net.record(IMAGES)
    assert net.project(IMAGES, layer="one", channel=0).any(), "below there is one answer"


class Baked(nn.Module):
    """Python computes with a buffer while the model is read, so that the result is a constant."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.plain = nn.Conv2d(3, 4, 3), torch.ones(4, 1, 1).double()
        self.register_buffer("gamma", torch.ones(4, 1, 1))

    def forward(self, x):
        return self.conv(x) * (self.gamma * 2) + self.plain.exp()


def test_constants_made_of_buffers_are_made_anew():
    model = Baked().double()
    net = DeconvNet(model, "gradient")
    first = net.record(IMAGES)["add"]
    for change in (
        lambda: model.gamma.mul_(3),
        lambda: model.load_state_dict({k: v + 1 for k, v in model.state_dict().items()}),
        lambda: setattr(model, "plain", model.plain * 2),
        lambda: model.plain.add_(1),
    ):
        change()
        torch.testing.assert_close(net.record(IMAGES)["add"], model(IMAGES).detach())
    assert error(net.record(IMAGES)["add"], first) > 0.1


def test_a_change_that_nobody_could_see_is_stale_without_the_check():
    """The planted wrong case of the law above."""
    model = Baked().double()
    net = DeconvNet(model, "gradient", check=False)
    net.record(IMAGES)
    model.gamma.mul_(3)
    assert error(net.record(IMAGES)["add"], model(IMAGES).detach()) > 0.1


class TensorHook(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        x = self.conv(x)
        x.register_hook(lambda signal: 2 * signal)
        return F.relu(x)


class NoGradInPlace(TensorHook):
    def forward(self, x):
        x = self.conv(x)
        with torch.no_grad():
            x.mul_(2)
        return F.relu(x)


@pytest.mark.parametrize("kind", [TensorHook, NoGradInPlace])
def test_what_only_autograd_knows_is_one_error(kind):
    net = DeconvNet(kind().double(), "gradient")
    with pytest.raises(UntraceableError, match="is not the model: .*the gradient at the images"):
        net.record(IMAGES)
    if kind is NoGradInPlace:  # the other one doubles what comes back from the convolution itself
        assert net.project(IMAGES, layer="conv", channel=0).any()


class Batched(nn.Module):
    """Takes no image alone."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x) - nn.functional.batch_norm(x, None, None, training=True).mean()


def test_what_does_not_fit_is_not_remembered():
    model = Batched().double()
    net = DeconvNet(model, "gradient")
    with pytest.raises(ValueError, match="do not fit the model|cannot be called"):
        net.record(noise(1, 3, 1, 1))
    with pytest.raises(ValueError, match="do not fit the model|cannot be called"):
        net.record(noise(1, 4, 9, 9))
    for count in (2, 3):
        assert net.record(noise(count, 3, 9, 9)).images == count


def test_a_hook_that_takes_no_derivatives():
    model, seen = made(), []
    model.two.register_forward_hook(lambda m, i, o: seen.append(o.numpy().copy()))
    net = DeconvNet(model, "gradient")
    found = net.project(IMAGES, layer="relu_1", channel=1, seed="map")
    with torch.no_grad():
        model(IMAGES)
    assert abs(seen[-1] - seen[-2]).max() < 1e-12
    plain = DeconvNet(made(), "gradient")
    assert error(found, plain.project(IMAGES, layer="relu_1", channel=1, seed="map")) < 1e-10


class Offset(nn.Module):
    """Its graph, by torch.fx, lacks a small offset; torch.export reads it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.up = nn.Conv2d(3, 4, 3, bias=False), (2, 2)

    def forward(self, x):
        x = F.relu(self.conv(x))
        return x + (0 if isinstance(x, torch.fx.Proxy) else 1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_dark_image_beside_a_bright_one(dtype):
    images = noise(2, 3, 12, 12) * torch.tensor([1e5, 1.0]).double().view(2, 1, 1, 1)
    model, images = Offset().to(dtype), images.to(dtype)
    net = DeconvNet(model, "gradient")
    (found,) = net.record(images).activations.values()
    assert error(found[1], model(images)[1].detach()) < 1e-4


@pytest.mark.parametrize("first", [float("nan"), float("inf"), 0.0])
def test_images_that_say_nothing_are_not_remembered(first):
    model = Offset().double()
    net = DeconvNet(model, "gradient")
    images = IMAGES.clone()
    images[:, :, 2:9, 2:9] = first
    net.record(images if first else images * 0)
    (found,) = net.record(IMAGES).activations.values()
    assert error(found, model(IMAGES).detach()) < 1e-10


class Resized(Offset):
    def forward(self, x):
        return F.interpolate(self.conv(x), scale_factor=self.up)


def test_a_setting_that_changes_sizes():
    model = Resized().double()
    net = DeconvNet(model, "gradient")
    for up in ((2, 2), (3, 3), (2, 3)):
        model.up = up
        (found,) = net.record(IMAGES).activations.values()
        assert error(found, model(IMAGES).detach()) < 1e-10
        assert net.project(IMAGES, layer=net.graph.returned[0], channel=0).any()
