"""Which units the benchmark takes, and that it times nothing whose results differ."""

from types import SimpleNamespace

import pytest
import torch

from tests.support.benchmarked import case, cases, noise, put_tiny, runners, whole


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    return put_tiny(monkeypatch)


@pytest.mark.parametrize("share", ["a", "b"])
def test_the_units_are_the_strongest_of_their_channel(tiny, share):
    one = case(share=share)
    images = noise(one.distinct)
    units = cases.units_of(one, tiny, images)
    assert len(units) == one.units == 6
    assert len({unit.channel for unit in units}) == 2
    expected = [0, 1, 2, 3, 4, 5] if share == "a" else [0, 1, 2, 0, 1, 2]
    assert [unit.image for unit in units] == expected
    maps = tiny[:5](images)
    for unit in units:
        value = maps[unit.image, unit.channel, unit.row, unit.col]
        assert value == maps[unit.image, unit.channel].max() > 0
    assert len({unit.position for unit in units}) > 1


def test_dead_channels_are_not_asked_for(tiny):
    with torch.no_grad():
        tiny[3].bias[:7] = -1e3
    (unit,) = cases.units_of(case(channels=1, images=1), tiny, noise(1))
    assert unit.channel == 7
    with pytest.raises(ValueError, match="of 8 channels only 1 respond to all of 3 images and 1"):
        cases.units_of(case(), tiny, noise(6))


def test_photographs_differ_and_are_nowhere_flat():
    shown = cases.Pictures(20, side=32)
    assert len(shown) == 20
    assert shown[3].shape == (3, 32, 32)
    assert len({float(image.sum()) for image in shown.images}) == 20
    assert (shown.images.diff(dim=3) == 0).float().mean() < 1e-3
    assert torch.equal(shown.images, cases.Pictures(20, side=32).images)
    with pytest.raises(ValueError, match="9999 images were asked for, the photographs give"):
        cases.Pictures(9999, side=2)


def test_every_row_of_the_issue_is_there(monkeypatch):
    monkeypatch.undo()
    every = list(cases.cases())
    assert {(c.network, c.layer) for c in every} == {
        *(("alexnet", f"features.{n}") for n in (4, 7, 9, 11)),
        *(("vgg16", f"features.{n}") for n in (15, 22, 29)),
        *(("resnet50", f"layer{a}.{b}.relu_2") for a, b in ((1, 2), (2, 3), (3, 5))),
    }
    assert {(c.rule, c.share) for c in every} == {
        ("deconvnet", "a"), ("guided", "a"), ("deconvnet", "b"),
    }  # fmt: skip
    assert all(c.units == 72 and c.distinct == (72 if c.share == "a" else 9) for c in every)
    assert len({c.key for c in every}) == len(every) == 30


def scaled(case, model, images, units):
    return whole(case, model, images, units) * 1.001


def one_pixel_off(case, model, images, units):
    maps = whole(case, model, images, units)
    maps[-1] = maps[-1].roll(1, -1)
    return maps


def beyond_the_field(case, model, images, units):
    maps = whole(case, model, images, units)
    place = (maps[0].abs().amax(0) == 0).nonzero()[0]  # a pixel that the unit does not see
    maps[0, :, place[0], place[1]] = maps.abs().max() / 1000
    return maps


def other_rule(case, model, images, units):
    other = {"deconvnet": "guided", "guided": "deconvnet"}[case.rule]
    return whole(SimpleNamespace(rule=other), model, images, units)


def nothing(case, model, images, units):
    return torch.zeros_like(whole(case, model, images, units))


def not_a_number(case, model, images, units):
    return torch.full_like(whole(case, model, images, units), torch.nan)


@pytest.mark.parametrize("rule", cases.RULES)
def test_equal_results_pass(tiny, rule):
    one, images = case(rule), noise(6)
    units = cases.units_of(one, tiny, images)
    found = runners.compare(one, tiny, images, units=units, peer=whole)
    assert found == {"error": found["error"], "tied": 0, "exact": 0.0}
    assert 0 <= found["error"] < 1e-6


WRONG = (scaled, one_pixel_off, beyond_the_field, other_rule, nothing, not_a_number)


@pytest.mark.parametrize("peer", WRONG, ids=lambda peer: peer.__name__)
@pytest.mark.parametrize("rule", cases.RULES)
def test_other_results_are_an_error(tiny, rule, peer):
    """Planted: every way in which results can differ, where a right peer passes."""
    one, images = case(rule), noise(6)
    units = cases.units_of(one, tiny, images)
    with pytest.raises(ValueError, match=rf"tiny,4,{rule},a: the results of unit .* in float64"):
        runners.compare(one, tiny, images, units=units, peer=peer)


def test_what_float32_cannot_tell_is_settled_in_float64(tiny):
    def coarse(case, model, images, units):
        maps = whole(case, model, images, units)
        if maps.dtype == torch.float32:
            maps[1] = maps[1].roll(1, -1)
        return maps

    one, images = case(), noise(6)
    units = cases.units_of(one, tiny, images)
    found = runners.compare(one, tiny, images, units=units, peer=coarse)
    assert found["tied"] == 1
    assert found["exact"] < 1e-12
    assert next(tiny.parameters()).dtype == torch.float32


@pytest.mark.parametrize("share", ["a", "b"])
@pytest.mark.parametrize("rule", cases.RULES)
def test_captum_gives_the_same(tiny, rule, share):
    pytest.importorskip("captum", reason='captum is not installed: pip install -e ".[bench]"')
    one = case(rule, share)
    images = noise(one.distinct)
    units = cases.units_of(one, tiny, images)
    assert runners.compare(one, tiny, images, units=units)["tied"] == 0
    maps = runners.captum_of(one, tiny, images, units)
    few = runners.captum(tiny, "4", images, units=units, rule=rule, together=2)
    torch.testing.assert_close(maps, few)
    assert not any(p.requires_grad for p in tiny.parameters())
