"""Studies of signals, bands and videos: the whole way from a model to a figure."""

import numpy as np
import pytest
import torch

import deconvnet as dn
from deconvnet import DeconvNet, Preprocessing, Unit, mine
from deconvnet.data import Transform
from deconvnet.studies.compare import compare
from deconvnet.studies.exemplars import exemplars
from deconvnet.studies.facets import facets
from deconvnet.studies.feeds import feeds
from deconvnet.studies.spectrum import spectrum
from deconvnet.studies.visualize import visualize
from tests.support.any_dimension import CASES, LAYER, case


@pytest.mark.parametrize("name", CASES)
def test_every_study_draws_every_kind_of_image(name, tmp_path):
    one = CASES[name]()
    net = DeconvNet(one.model, "guided", preprocessing=one.preprocessing)
    images = torch.stack(one.images[:2])
    store = mine(one.model, one.images, tmp_path / "a.h5", k=2, preprocessing=one.preprocessing)
    results = [
        visualize(net, images, layer=LAYER, channel="strongest:1"),
        compare(net, images, layer=LAYER, channel=int(store[LAYER].activation[:, 0].argmax())),
        exemplars(store, LAYER, "strongest:1", net=net, data=one.images),
    ]
    for number, result in enumerate(results):
        file = result.save(tmp_path / f"{number}.png", caption=True)
        assert file.stat().st_size > 2000


@pytest.mark.parametrize("name", CASES)
def test_studies_of_a_stores_range_draw_every_kind_of_image(name, tmp_path):
    one = CASES[name]()
    net = DeconvNet(one.model, "guided", preprocessing=one.preprocessing)
    how = {"k": 8, "lowest": 4, "sample": 8, "preprocessing": one.preprocessing, "progress": False}
    store, mined = mine(one.model, one.images, tmp_path / "a.h5", **how), {"data": one.images}
    unit = Unit(LAYER, int(store[LAYER].activation[:, 0].argmax()))
    other = mine(one.model, one.images, tmp_path / "b.h5", [LAYER], **how)
    results = [
        spectrum(store, LAYER, unit.channel, net=net, **mined),
        facets(store, unit, at="1", net=net, **mined),
        feeds(net, store, unit, at="1", **mined),
        feeds(net, other, unit, at="1", **mined),
        feeds(net, torch.stack(one.images[:3]), unit, at="1"),
    ]
    for number, result in enumerate(results):
        file = result.save(tmp_path / f"{number}.png", caption=True)
        assert file.stat().st_size > 2000
    assert (results[0].bands is None) == (name not in ("two bands", "four bands"))


OF_PICTURES = {
    "architectures": lambda net, images: dn.architectures({"a": net}, images),
    "class_model": lambda net, images: dn.class_model(net, 0),
    "correspondence": lambda net, images: dn.correspondence(net, images, {"eye": images > 0}),
    "effective_field": dn.effective_field,
    "evolution": lambda net, images: dn.evolution(net, {}, images, layer=LAYER, channels=[0]),
    "invariance": dn.invariance,
    "localize": dn.localize,
    "occlusion": lambda net, images: dn.occlusion(net, images[:1]),
    "sanity": dn.sanity,
    "why": lambda net, images: dn.why(net, images[:1], true=0),
}


@pytest.mark.parametrize("name", OF_PICTURES)
@pytest.mark.parametrize("kind", ["signal", "video"])
def test_studies_of_pictures_refuse_other_images_before_any_work(name, kind):
    one = CASES[kind]()
    net = DeconvNet(one.model, preprocessing=one.preprocessing)
    with pytest.raises(ValueError, match=r"takes images of \d ax[ie]s; this study is of pictures"):
        OF_PICTURES[name](net, torch.stack(one.images[:2]))


def test_the_bands_of_a_figure_are_those_that_were_asked_for():
    one = case(4, 15, 12)
    net = DeconvNet(one.model, preprocessing=one.preprocessing)
    image = torch.stack(one.images[:1])
    pixels = one.preprocessing.pixels(image[0])

    def picture(bands):
        result = visualize(net, image, layer=LAYER, channel="strongest:1", bands=bands)
        return result, result.rows[0].image

    result, drawn = picture((3, 2, 1))
    np.testing.assert_array_equal(drawn, pixels[..., [3, 2, 1]])
    assert (result.bands, result.rows[0].units[0].patch.shape[-1]) == ((3, 2, 1), 4)
    result, drawn = picture(None)
    np.testing.assert_array_equal(drawn, pixels[..., :3])
    assert result.bands == (0, 1, 2), "and the figure says so"
    with pytest.raises(ValueError, match="image of 4 bands, expected three of 0 to 3"):
        picture((4, 3, 2))
    shown = compare(net, image, layer=LAYER, channel=0, bands=(3,))
    np.testing.assert_array_equal(shown.pictures[0], pixels[..., [3, 3, 3]])


def test_pictures_without_an_inverse_say_so():
    one = case(3, 15, 12)
    blind = Transform(lambda image: torch.zeros(3, 15, 12))
    result = visualize(
        DeconvNet(one.model, preprocessing=blind),
        torch.stack(one.images[:1]),
        layer=LAYER,
        channel="strongest:1",
    )
    assert "least and the greatest" in result.note
    texts = [text.get_text() for text in result.figure(caption=True).axes[0].texts]
    assert any("least and the greatest" in text for text in texts)
    usual = visualize(
        one.model, torch.stack(one.images[:1]), layer=LAYER, channel="strongest:1",
        preprocessing=Preprocessing((15, 12), 15),
    )  # fmt: skip
    assert (usual.note, usual.bands) == ("", None)
