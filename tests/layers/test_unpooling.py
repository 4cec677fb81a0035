"""Unpooling without switches, against the windows written out by hand."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from deconvnet import DeconvNet
from deconvnet.layers import TABLE, Policies, rectifier
from deconvnet.layers.pooling import AdaptiveMaxPooling, MaxPooling
from deconvnet.layers.unpooling import Switches, unpool


def slowly(layer, signal, size, how):
    """Every value of every window by itself, as Mahendran & Vedaldi and Springenberg say it."""
    below = torch.zeros(size, dtype=signal.dtype)
    axes = len(size) - 2
    for place in itertools.product(*(range(n) for n in signal.shape[2:])):
        cells = []
        for axis in range(axes):
            first = place[axis] * layer.stride[axis] - layer.padding[axis]
            taps = [first + t * layer.dilation[axis] for t in range(layer.kernel[axis])]
            inside = [cell for cell in taps if 0 <= cell < size[2 + axis]]
            middle = -(-layer.kernel[axis] // 2) - 1
            nearest = min(max(taps[middle], 0), size[2 + axis] - 1)
            cells.append([nearest] if how == "centre" else inside)
        count = 1
        for one in cells:
            count *= len(one)
        for cell in itertools.product(*cells):
            below[(slice(None), slice(None), *cell)] += (
                signal[(slice(None), slice(None), *place)] / count
            )
    return below


@pytest.mark.parametrize("how", ["centre", "uniform"])
@pytest.mark.parametrize(
    "size", [(2, 3, 11), (2, 3, 11, 12), (1, 2, 5, 6, 7)], ids=["1-D", "2-D", "3-D"]
)
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        {"kernel_size": 2, "stride": 1, "dilation": 2},
    ],
    ids=str,
)
def test_every_window_sends_its_value_where_the_policy_says(how, size, options):
    images = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    pool = {3: F.max_pool1d, 4: F.max_pool2d, 5: F.max_pool3d}[len(size)]
    layer, inputs = TABLE[pool](images, **options)
    layer = layer.under(Policies(rectifier("deconvnet"), unpooling=how))
    output, record = layer.record(*inputs)
    assert torch.equal(output, pool(images, **options))
    signal = torch.randn_like(output)
    (found,) = layer.mirror(signal, record)
    torch.testing.assert_close(found, slowly(layer, signal, size, how), rtol=1e-12, atol=1e-12)
    other = slowly(layer, signal, size, "uniform" if how == "centre" else "centre")
    assert not torch.allclose(found, other)
    assert found.sum().item() == pytest.approx(signal.sum().item())
    rows = torch.tensor([0, 0, size[0] - 1])
    (taken,) = layer.mirror(signal[rows], record.take(rows))
    torch.testing.assert_close(taken, found[rows])


@pytest.mark.parametrize("how", ["centre", "uniform"])
def test_adaptive_bins(how):
    images = torch.arange(14.0, dtype=torch.float64).view(1, 1, 2, 7)
    layer = AdaptiveMaxPooling((1, 3), unpooling=how)
    output, record = layer.record(images)
    (found,) = layer.mirror(torch.ones_like(output), record)
    # bins of 7 cells in 3: [0, 3), [2, 5), [4, 7)
    thirds = torch.tensor([1, 1, 2, 1, 2, 1, 1], dtype=torch.float64) / 6
    row = torch.tensor([0.0, 1, 0, 1, 0, 1, 0], dtype=torch.float64)
    expected = torch.stack([row, 0 * row]) if how == "centre" else torch.stack([thirds, thirds])
    torch.testing.assert_close(found[0, 0], expected)


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
def test_either_layout_gives_the_same_signal_and_leaves_the_switches_alone(kind):
    maps = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    pooled, places = F.max_pool2d(maps, 3, 2, return_indices=True)
    record = Switches(places.to(kind), maps.shape)
    signal = torch.randn_like(pooled)
    plain = unpool(signal, record)
    last = unpool(signal.contiguous(memory_format=torch.channels_last), record)
    torch.testing.assert_close(last, plain, rtol=1e-12, atol=1e-12)
    assert last.sum().item() == pytest.approx(signal.sum().item())
    assert torch.equal(record.places, places.to(kind))


def test_only_switches_depend_on_the_image():
    torch.manual_seed(1)
    pool = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2))
    images = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    for how, same in (("switches", False), ("centre", True), ("uniform", True)):
        net = DeconvNet(pool, "deconvnet", unpooling=how)
        one, other = net.project(images, layer="2", channel=1, position=(2, 2), seed="one")
        assert torch.equal(one, other) is same


def test_desalinets_eight_presets_are_one_line_each_and_all_differ():
    """Mahendran & Vedaldi 2016: [rectifier's mask][pooling's switches][rectified backward]."""
    rectifiers = {"TT": "guided", "FT": "deconvnet", "TF": "gradient", "FF": "identity"}
    torch.manual_seed(0)
    # two rectifiers below the pool: at the upper one the switches already imply the mask
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.LocalResponseNorm(3),
        torch.nn.Conv2d(6, 6, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2),
        torch.nn.Conv2d(6, 6, 3),
    )  # fmt: skip
    image = torch.randn(1, 3, 16, 16)
    found = {}
    for mask, switches, backward in itertools.product("TF", repeat=3):
        net = DeconvNet(
            model,
            rectifiers[mask + backward],
            unpooling="switches" if switches == "T" else "centre",
            normalization="identity",
        )
        found[mask + switches + backward] = net.project(
            image, layer="6", channel=2, position=(2, 2), seed="one"
        )
    for (_, one), (_, other) in itertools.combinations(found.items(), 2):
        assert not torch.allclose(one, other)


def test_an_unknown_unpooling_is_refused():
    with pytest.raises(ValueError, match="'middle'.*switches"):
        DeconvNet(torch.nn.Conv2d(3, 4, 3), unpooling="middle")
    assert MaxPooling((2,), (2,), (0,), (1,)).unpooling == "switches"
