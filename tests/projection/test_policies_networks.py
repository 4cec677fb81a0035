"""DeconvNet and guided backpropagation of whole networks, against autograd under an override."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet, Rectifier, Unit
from tests.support.networks import NETWORKS, live_units, network, noise, pictures, probes
from tests.support.reference import assert_same, error, projections

SMOOTH = ("efficientnet_b0",)  # SiLU: no rule of these policies, so its derivative by request


def visible(found, expected):
    """Projections of live units: what survives the rectifiers of the whole network."""
    alive = expected.flatten(1).abs().amax(1) > 0
    assert alive.sum() >= max(2, len(alive) // 2), "most units are dead under this policy"
    assert not found[~alive].any(), "a signal where there should be none"
    return found[alive], expected[alive]


@pytest.mark.parametrize("name", NETWORKS)
def test_they_are_the_references(name):
    model, images = network(name), pictures(name)
    elsewhere = "derivative" if name in SMOOTH else None
    net = DeconvNet(model, "guided", elsewhere=elsewhere)
    layers = probes(net, images)
    recording = net.record(images, layers)
    units = [unit for layer in layers for unit in live_units(recording, layer, 1)]
    guided = projections(model, images, units, "guided")
    assert_same(*visible(net.project(recording, units=units, seed="one"), guided))
    net = DeconvNet(model, "deconvnet", elsewhere=elsewhere)
    deconvnet = projections(model, images, units, "deconvnet")
    assert_same(*visible(net.project(images, units=units, seed="one"), deconvnet))
    if name not in SMOOTH:  # there, no activation tells the policies apart
        last = [i for i, unit in enumerate(units) if unit.layer == layers[-1]]
        assert error(deconvnet[last], guided[last]) > 0.1
        assert error(deconvnet[last], projections(model, images, units, "gradient")[last]) > 0.1


def test_smooth_activations_are_rectified_by_request():
    model, images = network("efficientnet_b0"), pictures("efficientnet_b0")
    units = [Unit("features.1.0.block.0.0", 3, 9, 9)]
    slope, positive = (
        DeconvNet(model, "deconvnet", elsewhere=choice).project(images, units=units, seed="one")
        for choice in ("derivative", "rectify")
    )
    assert_same(slope, projections(model, images, units, "autograd"))
    assert error(positive, slope) > 0.1


@pytest.mark.parametrize("policy", ["deconvnet", "guided"])
def test_the_reference_met_every_activation(policy):
    class Three(nn.Module):
        def forward(self, x):
            return F.relu(x.relu() - 1).relu_() * torch.relu(x)

    x = noise(1, 2, 5, 5)
    units = [Unit(DeconvNet(Three()).graph.returned[0], 1, 2, 2)]
    x[0, 1, 2, 2] = 3.0
    found = DeconvNet(Three(), policy).project(x, units=units, seed="one")
    assert_same(found, projections(Three(), x, units, policy))


class Halved(Rectifier):
    """A policy of a user: half of the positive part where the unit was active."""

    name = "halved"

    def remember(self, z, a, activation):
        return activation.derivative(z, a)

    def signal(self, R, kept):
        return R.clamp(min=0) * kept / 2


def test_a_policy_of_ones_own_is_one_class():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(inplace=True)
    ).double()
    images = noise(1, 3, 9, 9)
    guided = DeconvNet(model, "guided").project(images, layer="3", channel=1, seed="one")
    assert guided.any()
    halved = DeconvNet(model, Halved()).project(images, layer="3", channel=1, seed="one")
    torch.testing.assert_close(halved, guided / 4, rtol=1e-12, atol=0)


def test_identity_is_linear_in_the_seed_and_the_others_are_not():
    model, images = network("alexnet"), pictures("alexnet", 1)
    units = [Unit("classifier.6", c) for c in (5, 6)]
    both = nn.Sequential(model, nn.Linear(1000, 1, bias=False)).double()
    with torch.no_grad():
        both[1].weight.zero_()
        both[1].weight[0, 5:7] = 1.0
    for policy, additive in (("identity", True), ("gradient", True), ("deconvnet", False)):
        apart = DeconvNet(model, policy).project(images, units=units, seed="one").sum(0, True)
        together = DeconvNet(both, policy).project(images, layer="1", channel=0, seed="one")
        assert (error(together, apart) < 1e-10) == additive, policy
