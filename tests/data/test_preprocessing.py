"""Preprocessing against torchvision's own, and the folder of images."""

import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deconvnet.data import IMAGENET_MEAN, ImageError, ImageFolder, Preprocessing


def photograph(width, height):
    rng = np.random.default_rng(width * 1000 + height)
    small = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


# --- preprocessing ---------------------------------------------------------------------------

SIZES = [(500, 375), (375, 500), (256, 256), (257, 256), (300, 301), (90, 60), (1, 1), (1024, 37)]


def differs_from_torchvision(prepare, *, crop, resize, mean, std):
    """On how many photographs `prepare` is not torchvision's preset to the last bit."""
    presets = pytest.importorskip("torchvision.transforms._presets")
    preset = presets.ImageClassification(crop_size=crop, resize_size=resize, mean=mean, std=std)
    images = [photograph(*size) for size in SIZES]
    return sum(not torch.equal(prepare(image), preset(image)) for image in images)


NUMBERS = [(224, 256), (224, 232), (32, 32), (33, 37)]
OTHER = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}


@pytest.mark.parametrize(("crop", "resize"), NUMBERS)
def test_equals_torchvision(crop, resize):
    ours = Preprocessing((crop, crop), resize, **OTHER)
    assert differs_from_torchvision(ours, crop=crop, resize=resize, **OTHER) == 0


WRONG = {
    "resize": lambda image: Preprocessing((33, 33), 38, **OTHER)(image),
    "bicubic": lambda image: Preprocessing((33, 33), 37, **OTHER, interpolation="bicubic")(image),
    "mean": lambda image: Preprocessing((33, 33), 37, mean=IMAGENET_MEAN, std=OTHER["std"])(image),
    "squeezed": lambda image: Preprocessing((33, 33), None, **OTHER)(image.resize((33, 33))),
    "last bit": lambda image: Preprocessing((33, 33), 37, **OTHER)(image) * (1 + 2**-23),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_the_comparison_catches(wrong):
    assert differs_from_torchvision(wrong, crop=33, resize=37, **OTHER) > 0


def test_imagenet_numbers():
    assert Preprocessing.imagenet() == Preprocessing((224, 224), 256)
    assert Preprocessing.imagenet(64).resize == 73


def test_picture_shows_the_crop_again():
    prepare = Preprocessing.imagenet(64)
    image = photograph(73, 73)
    expected = np.asarray(image.crop((4, 4, 68, 68))) / 255
    picture = prepare.picture(prepare(image))
    assert picture.dtype == np.float32
    np.testing.assert_allclose(picture, expected, atol=1e-6)
    assert not np.allclose(prepare.picture(prepare(image) + 0.01), expected, atol=1e-6)


def test_picture_clips():
    prepare = Preprocessing((2, 2), 2)
    assert prepare.picture(torch.full((3, 5, 7), 99.0)).shape == (5, 7, 3)
    assert prepare.picture(torch.full((3, 2, 2), 99.0)).max() == 1
    assert prepare.picture(torch.full((3, 2, 2), -99.0)).min() == 0
    with pytest.raises(ValueError, match=r"shape \(2, 2\).*\(3, height, width\)"):
        prepare.picture(torch.zeros(2, 2))


def test_a_rectangle_without_resizing():
    prepare = Preprocessing((20, 30), None)
    assert prepare(photograph(31, 20)).shape == (3, 20, 30)
    with pytest.raises(ValueError, match="too small for a crop.*set resize"):
        prepare(photograph(29, 20))


def test_other_modes_are_converted():
    grey = Preprocessing((8, 8), 8)(photograph(8, 8).convert("L"))
    assert grey.shape == (3, 8, 8)


def test_json():
    prepare = Preprocessing((20, 30), None, **OTHER)
    assert Preprocessing.from_json(prepare.to_json()) == prepare
    assert "\n" not in prepare.to_json()
    for text in ["", "[1]", '{"size": [1, 2]}', '{"size": 3, "resize": 3}', "{}"]:
        with pytest.raises(ValueError, match="preprocessing|was given"):
            Preprocessing.from_json(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (0, 3), "resize": 3}, r"size=\(0, 3\)"),
        ({"size": (3, 3, 3, 3), "resize": 3}, "height, width"),
        ({"size": (3, 3), "resize": 3, "mean": ()}, "a finite number for each band"),
        ({"size": (3, 3), "resize": 3, "mean": 0.5}, r"std.*as many numbers as mean=\(0.5,\)"),
        ({"size": (3, 3), "resize": 3, "bands": (0, 1, 3)}, "image of 3 bands, expected three"),
        ({"size": 224, "resize": 256}, "size=224.*tuple"),
        ({"size": (20, 30), "resize": 25}, "resize=25.*at least 30"),
        ({"size": (2, 2), "resize": 2, "mean": (0.0, 0.0)}, "mean"),
        ({"size": (2, 2), "resize": 2, "std": (1, 1, 0)}, "std.*positive"),
        ({"size": (2, 2), "resize": 2, "std": (1, 1, float("nan"))}, "std.*finite"),
        ({"size": (2, 2), "resize": 2, "interpolation": "spline"}, "'spline'.*bilinear"),
        ({"size": (2, 2), "resize": 2, "orientation": "left"}, "'left'.*stored, exif"),
    ],
)
def test_numbers_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**arguments)


def test_no_image_at_all():
    with pytest.raises(TypeError, match="a list was given, expected a PIL image or an array"):
        Preprocessing((2, 2), 2)([[0, 1], [2, 3]])


# --- the folder ------------------------------------------------------------------------------


def save(path, color="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), color).save(path)


PREPARE = Preprocessing((8, 8), 8)


def test_finds_and_sorts_by_bytes(tmp_path):
    for name in ["b.png", "B.png", "a/z.JPG", "a-.png", "é.png", "a/b/c.webp", ".hidden.png"]:
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    folder = ImageFolder(tmp_path, PREPARE)
    paths = [folder.path(index) for index in range(len(folder))]
    assert paths == ["B.png", "a-.png", "a/b/c.webp", "a/z.JPG", "b.png", "é.png"]
    assert folder[0].shape == (3, 8, 8)
    assert folder.preprocessing.picture(folder[0]).tolist()[0][0] == pytest.approx(
        [1, 0, 0], abs=1e-6
    )


def test_odd_names(tmp_path):
    names = ["%d-{0}.png", "-x.png", "a\nb.png", "n" * 240 + ".png", os.fsdecode(b"bad\xff.png")]
    for name in names:
        save(tmp_path / "good.png")
        (tmp_path / "good.png").rename(tmp_path / name)
    folder = ImageFolder(tmp_path, PREPARE)
    assert {folder.path(index) for index in range(len(folder))} == set(names)
    assert all(len(tensor) == 3 for tensor in folder)
    assert len(folder.fingerprint()) == 64


def test_a_loop_of_links_ends(tmp_path):
    save(tmp_path / "a" / "x.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    folder = ImageFolder(tmp_path, PREPARE)
    assert [folder.path(index) for index in range(len(folder))] == ["a/x.png"]


def test_a_linked_folder_is_followed(tmp_path):
    save(tmp_path / "elsewhere" / "x.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "class").symlink_to(tmp_path / "elsewhere")
    assert ImageFolder(tmp_path / "data", PREPARE).path(0) == "class/x.png"


def test_a_list_keeps_its_order(tmp_path):
    save(tmp_path / "b.png", "blue")
    save(tmp_path / "a.png")
    files = [tmp_path / "b.png", str(tmp_path / "a.png")]
    folder = ImageFolder(files, PREPARE)
    assert [folder.path(0), folder.path(1)] == [str(file) for file in files]
    assert not torch.equal(folder[0], folder[1])


def test_nothing_to_find(tmp_path):
    with pytest.raises(FileNotFoundError, match="no image in .*known are .apng .avif"):
        ImageFolder(tmp_path, PREPARE)
    with pytest.raises(FileNotFoundError, match="empty list"):
        ImageFolder([], PREPARE)
    with pytest.raises(FileNotFoundError, match="nowhere' is no folder"):
        ImageFolder(tmp_path / "nowhere", PREPARE)


def test_a_bad_image_is_named(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"")
    save(tmp_path / "y.png")
    (tmp_path / "z.jpg").symlink_to(tmp_path / "nowhere.jpg")
    folder = ImageFolder(tmp_path, Preprocessing((9, 9), None))
    for index, name in enumerate(["x.jpg.*empty", "y.png.*too small", "z.jpg.*no such file"]):
        with pytest.raises(ImageError, match=name):
            folder[index]
    folder.fingerprint()
    with pytest.raises(IndexError):
        folder[3]


def test_the_fingerprint_tells_names_and_sizes(tmp_path):
    save(tmp_path / "one" / "x.png")
    save(tmp_path / "two" / "x.png")
    one = ImageFolder(tmp_path / "one", PREPARE).fingerprint()
    assert ImageFolder(tmp_path / "two", PREPARE).fingerprint() == one
    with open(tmp_path / "two" / "x.png", "ab") as file:
        file.write(b"\0")
    longer = ImageFolder(tmp_path / "two", PREPARE).fingerprint()
    (tmp_path / "one" / "x.png").rename(tmp_path / "one" / "y.png")
    assert len({one, longer, ImageFolder(tmp_path / "one", PREPARE).fingerprint()}) == 3


class Negative(ImageFolder):
    """Makes other images of the same files."""

    def __getitem__(self, index):
        return -super().__getitem__(index)


def test_the_fingerprint_tells_what_makes_the_images(tmp_path):
    save(tmp_path / "x.png")
    blue, red = (partial(Image.new, "RGB", (8, 8), name) for name in ("blue", "red"))
    folders = [ImageFolder(tmp_path, PREPARE), Negative(tmp_path, PREPARE)]
    folders += [
        ImageFolder(tmp_path, PREPARE, read=lambda _, own=own: own()) for own in (blue, red)
    ]
    assert len({folder.fingerprint() for folder in folders}) == len(folders)


def test_another_way_to_read_and_pickling(tmp_path):
    save(tmp_path / "x.png")
    read = partial(Image.new, "RGB", (8, 8))  # pixels of no file: the path is taken as a colour
    folder = ImageFolder(["blue"], PREPARE, read=read)
    assert PREPARE.picture(folder[0])[0, 0].tolist() == pytest.approx([0, 0, 1], abs=1e-6)
    folder = ImageFolder(tmp_path, PREPARE)
    assert torch.equal(pickle.loads(pickle.dumps(folder))[0], folder[0])


def test_torchvision_is_not_imported():
    program = "import sys, deconvnet.data; print('torchvision' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
