"""Columns of Hugging Face data sets; all but the first test need the package ``datasets``."""

import os
import pickle
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import deconvnet
from deconvnet import Preprocessing
from deconvnet.data import ImageError, ImageFolder
from deconvnet.data.hugging_face import HuggingFaceImages, is_hugging_face
from deconvnet.data.specs import anchored, dataset, mined_dataset
from deconvnet.store.store import open_store
from tests.support.commands import said
from tests.support.spoiled import BAD, GOOD, name_of, turned

PREPARE = Preprocessing((8, 8), 8)
COUNT = 5


@pytest.fixture
def hf(monkeypatch, tmp_path):
    """The package, kept away from the network and from other people's caches."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    found = pytest.importorskip("datasets", reason="the package datasets is not installed")
    found.disable_progress_bars()
    return found


@pytest.fixture
def folder(tmp_path):
    for number in range(COUNT):
        pixels = np.random.default_rng(number).integers(0, 256, (9, 11, 3), dtype=np.uint8)
        path = tmp_path / "data" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / "data"


def rows_of(hf, folder, **more):
    """The images of a folder, with labels and arrays beside them."""
    names = sorted(os.listdir(folder))
    rows = [{"bytes": (folder / name).read_bytes(), "path": name} for name in names]
    arrays = [np.full((3, 8, 8), float(number), dtype=np.float32) for number in range(len(rows))]
    features = {"image": hf.Image(), "label": hf.Value("int64")}
    columns = {"image": rows, "label": list(range(len(rows)))}
    if more.get("arrays"):
        features["pixels"] = hf.Array3D((3, 8, 8), "float32")
        columns["pixels"] = [array.tolist() for array in arrays]
    return hf.Dataset.from_dict(columns, features=hf.Features(features))


def one_row(hf, content):
    features = hf.Features({"image": hf.Image()})
    row = None if content is None else {"bytes": content, "path": None}
    return hf.Dataset.from_dict({"image": [row]}, features=features)


# --- without the package -------------------------------------------------------------------------


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match="'photos' is read by the package datasets.*pip install"):
        dataset("hf:photos", PREPARE)
    assert not is_hugging_face([torch.zeros(3, 8, 8)])


# --- the column ----------------------------------------------------------------------------------


def test_the_images_are_those_of_the_files(hf, folder):
    ours, theirs = ImageFolder(folder, PREPARE), HuggingFaceImages(rows_of(hf, folder), PREPARE)
    assert len(theirs) == COUNT
    assert all(torch.equal(ours[i], theirs[i]) for i in range(COUNT))
    assert [theirs.path(i) for i in range(COUNT)] == [ours.path(i) for i in range(COUNT)]
    again = pickle.loads(pickle.dumps(theirs))
    assert torch.equal(again[3], theirs[3])


def test_columns_of_arrays_and_of_bytes(hf, folder):
    rows = rows_of(hf, folder, arrays=True)
    arrays = HuggingFaceImages(rows, PREPARE, column="pixels")
    assert torch.equal(arrays[2], torch.full((3, 8, 8), 2.0))
    assert arrays.path(2) == "2"
    content = (folder / "1.png").read_bytes()
    encoded = HuggingFaceImages(hf.Dataset.from_dict({"b": [content]}), PREPARE, column="b")
    assert torch.equal(encoded[0], ImageFolder(folder, PREPARE)[1])


def test_a_transform_of_its_own_is_taken(hf, folder):
    def tensors(rows):
        return {"x": [torch.ones(3, 8, 8) * label for label in rows["label"]]}

    own = rows_of(hf, folder).with_transform(tensors)
    assert torch.equal(HuggingFaceImages(own, PREPARE, column="x")[3], torch.full((3, 8, 8), 3.0))
    other = rows_of(hf, folder).with_transform(lambda rows: {"image": rows["image"]})
    assert torch.equal(HuggingFaceImages(other, PREPARE)[1], ImageFolder(folder, PREPARE)[1])


@pytest.mark.parametrize("wrong", ["none", "two", "unknown", "splits", "streamed", "identity"])
def test_wrong_columns(hf, folder, wrong):
    rows = rows_of(hf, folder)
    images = {name: hf.Image() for name in ("a", "b")}
    two = hf.Dataset.from_dict({"a": [], "b": []}, features=hf.Features(images))
    given, options, kind, message = {
        "none": (rows.remove_columns("image"), {}, ValueError, r"no columns hold.*label \(Value"),
        "two": (two, {}, ValueError, "2 columns hold images, expected one; choose a column"),
        "unknown": (rows, {"column": "img"}, ValueError, "no column 'img'; the columns are image"),
        "splits": (hf.DatasetDict({"train": rows}), {}, TypeError, "DatasetDict of 'train' was"),
        "streamed": (rows.to_iterable_dataset(), {}, TypeError, "iterable-style"),
        "identity": (rows, {"identity": "hash"}, ValueError, "identity='hash' is unknown"),
    }[wrong]
    with pytest.raises(kind, match=message):
        HuggingFaceImages(given, PREPARE, **options)


def test_what_is_no_image(hf, folder):
    labels = HuggingFaceImages(rows_of(hf, folder), PREPARE, column="label")
    with pytest.raises(TypeError, match="item 0 of the data set is int; expected a float tensor"):
        deconvnet.mine(torch.nn.Conv2d(3, 2, 3), labels, folder / "a.h5")
    empty = HuggingFaceImages(one_row(hf, None), PREPARE)
    with pytest.raises(ImageError, match="'row 0 of image' cannot be used: it holds no image"):
        empty[0]


# --- the same policies as for files ---------------------------------------------------------------


@pytest.mark.parametrize("key", BAD, ids=name_of)
def test_bad_images(hf, key):
    content, reason = BAD[key]
    with pytest.raises(ImageError, match=f"'row 0 of image' cannot be used: .*({reason})"):
        HuggingFaceImages(one_row(hf, content), PREPARE)[0]


@pytest.mark.filterwarnings("ignore:.*said once")
@pytest.mark.parametrize("key", GOOD, ids=name_of)
def test_odd_images(hf, key):
    content, colour = GOOD[key]
    pixels = PREPARE.picture(HuggingFaceImages(one_row(hf, content), PREPARE)[0])
    assert abs(255 * pixels - colour).max() < 3


def test_orientation_is_left_or_followed(hf):
    rows = one_row(hf, turned())
    left = PREPARE.picture(HuggingFaceImages(rows, PREPARE)[0])
    followed = HuggingFaceImages(rows, Preprocessing((8, 8), 8, orientation="exif"))[0]
    assert (left[:, 0].round() == [1, 0, 0]).all()
    assert (PREPARE.picture(followed)[0].round() == [1, 0, 0]).all()
    # what it must catch: the package turns what it decodes
    assert np.asarray(rows[0]["image"])[0].tolist() == [[255, 0, 0]] * 4


# --- by a word, and from a store -----------------------------------------------------------------


def test_by_a_word(hf, folder, tmp_path):
    rows = rows_of(hf, folder, arrays=True)
    rows.save_to_disk(str(tmp_path / "saved"))
    found = dataset(f"hf:{tmp_path}/saved", PREPARE)
    assert torch.equal(found[4], ImageFolder(folder, PREPARE)[4])
    assert dataset(f"hf:{tmp_path}/saved:pixels", PREPARE)[2].unique().tolist() == [2]
    with pytest.raises(ValueError, match="there is no column 'nothing'"):
        dataset(f"hf:{tmp_path}/saved:nothing", PREPARE)
    for word in (f"hf:{tmp_path}/none", f"hf:{tmp_path}"):
        with pytest.raises(FileNotFoundError, match=r"holds no data set; give .*save_to_disk"):
            dataset(word, PREPARE)
    hf.DatasetDict({"train": rows}).save_to_disk(str(tmp_path / "splits"))
    with pytest.raises(TypeError, match="holds several data sets; choose .*splits/train"):
        dataset(f"hf:{tmp_path}/splits", PREPARE)
    assert len(dataset(f"hf:{tmp_path}/splits/train", PREPARE)) == COUNT


def test_by_a_factory(hf, folder, tmp_path, monkeypatch):
    rows_of(hf, folder).save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "made.py").write_text(
        "import datasets\n"
        f"def rows(): return datasets.load_from_disk({str(tmp_path / 'saved')!r})\n"
    )
    found = dataset(f"{tmp_path}/made.py:rows", PREPARE)
    assert isinstance(found, HuggingFaceImages)
    assert torch.equal(found[0], ImageFolder(folder, PREPARE)[0])


def test_fingerprints(hf, folder, tmp_path):
    rows_of(hf, folder).save_to_disk(str(tmp_path / "a"))
    prints = {
        identity: dataset(f"hf:{tmp_path}/a", PREPARE, identity=identity).fingerprint()
        for identity in ("size", "content")
    }
    assert prints["content"].startswith("content:")
    (tmp_path / "a").rename(tmp_path / "b")  # the same wherever it lies
    for identity, expected in prints.items():
        found = dataset(f"hf:{tmp_path}/b", PREPARE, identity=identity)
        assert found.fingerprint() == expected
    pixels = bytearray((folder / "3.png").read_bytes())
    pixels[-5] ^= 1  # of a checksum: the size is what it was
    (folder / "3.png").write_bytes(pixels)
    rows_of(hf, folder).save_to_disk(str(tmp_path / "c"))
    for identity, expected in prints.items():
        found = dataset(f"hf:{tmp_path}/c", PREPARE, identity=identity)
        assert found.fingerprint() != expected


def test_mined_and_drawn(hf, folder, tmp_path, capfd, monkeypatch):
    (folder / "2.png").write_bytes(b"<html>")
    rows_of(hf, folder).save_to_disk(str(tmp_path / "saved"))
    monkeypatch.chdir(tmp_path)
    store, figure = tmp_path / "a.h5", tmp_path / "a.png"
    arguments = ["zoo:zfnet_mini", "hf:saved:image", "-o", store, "--layers", "relu2"]
    code, out, err = said(capfd, "mine", *arguments, "--workers", 1)
    assert code == 0, err
    assert "image 2: 'row 2 of image (2.png)' cannot be used: it is no image" in out
    attributes = open_store(store).attributes
    assert attributes["dataset"] == anchored("hf:saved:image") == f"hf:{tmp_path}/saved:image"
    assert list(open_store(store).images.values()) == ["0.png", "1.png", "3.png", "4.png"]
    again = mined_dataset(attributes, Preprocessing.from_json(attributes["transform"]))
    assert again.fingerprint() == attributes["dataset_fingerprint"]
    monkeypatch.chdir("/")
    code, _, err = said(capfd, "figure", store, "--layer", "relu2", "--channels", 0, "-o", figure)
    assert code == 0, err
