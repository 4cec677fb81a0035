"""zennit: our attributor is zennit's where zennit is right, and right where it is not."""

import pytest
import torch

from deconvnet import DeconvNet
from tests.support.adapted import Functions, Modules, classes, expected, images, seeded
from tests.support.reference import error

WHY = 'zennit is not installed: pip install -e ".[bench]"'
attribution = pytest.importorskip("zennit.attribution", reason=WHY)
composites = pytest.importorskip("zennit.composites", reason=WHY)
from deconvnet.adapters import ZennitAttributor  # noqa: E402  # which imports zennit

TOLERANCE = 1e-10
TARGETS = [3, 0, 4]
RULES = {
    "gradient": lambda: None,
    "deconvnet": composites.DeconvNet,
    "guided": composites.GuidedBackprop,
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "attr_output",
    [classes(TARGETS), lambda output: output * classes(TARGETS), None],
    ids=["tensor", "function", "the output"],
)
def test_as_zennit_where_its_rectifiers_are_modules(rule, attr_output):
    model, given = seeded(Modules), images()
    with attribution.Gradient(model, RULES[rule]()) as theirs:
        output, maps = theirs(given.clone(), attr_output)
    with ZennitAttributor(model, rule) as ours:
        found = ours(given, attr_output)
    assert error(found[0], output.detach()) < TOLERANCE
    assert error(found[1], maps) < TOLERANCE


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_right_where_zennit_gives_the_gradient(rule):
    model, given, start = seeded(Functions), images(), classes(TARGETS)
    with attribution.Gradient(model, RULES[rule]()) as theirs:
        _, silent = theirs(given.clone(), start)
    assert error(silent, expected(model, given, "gradient", start)) < TOLERANCE
    _, maps = ZennitAttributor(model, rule, attr_output=start)(given)  # outside of a context too
    assert error(maps, expected(model, given, rule, start)) < TOLERANCE
    assert error(maps, silent) > 0.1


def test_a_net_brings_its_rule_and_the_context_leaves_nothing():
    model = seeded(Modules)
    with ZennitAttributor(DeconvNet(model, "guided")) as attributor:
        assert str(attributor.net.policies) == "guided"
        attributor(images(), torch.ones_like)
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())


def test_zennits_own_smoothing_of_our_maps():
    class Smooth(ZennitAttributor, attribution.SmoothGrad):
        pass

    model, given, start = seeded(Modules), images(), classes(TARGETS)
    torch.manual_seed(0)
    _, maps = Smooth(model, "guided")(given, start)
    torch.manual_seed(0)
    with attribution.SmoothGrad(model, composites.GuidedBackprop()) as theirs:
        _, right = theirs(given.clone(), start)
    assert error(maps, right) < TOLERANCE
