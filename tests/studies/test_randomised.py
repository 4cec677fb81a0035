"""Weights drawn anew: in graph order, each layer by a generator of its own, and put back."""

import numpy as np
import pytest
import torch
from torch import nn

from deconvnet import DeconvNet
from deconvnet.studies.randomised import Randomiser, stages_of, weights_below
from tests.support.randomisable import Backwards, bits


@pytest.fixture
def net():
    return DeconvNet(Backwards().eval())


def drawing(model, **changed):
    return Randomiser(
        model, **{"init": "truncated_normal", "std": 0.01, "random_state": 0, **changed}
    )


def stages(net, wanted=8, layer="top"):
    return stages_of(weights_below(net.graph, net.graph.find(layer)), wanted)


def test_stages_are_in_the_order_of_the_graph(net):
    made = stages(net)
    assert [stage.name for stage in made] == ["kernel", "second", "middle", "top"]
    held = [[one.name for one in stage.weights] for stage in made]
    assert held == [["kernel", "shift"], ["second"], ["middle", "norm"], ["top"]]
    defined = [name for name, m in net.model.named_modules() if hasattr(m, "reset_parameters")]
    quantus = defined[::-1]  # the reverse of how they were made, called top-down
    assert (quantus[0], made[-1].name) == ("second", "top"), "which this catches"


def test_only_what_lies_below_a_layer(net):
    assert [stage.name for stage in stages(net, layer="middle")] == ["kernel", "second", "middle"]


def test_fewer_stages_and_named_ones(net):
    assert [one.name for one in stages(net, 2)] == ["kernel to second", "middle to top"]
    assert [one.name for one in stages(net, ["top", "kernel"])] == ["kernel", "top"]
    assert [one.name for one in stages(net, "second")] == ["second"]
    with pytest.raises(KeyError, match="has weights and is called 'topp'"):
        stages(net, ["topp"])
    with pytest.raises(ValueError, match="expected different layers"):
        stages(net, ["top", "top"])
    with pytest.raises(ValueError, match="stages=0 was given"):
        stages(net, 0)
    with pytest.raises(ValueError, match="no weights lie below"):
        stages(DeconvNet(nn.Sequential(nn.ReLU())), layer="0")


def test_every_layer_has_a_generator_of_its_own(net):
    model, randomiser = net.model, drawing(net.model)
    made = stages(net)
    for stage in made[::-1]:
        randomiser.draw(stage)
    first = bits(model)
    assert first["middle.weight"] != first["second.weight"], "of one shape"
    randomiser.put_back()
    for stage in made:
        randomiser.draw(stage)
    assert bits(model) == first, "in whatever order"
    other = drawing(model, random_state=1)
    other.draw(made[0])
    assert bits(model)["kernel"] != first["kernel"]


@pytest.mark.parametrize("init", ["truncated_normal", "reset"])
def test_the_distributions(init):
    model = nn.Sequential(nn.Conv2d(8, 64, 5), nn.BatchNorm2d(64), nn.ReLU()).eval()
    model[1].weight.data.fill_(9)
    model[1].running_var.fill_(9)
    net = DeconvNet(model)
    (stage,) = stages_of(weights_below(net.graph, "2"), 8)
    drawing(model, init=init, std=0.03).draw(stage)
    weight, bound = model[0].weight.detach(), 1 / np.sqrt(8 * 25)
    if init == "reset":  # as nn.Conv2d draws them
        assert weight.abs().max() == pytest.approx(bound, rel=1e-2)
        assert float(weight.std()) == pytest.approx(bound / np.sqrt(3), rel=0.02)
    else:  # cut at two standard deviations, a normal distribution is 0.88 as wide
        assert weight.abs().max() == pytest.approx(0.06, rel=1e-2)
        assert float(weight.std()) == pytest.approx(0.8796 * 0.03, rel=0.02)
    assert torch.equal(model[1].weight, torch.ones(64))
    assert torch.equal(model[1].running_var, torch.ones(64)), "a variance is never drawn"


class Seeded(nn.Linear):
    """Its reset_parameters sets a seed, so that layers of one shape get one set of weights."""

    def reset_parameters(self):
        with torch.random.fork_rng():
            torch.manual_seed(43)
            super().reset_parameters()


class Still(nn.Linear):
    def reset_parameters(self):
        if self.weight.std() == 0:
            super().reset_parameters()
        else:
            nn.init.uniform_(self.bias)


@pytest.mark.parametrize("together", [False, True])
def test_equal_weights_in_layers_of_one_shape_are_caught(together):
    model = nn.Sequential(Seeded(4, 4), nn.ReLU(), Seeded(4, 4))
    for layer in (model[0], model[2]):
        nn.init.normal_(layer.weight)
    *others, last = stages(DeconvNet(model), 1 if together else 2, "2")
    randomiser = drawing(model, init="reset")
    for stage in others:
        randomiser.draw(stage)
    with pytest.raises(ValueError, match=r"2\.weight and 0\.weight were drawn equal"):
        randomiser.draw(last)


def test_weights_that_stay_are_caught():
    model = nn.Sequential(Still(4, 4))
    nn.init.normal_(model[0].weight)
    (stage,) = stages(DeconvNet(model), layer="0")
    with pytest.raises(ValueError, match=r"0\.weight are the same before and after"):
        drawing(model, init="reset").draw(stage)
    drawing(model).draw(stage)


def test_what_cannot_be_reset_is_refused_before(net):
    with pytest.raises(ValueError, match=r"kernel \(a parameter of the model\) has no reset_para"):
        drawing(net.model, init="reset").check(stages(net))
    drawing(net.model, init="reset").check(stages(net, ["middle", "top"]))
    for wrong, said in (
        ({"init": "zeros"}, "init='zeros'"),
        ({"std": 0}, "init_std=0"),
        ({"std": float("nan")}, "init_std=nan"),
        ({"random_state": -1}, "random_state=-1"),
    ):
        with pytest.raises(ValueError, match=said):
            drawing(net.model, **wrong)


def test_the_generators_of_the_user_are_left_alone(net):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    drawing(net.model, init="reset").draw(stages(net, ["middle"])[0])
    assert torch.equal(before, torch.random.get_rng_state())
