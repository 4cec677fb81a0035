"""Mining equals a full sort of all activations, bit for bit."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet.mining.mine import minable, mine
from tests.support.mined import SIZE, WINDOWS, K, Pictures, Ties, box, pictures, rows, slow

pytestmark = pytest.mark.filterwarnings("ignore:.*activations were NaN:UserWarning")


def mined(tmp_path, model, images, layers=None, **arguments):
    path = tmp_path / "top.h5"
    return mine(model, Pictures(images), path, layers, **{"k": K, "batch_size": 4, **arguments})


def in_batches(model, images, size):
    """The values of every node, from the microbatches that mining runs: padded with zeros."""
    found = []
    for some in images.split(size):
        padded = F.pad(some, (0,) * 7 + (size - len(some),))
        found.append({name: value[: len(some)] for name, value in model.values(padded).items()})
    return {name: torch.cat([values[name] for values in found]) for name in found[0]}


@torch.no_grad()
def differences(store, values, sort=slow, k=K):
    """The layers whose table is not the sorted list of all activations."""
    assert set(store) == set(values)
    return [name for name in values if rows(store[name]) != sort(values[name], k)]


@pytest.mark.parametrize("batch_size", range(1, 8))
def test_equals_a_full_sort_whatever_the_batch_size(tmp_path, batch_size):
    model, images = Ties().eval(), pictures()  # 11: the last batch is ragged
    values = model.values(images)  # few bits each, so exact in every batch shape
    store = mined(tmp_path, model, images, list(values), batch_size=batch_size)
    assert differences(store, values) == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [1, 20])
def test_equals_a_full_sort_of_gaussian_networks(tmp_path, seed, k):
    """20 of 11 images: every table has empty slots."""
    model, images = Ties(quantised=False, seed=seed).eval(), pictures(seed=seed)
    values = in_batches(model, images, 4)
    store = mined(tmp_path, model, images, list(values), k=k)
    assert differences(store, values, k=k) == []
    for name in values:
        kept = {len(channel) for channel in rows(store[name])}
        assert kept <= {min(k, 10), min(k, 11)}, name


def last_position(value, position):
    return -value, -position


def float_topk(values, k):
    """The tempting wrong way: torch.topk on the maxima leaves the order of ties open."""
    maps = values.flatten(2) if values.ndim > 2 else values[..., None]
    maxima, places = maps.nan_to_num(nan=-math.inf).max(2)
    strongest, images = maxima.T.topk(min(k, len(maps)))
    table = []
    for channel, (some, chosen) in enumerate(zip(strongest, images, strict=True)):
        spots = [int(places[image, channel]) for image in chosen]
        width = values.shape[-1] if values.ndim > 2 else 1
        where = [divmod(p, width) if values.ndim > 2 else (-1, -1) for p in spots]
        pairs = zip(some.tolist(), chosen.tolist(), where, strict=True)
        table.append([(value + 0.0, image, *at) for value, image, at in pairs])
    return table


WRONG = {
    "the last of equal positions": lambda v, k: slow(v, k, place=last_position),
    "ties by the larger image": lambda v, k: slow(v, k, ties=-1),
    "torch.topk on floats": float_topk,
    "rectified in place before it was looked at": lambda v, k: slow(v.clamp(min=0), k),
    "NaN is infinite": lambda v, k: slow(v.nan_to_num(nan=math.inf), k),
    "NaN is lowest": lambda v, k: slow(v.nan_to_num(nan=-math.inf), k),
    "a NaN spoils its map": lambda v, k: slow(
        torch.where(v.flatten(1).isnan().any(1).view(-1, *[1] * (v.ndim - 1)), math.nan, v), k
    ),
    "one image too few": lambda v, k: slow(v[:-1], k),
    "-0.0 is below 0.0": lambda v, k: slow(
        v, k, place=lambda value, p: (-value, math.copysign(1, value), p)
    ),
    "images counted from the batch": lambda v, k: slow(v, k, images=[i % 4 for i in range(len(v))]),
    "columns for rows": lambda v, k: [
        [(a, i, c, r) for a, i, r, c in channel] for channel in slow(v, k)
    ],
}


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    model, images = Ties().eval(), pictures()
    values = model.values(images)
    return mined(tmp_path_factory.mktemp("right"), model, images, list(values), k=20), values


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_the_comparison_catches(right, wrong):
    store, values = right
    assert differences(store, values, k=20) == []
    assert differences(store, values, wrong, k=20) != []


def test_the_network_has_what_it_should(right):
    """Ties, dead units, negative units, signed zeros and NaN stand in the tables."""
    store, values = right
    assert {entry[0] for entry in rows(store["conv1"])[0]} == {0.0}
    assert np.nanmax(store["conv1"].activation[1]) < 0
    assert store["relu1"].nonzero[:2].tolist() == [0, 0]
    assert store["relu1"].nonzero[2:].min() > 0
    strongest = store["conv1"]
    assert (np.diff(strongest.activation[2:, :K]) == 0).any()
    values = values["mul"][values["mul"] == 0]
    assert {math.copysign(1, v) for v in values.tolist()} == {1.0, -1.0}
    assert (store["fc1"].image != 3).all()  # NaN all over
    assert (store["fc1"].nan == 1).all()


def test_convolutions_keep_what_stood_before_the_rectifier(right):
    """All are in place, or functional, or behind a residual."""
    store, _ = right
    for name in ("conv1", "conv2", "conv3", "add_1", "fc1"):
        assert np.nanmin(store[name].activation) < 0, name
    for name in ("relu1", "relu", "relu3", "relu_1"):
        assert np.nanmin(store[name].activation) == 0, name


@pytest.mark.parametrize("name", WINDOWS)
def test_boxes(right, name):
    table = right[0][name]
    places = zip(table.image.ravel(), table.row.ravel(), table.col.ravel(), strict=True)
    expected = [box(name, r, c) if i >= 0 else (-1,) * 4 for i, r, c in places]
    assert [tuple(one) for one in table.box.reshape(-1, 4).tolist()] == expected
    assert len(set(expected)) > 2
    padded = [seen for seen in expected if 0 in seen[:2]]
    assert padded, "no unit at the border: nothing is clipped"


def test_boxes_of_fully_connected_units(right):
    table = right[0]["fc2"]
    full = table.image >= 0
    assert (table.box[full] == (0, 0, *SIZE)).all()
    assert (table.row == -1).all()
    assert (table.size, table.channels) == ((), 3)


def test_counts(right):
    store, values = right
    for name, value in values.items():
        maps = value.detach().transpose(0, 1).flatten(1).double()
        np.testing.assert_allclose(store[name].mean, maps.nanmean(1).numpy(), rtol=1e-6)
        assert store[name].nan.tolist() == maps.isnan().sum(1).tolist()
        alive = (value.flatten(2) if value.ndim > 2 else value[..., None]) > 0
        assert store[name].nonzero.tolist() == alive.any(2).double().mean(0).tolist()


def test_the_default_layers():
    model = Ties()
    expected = [
        "conv1",
        "relu1",
        "conv2",
        "relu",
        "conv3",
        "add_1",
        "relu3",
        "fc1",
        "relu_1",
        "fc2",
    ]
    assert minable(model, (3, *SIZE)) == expected


class ChannelsLast(nn.Module):
    """A block of ConvNeXt: its fully connected layers work on (batch, rows, cols, channels)."""

    def __init__(self):
        super().__init__()
        self.conv, self.linear, self.act = nn.Conv2d(3, 4, 3), nn.Linear(4, 6), nn.GELU()

    def forward(self, x):
        return self.act(self.linear(self.conv(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


def test_rows_are_not_taken_for_channels(tmp_path):
    model, images = ChannelsLast().eval(), torch.rand(2, 3, 8, 8)
    assert minable(model, (3, 8, 8)) == ["conv"]
    for name in ("linear", "act"):
        with pytest.raises(ValueError, match=rf"{name} cannot be mined.*channels, rows"):
            mined(tmp_path, model, images, [name])
    assert mined(tmp_path, model, images, ["permute_1"])["permute_1"].channels == 6
