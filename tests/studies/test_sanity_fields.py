"""Maps of inner units are compared where the unit looks, not in the zeros around."""

import numpy as np
import pytest
import torch
from torch import nn

import deconvnet as dn
from deconvnet.data import Preprocessing
from deconvnet.studies import sanity_run
from deconvnet.studies.map_similarity import similarities, views

SIDE, FIELD = 40, 9


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    parts = [nn.Conv2d(3, 6, 5), nn.ReLU(), nn.Conv2d(6, 8, 5)]
    plain = Preprocessing((SIDE, SIDE), None, mean=(0.0,) * 3, std=(1.0,) * 3)
    return dn.DeconvNet(nn.Sequential(*parts).eval(), preprocessing=plain)


def checked(net):
    images = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    units = [dn.Unit("2", 3, 10, 12), dn.Unit("2", 5, 20, 4)]
    result = dn.sanity(
        net, images, target=units, rectifiers="gradient", shown=2, progress=False, init="reset"
    )
    return result, units


def test_maps_are_compared_inside_of_the_receptive_field(net):
    """As if each map had been cut at the unit's window, which starts at its position."""
    result, units = checked(net)
    trained, *states = result.maps["gradient"].transpose(0, 1, 4, 2, 3).astype(np.float64)
    for number, unit in enumerate(units):
        window = np.s_[:, unit.row : unit.row + FIELD, unit.col : unit.col + FIELD]
        first = views(trained[number][window])
        for stage, state in enumerate(states):
            right = similarities(first, views(state[number][window]))
            for measure, value in right.items():
                there = result.similarity[measure]["gradient"][stage, number]
                assert there == pytest.approx(value, abs=1e-5, nan_ok=True)
            assert trained[number][window].any()


def test_the_zeros_around_would_be_noticed(net, monkeypatch):
    """The planted wrong case: whole maps are alike for their zeros, whatever the weights are."""
    right, _ = checked(net)
    monkeypatch.setattr(sanity_run.Measured, "_inside", lambda self, one, number: one)
    wrong, _ = checked(net)
    ranks = [one.similarity["absolute spearman"]["gradient"][-1] for one in (right, wrong)]
    assert np.abs(ranks[0]).max() < 0.6
    assert ranks[1].min() > 0.9
    noise = [one.similarity["spearman"]["noise"] for one in (right, wrong)]
    assert not np.allclose(*noise)  # controls are cut alike
    assert "inside the receptive field" in right.caption
