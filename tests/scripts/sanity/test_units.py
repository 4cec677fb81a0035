"""The rows of the sanity study of inner units."""

import numpy as np
import pytest
import torch
from torch import nn

import deconvnet as dn
from deconvnet.data import Preprocessing
from scripts.sanity import units

SIDE = 24


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    parts = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU()]
    plain = Preprocessing((SIDE, SIDE), None, mean=(0.0,) * 3, std=(1.0,) * 3)
    net = dn.DeconvNet(nn.Sequential(*parts).eval(), preprocessing=plain)
    images = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    return units.Case("tiny", net, images, ["a", "b", "c"], "4", (0, 1))


def test_the_strongest_unit_of_the_central_half(case):
    maps = case.net.record(case.images, "4")["4"]
    assert maps.shape[2:] == (9, 9)
    for image, unit in enumerate(units.strongest(case)):
        assert 2 <= min(unit.position)
        assert max(unit.position) < 7
        value = maps[image, unit.channel, unit.row, unit.col]
        assert value == maps[image, :, 2:7, 2:7].max()


def test_a_row_is_a_mean_over_images_and_draws(case):
    results = [units.checked(case, seed, progress=False) for seed in case.draws]
    rows = {row.rule: row for row in units.rows(case, results)}
    assert set(rows) == {"gradient", "deconvnet", "guided", "edges", "noise", "constant"}
    guided = rows["guided"]
    both = np.stack([one.similarity["ssim"]["guided"] for one in results])
    assert both.shape == (2, 2, 3)  # draws, stages, images
    assert guided.ssim == pytest.approx(both[:, -1].mean())
    assert guided.all_but_one == guided.top == pytest.approx(both[:, 0].mean())
    assert guided.half > 0
    assert (guided.images, guided.draws, guided.target) == (3, 2, "units of 4")
    assert rows["edges"].ssim == pytest.approx(1)
    assert abs(rows["noise"].ssim) < 0.2
    assert np.isnan(rows["noise"].pair)
    assert -1 <= rows["gradient"].pair < 0.9


def test_two_draws_of_the_same_weights_would_be_noticed(case):
    """The planted wrong case of "two random nets": one net, compared with itself."""
    one = units.checked(case, 0, progress=False)
    rows = {row.rule: row for row in units.rows(case, [one, one])}
    assert rows["guided"].pair == pytest.approx(1)
    assert rows["guided"].pair_ranks == pytest.approx(1)


def test_the_first_image_alone_is_drawn(case):
    result = units.first_image(units.checked(case, 0, progress=False))
    assert len(result.pictures) == 1
    assert {states.shape[1] for states in result.maps.values()} == {1}
    assert len(result.names) == 3  # the curves are of all


def test_the_embedded_networks_cases():
    cases = units.embedded(3)
    assert [case.target for case in cases] == ["class scores", "units of relu5", "units of relu3"]
    assert cases[0].images.shape == (3, 3, 96, 96)
    assert len(set(cases[0].names)) == 3
