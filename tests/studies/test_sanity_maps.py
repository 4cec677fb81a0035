"""The maps of a sanity check: of which unit or class, in which state, of which copies."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import deconvnet as dn
from deconvnet import DeconvNet, Unit
from tests.support.sanity_checks import IMAGES, PLAIN, SIDE, Small, checked, drawn_anew, slopes


def test_maps_are_those_of_the_stages():
    model = Small().double().eval()
    shown = checked(shown=2, rectifiers="gradient")
    best = model(IMAGES).argmax(1).tolist()
    assert shown.maps["gradient"].shape == (4, 2, SIDE, SIDE, 3)
    for number in range(4):
        made = slopes(drawn_anew(model, shown.stages[:number]), best)[:2].transpose(0, 2, 3, 1)
        np.testing.assert_allclose(shown.maps["gradient"][number], made, rtol=1e-6, atol=1e-12)


def test_without_pooling_a_deconvnet_map_does_not_depend_on_the_image():
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(6 * 20 * 20, 3),
    ).double()  # fmt: skip
    made = checked(model.eval(), target=1, shown=4, rectifiers=("deconvnet", "guided")).maps
    assert (made["deconvnet"] == made["deconvnet"][:, :1]).all()
    assert not (made["guided"] == made["guided"][:, :1]).all()
    assert not (made["deconvnet"] == made["deconvnet"][:1]).all(), "but on the weights"


def test_of_an_inner_unit_only_what_lies_below_is_drawn():
    model = Small().double().eval()
    made = checked(model, target=Unit("relu_1", 3), shown=4, init="reset")
    assert list(made.stages) == ["two", "one"]
    assert {unit.layer for unit in made.units} == {"two"}, "a unit that is off has a derivative"
    maps = F.max_pool2d(F.relu(model.norm(model.one(IMAGES))), 2)
    maps = model.two(maps)[:, 3].flatten(1)
    places = [divmod(int(best), 9) for best in maps.argmax(1)]
    assert [unit.position for unit in made.units] == places
    assert (np.abs(made.maps["gradient"]).sum((2, 3, 4)) > 0).all()
    above = checked(drawn_anew(model, {"fc"}), target=Unit("relu_1", 3), shown=4, init="reset")
    for row, values in made.similarity["hog"].items():
        np.testing.assert_array_equal(values, above.similarity["hog"][row])


def test_the_class_is_kept_or_that_of_the_net_as_it_is():
    model = Small().double().eval()
    kept, again = (
        checked(model, target=one, rectifiers="gradient", shown=4) for one in ("class", "likeliest")
    )
    made = drawn_anew(model, {"fc"})
    best, then = model(IMAGES).argmax(1).tolist(), made(IMAGES).argmax(1).tolist()
    assert best != then, "else there is nothing to tell apart"
    for result, target in ((kept, best), (again, then)):
        expected = slopes(made, target).transpose(0, 2, 3, 1)
        np.testing.assert_allclose(result.maps["gradient"][1], expected, rtol=1e-6, atol=1e-12)
    assert (kept.target, again.target) == (
        "the likeliest class of the trained net",
        "the likeliest class of the net as it is then",
    )
    named = checked(model, target="b", classes=list("abcde"), rectifiers="gradient")
    assert [unit.channel for unit in named.units] == [1] * 4
    assert named.target == "b"


def test_noisy_copies_are_averaged():
    model = Small().double().eval()
    made = checked(model, noisy=3, rectifiers="gradient", shown=4)
    best = model(IMAGES).argmax(1).tolist()
    spread = IMAGES.flatten(1).amax(1) - IMAGES.flatten(1).amin(1)
    summed = 0
    for number in range(3):
        seed = np.random.SeedSequence((0, 0, number)).generate_state(1)
        drawn = torch.randn(IMAGES.shape, generator=torch.Generator().manual_seed(int(seed[0])))
        pixels = (IMAGES + 0.1 * spread[:, None, None, None] * drawn).requires_grad_(True)
        scores = model(pixels)[range(4), best].sum()
        summed = summed + torch.autograd.grad(scores, pixels)[0] / 3
    expected = summed.permute(0, 2, 3, 1)
    np.testing.assert_allclose(made.maps["gradient"][0], expected, rtol=1e-6, atol=1e-12)


def test_an_activation_without_a_rule_is_told():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(4 * 22 * 22, 3))
    with pytest.raises(dn.UnmirroredError, match="GELU"):
        checked(model.double(), rectifiers=("gradient", "guided"))
    made = checked(DeconvNet(model.double(), fallback="derivative", preprocessing=PLAIN))
    assert made.rectifiers == ["gradient", "deconvnet", "guided"]
