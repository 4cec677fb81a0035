"""12-bit images in 16-bit files: the value of white is stated, and one for a whole data set."""

import numpy as np
import pytest
from PIL import Image

from deconvnet import Preprocessing
from deconvnet.data import ImageFolder, image_files, read_image, to_rgb
from deconvnet.store.store import open_store
from tests.support.commands import said

PREPARE = Preprocessing((8, 8), 8, (0, 0, 0), (1, 1, 1))
TWELVE = Preprocessing((8, 8), 8, (0, 0, 0), (1, 1, 1), white=4095)


def scan(path, value, spot=None):
    pixels = np.full((8, 8), value, "<u2")
    pixels[4, 4] = value if spot is None else spot
    Image.fromarray(pixels).save(path)


@pytest.fixture(autouse=True)
def said_anew():
    image_files._warn_once.cache_clear()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_all_images_are_scaled_alike(tmp_path, suffix):
    scan(tmp_path / f"a{suffix}", 4095)
    scan(tmp_path / f"b{suffix}", 2048)
    data = ImageFolder(tmp_path, TWELVE)
    assert data.picture(0)[0, 0].tolist() == [1.0] * 3
    assert data.picture(1)[0, 0].tolist() == pytest.approx([128 / 255] * 3)
    with Image.open(tmp_path / f"b{suffix}") as image:
        assert TWELVE(image)[0, 0, 0] == data[1][0, 0, 0], "of an image in memory too"


def test_every_value_is_rounded_to_the_nearest():
    for white in (65535, 4095, 1023, 16383, 300):
        values = np.arange(0, 65536, dtype="<u2").reshape(256, 256)
        found = np.asarray(to_rgb(Image.fromarray(values), white=white))[..., 0].ravel()
        exact = np.minimum(np.arange(65536) * 255 / white, 255)
        assert np.abs(found - exact).max() <= 0.5 + 1e-9
    assert to_rgb(Image.fromarray(np.full((2, 2), 65535, "<u2"))).getpixel((0, 0)) == (255,) * 3


def test_what_would_be_black_is_said_once_and_how_to_mend_it(tmp_path):
    scan(tmp_path / "a.png", 100, 4000)
    message = r"greatest value is 4000, .* 12 bits .* white, 4095: Preprocessing\(white=.*--white"
    with pytest.warns(UserWarning, match=message):
        read_image(tmp_path / "a.png")
    read_image(tmp_path / "a.png")  # a second warning would be an error here


@pytest.mark.parametrize(("value", "white"), [(0, 65535), (40000, 65535), (4095, 4095)])
def test_nothing_is_said_without_need(tmp_path, value, white):
    scan(tmp_path / "a.png", value)
    read_image(tmp_path / "a.png", white=white)


def test_the_store_says_it_and_old_stores_stay_the_same():
    assert "white" not in PREPARE.to_json()
    assert Preprocessing.from_json(PREPARE.to_json()) == PREPARE
    assert Preprocessing.from_json(TWELVE.to_json()) == TWELVE
    assert TWELVE.to_json() != PREPARE.to_json()


@pytest.mark.parametrize("white", [0, -1, 65536, 0.5, "4095", True])
def test_what_is_no_value_of_16_bits(white):
    with pytest.raises(ValueError, match="white=.*expected"):
        Preprocessing((8, 8), 8, white=white)


@pytest.mark.filterwarnings("always:a 16-bit grey image")
def test_the_command(tmp_path, capfd):
    (tmp_path / "scans").mkdir()
    for number in range(3):
        scan(tmp_path / "scans" / f"{number}.png", 1000 * number, 4000)
    command = ["mine", "zoo:zfnet_mini", tmp_path / "scans", "--layers", "relu1", "-o"]
    code, _, err = said(capfd, *command, tmp_path / "a.h5")
    assert (code, "on the command line --white" in err) == (0, True)
    code, _, err = said(capfd, *command, tmp_path / "b.h5", "--white", 4095)
    assert (code, "--white" in err) == (0, False)
    one, two = (open_store(tmp_path / name) for name in ("a.h5", "b.h5"))
    assert Preprocessing.from_json(two.attributes["transform"]).white == 4095
    assert one["relu1"].activation.max() != two["relu1"].activation.max()
    assert said(capfd, "verify", tmp_path / "b.h5")[0] == 0
