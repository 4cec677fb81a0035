"""Signals, images of any bands and videos: mined, boxed, embedded and verified like photographs."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from deconvnet import DeconvNet, embed, mine, verify
from deconvnet.mining.exemplars import project_exemplars
from deconvnet.store.picture_reading import stored_exemplars
from deconvnet.store.store import open_store
from tests.support.any_dimension import CASES, LAYER

K = 3


@pytest.fixture(scope="module", params=CASES)
def mined(request, tmp_path_factory):
    one = CASES[request.param]()
    path = tmp_path_factory.mktemp("mined") / "top.h5"
    return one, mine(one.model, one.images, path, k=K, preprocessing=one.preprocessing)


def brute_force(one):
    """{channel: [(activation, image, position)]}, by sorting all activations of the layer."""
    with torch.no_grad():
        maps = one.model(torch.stack(one.images)).double().numpy()
    table = {}
    for channel in range(maps.shape[1]):
        rows = []
        for image, here in enumerate(maps[:, channel]):
            place = tuple(map(int, np.unravel_index(here.argmax(), here.shape)))
            rows.append((-here.max(), image, place))
        table[channel] = [(-value, image, place) for value, image, place in sorted(rows)[:K]]
    return table


def rows_of(table):
    units = [[table.unit(LAYER, c, s) for s in range(table.k)] for c in range(table.channels)]
    return {c: [(unit.image, unit.position) for unit in some] for c, some in enumerate(units)}


def test_tables_are_those_of_a_full_sort(mined):
    one, store = mined
    expected, table = brute_force(one), store[LAYER]
    assert rows_of(table) == {c: [row[1:] for row in rows] for c, rows in expected.items()}
    values = [[row[0] for row in rows] for rows in expected.values()]
    np.testing.assert_allclose(table.activation, values, rtol=1e-5, atol=1e-6)


def test_boxes_are_where_a_gradient_can_be(mined):
    one, store = mined
    smooth = deepcopy(torch.nn.Sequential(*map(smoothed, one.model))).double()
    for unit in [store[LAYER].unit(LAYER, 0, slot) for slot in range(K)]:
        image = torch.rand(1, *one.images[0].shape, dtype=torch.float64, requires_grad=True)
        value = smooth(image)[(0, unit.channel, *unit.position)]
        (gradient,) = torch.autograd.grad(value, image)
        seen = gradient[0].abs().sum(0).nonzero().numpy()
        slot = [store[LAYER].unit(LAYER, 0, s) for s in range(K)].index(unit)
        box = store[LAYER].box_of(0, slot)
        assert (box.start, box.stop) == (tuple(seen.min(0)), tuple(seen.max(0) + 1))


def smoothed(module):
    """The same field with a gradient everywhere: no rectifier, means in place of maxima."""
    name = type(module).__name__
    if name.startswith("MaxPool"):
        return getattr(torch.nn, name.replace("Max", "Avg"))(module.kernel_size)
    return torch.nn.Identity() if name == "ReLU" else module


def test_patches_and_projections_are_cut_from_the_image(mined):
    one, store = mined
    net = DeconvNet(one.model, "gradient")
    made = project_exemplars(store, LAYER, [0, 1, 2], net=net, dataset=one.images)
    for exemplar in (each for those in made.values() for each in those):
        image = one.images[exemplar.unit.image]
        whole = (image * 0.5 + 0.1).movedim(0, -1).numpy()
        np.testing.assert_allclose(exemplar.patch, whole[exemplar.box.slices], atol=1e-6)
        pixels = image[None].clone().requires_grad_()
        value = one.model(pixels)[(0, exemplar.unit.channel, *exemplar.unit.position)]
        (gradient,) = torch.autograd.grad(value, pixels)
        expected = gradient[0].movedim(0, -1).numpy()[exemplar.box.slices] * float(value.detach())
        np.testing.assert_allclose(exemplar.projection, expected, rtol=1e-3, atol=1e-5)
        assert len(exemplar.overhang) == len(exemplar.box.start) == image.ndim - 1


@pytest.fixture(scope="module")
def embedded(mined, tmp_path_factory):
    one, store = mined
    path = tmp_path_factory.mktemp("embedded") / "top.h5"
    return embed(store, one.model, one.images, rectifiers="guided", path=path)


def test_what_is_embedded_comes_back(mined, embedded):
    one, store = mined
    net = DeconvNet(one.model, "guided")
    made = project_exemplars(store, LAYER, [0, 1, 2], net=net, dataset=one.images)
    kept = stored_exemplars(open_store(embedded.path), LAYER, [0, 1, 2], rectifier="guided")
    bands, axes = one.images[0].shape[0], one.images[0].ndim - 1
    assert any(made.values())
    exact = 1e-6 if axes == 1 else 0.5 / 255 + 1e-6
    for channel, those in made.items():
        assert len(kept[channel]) == len(those)
        for new, old in zip(those, kept[channel], strict=True):
            assert (new.box, new.overhang, new.unit) == (old.box, old.overhang, old.unit)
            assert new.patch.shape == old.patch.shape == (*new.box.size, bands)
            error = np.abs(new.patch - old.patch)
            jpeg = bands == 3 and axes == 2
            assert (error.mean() if jpeg else error.max()) < (0.05 if jpeg else exact)
            np.testing.assert_allclose(new.projection, old.projection, rtol=2e-3, atol=1e-5)


def test_a_store_with_pictures_is_verified(mined, embedded):
    one, _ = mined
    result = verify(embedded, one.model, one.images, n=None)
    assert result.passed, result.mismatches
    assert result.pictures > 0


def reversed_bands(image):
    return image.flip(0)


def swapped_axes(image):
    return image.flip(-1)


@pytest.mark.parametrize("wrong", [reversed_bands, swapped_axes])
@pytest.mark.parametrize("name", ["signal of 3 channels", "four bands", "video"])
def test_other_pictures_than_those_of_the_images_are_told(name, wrong, tmp_path, monkeypatch):
    """Planted: an embedding that mixes up bands, or one axis."""
    one = CASES[name]()
    store = mine(one.model, one.images, tmp_path / "a.h5", k=K, preprocessing=one.preprocessing)
    honest = type(one.preprocessing).pixels
    with monkeypatch.context() as patched:
        patched.setattr(type(one.preprocessing), "pixels", lambda self, x: honest(self, wrong(x)))
        spoiled = embed(store, one.model, one.images, path=tmp_path / "b.h5")
    result = verify(spoiled, one.model, one.images, n=None)
    assert not result.passed
    assert {each.kind for each in result.mismatches} == {"picture"}


def test_signals_need_no_preprocessing(tmp_path):
    one = CASES["signal"]()
    store = mine(one.model, one.images, tmp_path / "a.h5", k=K)
    assert store.attributes["transform"] == "unknown"
    made = embed(store, one.model, one.images, rectifiers="guided", path=tmp_path / "b.h5")
    assert verify(made, one.model, one.images, n=None).passed
    (first, *_), *_ = stored_exemplars(made, LAYER, [0], rectifier="guided").values()
    seen = one.images[first.unit.image].T.numpy()[first.box.slices]
    np.testing.assert_array_equal(first.patch, seen)


def test_a_video_without_preprocessing_is_refused_with_the_remedy(tmp_path):
    one = CASES["video"]()
    store = mine(one.model, one.images, tmp_path / "a.h5", k=K)
    with pytest.raises(ValueError, match="no preprocessing is known.*give preprocessing="):
        embed(store, one.model, one.images)
    stated = replace(one.preprocessing, mean=(0.2,) * 3)
    assert embed(store, one.model, one.images, preprocessing=stated).pictures
