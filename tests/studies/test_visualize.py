"""Units in images: every number and every crop that is drawn is that of the network."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deconvnet import DeconvNet, Unit
from deconvnet.studies.given import usual_layer
from deconvnet.studies.visualize import visualize
from tests.support.mined import SIZE, box
from tests.support.studied import IMAGES, MODEL, NAMES, PREPARED, WIDTH, strongest


@pytest.mark.parametrize(("channels", "position"), [([2, 1], None), (1, (1, 0))])
def test_units_and_their_numbers(channels, position):
    net = DeconvNet(MODEL)
    result = visualize(
        net,
        IMAGES,
        layer="relu",
        channel=channels,
        position=position,
        preprocessing=PREPARED,
        names=NAMES,
    )
    assert (result.layer, result.rectifier) == ("relu", "deconvnet")
    units = [Unit("relu", c) for c in ([channels] if isinstance(channels, int) else channels)]
    numbers = np.reshape(result.table(), (3, len(units)))
    for image, name, row, told in zip(IMAGES, NAMES, result.rows, numbers, strict=True):
        picture = PREPARED.picture(image)
        np.testing.assert_array_equal(row.image, picture)
        maps = MODEL.values(image[None])["relu"].detach()
        for unit, one, number in zip(units, row.units, told, strict=True):
            place = position or strongest(image, unit)[1]
            value = float(maps[(0, unit.channel, *place)])
            top, left, bottom, right = box("relu", *place)
            assert number["box"] == one.box.edges == (top, left, bottom, right)
            assert number["activation"] == one.activation == pytest.approx(value, rel=1e-5)
            assert number["unit"] == f"relu:{unit.channel}@{place[0]},{place[1]}"
            assert number["image"] == row.name == name
            np.testing.assert_array_equal(one.patch, picture[top:bottom, left:right])
            whole = net.project(image[None], layer="relu", channel=unit.channel, position=place)
            cut = whole[0, :, top:bottom, left:right].permute(1, 2, 0).numpy()
            np.testing.assert_allclose(one.projection, cut, rtol=1e-3, atol=1e-3)


def test_its_figure_and_names_by_default():
    result = visualize(DeconvNet(MODEL), IMAGES, layer="relu", channel=2, preprocessing=PREPARED)
    assert [row.name for row in result.rows] == ["image 0", "image 1", "image 2"]
    figure = result.figure(width=WIDTH, title="relu", caption=True)
    assert figure.get_size_inches()[0] == WIDTH
    words = [text.get_text() for text in figure.axes[0].texts]
    assert "relu" in words
    assert any("deconvnet" in text for text in words)


def test_preprocessing_must_be_known():
    with pytest.raises(ValueError, match="no preprocessing is known .* into pictures; give pre"):
        visualize(DeconvNet(MODEL), IMAGES, layer="relu", channel=2)


def test_by_default_the_channels_that_fire_most_in_each_image():
    result = visualize(MODEL, IMAGES, preprocessing=PREPARED)
    assert (result.layer, result.rectifier, result.model) == ("relu3", "deconvnet", "Ties")
    maps = MODEL.values(IMAGES)["relu3"].detach().flatten(2).amax(2)
    for row, heights in zip(result.rows, maps, strict=True):
        order = sorted(range(len(heights)), key=lambda c: -float(heights[c]))[:3]
        assert [one.unit.channel for one in row.units] == [c for c in order if heights[c] > 0]
    assert len({tuple(one.unit.channel for one in row.units) for row in result.rows}) > 1


def test_channels_at_rest_are_not_among_the_strongest():
    dead = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    with torch.no_grad():
        dead[0].bias.copy_(torch.tensor([-1e3, 9.0, -1e3, -1e3]))
    ((row),) = visualize(dead, IMAGES[:1], channel="strongest:3", preprocessing=PREPARED).rows
    assert [one.unit.channel for one in row.units] == [1]
    with torch.no_grad():
        dead[0].bias.fill_(-1e3)
    with pytest.raises(ValueError, match="no channel of 1 is positive in image 0"):
        visualize(dead, IMAGES[:1], preprocessing=PREPARED)


@pytest.mark.parametrize("channel", [[2, 1], "2,1", "strongest:2"])
def test_a_layer_by_its_module_and_channels_in_words(channel):
    by_module = visualize(MODEL, IMAGES, layer=MODEL.conv1, channel=channel, preprocessing=PREPARED)
    by_name = visualize(
        DeconvNet(MODEL), IMAGES, layer="conv1", channel=channel, preprocessing=PREPARED
    )
    assert by_module.table() == by_name.table()


def test_the_whole_map_at_once():
    net = DeconvNet(MODEL, "guided")
    result = visualize(
        net, IMAGES, layer="relu", channel=[2, 1], seed="map", preprocessing=PREPARED
    )
    for number, row in enumerate(result.rows):
        for one in row.units:
            whole = net.project(IMAGES, layer="relu", channel=one.unit.channel, seed="map")[number]
            np.testing.assert_allclose(one.projection, whole.permute(1, 2, 0), atol=1e-6)
            assert one.activation == pytest.approx(strongest(IMAGES[number], one.unit)[0])
            assert one.box.edges == (0, 0, *SIZE)
    assert result.figure(width=WIDTH)
    with pytest.raises(ValueError, match="seed='map', which takes all of a map"):
        visualize(net, IMAGES, position=(1, 1), seed="map", preprocessing=PREPARED)


def test_images_in_files_and_a_rule(tmp_path):
    Image.fromarray((PREPARED.picture(IMAGES[0]) * 255).round().astype("u1")).save(
        tmp_path / "a.png"
    )
    result = visualize(
        DeconvNet(MODEL), str(tmp_path / "a.png"), rectifier="guided", preprocessing=PREPARED
    )
    assert ([row.name for row in result.rows], result.rectifier) == (["a.png"], "guided")
    np.testing.assert_allclose(result.rows[0].image, PREPARED.picture(IMAGES[0]), atol=1 / 255)


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)), "1"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)), "1"),
        (
            nn.Sequential(
                nn.Conv2d(3, 4, 3),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(4, 4, 1),
                nn.ReLU(),
            ),
            "1",
        ),
    ],
    ids=["last activation", "no activation", "none with positions above"],
)
def test_the_layer_that_is_taken_by_default(model, layer):
    assert usual_layer(DeconvNet(model), (3, 12, 12)) == layer
    with pytest.raises(ValueError, match="no layer of this model has maps with positions"):
        usual_layer(DeconvNet(nn.Sequential(nn.Flatten(), nn.Linear(27, 2))), (3, 3, 3))


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (IMAGES[:0], {}, "a tensor of no images"),
        (IMAGES[:1], {"channel": []}, "no channel was given"),
        (IMAGES[:1] * float("nan"), {}, "no channel of relu is positive in image 0"),
    ],
)
def test_nothing_to_draw_is_told(images, options, message):
    with pytest.raises(ValueError, match=message):
        visualize(MODEL, images, layer="relu", preprocessing=PREPARED, **options)
