"""Exemplars: crops of the right images at the right places, and what of them was responded to."""

import numpy as np
import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Preprocessing, Unit
from deconvnet.mining.exemplars import project_exemplars
from deconvnet.mining.mine import mine
from deconvnet.units import Exemplar
from tests.support.mined import SIZE, WINDOWS, Pictures, Ties, box, pictures

PREPARED = Preprocessing(SIZE, None, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
LAYERS = ("conv1", "relu", "relu3", "fc2")


class Branches(nn.Module):
    """A join whose channels see 2, or 10, pixels of the image along each axis."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 2, stride=2)
        self.narrow = nn.Conv2d(4, 3, 1)
        self.wide = nn.Conv2d(4, 3, 5, padding=2)

    def forward(self, x):
        x = self.stem(x)
        return torch.cat([self.narrow(x), self.wide(x)], 1)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Store, mirrored network and data set of an untied network."""
    model, images = Ties(quantised=False).eval(), pictures(nan=False)
    path = tmp_path_factory.mktemp("work") / "top.h5"
    store = mine(model, Pictures(images), path, LAYERS, 4, 4)
    return store, DeconvNet(model, "deconvnet"), images


def drawn(work, layer, channels, images=None, *, net=None, **options):
    store, own, known = work
    data = Pictures(known if images is None else images, **options)
    return project_exemplars(
        store, layer, channels, net=net or own, dataset=data, preprocessing=PREPARED
    )


@pytest.mark.parametrize("layer", LAYERS)
def test_patches_are_crops_of_the_images(work, layer):
    store, _, images = work
    table = store[layer]
    found = drawn(work, layer, range(table.channels))
    assert list(found) == list(range(table.channels))
    colours = [torch.tensor(c).view(3, 1, 1) for c in (PREPARED.std, PREPARED.mean)]
    count = 0
    for channel, those in found.items():
        assert [e.activation for e in those] == [a for a in table.activation[channel] if a > 0]
        for slot, e in enumerate(those):
            assert e.unit.image == table.image[channel, slot]
            row, col = table.row[channel, slot], table.col[channel, slot]
            whole = (0, 0, *SIZE)
            top, left, bottom, right = box(layer, row, col) if layer in WINDOWS else whole
            crop = images[e.unit.image, :, top:bottom, left:right]
            crop = (crop * colours[0] + colours[1]).clamp(0, 1).permute(1, 2, 0)
            np.testing.assert_array_equal(e.patch, crop.numpy())
            assert (e.box.top, e.box.left, e.box.bottom, e.box.right) == (top, left, bottom, right)
            count += 1
    assert count > 4


@pytest.mark.parametrize("layer", LAYERS)
def test_projections_are_those_of_the_network(work, layer):
    store, net, images = work
    found = drawn(work, layer, range(store[layer].channels))
    for channel, those in found.items():
        for e in those:
            unit = Unit.at(layer, channel, position=e.unit.position)
            whole = net.project(images[e.unit.image][None], units=[unit])[0]
            assert_close(e.projection, cut(whole, e.box))
            other = net.project(images[e.unit.image - 1][None], units=[unit])[0]
            with pytest.raises(AssertionError):
                assert_close(e.projection, cut(other, e.box))


def cut(pixels, seen):
    return pixels[(slice(None), *seen.slices)].permute(1, 2, 0).numpy()


def assert_close(found, expected):
    """Up to what another batch shape changes, relative to the greatest value."""
    height = np.abs(expected).max()
    assert height > 0, "a projection of zeros proves nothing"
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * float(height))


def full_field(layer, position):
    """First pixel and length of the field along each axis, as if the image had no border."""
    found = []
    for place in position:
        first, last = place, place
        for kernel, stride, padding in reversed(WINDOWS[layer]):
            first = first * stride - padding
            last = last * stride - padding + kernel - 1
        found.append((first, last + 1 - first))
    return found


def standing(e, fields):
    """Whether a crop laid on its canvas stands where it stood in the image around it."""
    around = np.full((60, 60, 3), np.nan, dtype=np.float32)  # 20 pixels of nothing on each side
    top, left = 20 + e.box.top, 20 + e.box.left
    around[top : top + e.box.size[0], left : left + e.box.size[1]] = e.patch
    # a field as large as the image is laid on a canvas of the image's size
    corner = [first if length < n else 0 for (first, length), n in zip(fields, SIZE, strict=True)]
    place = [20 + c + o for c, o in zip(corner, e.overhang, strict=True)]
    rows, cols = (slice(p, p + n) for p, n in zip(place, e.box.size, strict=True))
    return np.array_equal(around[rows, cols], e.patch)


@pytest.mark.parametrize("layer", ["conv1", "relu", "relu3"])
def test_overhang_puts_crops_at_their_place(work, layer):
    found = drawn(work, layer, range(work[0][layer].channels))
    those = [e for some in found.values() for e in some]
    assert all(standing(e, full_field(layer, e.unit.position)) for e in those)
    if layer != "relu3":  # fields larger than the image
        assert any(e.overhang != (0, 0) for e in those), "no crop is clipped above or on the left"
    for e in those:
        wrong = Exemplar(**{**vars(e), "overhang": (e.overhang[0], e.overhang[1] + 1)})
        assert not standing(wrong, full_field(layer, e.unit.position))


def test_the_channels_of_a_join_stand_in_its_field(tmp_path):
    torch.manual_seed(0)
    model, images = Branches().eval(), torch.randn(5, 3, 20, 24)
    data = Pictures(images)
    store = mine(model, data, tmp_path / "a.h5", ["cat"], 5)
    prepared = Preprocessing((20, 24), None)
    net = DeconvNet(model)
    found = project_exemplars(store, "cat", range(6), net=net, dataset=data, preprocessing=prepared)
    narrow = [e for channel in (0, 1, 2) for e in found[channel]]
    assert narrow
    for e in narrow:
        assert e.box.size == (2, 2)
        mined = store["cat"].box[e.unit.channel, store["cat"].image[e.unit.channel] == e.unit.image]
        assert mined.tolist() == [[e.box.top, e.box.left, e.box.bottom, e.box.right]]
        assert e.overhang == (4, 4)  # in the middle of ten pixels
    for e in (e for channel in (3, 4, 5) for e in found[channel]):
        assert e.overhang == tuple(max(0, 4 - 2 * p) for p in e.unit.position)


def test_dead_channels_and_resting_images_have_no_exemplars(work):
    store, *_ = work
    assert drawn(work, "conv1", [0, 1]) == {0: [], 1: []}
    assert (store["conv1"].activation[1] < 0).all()


def test_a_channel_named_twice_is_drawn_once(work):
    assert len(drawn(work, "relu", [1, 1])[1]) == len(drawn(work, "relu", [1])[1]) > 0


def test_images_go_up_a_few_at_a_time(work, monkeypatch):
    whole = drawn(work, "relu3", range(5))
    monkeypatch.setattr("deconvnet.mining.exemplars.AT_ONCE", 2)
    for channel, those in drawn(work, "relu3", range(5)).items():
        for e, known in zip(those, whole[channel], strict=True):
            assert (e.unit, e.box, e.overhang) == (known.unit, known.box, known.overhang)
            assert_close(e.projection, known.projection)


# --- what has changed since ---------------------------------------------------------------------


def changed(images, how):
    images = images.clone()
    how(images)
    return images


CHANGED = {
    "another order": (lambda x: x.copy_(x.flip(0)), "the data set has changed since it was mined"),
    "an image brighter": (lambda x: x[:].mul_(1.1), "has changed"),
    "NaN pixels": (lambda x: x[:, :, ::3].fill_(torch.nan), "has changed.* is nan"),
}


@pytest.mark.parametrize(("how", "message"), CHANGED.values(), ids=CHANGED)
@pytest.mark.parametrize("layer", LAYERS)
def test_another_data_set_is_refused(work, layer, how, message):
    with pytest.raises(ValueError, match=message):
        drawn(work, layer, range(1, work[0][layer].channels), changed(work[2], how))


def test_the_last_bits_may_differ(work):
    drawn(work, "relu", range(5), changed(work[2], lambda x: x.mul_(1 + 1e-6)))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (lambda x: x[:2], r"image \d+ of the store is not in the data set, which has 2; mine"),
        (lambda x: x[..., :-1], r"images of \(3, 17, 13\); of \(3, 17, 14\) were mined"),
        (lambda x: x[:0], "data set of 0 images gives none"),
    ],
)
def test_a_smaller_data_set_is_refused(work, images, message):
    with pytest.raises(ValueError, match=message):
        drawn(work, "relu", range(5), images(work[2]))


def test_an_image_that_is_gone_is_named(work):
    image = drawn(work, "relu", [1])[1][0].unit.image
    with pytest.raises(ValueError, match=f"'{image}.jpg' cannot be used"):
        drawn(work, "relu", [1], broken=[image])


def test_another_model_is_refused(work):
    other = DeconvNet(Ties(quantised=False, seed=1).eval())
    with pytest.raises(ValueError, match="has changed since it was mined, or the model: relu:1@"):
        drawn(work, "relu", [1], net=other)
    with pytest.raises(KeyError, match="no layer is called 'relu3'"):
        drawn(work, "relu3", [1], net=DeconvNet(Branches()))
    small = Ties(quantised=False)
    small.fc2 = nn.Linear(7, 1)
    with pytest.raises(IndexError, match="fc2 has no channel 1; its channels are 0 to 0"):
        drawn(work, "fc2", [1], net=DeconvNet(small.eval()))


@pytest.mark.parametrize("channel", [-1, 5])
def test_wrong_layers_and_channels(work, channel):
    with pytest.raises(KeyError, match=r"no layer 'relu2' .* did you mean 'relu"):
        drawn(work, "relu2", [0])
    with pytest.raises(IndexError, match=f"relu has no channel {channel}; its channels are 0 to 4"):
        drawn(work, "relu", [channel])


def test_exemplars_ranked_by_the_mean_start_with_the_value_at_their_position(tmp_path):
    model, images = Ties(quantised=False).eval(), torch.rand(9, 3, *SIZE) * 2 - 1
    store = mine(model, list(images), tmp_path / "a.h5", ["relu1"], 3, rank="mean")
    net = DeconvNet(model, "deconvnet")
    made = project_exemplars(
        store, "relu1", range(6), net=net, dataset=list(images), preprocessing=PREPARED
    )
    table, count = store["relu1"], 0
    for channel, those in made.items():
        for slot, one in zip(np.flatnonzero(table.has_picture[channel]), those, strict=True):
            assert one.activation == table.peak[channel, slot] > table.activation[channel, slot]
            count += 1
    assert count == table.has_picture.sum() > 6
