"""Files that are not what they seem: each is read as one would expect, or refused by name."""

import io
import os
import threading
import warnings

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps, PngImagePlugin

from deconvnet.data.image_files import ImageError, _warn_once, read_image, to_rgb
from tests.support.spoiled import BAD, JPEG, PNG, noise


@pytest.fixture(autouse=True)
def _nothing_said_yet():
    _warn_once.cache_clear()


@pytest.mark.parametrize(("name", "content", "reason"), [(k[1], *v) for k, v in BAD.items()])
def test_bad_files_are_refused_by_name(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=f"(?s){name}.* cannot be used: .*({reason})") as caught:
        read_image(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("lenient", [False, True])
def test_a_part_of_an_image_is_refused_whatever_others_have_set(tmp_path, monkeypatch, lenient):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    (tmp_path / "half.jpg").write_bytes(JPEG[: len(JPEG) // 2])
    with pytest.raises(ImageError, match="truncated"):
        read_image(tmp_path / "half.jpg")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is lenient
    with Image.open(tmp_path / "half.jpg") as image:  # what it must catch
        assert not lenient or image.convert("RGB").size == (32, 24)


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


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.jpg")
    found = []

    def read():
        with pytest.raises(ImageError, match=r"x\.jpg.* is no file but a pipe"):
            read_image(tmp_path / "x.jpg")
        found.append("said")

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(timeout=10)
    assert found == ["said"]


def test_a_program_is_not_run(tmp_path, monkeypatch):
    Image.new("RGB", (8, 8)).save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.jpg")
    with Image.open(tmp_path / "x.jpg") as image:  # what it must catch: Pillow goes by the content
        assert image.format == "EPS"
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", None)
    with pytest.raises(ImageError, match=r"x\.jpg' cannot be used: it is a program in PostScript"):
        read_image(tmp_path / "x.jpg")


def test_an_opened_file(tmp_path):
    np.testing.assert_array_equal(read_image(io.BytesIO(PNG)), noise())
    with pytest.raises(ImageError, match=r"^'row 3' cannot be used: it is no image .*b'junk'"):
        read_image(io.BytesIO(b"junk"), name="row 3")
    with pytest.raises(ImageError, match=r"^'an image' cannot be used: it is empty"):
        read_image(io.BytesIO(b""))


def test_a_missing_plugin_is_told_from_a_broken_file(tmp_path, monkeypatch):
    (tmp_path / "x.avif").write_bytes(b"\0\0\0\x18ftypavif" + bytes(50))
    Image.init()
    monkeypatch.setattr(Image, "ID", [*Image.ID, "AVIF"])
    monkeypatch.setitem(Image.OPEN, "AVIF", Image.OPEN["PNG"])  # which does not know it either
    with pytest.raises(ImageError, match="no image that Pillow knows"):
        read_image(tmp_path / "x.avif")
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "AVIF"])
    with pytest.raises(ImageError, match="needs the package pillow-avif-plugin; install"):
        read_image(tmp_path / "x.avif")


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
