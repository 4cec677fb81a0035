"""Units and boxes: how they are written, read, found, and cut out."""

import pytest
import torch
from torch import nn

from deconvnet import Box, DeconvNet, Unit
from tests.support.networks import noise

WRITTEN = {
    "features.28:42": Unit("features.28", 42),
    "features.28:42@7,7": Unit("features.28", 42, 7, 7),
    "layer1.0.relu_1:0@0,12": Unit("layer1.0.relu_1", 0, 0, 12),
    "video:3@1,2,4": Unit("video", 3, 2, 4, depth=1),
    "sound:3@9": Unit("sound", 3, 9),
    "a:b:3": Unit("a:b", 3),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_a_unit_is_read_as_it_is_written(text):
    assert Unit.parse(text) == WRITTEN[text]
    assert str(WRITTEN[text]) == text


@pytest.mark.parametrize(
    "text",
    ["", "features.28", ":4", "a:", "a:-1", "a:1@", "a:1@2,3,4,5", "a:1@2,", "a:1@-1,2", "a:one"],
)
def test_another_form_is_no_unit(text):
    with pytest.raises(ValueError, match=r"is no unit; write layer:channel"):
        Unit.parse(text)


@pytest.mark.parametrize("position", [(), (1, 2, 3, 4)])
def test_a_position_has_one_to_three_numbers(position):
    with pytest.raises(ValueError, match=r"the position was \(.*give \(row, col\)"):
        Unit.at("a", 1, position=position)


def test_a_box_cuts_an_image():
    box, image = Box((1, 2), (4, 7)), noise(3, 5, 8)
    assert (box.top, box.left, box.bottom, box.right) == (1, 2, 4, 7)
    assert box.size == (3, 5)
    assert torch.equal(image[(..., *box.slices)], image[:, 1:4, 2:7])


def model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(6, 4, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(4 * 5 * 7, 5),
    ).double()  # fmt: skip


IMAGES = noise(3, 3, 18, 22)


def test_without_a_position_it_is_the_strongest_of_each_image():
    net = DeconvNet(model())
    maps = net.record(IMAGES, "4")["4"][:, 1].flatten(1)
    strongest = [divmod(int(m.argmax()), 7) for m in maps]
    assert len(set(strongest)) > 1
    units = [Unit("4", 1, *place, image=i) for i, place in enumerate(strongest)]
    expected = net.project(IMAGES, units=units)
    assert expected.flatten(1).any(1).all()
    found = net.project(IMAGES, layer="4", channel=1)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)
    found = net.project(IMAGES, units=[Unit("4", 1, image=i) for i in range(3)], crop=True)
    assert [crop.unit for crop in found] == units


def test_of_equal_places_it_is_the_first():
    constant = torch.ones(1, 3, 18, 22).double()
    (crop,) = DeconvNet(model()).project(constant, units=[Unit("4", 1)], crop=True)
    assert crop.unit.position == (0, 0)


def test_seeds():
    net = DeconvNet(model(), "gradient")
    recording = net.record(IMAGES, "4")
    place = {"layer": "4", "channel": 2, "position": (2, 3)}
    one = net.project(recording, **place, seed="one")
    value = recording["4"][:, 2, 2, 3].view(3, 1, 1, 1)
    assert torch.equal(
        net.project(recording, **place), net.project(recording, **place, seed="activation")
    )
    torch.testing.assert_close(net.project(recording, **place), one * value)
    whole = net.project(recording, layer="4", channel=2, seed="map")
    alone = sum(
        net.project(recording, layer="4", channel=2, position=(row, col))
        for row in range(5)
        for col in range(7)
    )
    torch.testing.assert_close(whole, alone)
    assert not torch.allclose(whole, net.project(recording, layer="4", channel=2))


def test_a_whole_map_is_more_than_the_sum_of_its_units_where_the_signal_is_rectified():
    net = DeconvNet(model())
    whole = net.project(IMAGES, layer="4", channel=2, seed="map")
    units = [Unit("4", 2, row, col) for row in range(5) for col in range(7)]
    alone = net.project(IMAGES, units=units).sum(0)
    assert whole[0].any()
    assert not torch.allclose(whole[0], alone)


def test_a_crop_is_the_slice_of_its_box():
    net = DeconvNet(model())
    units = [
        Unit("4", c, r, q, image=i) for c, r, q, i in ((0, 0, 0, 0), (1, 4, 6, 2), (2, 3, 3, 1))
    ]
    units += [Unit("0", 2, 5, 5), Unit("6", 3, image=1)]
    full = net.project(IMAGES, units=units, seed="one")
    crops = net.project(IMAGES, units=units, seed="one", crop=True)
    assert [crop.unit for crop in crops] == units
    assert [crop.box.size for crop in crops] == [
        (9, 9),
        (9, 9),
        (9, 9),
        (3, 3),
        (17, 21),
    ]  # the last row and column are lost in pooling
    for pixels, crop in zip(full, crops, strict=True):
        assert crop.pixels.any()
        assert torch.equal(crop.pixels, pixels[(slice(None), *crop.box.slices)])
    by_layer = net.project(IMAGES, layer="0", channel=2, position=(5, 5), seed="one", crop=True)
    assert [crop.unit.image for crop in by_layer] == [0, 1, 2]
    assert torch.equal(by_layer[0].pixels, crops[3].pixels)


def test_fully_connected_units_have_no_position():
    net = DeconvNet(model())
    found = net.project(IMAGES, layer="6", channel=4)
    outputs = model()(IMAGES).detach()[:, 4].view(3, 1, 1, 1)
    one = net.project(IMAGES, layer="6", channel=4, seed="one")
    positive = outputs.flatten() > 0
    assert positive.any()
    torch.testing.assert_close(found[positive], (one * outputs)[positive])
