"""Bad images in a data set that is mined, row by row of the matrix: 1 to 28.

A bad image is written down with its reason and nothing takes its place; a good one that only
looks odd is shown as one would expect.
"""

import os
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import deconvnet
from deconvnet import DeconvNet, Preprocessing
from deconvnet.data import ImageError, ImageFolder
from deconvnet.data.image_files import read_image
from deconvnet.mining.exemplars import exemplars
from deconvnet.store.store import open_store
from tests.support.commands import said
from tests.support.spoiled import BAD, GOOD, JPEG, flipped, name_of, nobody, turned

PREPARE = Preprocessing((8, 8), 8)
CLEAN = ("a.png", "m.png", "z.png")
ROWS = pytest.mark.filterwarnings("ignore:.*said once")  # CMYK, and several frames


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3)).eval()


def mined(data, path, **options):
    return deconvnet.mine(model(), data, path, k=2, batch_size=2, **options)


@pytest.fixture
def folder(tmp_path):
    """Three clean images, whose names come before, between and after the others."""
    place = tmp_path / "data"
    place.mkdir()
    for number, name in enumerate(CLEAN):
        pixels = np.random.default_rng(number).integers(0, 256, (9, 11, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / name)
    return place


def entries(store):
    """All tables with images by name: what must not depend on a bad image between them."""
    names = {**store.images, -1: ""}
    return [
        (name, column, [[names[i] for i in row] for row in values.tolist()])
        if column == "image"
        else (name, column, values.tolist())
        for name, table in store.items()
        for column, values in (
            ("image", table.image),
            ("activation", table.activation),
            ("row", table.row),
            ("col", table.col),
            ("box", table.box),
            ("nonzero", table.nonzero),
        )
    ]


# --- rows 1 to 26: refused, or shown as one would expect -----------------------------------------


def special(folder, kind):
    """Row 26: what is no file at all, under the name of one."""
    file = folder / "bad.jpg"
    if kind == "unreadable":
        file.write_bytes(JPEG)
        file.chmod(0)
    elif kind == "dangling":
        file.symlink_to(folder / "nowhere.jpg")
    elif kind == "of itself":
        file.symlink_to(file)
    else:
        file.mkdir()


SPECIAL = {
    "unreadable": "permission denied",
    "dangling": "no such file",
    "of itself": "too many levels",
    "folder": "is a directory",
}


def check_left_out(folder, tmp_path, name, reason, read=None):
    clean = mined(ImageFolder([folder / n for n in CLEAN], PREPARE), tmp_path / "clean.h5")
    data = ImageFolder(folder, PREPARE, read=read)
    store = mined(data, tmp_path / "a.h5")
    (failed,) = store.failed
    assert failed.path == name == data.path(failed.index)
    assert name in failed.reason
    assert re.search(reason, failed.reason)
    assert (store.attributes["images_seen"], store.attributes["images_failed"]) == (3, 1)
    assert failed.index not in store.images
    bare = {key: os.path.basename(path) for key, path in clean.images.items()}
    assert sorted(store.images.values()) == sorted(bare.values())
    clean.images.update(bare)
    assert entries(store) == entries(clean)
    with pytest.raises(ValueError, match="1 of 4 images cannot be read"):
        mined(data, tmp_path / "strict.h5", strict=True)
    assert not (tmp_path / "strict.h5").exists()


@pytest.mark.parametrize("key", BAD, ids=name_of)
def test_bad_images_are_left_out(folder, tmp_path, key):
    content, reason = BAD[key]
    (folder / key[1]).write_bytes(content)
    check_left_out(folder, tmp_path, key[1], reason)


@pytest.mark.parametrize("kind", SPECIAL)
def test_row_26_no_file_at_all(folder, tmp_path, kind, monkeypatch):
    special(folder, kind)
    monkeypatch.chdir(folder)  # nobody may look for it from the root of the system

    def read_as_nobody(path):
        with nobody():
            return read_image(os.path.basename(path))

    read = read_as_nobody if kind == "unreadable" else None
    check_left_out(folder, tmp_path, "bad.jpg", SPECIAL[kind], read)


def test_row_26_a_folder_with_images_is_a_folder_whatever_its_name(folder):
    (folder / "clip.jpg").mkdir()
    (folder / "a.png").rename(folder / "clip.jpg" / "0.png")
    data = ImageFolder(folder, PREPARE)
    assert [data.path(i) for i in range(len(data))] == ["clip.jpg/0.png", "m.png", "z.png"]


@ROWS
@pytest.mark.parametrize("key", GOOD, ids=name_of)
def test_odd_images_are_shown_as_expected(folder, tmp_path, key):
    content, colour = GOOD[key]
    (folder / key[1]).write_bytes(content)
    data = ImageFolder(folder, PREPARE)
    index = sorted([*CLEAN, key[1]]).index(key[1])
    assert abs(255 * data.picture(index) - colour).max() < 3
    store = mined(data, tmp_path / "a.h5")
    assert (store.failed, store.attributes["images_seen"]) == ([], 4)
    # what it must catch: what is shown without a policy
    if key[0] in (11, 15) or key[1] == "palette-and-alpha.png":
        with Image.open(folder / key[1]) as image:
            assert abs(np.asarray(image.convert("RGB")).astype(int) - colour).max() > 50


def test_row_7_flipped_bits_are_told_by_the_content_only(folder):
    for name in ("good.jpg", "good2.jpg"):
        (folder / name).write_bytes(JPEG)
    sizes, contents = (
        [ImageFolder(folder, PREPARE, identity=kind).fingerprint() for _ in range(2)]
        for kind in ("size", "content")
    )
    before = ImageFolder(folder, PREPARE).picture(1)
    (folder / "good.jpg").write_bytes(flipped())
    assert not np.array_equal(ImageFolder(folder, PREPARE).picture(1), before)
    assert ImageFolder(folder, PREPARE).fingerprint() == sizes[0] == sizes[1]
    assert contents[0] == contents[1]
    now = ImageFolder(folder, PREPARE, identity="content").fingerprint()
    assert now != contents[0]
    assert now.startswith("content:")


def test_row_17_orientation_is_left_or_followed(folder, tmp_path, capfd):
    (folder / "b.png").write_bytes(turned())
    left = ImageFolder(folder, PREPARE).picture(1)
    followed = ImageFolder(folder, Preprocessing((8, 8), 8, orientation="exif")).picture(1)
    assert (left[:, 0].round() == [1, 0, 0]).all()  # red on the left
    assert (left[0].round() != [1, 0, 0]).any()
    assert (followed[0].round() == [1, 0, 0]).all()  # red on top
    transforms = []
    for options in ([], ["--exif-transpose"]):
        store = tmp_path / f"{len(options)}.h5"
        arguments = ["mine", "zoo:zfnet_mini", folder, "-o", store, "--layers", "relu1", *options]
        code, _, err = said(capfd, *arguments)
        assert code == 0, err
        transforms.append(Preprocessing.from_json(open_store(store).attributes["transform"]))
    assert [each.orientation for each in transforms] == ["stored", "exif"]


def test_row_25_a_format_without_its_plugin(folder, monkeypatch):
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "AVIF"])
    monkeypatch.delitem(Image.SAVE, "AVIF", raising=False)
    (folder / "b.avif").write_bytes(b"\0\0\0\x20ftypavif" + bytes(50))
    with pytest.raises(ImageError, match="needs the package pillow-avif-plugin"):
        ImageFolder(folder, PREPARE)[1]


# --- rows 27 and 28: the folder itself -----------------------------------------------------------


def shown(store, folder):
    data, net = ImageFolder(folder, PREPARE), DeconvNet(model(), input_size=(3, 8, 8))
    return exemplars(store, "1", [0, 1, 2, 3], net=net, dataset=data, preprocessing=PREPARE)


def test_row_27_what_has_changed_since_is_not_shown(folder, tmp_path):
    store = mined(ImageFolder(folder, PREPARE), tmp_path / "a.h5")
    assert sum(map(len, shown(store, folder).values())) > 0
    (folder / "m.png").rename(tmp_path / "away.png")
    with pytest.raises(ValueError, match="has changed|is not in the data set, which has 2"):
        shown(store, folder)
    (folder / "m.png").write_bytes(b"<html>")
    with pytest.raises(ImageError, match=r"m\.png' cannot be used"):
        shown(store, folder)
    Image.new("RGB", (9, 11), "white").save(folder / "m.png")
    with pytest.raises(ValueError, match="the data set has changed since it was mined"):
        shown(store, folder)


def test_row_27_a_file_that_vanishes_meanwhile_is_left_out(folder, tmp_path):
    data = ImageFolder(folder, PREPARE)
    (folder / "m.png").unlink()
    store = mined(data, tmp_path / "a.h5")
    assert [(f.index, f.path) for f in store.failed] == [(1, "m.png")]
    assert "no such file" in store.failed[0].reason


def test_row_28_a_loop_of_links_ends(folder, tmp_path):
    (folder / "sub").mkdir()
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "sub" / "self").symlink_to(folder / "sub" / "self")
    assert len(ImageFolder(folder, PREPARE)) == len(CLEAN)


# --- the policy on the command line --------------------------------------------------------------


def mine_command(capfd, folder, tmp_path, *options):
    arguments = ["zoo:zfnet_mini", folder, "-o", tmp_path / "a.h5", "--layers", "relu1", *options]
    return said(capfd, "mine", *arguments)


def test_the_summary_names_them(folder, tmp_path, capfd):
    (folder / "page.jpg").write_bytes(b"<html>")
    code, out, err = mine_command(capfd, folder, tmp_path)
    assert code == 0, err
    assert "left out: 1 of 4 images, which cannot be used" in out
    assert f"image 2: '{folder}/page.jpg' cannot be used: it is no image that Pillow knows" in out


def test_strict_and_too_many_stop_without_a_store(folder, tmp_path, capfd):
    (folder / "page.jpg").write_bytes(b"<html>")
    code, _, err = mine_command(capfd, folder, tmp_path, "--strict")
    assert code == 2
    assert "1 of 4 images cannot be read, the first is image 2" in err
    (folder / "empty.jpg").write_bytes(b"")
    code, _, err = mine_command(capfd, folder, tmp_path)
    assert code == 2
    assert "2 of 5 images cannot be read" in err
    assert not (tmp_path / "a.h5").exists()


def test_a_long_summary_is_cut_short():
    from deconvnet.cli.commands.mine import TOLD, left_out
    from deconvnet.store.store import Failed

    many = [
        Failed(i, f"{i}.jpg", f"'{i}.jpg' cannot be used: it is empty") for i in range(TOLD + 5)
    ]
    lines = list(left_out(many, 10_000))
    assert len(lines) == TOLD + 2
    assert lines[-1] == "  and 5 more; the store has them all in /failed"
    assert list(left_out([], 10_000)) == []
