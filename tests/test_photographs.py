"""Files that are not what they seem: each is read as one would expect, or refused by name."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from deconvnet.photographs import ImageError, _warn_once, read_image, to_rgb


@pytest.fixture(autouse=True)
def _nothing_said_yet():
    _warn_once.cache_clear()


def noise(height=24, width=32, channels=3):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


JPEG = encoded(Image.fromarray(noise()), "JPEG", quality=95)
PNG = encoded(Image.fromarray(noise()), "PNG")


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(width, height, *chunks):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def broken_idat():
    at = PNG.index(b"IDAT") + 30
    return PNG[:at] + bytes(40) + PNG[at + 40 :]


BAD = {
    "empty.jpg": (b"", "it is empty"),
    "page.jpg": (b"<!doctype html><html>404</html>", "no image that Pillow knows"),
    "random.png": (np.random.default_rng(1).bytes(500), "no image that Pillow knows"),
    "half.jpg": (JPEG[: len(JPEG) // 2], "truncated"),
    "no-end.jpg": (JPEG[:-2], "truncated"),
    "header.jpg": (JPEG[:400], ""),
    "half.png": (PNG[: len(PNG) // 2], "truncated"),
    "idat.png": (broken_idat(), ""),
    "text-bomb.png": (
        png_of(1, 1, chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10_000_000)))),
        "[Tt]ext|[Dd]ecompressed",
    ),
    "144-megapixels.png": (png_of(12_000, 12_000), "too many pixels"),
    "900-megapixels.png": (png_of(30_000, 30_000), "too many pixels"),
    "strip.png": (encoded(Image.new("RGB", (5000, 1)), "PNG"), "5000 pixels wide and 1 high"),
    "int32.tif": (encoded(Image.new("I", (4, 4), 70_000), "TIFF"), "32-bit integer.*8 bits"),
    "float.tif": (encoded(Image.new("F", (4, 4), 0.5), "TIFF"), "floating point.*8 bits"),
    "phone.heic": (b"\0\0\0\x18ftypheic" + bytes(50), "pillow-heif"),
}


@pytest.mark.parametrize(("name", "bad"), BAD.items())
def test_bad_files_are_refused_by_name(tmp_path, name, bad):
    content, reason = bad
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=f"(?s){name}.* cannot be used: .*({reason})") as caught:
        read_image(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_good_files_are_not_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    (tmp_path / "a.png").write_bytes(PNG)
    assert read_image(tmp_path / "a.jpg").size == (32, 24)
    np.testing.assert_array_equal(read_image(str(tmp_path / "a.png")), noise())


@pytest.mark.parametrize("make", ["missing", "folder", "dangling"])
def test_what_is_no_file(tmp_path, make):
    path = tmp_path / "x.jpg"
    if make == "folder":
        path.mkdir()
    if make == "dangling":
        path.symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(ImageError, match=r"x\.jpg.*(no such file|is a directory)"):
        read_image(path)


# --- conversions -----------------------------------------------------------------------------


def saved(tmp_path, image, name, **options):
    image.save(tmp_path / name, **options)
    return np.asarray(read_image(tmp_path / name))


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_16_bit_grey_is_scaled(tmp_path, name):
    grey = np.array([[0, 257, 257 * 127, 65535, 128, 129]], dtype=np.uint16)
    found = saved(tmp_path, Image.fromarray(grey), name)
    expected = np.array([[0, 1, 127, 255, 0, 1]])
    np.testing.assert_array_equal(found, np.repeat(expected[..., None], 3, axis=2))
    # what it must catch: Pillow's own conversion saturates
    with Image.open(tmp_path / name) as image:
        assert not np.array_equal(np.asarray(image.convert("RGB")), found)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_shows_white_not_what_is_hidden(tmp_path, mode):
    image = Image.new("RGBA", (2, 1), (200, 200, 200, 0))
    image.putpixel((1, 0), (10, 10, 10, 255))
    found = saved(tmp_path, image.convert(mode), "a.png")
    assert found.tolist() == [[[255] * 3, [10] * 3]]
    assert np.asarray(image.convert("RGB")).tolist() != found.tolist()


def test_opaque_alpha_changes_nothing(tmp_path):
    image = Image.fromarray(noise())
    image.putalpha(255)
    np.testing.assert_array_equal(saved(tmp_path, image, "a.png"), noise())


@pytest.mark.parametrize("transparency", [0, b"\0\xff"])
def test_palette_with_transparency(tmp_path, transparency):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    found = saved(tmp_path, image, "a.png", transparency=transparency)
    assert found.tolist() == [[[255, 255, 255], [0, 0, 255]]]


def test_rgb_with_a_transparent_colour(tmp_path):
    found = saved(tmp_path, Image.new("RGB", (1, 1), (1, 2, 3)), "a.png", transparency=(1, 2, 3))
    assert found.tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize(("mode", "name"), [("L", "a.png"), ("1", "a.png"), ("L", "a.jpg")])
def test_grey_is_repeated(tmp_path, mode, name):
    found = saved(tmp_path, Image.fromarray(noise(channels=1)).convert(mode), name)
    assert found.shape == (24, 32, 3)
    assert (found == found[..., :1]).all()
    assert found.std() > 0


def test_cmyk_is_converted_and_said_once(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    with pytest.warns(UserWarning, match="CMYK"):
        found = np.asarray(read_image(tmp_path / "a.jpg")).astype(int)
    assert abs(found - [255, 0, 0]).max() < 8
    read_image(tmp_path / "a.jpg")  # a second warning would be an error here


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.png"])
def test_the_first_of_several_frames(tmp_path, name):
    red, blue = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    red.save(tmp_path / name, save_all=True, append_images=[blue])
    with pytest.warns(UserWarning, match="frames"):
        found = read_image(tmp_path / name)
    assert found.getpixel((0, 0)) == (255, 0, 0)


def test_orientation_is_left_or_followed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").size == (8, 4)
    assert read_image(tmp_path / "a.jpg", orient=ImageOps.exif_transpose).size == (4, 8)


def test_a_broken_profile_and_a_text_are_ignored(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 1000)
    found = saved(tmp_path, Image.fromarray(noise()), "a.png", pnginfo=text, icc_profile=b"junk")
    np.testing.assert_array_equal(found, noise())


def test_one_pixel(tmp_path):
    assert saved(tmp_path, Image.new("RGB", (1, 1)), "a.png").shape == (1, 1, 3)


def test_the_filters_of_the_warnings_are_left_alone(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    before = list(warnings.filters)
    read_image(tmp_path / "a.png")
    assert warnings.filters == before


def test_to_rgb_refuses_floats():
    with pytest.raises(ImageError, match="floating point"):
        to_rgb(Image.new("F", (2, 2)))
