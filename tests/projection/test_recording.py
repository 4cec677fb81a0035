"""A recording is of the weights it was made with: others are not mixed with its switches."""

import copy

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Rectifier, Unit, UnmirroredError
from tests.support.networks import noise

IMAGES = noise(1, 3, 10, 10)


class Net(nn.Sequential):
    def __init__(self):
        torch.manual_seed(0)
        super().__init__(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3)
        )
        self.double().eval()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


def stepped(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(IMAGES).square().sum().backward()
    optimizer.step()


def trained(model):
    model.train()
    model(IMAGES)
    model.eval()


def written(model):
    with torch.no_grad():
        model[0].weight.neg_()


def replaced(model):
    model[4].weight = nn.Parameter(model[4].weight.detach() * 2)


CHANGES = {
    "an optimizer's step": (stepped, "0.weight"),
    "written into": (written, "0.weight"),
    "other state": (lambda m: m.load_state_dict(copy.deepcopy(m.state_dict())), "0.weight"),
    "another parameter": (replaced, "4.weight"),
    "running averages": (trained, "1.num_batches_tracked"),
    "precision": (lambda m: m.float(), "0.weight"),
    "removed": (lambda m: m[0].register_parameter("bias", None), "0.bias"),
}


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_changed_weights_are_one_clear_error(change, check):
    model = Net()
    net = DeconvNet(model, "gradient", check=check)
    recording = net.record(IMAGES)
    net.project(recording, layer="4", channel=0)
    run, name = CHANGES[change]
    run(model)
    with pytest.raises(ValueError, match=f"{name} of Net has changed since.*record the images ag"):
        net.project(recording, layer="4", channel=0)
    net.project(net.record(IMAGES.to(model[0].weight.dtype)), layer="4", channel=0)


def test_what_is_no_weight_may_change():
    model = Net()
    net = DeconvNet(model, "gradient")
    recording = net.record(IMAGES)
    first = net.project(recording, layer="4", channel=0)
    model(IMAGES)
    model.train()
    net.record(IMAGES + 1)
    assert torch.equal(net.project(recording, layer="4", channel=0), first)


class Branching(Net):
    """Only torch.export can follow it, for one size at a time."""

    def forward(self, x):
        return x if x.shape[2] > 99 else super().forward(x)


def test_a_recording_outlives_the_graphs_of_its_model():
    """They are read again when hooks have come, and those of other sizes are forgotten."""
    model = Branching()
    net = DeconvNet(model, "gradient")
    recording = net.record(IMAGES)
    first = net.project(recording, layer="4", channel=0)
    model[0].register_forward_hook(lambda *args: None)
    net.record(noise(1, 3, 12, 12))
    assert torch.equal(net.project(recording, layer="4", channel=0), first)


RULES = ("gradient", "guided", "deconvnet", "identity", "rectgrad(90)", "rectgrad(50)")
SERVES = {
    "gradient": RULES[:4], "guided": RULES[:4], "deconvnet": RULES[2:4], "identity": RULES[2:4],
    "rectgrad(90)": RULES, "rectgrad(50)": RULES,
}  # fmt: skip
"""{rule: the rules that its recordings hold enough for}"""


class Normalised(Net):
    """With all that policies change: activations, pooling, response normalisation."""

    def __init__(self):
        super().__init__()
        self.append(nn.ReLU6()).append(nn.LocalResponseNorm(3)).append(nn.Conv2d(4, 2, 1)).double()


@pytest.mark.parametrize("made", RULES)
@pytest.mark.parametrize("used", RULES)
def test_a_recording_serves_other_rules_where_it_holds_enough(made, used):
    model = Normalised()
    net = DeconvNet(model, made, normalization="exact")
    recording, other = net.record(IMAGES, ["2", "7"]), net.with_rectifier(used)
    units = [Unit("7", 1), Unit("2", 0, 1, 1), Unit("7", 0, 0, 0)]
    if used not in SERVES[made]:
        with pytest.raises(ValueError, match=f"under '.*{made[:8]}.* does not keep at 2 what"):
            other.project(recording, units=units)
        return
    maps = other.project(recording, units=units)
    own = DeconvNet(model, used, normalization="exact")
    assert torch.equal(maps, own.project(own.record(IMAGES, ["2", "7"]), units=units))


def test_three_rules_take_one_forward_pass(monkeypatch):
    """Counted at the convolution itself, which every forward pass runs once."""
    net, counted = DeconvNet(Net(), "gradient"), []
    net.project(IMAGES, layer="4", channel=1)  # the graph is held against the model
    convolve = torch.nn.functional.conv2d
    monkeypatch.setattr(
        torch.nn.functional, "conv2d", lambda *a, **k: counted.append(1) or convolve(*a, **k)
    )
    recording = net.record(IMAGES, "4")
    assert len(counted) == 2
    for rule in RULES[:3]:
        net.with_rectifier(rule).project(recording, layer="4", channel=1)
    assert len(counted) == 2
    net.with_rectifier("guided").project(IMAGES, layer="4", channel=1)
    assert len(counted) > 2  # so that the count can fail


def test_response_normalisation_passed_by_keeps_too_little_for_its_derivative():
    model = Normalised()
    net = DeconvNet(model, "guided")
    recording = net.record(IMAGES, "7")
    with pytest.raises(ValueError, match="does not keep at 6 what 'gradient' needs"):
        net.with_rectifier("gradient").project(recording, layer="7", channel=0)


def test_a_rule_without_a_rule_is_told_for_a_recording_too():
    model = Net().append(nn.GELU())
    net = DeconvNet(model, "gradient")
    with pytest.raises(UnmirroredError, match="at 5: the policy 'guided' has no rule for GELU"):
        net.with_rectifier("guided").project(net.record(IMAGES), layer="5", channel=0)


class Own(Rectifier):
    """A user's rule that keeps what the gradient keeps, and one that does not say."""

    name = "own"

    def remember(self, z, a, activation):
        return activation.derivative(z, a)

    def signal(self, R, kept):
        return R.abs() * kept


class Named(Own):
    keeps = ("derivative",)


def test_a_users_rule_says_what_it_keeps():
    net = DeconvNet(Net(), "gradient")
    recording = net.record(IMAGES, "4")
    named = net.with_rectifier(Named())
    maps = named.project(recording, layer="4", channel=1)
    assert torch.equal(maps, named.project(named.record(IMAGES, "4"), layer="4", channel=1))
    with pytest.raises(ValueError, match="made under 'gradient', which does not keep at 2"):
        net.with_rectifier(Own()).project(recording, layer="4", channel=1)


class Multiplied(nn.Module):
    def forward(self, x):
        return x.cumprod(1)


def test_an_operation_of_which_nothing_is_known_is_not_reused():
    """Activations inside of it were run under the rule of the recording."""
    net = DeconvNet(Net().append(Multiplied()), "gradient")
    recording = net.record(IMAGES)
    other = net.with_rectifier("identity")
    with pytest.raises(ValueError, match="does not keep at"):
        other.project(recording, layer=next(iter(recording.activations)), channel=0)


def test_a_recording_of_another_model_is_refused():
    net, other = DeconvNet(Net(), "gradient"), DeconvNet(Net(), "gradient")
    with pytest.raises(ValueError, match="made by another DeconvNet"):
        other.project(net.record(IMAGES, "4"), layer="4", channel=0)


def hooked_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)).double()


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("place", ["0", "1", ""])
def test_a_hook_that_may_change_values_came_or_went_since(place, check):
    model, images = hooked_model(), noise(2, 3, 9, 9)
    net = DeconvNet(model, "gradient", check=check)
    plain = net.record(images)
    expected = net.project(plain, layer="2", channel=0)
    hook = model.get_submodule(place).register_forward_hook(lambda m, i, o: 2 * o)
    where = place or "the model itself"
    with pytest.raises(ValueError, match=f"registered on {where} since this recording .* again"):
        net.project(plain, layer="2", channel=0)
    hooked = net.record(images)
    top = net.graph.returned[0]
    net.project(hooked, layer=top, channel=0)
    hook.remove()
    with pytest.raises(ValueError, match=f"removed from {where} since this recording .* again"):
        net.project(hooked, layer=top, channel=0)
    assert torch.equal(net.project(plain, layer="2", channel=0), expected)


def test_a_hook_that_was_seen_to_look_may_come_and_go():
    model, images = hooked_model(), noise(2, 3, 9, 9)
    net, seen = DeconvNet(model, "gradient"), []
    hook = model[0].register_forward_hook(lambda m, i, o: seen.append(o))
    looked = net.record(images)
    hook.remove()
    expected = net.project(net.record(images), layer="2", channel=0)
    assert torch.equal(net.project(looked, layer="2", channel=0), expected)
