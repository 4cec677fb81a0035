"""Any signal at a layer, carried down: against autograd, with the rules written out slowly."""

import copy

import pytest
import torch

from deconvnet import DeconvNet
from deconvnet.adapters.signals import signal_of
from tests.support.adapted import Functions, Modules, expected, images, seeded
from tests.support.reference import error

TOLERANCE = 1e-10
RULES = ("gradient", "deconvnet", "guided")


def start():
    """A signal at five scores of three images, of both signs."""
    return torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", [Modules, Functions])
@pytest.mark.parametrize("rule", RULES)
def test_any_signal_at_the_scores(kind, rule):
    model, given = seeded(kind), images()
    values, signal = signal_of(DeconvNet(model, rule), given, lambda scores: start())
    assert error(values, model(given).detach()) < TOLERANCE
    assert error(signal, expected(model, given, rule, start())) < TOLERANCE


def test_the_three_rules_differ():
    """Else the test above would prove nothing."""
    maps = [expected(seeded(Modules), images(), rule, start()) for rule in RULES]
    assert min(error(maps[a], maps[b]) for a in range(3) for b in range(a)) > 0.1


def test_any_signal_of_a_layer_with_positions():
    model, given = seeded(Modules), images()
    leaf = given.clone().requires_grad_()
    maps = model.conv2(model.pool(model.relu1(model.conv1(leaf))))
    (right,) = torch.autograd.grad((maps**2).sum(), leaf)
    _, signal = signal_of(DeconvNet(model, "gradient"), given, lambda z: 2 * z, layer="conv2")
    assert error(signal, right) < TOLERANCE


def test_the_signal_at_a_layer():
    model, given = seeded(Modules), images()
    net = DeconvNet(model, "gradient")
    middle = model.pool(model.relu1(model.conv1(given))).detach().requires_grad_()
    scores = model.fc2(model.relu3(model.fc1(model.relu2(model.conv2(middle)).flatten(1))))
    (right,) = torch.autograd.grad(scores, middle, start())
    _, signal = signal_of(net, given, lambda scores: start(), at=model.pool)
    assert error(signal, right) < TOLERANCE


def test_the_model_and_the_images_are_left_as_they_were():
    model, given = seeded(Modules).train(), images().requires_grad_()
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        signal_of(DeconvNet(model), given, torch.ones_like)
    assert model.training
    assert given.grad is None
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert not any(parameter.grad is not None for parameter in model.parameters())


def test_what_cannot_be_carried_down_is_told():
    net, given = DeconvNet(seeded(Modules)), images()
    with pytest.raises(ValueError, match=r"was of shape \(5,\); expected .* \(3, 5\)"):
        signal_of(net, given, lambda scores: scores[0])
    with pytest.raises(ValueError, match="no signal reaches conv2 from relu1"):
        signal_of(net, given, torch.ones_like, layer="relu1", at="conv2")
