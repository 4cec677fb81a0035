"""Which units the benchmark takes, and that it times nothing whose results differ."""

from dataclasses import replace

import pytest
import torch
import torchvision

from scripts.benchmarks import inputs, memory, peers, projections
from scripts.benchmarks.projections import multiply_adds
from scripts.benchmarks.rows import ROWS
from scripts.benchmarks.timing import Setup
from tests.support.benchmarked import noise, whole

RULES = ("deconvnet", "guided")
PUBLISHED = {"alexnet": 0.714, "vgg16": 15.47, "resnet50": 4.089}


@pytest.mark.parametrize("share", ["a", "b"])
def test_the_units_are_the_strongest_of_their_channel(tiny, row, share):
    one = row(share=share)
    images = noise(one.distinct)
    units = one.units(tiny, images)
    assert len(units) == 6
    assert len({unit.channel for unit in units}) == 2
    expected = [0, 1, 2, 3, 4, 5] if share == "a" else [0, 1, 2, 0, 1, 2]
    assert [unit.image for unit in units] == expected
    maps = tiny[:5](images)
    for unit in units:
        value = maps[unit.image, unit.channel, unit.row, unit.col]
        assert value == maps[unit.image, unit.channel].max() > 0
    assert len({unit.position for unit in units}) > 1


def test_dead_channels_are_passed_over(tiny, row):
    with torch.no_grad():
        tiny[3].bias[:7] = -1e3
    (unit,) = row(channels=1, images=1).units(tiny, noise(1))
    assert unit.channel == 7
    with pytest.raises(ValueError, match="of 8 channels only 1 respond to all of 3 images and 1"):
        row().units(tiny, noise(6))


def test_photographs_differ_and_are_nowhere_flat():
    shown = inputs.Pictures(20, side=32)
    assert shown[3].shape == (3, 32, 32)
    assert len({float(image.sum()) for image in shown.images}) == 20
    assert (shown.images.diff(dim=3) == 0).float().mean() < 1e-3
    assert torch.equal(shown.images, inputs.Pictures(20, side=32).images)
    with pytest.raises(ValueError, match="9999 images were asked for, the photographs give"):
        inputs.Pictures(9999, side=2)


def test_the_rows_are_the_published_ones():
    units = [row for row in ROWS if isinstance(row, projections.Projections)]
    assert {(row.network, row.layer) for row in units} >= {
        *(("alexnet", f"features.{n}") for n in (4, 7, 9, 11)),
        *(("vgg16", f"features.{n}") for n in (15, 22, 29)),
        *(("resnet50", f"layer{a}.{b}.relu_2") for a, b in ((1, 2), (2, 3), (3, 5))),
    }
    ways = {(row.rule, row.share) for row in units if row.network == "vgg16"}
    assert ways == {("deconvnet", "a"), ("guided", "a"), ("deconvnet", "b")}
    assert all(row.distinct == (72 if row.share == "a" else 9) for row in units)
    assert len({row.key for row in ROWS}) == len(ROWS)


def beyond_the_field(maps):
    place = (maps[0].abs().amax(0) == 0).nonzero()[0]  # a pixel that the unit does not see
    maps[0, :, place[0], place[1]] = maps.abs().max() / 1000
    return maps


def one_pixel_off(maps):
    maps[-1] = maps[-1].roll(1, -1)
    return maps


WRONG = {
    "scaled": lambda maps: maps * 1.001,
    "one pixel off": one_pixel_off,
    "beyond the field": beyond_the_field,
    "nothing": torch.zeros_like,
    "not a number": lambda maps: maps * torch.nan,
    "another rule": None,
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("rule", RULES)
def test_other_results_are_an_error(tiny, row, rule, name):
    """Planted: every way in which results can differ, where a right peer passes."""
    one, images = row(rule), noise(6)
    units = one.units(tiny, images)

    def wrong(row, *asked):
        if name == "another rule":
            return whole(replace(row, rule=RULES[rule == "deconvnet"]), *asked)
        return WRONG[name](whole(row, *asked))

    found = peers.compare(one, tiny, images, units=units, peer=whole)
    assert found == {"error": found["error"], "tied": 0, "exact": 0.0}
    assert 0 <= found["error"] < 1e-6
    with pytest.raises(ValueError, match=rf"tiny,4,{rule},a: the maps of unit .* in float64"):
        peers.compare(one, tiny, images, units=units, peer=wrong)


def test_what_float32_cannot_tell_is_settled_in_float64(tiny, row):
    def coarse(row, model, images, units):
        maps = whole(row, model, images, units)
        return one_pixel_off(maps) if maps.dtype == torch.float32 else maps

    units = row().units(tiny, noise(6))
    found = peers.compare(row(), tiny, noise(6), units=units, peer=coarse)
    assert found["tied"] == 1
    assert found["exact"] < 1e-12
    assert next(tiny.parameters()).dtype == torch.float32


@pytest.mark.parametrize("share", ["a", "b"])
@pytest.mark.parametrize("rule", RULES)
def test_captum_gives_the_same(tiny, row, rule, share, monkeypatch):
    pytest.importorskip("captum", reason='captum is not installed: pip install -e ".[bench]"')
    one = row(rule, share)
    images = noise(one.distinct)
    units = one.units(tiny, images)
    assert peers.compare(one, tiny, images, units=units)["tied"] == 0
    maps = peers.captum(one, tiny, images, units)
    monkeypatch.setattr(peers, "TOGETHER", 2)
    torch.testing.assert_close(maps, peers.captum(one, tiny, images, units))


@pytest.mark.parametrize("name", PUBLISHED)
def test_multiply_adds_are_those_that_torchvision_publishes(name):
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None).eval()
        count = multiply_adds(model, torch.empty(2, 3, 224, 224))
    assert count / 2e9 == pytest.approx(PUBLISHED[name], rel=1e-3)


def test_a_row_counts_what_was_taken(tiny, row, monkeypatch):
    """The rate is that of the way that ran, against the forward pass of the same round."""
    monkeypatch.setattr(peers, "captum", whole)
    monkeypatch.setattr(peers.compare, "__kwdefaults__", {"peer": whole})
    monkeypatch.setattr(memory, "in_fresh_process", lambda *_: {"peak": 2**20, "results": 1})
    found = row().measure(Setup(rounds=2))
    taken, seconds = found["multiply_adds"]["taken"], found["seconds"]
    assert taken == found["multiply_adds"][found["strategy"]] > 0
    assert found["forwarded"] == 6 * (18 * 18 * 6 * 27 + 6 * 6 * 8 * 54 + 8 * 5)
    assert {side: len(told) for side, told in seconds.items()} == {
        "ours": 2, "captum": 2, "forward": 2, "one": 2, "forward of one": 2
    }  # fmt: skip
    rates = [
        taken / ours * forward / found["forwarded"]
        for ours, forward in zip(seconds["ours"], seconds["forward"], strict=True)
    ]
    columns = projections.Projections.columns
    ones = [
        one / alone for one, alone in zip(seconds["one"], seconds["forward of one"], strict=True)
    ]
    assert columns["one unit of one image / one forward"](found) == projections.spread(ones)
    assert columns["multiply-adds/s (forward = 1)"](found) == projections.spread(rates)
    assert columns["peak MiB: captum"](found) == "1.00"
