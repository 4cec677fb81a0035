"""Files in a folder of images that are not known as images by their suffix: counted and said."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image, features
from torch import nn

from deconvnet import Preprocessing, mine
from deconvnet.data import ImageFolder
from deconvnet.data.image_folder import SUFFIXES, said_of
from tests.support.commands import said

PREPARE = Preprocessing((8, 8), 8)
OTHERS = ("scan", "a.TXT", "b.txt", "notes.md", "raw.cr2")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos" / "below").mkdir(parents=True)
    save(tmp_path / "photos" / "1.png")
    save(tmp_path / "photos" / "below" / "2.png")
    for name in OTHERS:
        (tmp_path / "photos" / "below" / name).write_bytes(b"something")
    for name in (".hidden.txt", ".DS_Store"):
        (tmp_path / "photos" / name).write_bytes(b"not looked at")
    return tmp_path / "photos"


def save(path, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()


def test_they_are_counted_by_suffix(folder):
    data = ImageFolder(folder, PREPARE)
    assert len(data) == 2
    assert data.passed_over == {"": 1, ".txt": 2, ".md": 1, ".cr2": 1}
    assert ImageFolder([folder / "1.png"], PREPARE).passed_over == {}
    sentence = "5 files were passed over, not known as images by suffix: 2 .txt, 1 without a suffix"
    assert said_of(data.passed_over).startswith(sentence)
    many = said_of({f".{n}": 1 for n in range(9)})
    assert many.endswith("1 .5, 3 of other kinds")
    assert said_of({".raw": 1}).startswith("1 file was passed over")


def test_the_command_says_so(folder, tmp_path, capfd):
    command = ["mine", "zoo:zfnet_mini", folder, "-o", tmp_path / "a.h5", "--layers", "relu1"]
    code, out, err = said(capfd, *command)
    assert (code, err) == (0, err)
    assert out.count("5 files were passed over, not known as images by suffix: 2 .txt") == 1
    assert "passed over" not in err


def test_python_is_warned_of_what_may_be_images(folder, tmp_path):
    with pytest.warns(UserWarning, match="5 files were passed over.*; rename them") as caught:
        mine(model(), ImageFolder(folder, PREPARE), tmp_path / "a.h5")
    assert [each.filename for each in caught] == [__file__]
    for name in ("scan", "raw.cr2"):
        (folder / "below" / name).unlink()
    (folder / "top9.h5").write_bytes(b"a store beside its images is none")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mine(model(), ImageFolder(folder, PREPARE), tmp_path / "b.h5")
    (folder / "x.qoi").write_bytes(b"qoif")
    with pytest.warns(UserWarning, match="1 .qoi"):
        mine(model(), ImageFolder(folder, PREPARE), tmp_path / "c.h5")


def test_a_folder_of_nothing_else_names_them(tmp_path):
    for name in ("a.cr2", "b.cr2", "c"):
        (tmp_path / name).write_bytes(b"raw")
    with pytest.raises(FileNotFoundError, match=r"no image in .*: 3 files .*: 2 .cr2, 1 without"):
        ImageFolder(tmp_path, PREPARE)


@pytest.mark.parametrize("suffix", [".apng", ".dib", ".jp2", ".j2k", ".jpx", ".jpe", ".mpo",
                                    ".pbm", ".pnm", ".tga", ".TGA"])  # fmt: skip
def test_what_pillow_decodes_is_an_image(tmp_path, suffix):
    kind = Image.registered_extensions()[suffix.lower()]
    if kind == "JPEG2000" and not features.check("jpg_2000"):
        pytest.skip("this Pillow was built without OpenJPEG")
    save(tmp_path / f"a{suffix}")
    data = ImageFolder(tmp_path, PREPARE)
    assert data.passed_over == {}
    assert data[0].shape == (3, 8, 8)
    assert len(set(SUFFIXES)) == len(SUFFIXES)
