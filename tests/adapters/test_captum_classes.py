"""captum: our classes are captum's where captum is right, and right where it is not."""

import pytest
import torch

from deconvnet import DeconvNet
from tests.support.adapted import Functions, Modules, Scaled, classes, expected, images, seeded
from tests.support.reference import error

WHY = 'captum is not installed: pip install -e ".[bench]"'
attr = pytest.importorskip("captum.attr", reason=WHY)
from deconvnet.adapters import (  # noqa: E402  # which imports captum
    CaptumAttribution,
    CaptumLayerAttribution,
    CaptumNeuronAttribution,
)

pytestmark = pytest.mark.filterwarnings("ignore:Setting (backward|forward)", "ignore:Input Tensor")
TOLERANCE = 1e-10
TARGETS = [3, 0, 4]
THEIRS = {"deconvnet": attr.Deconvolution, "guided": attr.GuidedBackprop}
UNITS = {"deconvnet": attr.NeuronDeconvolution, "guided": attr.NeuronGuidedBackprop}


@pytest.mark.parametrize("rule", THEIRS)
@pytest.mark.parametrize("target", [2, TARGETS, torch.tensor(TARGETS), torch.tensor(2), (2,)])
def test_as_captum_where_its_rectifiers_are_modules(rule, target):
    model, given = seeded(Modules), images()
    maps = CaptumAttribution(model, rule).attribute(given, target)
    theirs = THEIRS[rule](model).attribute(given.clone(), target=target)
    assert error(maps, theirs) < TOLERANCE


@pytest.mark.parametrize("rule", THEIRS)
def test_right_where_captum_gives_the_gradient(rule):
    """captum looks for modules nn.ReLU, of which a network with F.relu has none."""
    model, given = seeded(Functions), images()
    right = expected(model, given, rule, classes(TARGETS))
    theirs = THEIRS[rule](model).attribute(given.clone(), target=TARGETS)
    assert error(theirs, expected(model, given, "gradient", classes(TARGETS))) < TOLERANCE
    assert error(theirs, right) > 0.1
    assert error(CaptumAttribution(model, rule).attribute(given, TARGETS), right) < TOLERANCE


@pytest.mark.parametrize("rule", UNITS)
@pytest.mark.parametrize(
    "selector",
    [(4, 1, 2), (4, slice(0, 2), slice(None)), lambda maps: maps[:, 4].amax((1, 2))],
    ids=["unit", "slices", "function"],
)
@pytest.mark.parametrize("inside", [False, True])
def test_units_as_captum_has_them(rule, selector, inside):
    model, given = seeded(Modules), images()
    ours = CaptumNeuronAttribution(model, model.relu2, rectifier=rule)
    theirs = UNITS[rule](model, model.relu2)
    asked = {"neuron_selector": selector, "attribute_to_neuron_input": inside}
    maps = ours.attribute(given, **asked)
    assert maps.any()
    assert error(maps, theirs.attribute(given.clone(), **asked)) < TOLERANCE


def test_a_unit_without_positions_and_a_layer_by_its_name():
    model, given = seeded(Modules), images()
    maps = CaptumNeuronAttribution(model, "fc1", rectifier="deconvnet").attribute(given, 7)
    theirs = attr.NeuronDeconvolution(model, model.fc1).attribute(given.clone(), 7)
    assert error(maps, theirs) < TOLERANCE
    called = CaptumNeuronAttribution(seeded(Functions), "relu_2", rectifier="deconvnet")
    right = attr.NeuronDeconvolution(model, model.relu3).attribute(given.clone(), 7)
    assert error(called.attribute(given, 7), right) < TOLERANCE


@pytest.mark.parametrize("inside", [False, True])
def test_the_gradient_at_a_layer_as_captum_has_it(inside):
    model, given = seeded(Modules), images()
    asked = {"target": TARGETS, "attribute_to_layer_input": inside}
    ours = CaptumLayerAttribution(model, model.conv2, rectifier="gradient")
    theirs = attr.LayerGradientXActivation(model, model.conv2, multiply_by_inputs=False)
    assert error(ours.attribute(given, **asked), theirs.attribute(given, **asked)) < TOLERANCE


def test_the_signal_at_a_layer_is_what_the_rule_sends_there():
    """What is sent to a layer, carried on, is the map of the whole way."""
    model, given = seeded(Modules), images()
    net = DeconvNet(model, "guided")
    at = CaptumLayerAttribution(net, "relu1").attribute(given, TARGETS)
    start = CaptumNeuronAttribution(net, "relu1")
    maps = start.attribute(given, lambda maps: (maps * at).sum((1, 2, 3)))
    assert error(maps, CaptumAttribution(net).attribute(given, TARGETS)) < TOLERANCE


@pytest.mark.parametrize("rule", THEIRS)
def test_noise_tunnel(rule):
    """The mean of maps of noisy copies; of a network without rectifiers it is the map."""
    model, given = seeded(Modules), images()
    asked = {"nt_samples": 4, "stdevs": 0.1, "target": 2}
    torch.manual_seed(0)
    maps = attr.NoiseTunnel(CaptumAttribution(model, rule)).attribute(given.clone(), **asked)
    torch.manual_seed(0)
    theirs = attr.NoiseTunnel(THEIRS[rule](model)).attribute(given.clone(), **asked)
    assert error(maps, theirs) < TOLERANCE
    assert error(maps, CaptumAttribution(model, rule).attribute(given, 2)) > 1e-3  # noise was added


def test_noise_tunnel_on_units():
    model, given = seeded(Modules), images()
    tunnels = [
        attr.NoiseTunnel(CaptumNeuronAttribution(model, model.relu2, rectifier="guided")),
        attr.NoiseTunnel(attr.NeuronGuidedBackprop(model, model.relu2)),
    ]
    maps = []
    for tunnel in tunnels:
        torch.manual_seed(0)
        asked = {"nt_samples": 3, "stdevs": 0.1, "neuron_selector": (4, 1, 2)}
        maps.append(tunnel.attribute(given.clone(), **asked))
    assert error(*maps) < TOLERANCE


def test_the_forms_of_inputs():
    model, given = seeded(Modules), images()
    ours = CaptumAttribution(model, "guided")
    (maps,) = ours.attribute((given,), target=TARGETS)
    assert torch.equal(maps, ours.attribute(given, target=TARGETS))
    assert not ours.multiplies_by_inputs
    assert not ours.has_convergence_delta()
    assert not given.requires_grad
    with pytest.raises(ValueError, match="2 inputs were given"):
        ours.attribute((given, given), target=1)


def test_arguments_beside_the_images():
    model, given, factor = seeded(Scaled), images(), torch.tensor([2.0, 3.0, 5.0]).double()[:, None]
    maps = CaptumAttribution(model, "guided").attribute(given, TARGETS, factor)
    theirs = attr.GuidedBackprop(model).attribute(given.clone(), TARGETS, factor)
    assert error(maps, theirs) < TOLERANCE
    with pytest.raises(ValueError, match="2 additional_forward_args.*Scaled takes 1"):
        CaptumAttribution(model).attribute(given, TARGETS, (factor, 1))


def test_what_selects_nothing_clear_is_told():
    model, given = seeded(Modules), images()
    units = CaptumNeuronAttribution(model, model.relu2)
    with pytest.raises(ValueError, match=r"selector was 4; .* \(3, 8, 3, 3\): give 3 indices"):
        units.attribute(given, 4)
    whole = CaptumNeuronAttribution(torch.nn.Sequential(model.conv1, model.relu1), "0")
    assert whole.attribute(given, (1, 2, 2), attribute_to_neuron_input=False).any()


@pytest.mark.parametrize("kind", [CaptumLayerAttribution, CaptumNeuronAttribution])
def test_a_net_brings_its_rule(kind):
    net = DeconvNet(seeded(Modules), "guided")
    assert str(kind(net, "relu1").net.policies) == "guided"
    assert str(kind(net, "relu1", rectifier="gradient").net.policies) == "gradient"
    assert str(kind(net.model, "relu1").net.policies) == "deconvnet"
