"""Methods side by side, each against autograd with its rule in place of every rectifier."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from deconvnet import Box, DeconvNet, Unit, UnmirroredError
from deconvnet.figures import SIGNS
from deconvnet.figures.canvas.lettering import digits
from deconvnet.graph import frontends
from deconvnet.studies.compare import METHODS, _whole, compare
from deconvnet.units import Region
from tests.support.mined import SIZE, box
from tests.support.reference import EveryRelu, assert_same, projections, upto
from tests.support.studied import IMAGES, MODEL, NAMES, PREPARED, WIDTH, strongest


@pytest.mark.parametrize("unit", [Unit("relu", 2), Unit("relu", 1, 0, 1), Unit("fc2", 2), None])
def test_comparison(unit):
    scores = unit is None or unit.layer == "fc2"
    classes = ["fruit/red_apple", "pear", "stone/grey_pebble"] if scores else []
    result = compare(
        MODEL, IMAGES, target=unit, preprocessing=PREPARED, names=NAMES, classes=classes
    )
    assert tuple(result.exemplars) == METHODS
    figure = result.figure(width=WIDTH)
    assert figure.get_size_inches()[0] == WIDTH
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words[:4] == ["image", *METHODS]
    written = "".join(words).replace(" ", "")
    seen = []
    for place_, (image, number) in enumerate(zip(IMAGES, result.table(), strict=True)):
        one = unit or Unit("fc2", int(MODEL(image[None]).argmax()))
        place = one.position or (strongest(image, one)[1] if one.layer != "fc2" else ())
        one = Unit.at(one.layer, one.channel, position=tuple(place) or None)
        assert number["box"] == (box(one.layer, *place) if place else (0, 0, *SIZE))
        assert (number["unit"], number["image"]) == (str(one), NAMES[place_])
        name = {0: "red apple", 1: "pear", 2: "grey pebble"}[one.channel] if classes else str(one)
        assert f"{name} = {digits(number['activation'])}".replace(" ", "") in written
        np.testing.assert_array_equal(result.pictures[place_], PREPARED.picture(image))
        for method, those in result.exemplars.items():
            found = _whole(those[place_], SIZE)
            reference = projections(MODEL, image[None], [one], method, seed=number["activation"])
            if reference.abs().max() > 0:
                seen.append(method)
                assert_same(torch.tensor(found.transpose(2, 0, 1))[None], reference, tolerance=1e-4)
    assert set(seen) == set(METHODS)


def test_a_net_is_taken_as_its_model_and_methods_as_asked():
    net, unit = DeconvNet(MODEL, "guided"), Unit("relu", 2)
    one = compare(net, IMAGES, target=unit, rectifiers=["identity"], preprocessing=PREPARED)
    assert list(one.exemplars) == ["identity"]
    whole = DeconvNet(MODEL, "identity").project(IMAGES, layer="relu", channel=2)
    found = np.stack([_whole(each, SIZE) for each in one.exemplars["identity"]])
    np.testing.assert_allclose(found.transpose(0, 3, 1, 2), whole, atol=1e-5)
    assert list(one.names) == ["image 0", "image 1", "image 2"]


def test_the_graph_is_read_once_and_what_the_net_knows_is_kept(monkeypatch):
    read, trace = [], frontends.trace
    monkeypatch.setattr(frontends, "trace", lambda *a, **k: read.append(1) or trace(*a, **k))
    found = compare(MODEL, IMAGES, target=Unit("relu", 2), preprocessing=PREPARED)
    assert list(found.exemplars) == list(METHODS)
    assert len(read) == 1
    smooth = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU())
    net, unit = DeconvNet(smooth, fallback="derivative"), Unit("1", 2)
    assert compare(net, IMAGES, target=unit, preprocessing=PREPARED).table()
    with pytest.raises(UnmirroredError, match="no rule for GELU"):
        compare(smooth, IMAGES, target=unit, preprocessing=PREPARED)


class Counting(TorchDispatchMode):
    """Counts the convolutions of forward passes; those of the mirror are transposed."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default and not args[6]:
            self.count += len(args[0])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "target", [2, Unit("relu", 2), Region("relu", 2, Box((0, 0), (3, 2))), None]
)
def test_rules_share_one_forward_pass_and_are_equal_bit_for_bit(target):
    net = DeconvNet(MODEL, "deconvnet")
    how = {"target": target, "preprocessing": PREPARED}
    alone = {rule: compare(net, IMAGES, rectifiers=rule, **how) for rule in (*METHODS, "identity")}
    with Counting() as once:
        compare(net, IMAGES, rectifiers="gradient", **how)
    with Counting() as all_of_them:
        shared = compare(net, IMAGES, rectifiers=[*METHODS, "identity"], **how)
    assert once.count == all_of_them.count > 0
    for rule, one in alone.items():
        for made, other in zip(shared.exemplars[rule], one.exemplars[rule], strict=True):
            assert np.array_equal(made.projection, other.projection)
            assert made.activation == other.activation
    with Counting() as more:  # which keeps what gradient does not
        compare(net, IMAGES, rectifiers=["gradient", "rectgrad(50)"], **how)
    assert more.count > once.count


def test_a_net_keeps_its_other_choices_under_another_fallback():
    net = DeconvNet(MODEL, "guided", unpooling="uniform")
    one = compare(net, IMAGES, target=2, rectifiers="gradient", fallback="rectify",
                  preprocessing=PREPARED)  # fmt: skip
    uniform = DeconvNet(MODEL, "gradient", unpooling="uniform").project(
        IMAGES, layer="fc2", channel=2
    )
    whole = np.stack([_whole(each, SIZE) for each in one.exemplars["gradient"]])
    np.testing.assert_allclose(whole.transpose(0, 3, 1, 2), uniform, atol=1e-4)
    assert net.policies.fallback is None


def carried(image, start, method):
    """The signal that starts in 'relu' as given, at the pixels, by autograd under the rule."""
    image, cut = image[None].clone().requires_grad_(), upto(MODEL, "relu")
    with EveryRelu(method):
        maps = cut(image)
    return torch.autograd.grad(maps, image, start)[0]


def masks():
    """Positions in the maps of 'relu', as a box and as booleans."""
    size = MODEL.values(IMAGES[:1])["relu"].shape[2:]
    mask = torch.zeros(size, dtype=torch.bool)
    mask[1:3, 0:2] = True
    yield Box((1, 0), (3, 2)), mask
    yield mask, mask
    yield mask.numpy().tolist(), mask
    yield mask.int().numpy(), mask


@pytest.mark.parametrize("method", METHODS)
def test_a_region_starts_with_the_activations_in_it_and_nothing_else(method):
    """Against autograd from the masked map, with the rule in place of every rectifier."""
    for given, mask in masks():
        region = Region("relu", 2, given)
        result = compare(
            MODEL, IMAGES, target=region, rectifiers=method, preprocessing=PREPARED, names=NAMES
        )
        alive = 0
        for image, one in zip(IMAGES, result.exemplars[method], strict=True):
            maps = MODEL.values(image[None])["relu"].detach()
            start = torch.zeros_like(maps)
            start[0, 2] = maps[0, 2] * mask
            expected = carried(image, start, method)
            found = torch.tensor(_whole(one, SIZE).transpose(2, 0, 1))[None]
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
            alive += bool(expected.any())
            assert one.activation == pytest.approx(float(maps[0, 2][mask].max()), rel=1e-5)
        assert alive


def test_a_region_of_one_place_is_its_unit_and_the_whole_is_the_map():
    one = Region("relu", 2, Box((1, 1), (2, 2)))
    place, region = (
        compare(MODEL, IMAGES, target=target, preprocessing=PREPARED)
        for target in (Unit("relu", 2, 1, 1), one)
    )
    for method in METHODS:
        for a, b in zip(place.exemplars[method], region.exemplars[method], strict=True):
            assert (a.box, a.activation) == (b.box, pytest.approx(b.activation))
            np.testing.assert_allclose(a.projection, b.projection, atol=1e-5)


WRONG = {
    "size": (Region("relu", 2, np.ones((2, 2))), r"shape \(2, 2\).* expected booleans of shape"),
    "empty": (Region("relu", 2, np.zeros((3, 2))), "with 0 positions"),
    "no booleans": (Region("relu", 2, np.full((3, 2), 0.5)), "expected booleans"),
    "outside": (Region("relu", 2, Box((0, 0), (9, 9))), "a map of it has 3 x 2 positions"),
    "channel": (Region("relu", 9, np.ones((3, 2))), "relu has no channel 9"),
    "kind": ("relu:2", "a target was 'relu:2'; give the index of a class"),
    "none": ([], "no targets were given"),
}


@pytest.mark.parametrize("case", WRONG)
def test_targets_that_are_none(case):
    target, message = WRONG[case]
    target = [target] if case == "kind" else target
    with pytest.raises((ValueError, IndexError, TypeError), match=message):
        compare(MODEL, IMAGES, target=target, preprocessing=PREPARED)


def test_several_targets_are_rows_of_each_image():
    targets = [0, 2, Unit("relu", 1), Region("relu", 2, Box((0, 0), (2, 1)))]
    result = compare(MODEL, IMAGES, target=targets, preprocessing=PREPARED, names=NAMES)
    assert list(result.names) == [name for name in NAMES for _ in targets]
    assert [row["unit"].partition("@")[0] for row in result.table()[:4]] == [
        "fc2:0", "fc2:2", "relu:1", "relu:2",
    ]  # fmt: skip
    for number, target in enumerate(targets):
        alone = compare(MODEL, IMAGES, target=target, preprocessing=PREPARED, names=NAMES)
        assert alone.table() == result.table()[number::4]
    assert result.figure(width=WIDTH)


def test_a_layer_alone_is_its_strongest_channel():
    alone = compare(MODEL, IMAGES, layer="relu3", preprocessing=PREPARED)
    best = MODEL.values(IMAGES)["relu3"].flatten(2).amax(2).argmax(1).tolist()
    assert [one.unit.channel for one in alone.units] == best
    both = compare(MODEL, IMAGES, layer="relu", channel=2, preprocessing=PREPARED)
    target = compare(MODEL, IMAGES, target=Unit("relu", 2), preprocessing=PREPARED)
    assert both.table() == target.table()
    with pytest.raises(ValueError, match="channel 2 was given without its layer"):
        compare(MODEL, IMAGES, channel=2, preprocessing=PREPARED)
    with pytest.raises(ValueError, match="a target was given, and a layer"):
        compare(MODEL, IMAGES, layer="relu", target=1, preprocessing=PREPARED)


def test_signs_are_rows_and_are_drawn_for_every_rule():
    result = compare(MODEL, IMAGES[:1], target=2, sign=SIGNS, preprocessing=PREPARED)
    figure = result.figure(width=WIDTH)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words[5:] == ["positive", "negative", "absolute value"]
    assert len(figure.axes[0].images) == 1 + len(SIGNS) * len(METHODS)
    one = compare(MODEL, IMAGES[:1], target=2, sign="positive", preprocessing=PREPARED).figure()
    assert any(text.get_text().endswith("positive") for text in one.axes[0].texts)
    with pytest.raises(ValueError, match="sign='minus' was given, expected some of all, positive"):
        compare(MODEL, IMAGES, sign="minus", preprocessing=PREPARED)


def test_nothing_is_compared_by_no_rule():
    with pytest.raises(ValueError, match="no rectifiers were given"):
        compare(MODEL, IMAGES, rectifiers=[], preprocessing=PREPARED)
