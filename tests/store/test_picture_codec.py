"""Pictures come back from a store as exactly as a figure needs them."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from deconvnet import zoo
from deconvnet.store.picture_codec import LARGEST, decode, encode, halves, wholes

NEEDED = 35.0  # dB
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "camera", "brick", "grass", "gravel")


def decibels(patch, quality=None):
    """The peak signal-to-noise ratio of a patch after it was stored."""
    content = encode(patch)
    if quality:
        stream = io.BytesIO()
        Image.fromarray((patch * 255).round().astype("u1")).save(stream, "JPEG", quality=quality)
        content = stream.getvalue()
    error = decode(content, patch.shape[:2]) - patch
    return -10 * np.log10(np.square(error).mean())


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_crops_of_photographs(name):
    picture = np.asarray(zoo.photograph(name).convert("RGB")) / np.float32(255)
    rng = np.random.default_rng(0)
    for _ in range(8):  # at odd places: not on the grid that the photograph was coded on
        top, left = (rng.integers(0, n - 224) for n in picture.shape[:2])
        assert decibels(picture[top : top + 224, left : left + 224]) > NEEDED


def test_the_measure_catches_a_coarse_jpeg():
    picture = np.asarray(zoo.photograph("chelsea")) / np.float32(255)
    assert decibels(picture[3:227, 5:229], quality=50) < NEEDED


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (3, 40), (1, 17)])
def test_small_and_narrow_patches(size):
    patch = np.full((*size, 3), 0.25, dtype="f4")
    found = decode(encode(patch), size)
    assert (found.shape, found.dtype) == ((*size, 3), np.float32)
    np.testing.assert_allclose(found, patch, atol=2 / 255)


def coded(form, mode, size=(6, 5), **options):
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, form, **options)
    return stream.getvalue()


def with_size(content, height, width):
    """A JPEG whose header claims another size."""
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + height.to_bytes(2) + width.to_bytes(2) + content[at + 4 :]


JPEG = coded("JPEG", "RGB")
BAD = {
    "another size": (JPEG, (6, 5), r"RGB of \(5, 6\) pixels, its box \(6, 5\)"),
    "grey": (coded("JPEG", "L"), (5, 6), "it is L of"),
    "four colours": (coded("JPEG", "CMYK"), (5, 6), "it is CMYK of"),
    "PNG": (coded("PNG", "RGB"), (5, 6), "cannot identify"),
    "cut": (encode(np.random.default_rng(0).random((40, 40, 3), "f4"))[:900], (40, 40), "trunc"),
    "empty": (b"", (5, 6), "cannot identify"),
    "noise": (bytes(range(256)) * 9, (5, 6), "cannot identify"),
    "a bomb": (with_size(JPEG, 60000, 60000), (5, 6), "60000|exceeds limit|decompression bomb"),
    "a bomb that agrees": (with_size(JPEG, 60000, 60000), (60000, 60000), "60000|exceeds|bomb"),
    "a large one": (with_size(JPEG, 9000, 9000), (9000, 9000), r"of \(9000, 9000\)"),
    "no height": (with_size(JPEG, 0, 6), (0, 6), "cannot identify|0 pixels"),
}


@pytest.mark.parametrize(("content", "size", "message"), BAD.values(), ids=BAD)
def test_what_is_no_patch(content, size, message):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=message):
            decode(content, size)


def test_the_bombs_are_refused_for_their_size():
    """The same header with its true size is fine; and a tenth of the limit is."""
    assert decode(with_size(JPEG, 5, 6), (5, 6)).shape == (5, 6, 3)
    assert 9000 * 9000 > LARGEST > 4000 * 4000


@pytest.mark.parametrize("height", [1.0, 1e-30, 3e38, 6e4, 1e-6, 2.0**-140])
def test_projections(height):
    rng = np.random.default_rng(0)
    values = (rng.standard_normal((9, 8, 3)) * 10.0 ** rng.uniform(-7, 0, (9, 8, 3))).astype("f8")
    values[0, 0] = 0
    values = (values / np.abs(values).max() * height).astype("f4")
    coded, scale = halves(values)
    assert coded.dtype == np.float16
    assert np.float32(scale) == scale
    found = wholes(coded.ravel(), scale, values.shape)
    assert found.shape == values.shape
    if height > 1e-37:  # float32 itself loses bits below
        np.testing.assert_allclose(found, values, rtol=1e-3, atol=0)
    assert (np.sign(found) == np.sign(values))[np.abs(values) > 1e-7 * height].all()
    assert np.abs(found - values).max() <= 1e-3 * height


def test_plain_float16_would_not_do():
    """What the scale is for: small projections vanish, large ones overflow."""
    small = np.full((1, 1, 3), 1e-9, dtype="f4")
    assert not small.astype("f2").any()
    coded, scale = halves(small)
    assert wholes(coded.ravel(), scale, (1, 1, 3)).any()


def test_a_projection_of_zeros_and_one_that_is_not_finite():
    coded, scale = halves(np.zeros((2, 2, 3), "f4"))
    assert (scale, coded.any()) == (1.0, False)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="values that are not finite; look for an overflow"):
            halves(np.full((2, 2, 3), bad, "f4"))
        with pytest.raises(ValueError, match="holds values that are not finite"):
            wholes(np.full(12, bad, "f2"), 1.0, (2, 2, 3))
