"""Units in images: every number and every crop that is drawn is that of the network."""

import numpy as np
import pytest

from deconvnet import DeconvNet, Unit
from deconvnet.studies.visualize import visualize
from tests.support.mined import box
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
    assert [row.name for row in result.rows] == ["0", "1", "2"]
    figure = result.figure(width=WIDTH, title="relu", caption=True)
    assert figure.get_size_inches()[0] == WIDTH
    words = [text.get_text() for text in figure.axes[0].texts]
    assert "relu" in words
    assert any("deconvnet" in text for text in words)


def test_preprocessing_must_be_known():
    with pytest.raises(ValueError, match="no preprocessing is known .* into pictures; give pre"):
        visualize(DeconvNet(MODEL), IMAGES, layer="relu", channel=2)
