"""Images of any number of bands, read from arrays, multi-band TIFFs and what Pillow has."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from deconvnet import Preprocessing
from deconvnet.data import ImageError, ImageFolder
from deconvnet.data.band_files import as_bands, bands_last, read_bands

MEAN, STD = (0.1, 0.2, 0.3, 0.4), (0.5, 0.6, 0.7, 0.8)
FOUR = Preprocessing((9, 7), None, MEAN, STD)
PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)


def normalised(scaled, mean=MEAN, std=STD):
    return (scaled - np.array(mean)) / np.array(std)


def equal(tensor, scaled):
    expected = normalised(scaled).transpose(2, 0, 1)
    np.testing.assert_allclose(tensor.numpy(), expected, atol=1e-6)


def test_arrays_with_bands_first_or_last(tmp_path):
    for name, array in {"last": PIXELS, "first": PIXELS.transpose(2, 0, 1)}.items():
        np.save(tmp_path / f"{name}.npy", array)
        equal(FOUR(FOUR.read(tmp_path / f"{name}.npy")), PIXELS / 255)
    with pytest.raises(AssertionError):
        equal(FOUR(PIXELS[..., ::-1]), PIXELS / 255)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_multi_band_tiffs(tmp_path, planar, kind):
    tifffile = pytest.importorskip("tifffile", reason="tifffile reads multi-band TIFF files")
    top = {"u1": 255, "u2": 65535, "f4": 1}[kind]
    values = (PIXELS / 255 * top).round(6 if kind == "f4" else 0).astype(kind)
    stored = values if planar == "contig" else values.transpose(2, 0, 1)
    tifffile.imwrite(
        tmp_path / "a.tif", stored, planarconfig=planar, photometric="minisblack",
        extrasamples=["unspecified"] * 3,
    )  # fmt: skip
    equal(FOUR(FOUR.read(tmp_path / "a.tif")), values / top)


def test_without_tifffile_pillow_says_what_it_cannot_read(tmp_path, monkeypatch):
    tifffile = pytest.importorskip("tifffile", reason="tifffile writes multi-band TIFF files")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 7, 5), "u1"), photometric="minisblack")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ImageError, match=r"a.tif' cannot be used"):
        read_bands(tmp_path / "a.tif", 5)


def test_bands_of_pillows_images_are_as_stored(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "rgba.png")  # transparency is a band here
    equal(FOUR(FOUR.read(tmp_path / "rgba.png")), PIXELS / 255)
    two = Preprocessing((9, 7), None, (0.0, 0.0), (1.0, 1.0))
    Image.fromarray(PIXELS[..., :2]).save(tmp_path / "la.png")
    found = two(two.read(tmp_path / "la.png")).numpy()
    np.testing.assert_allclose(found, PIXELS[..., :2].transpose(2, 0, 1) / 255, atol=1e-6)


def test_twelve_bits_of_sixteen():
    values = np.full((9, 7, 4), 4095, np.uint16)
    assert as_bands(values, 4, white=4095)[0].getpixel((0, 0)) == 1
    assert as_bands(values, 4, white=65535)[0].getpixel((0, 0)) == pytest.approx(0.0625, abs=1e-4)


def test_what_is_refused(tmp_path):
    np.save(tmp_path / "three.npy", PIXELS[..., :3])
    Image.new("RGB", (7, 9)).save(tmp_path / "rgb.png")
    (tmp_path / "empty.npy").write_bytes(b"")
    np.save(tmp_path / "objects.npy", np.array([None]), allow_pickle=True)
    for name, message in {
        "three.npy": r"shape \(9, 7, 3\), expected 4 bands",
        "rgb.png": "it has 3 bands .R, G, B., expected 4",
        "empty.npy": "empty",
        "objects.npy": "allow_pickle",
        "nothing.npy": "no such file",
    }.items():
        with pytest.raises(ImageError, match=rf"{name}' cannot be used: .*{message}"):
            FOUR.read(tmp_path / name)
    with pytest.raises(ValueError, match=r"\(4, 7, 4\), both may be bands"):
        bands_last(np.zeros((4, 7, 4)), 4)
    with pytest.raises(TypeError, match="int64, expected uint8"):
        FOUR(PIXELS.astype(np.int64))
    with pytest.raises(ValueError, match="not finite"):
        FOUR(np.full((9, 7, 4), np.nan))


def test_three_bands_of_an_array_are_resized_as_an_image_is():
    """An array of any bands goes band by band, an image in colours at once: the same pixels."""
    prepared = Preprocessing((20, 20), 24)
    pixels = np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)
    assert torch.equal(prepared(Image.fromarray(pixels)), prepared(pixels))


def test_grey_images_are_one_band():
    grey = Preprocessing((9, 7), None, 0.13, 0.31)
    assert (grey.mean, grey.shape) == ((0.13,), (1, 9, 7))
    image = Image.fromarray(PIXELS[..., 0])
    expected = normalised(PIXELS[..., :1] / 255, (0.13,), (0.31,)).transpose(2, 0, 1)
    np.testing.assert_allclose(grey(image).numpy(), expected, atol=1e-6)
    assert torch.equal(grey(image.convert("RGB")), grey(image)), "grey in colours is grey"
    picture = grey.picture(grey(image))
    np.testing.assert_allclose(picture, PIXELS[..., :1].repeat(3, 2) / 255, atol=1e-6)


def test_the_bands_that_are_shown():
    shown = Preprocessing((9, 7), None, MEAN, STD, bands=(3, 2, 1))
    tensor = shown(PIXELS)
    np.testing.assert_allclose(shown.picture(tensor), PIXELS[..., [3, 2, 1]] / 255, atol=1e-6)
    np.testing.assert_allclose(FOUR.picture(tensor), PIXELS[..., :3] / 255, atol=1e-6)
    one = FOUR.picture(tensor, (3,))
    np.testing.assert_allclose(one, PIXELS[..., [3, 3, 3]] / 255, atol=1e-6)
    np.testing.assert_allclose(shown.pixels(tensor), PIXELS / 255, atol=1e-6)
    assert Preprocessing.from_json(shown.to_json()) == shown
    assert "bands" not in json.loads(FOUR.to_json()), "as stores from before it was a choice"
    for bands in [(4, 2, 1), (0, 1), (), (-1,)]:
        with pytest.raises(ValueError, match="image of 4 bands, expected three of 0 to 3"):
            FOUR.picture(tensor, bands or (9,))


def test_a_folder_of_arrays(tmp_path):
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", PIXELS)
    folder = ImageFolder(tmp_path, FOUR)
    assert (len(folder), folder[0].shape) == (3, (4, 9, 7))
    Image.new("RGB", (7, 9)).save(tmp_path / "photo.png")
    colours = ImageFolder(tmp_path, Preprocessing((9, 7), None))
    assert [colours.path(i) for i in range(len(colours))] == ["photo.png"], "labels, say"
    assert colours.passed_over == {".npy": 3}
