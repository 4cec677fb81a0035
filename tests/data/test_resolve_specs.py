"""Data sets by a word: folders, lists, factories; their order, fingerprints and transforms."""

import os
import sys
import textwrap

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models as torchvision_models

import deconvnet
from deconvnet import Preprocessing, zoo
from deconvnet.data import ImageFolder
from deconvnet.data.resolve import anchored, dataset, mined_dataset
from deconvnet.mining.mine import Source
from deconvnet.store.store import open_store
from tests.support.commands import said

PREPARE = Preprocessing((8, 8), 8)
MODULE = """
    import torch
    from torch import nn
    from torch.utils.data import IterableDataset

    def photographs():
        return [torch.zeros(3, 8, 8)] * 3

    def number():
        return 7

    class Streamed(IterableDataset):
        def __iter__(self):
            return iter(photographs())

    def splits():
        return {"train": photographs(), "test": photographs()}

    def small():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())

    wide = 5
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "sets.py"
    path.write_text(textwrap.dedent(MODULE))
    yield str(path)
    sys.modules.pop("sets", None)


@pytest.fixture
def photos(tmp_path):
    """Five images of different pixels, in two folders."""
    names = ["a/1.png", "a/2.png", "a-.png", "b/1.png", "Z.png"]
    for number, name in enumerate(names):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (100, 120, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return tmp_path / "photos"


def paths(data):
    return [data.path(index) for index in range(len(data))]


# --- folders and factories -----------------------------------------------------------------------


def test_folders_and_factories(file, photos, monkeypatch):
    assert len(dataset(f"{file}:photographs", PREPARE)) == 3
    monkeypatch.syspath_prepend(os.path.dirname(file))
    assert len(dataset("sets:photographs", PREPARE)) == 3
    folder = dataset(str(photos), zoo.PREPROCESSING)
    assert isinstance(folder, ImageFolder)
    assert folder[0].shape == (3, 96, 96)
    assert len(dataset("deconvnet.zoo:photographs", zoo.PREPROCESSING)) > 400


def test_the_order_is_that_of_the_bytes_whatever_the_system_lists(photos, monkeypatch):
    expected = ["Z.png", "a-.png", "a/1.png", "a/2.png", "b/1.png"]
    assert paths(dataset(str(photos), PREPARE)) == expected
    scandir, listed = os.scandir, []

    class Backwards:
        """A system that lists folders in another order."""

        def __init__(self, path):
            with scandir(path) as found:
                self.found = iter(sorted(found, key=lambda entry: entry.name, reverse=True))
            listed.append(path)

        def __enter__(self):
            return self.found

        def __exit__(self, *error):
            return None

        def __iter__(self):
            return self.found

        def __next__(self):
            return next(self.found)

        def close(self):
            return None

    monkeypatch.setattr(os, "scandir", Backwards)
    assert paths(dataset(str(photos), PREPARE)) == expected
    assert listed


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        ("none/photos", FileNotFoundError, r"no folder 'none/photos'; give a folder .*list.*hf:"),
        ("FILE:number", TypeError, "number returned no map-style data set: a data set of type int"),
        ("FILE:Streamed", TypeError, "Streamed returned no map-style.*iterable-style"),
        ("FILE:splits", TypeError, "a dict of 'train', 'test' was given"),
        ("FILE:wide", ValueError, "has no function 'wide'; it has IterableDataset, photographs"),
        ("EMPTY", FileNotFoundError, "there is no image in"),
        ("PHOTOS/Z.png", ValueError, "Z.png' is one image; give a folder of images, a list"),
        ("FILE", ValueError, "sets.py' is a file of no known kind; give"),
        ("none.txt", FileNotFoundError, "there is no file 'none.txt', expected a list"),
        ("", FileNotFoundError, "there is no folder ''"),
    ],
)
def test_wrong_words(file, photos, tmp_path, spec, kind, message):
    (tmp_path / "empty").mkdir()
    for word, path in (("FILE", file), ("EMPTY", tmp_path / "empty"), ("PHOTOS", photos)):
        spec = spec.replace(word, str(path))
    with pytest.raises(kind, match=message):
        dataset(spec, PREPARE)


def test_a_factory_says_itself_what_it_is(file):
    with pytest.raises(ValueError, match="a factory, so the content of its files is not known"):
        dataset(f"{file}:photographs", PREPARE, identity="content")
    with pytest.raises(ValueError, match="identity='hash' is unknown, give one of size, content"):
        dataset(os.path.dirname(file), PREPARE, identity="hash")


# --- lists ---------------------------------------------------------------------------------------


def listed(place, text, name="some.txt"):
    path = place / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_a_list_is_in_its_own_order_and_relative_to_its_folder(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "..")
    absolute = str(photos / "Z.png")
    spec = listed(photos, f"\ufeff# the best\nb/1.png\n\n{absolute}\r\na/2.png\n../photos/a-.png")
    data = dataset(spec, PREPARE)
    assert paths(data) == ["b/1.png", absolute, "a/2.png", "../photos/a-.png"]
    every = dataset(str(photos), PREPARE)
    for ours, theirs in enumerate([4, 0, 3, 1]):
        assert torch.equal(data[ours], every[theirs])
    monkeypatch.chdir(photos)
    assert torch.equal(dataset("some.txt", PREPARE)[0], every[4])


def test_odd_names_in_a_list(photos):
    odd = [b"bad\xff.png", b"#1.png", b" spaces .png ", b"caf\xc3\xa9.png"]
    source = (photos / "Z.png").read_bytes()
    for name in odd:
        with open(os.path.join(os.fsencode(photos), name), "wb") as file:
            file.write(source)
    spec = listed(photos, b"\n".join([odd[0], b"./" + odd[1], *odd[2:], b"   "]), "some.LST")
    data = dataset(spec, PREPARE)
    assert [os.fsencode(path) for path in paths(data)] == [odd[0], b"./#1.png", *odd[2:]]
    assert len({tuple(tensor.flatten().tolist()) for tensor in data}) == 1


def test_a_list_of_nothing_and_of_what_is_gone(photos):
    with pytest.raises(FileNotFoundError, match=r"some.txt' lists no image; write one path a line"):
        dataset(listed(photos, "# nothing\n\n"), PREPARE)
    data = dataset(listed(photos, "gone.png\nZ.png\n"), PREPARE)
    with pytest.raises(ValueError, match=r"gone.png' cannot be used: no such file"):
        data[0]
    assert data[1].shape == (3, 8, 8)


def test_fingerprints_of_lists(photos):
    first = dataset(listed(photos, "Z.png\na-.png\n"), PREPARE).fingerprint()
    assert dataset(listed(photos, "#\nZ.png\r\na-.png", "b.lst"), PREPARE).fingerprint() == first
    assert dataset(listed(photos, "a-.png\nZ.png\n"), PREPARE).fingerprint() != first
    by_content = dataset(listed(photos, "Z.png\na-.png\n"), PREPARE, identity="content")
    assert by_content.fingerprint().startswith("content:")
    assert by_content.fingerprint()[8:] != first


# --- transforms ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "efficientnet_b0", "inception_v3"])
def test_the_transform_of_torchvisions_weights(name):
    weights = torchvision_models.get_model_weights(name).DEFAULT
    noise = torch.randint(256, (250, 330, 3), generator=torch.Generator().manual_seed(0))
    photograph = Image.fromarray(noise.byte().numpy())
    for given in (weights, weights.transforms()):
        prepare = Preprocessing.from_weights(given)
        assert torch.equal(prepare(photograph), weights.transforms()(photograph))
    assert not torch.equal(Preprocessing.imagenet(96)(photograph), prepare(photograph))


@pytest.mark.parametrize(
    "weights",
    [
        torchvision_models.segmentation.FCN_ResNet50_Weights.DEFAULT,
        torchvision_models.video.R3D_18_Weights.DEFAULT,
        torchvision_models.get_model_weights("resnet18"),
        "DEFAULT",
    ],
)
def test_weights_of_other_kinds_are_refused(weights):
    with pytest.raises(ValueError, match="expected weights of a classification network"):
        Preprocessing.from_weights(weights)


def test_size_mean_and_std_are_recorded_and_used_again(file, photos, tmp_path, capfd):
    path, figure = tmp_path / "a.h5", tmp_path / "a.png"
    options = ["--size", 64, "--mean", ".5,.4,.3", "--std", ".2,.2,.1"]
    code, _, err = said(capfd, "mine", f"{file}:small", photos, "-o", path, *options)
    assert code == 0, err
    store = open_store(path)
    found = Preprocessing.from_json(store.attributes["transform"])
    assert found == Preprocessing((64, 64), 73, (0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    code, _, err = said(capfd, "exemplars", path, "--layer", "1", "--channels", 0, "-o", figure)
    assert code == 0, err  # every activation has been compared with the store's
    again = mined_dataset(store.attributes, found)
    assert again.fingerprint() == store.attributes["dataset_fingerprint"]
    assert torch.equal(again[0], found(Image.open(photos / "Z.png")))


def test_python_records_the_transform_of_a_folder_too(photos, tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Conv2d(3, 2, 3)
    store = deconvnet.mine(model, ImageFolder(photos, PREPARE), tmp_path / "a.h5", k=1)
    assert Preprocessing.from_json(store.attributes["transform"]) == PREPARE
    given = Source(transform=Preprocessing((9, 9), 9).to_json())
    store = deconvnet.mine(model, ImageFolder(photos, PREPARE), tmp_path / "b.h5", source=given)
    assert store.attributes["transform"] == given.transform
    store = deconvnet.mine(model, [torch.zeros(3, 8, 8)], tmp_path / "c.h5")
    assert store.attributes["transform"] == "unknown"


# --- from a store, from elsewhere ----------------------------------------------------------------


def test_words_hold_wherever_one_stands(file, photos, tmp_path, monkeypatch):
    listed(tmp_path, "photos/Z.png\n", "few.txt")
    monkeypatch.chdir(tmp_path)
    words = ["photos", "few.txt", "sets.py:photographs", "hf:photos", "hf:none:image", "a:b", ""]
    there = [str(tmp_path / word) for word in words[:3]]
    there += [f"hf:{tmp_path}/photos", f"hf:{tmp_path}/none:image", "a:b", ""]
    assert [anchored(word) for word in words] == there
    assert [anchored(word) for word in there] == there
    monkeypatch.chdir("/")
    assert [len(dataset(word, PREPARE)) for word in there[:3]] == [5, 1, 3]
    for word in ("torchvision:alexnet", "zoo:zfnet_mini", "DEFAULT"):
        assert anchored(word) == word


def test_the_data_set_of_a_store(photos, tmp_path):
    by_size = {"dataset": str(photos), "dataset_fingerprint": "0123"}
    by_content = {**by_size, "dataset_fingerprint": "content:0123"}
    assert not mined_dataset(by_size, PREPARE).fingerprint().startswith("content:")
    assert mined_dataset(by_content, PREPARE).fingerprint().startswith("content:")
    photos.rename(tmp_path / "moved")
    with pytest.raises(
        ValueError, match="photos', which was not found; give its place with --data"
    ):
        mined_dataset(by_size, PREPARE)
    assert len(mined_dataset(by_size, PREPARE, str(tmp_path / "moved"))) == 5
    with pytest.raises(ValueError, match="mined from 'Pictures', which was not found"):
        mined_dataset({"dataset": "Pictures"}, PREPARE)


def test_content_on_the_command_line(photos, tmp_path, capfd):
    path = tmp_path / "a.h5"
    arguments = ["zoo:zfnet_mini", photos, "-o", path, "--layers", "relu1"]
    code, _, err = said(capfd, "mine", *arguments, "--fingerprint", "content")
    assert code == 0, err
    store = open_store(path)
    again = mined_dataset(store.attributes, zoo.PREPROCESSING)
    assert again.fingerprint() == store.attributes["dataset_fingerprint"]
    pixels = bytearray((photos / "Z.png").read_bytes())
    pixels[-5] ^= 1  # of a checksum: the size is what it was
    (photos / "Z.png").write_bytes(pixels)
    assert again.fingerprint() != store.attributes["dataset_fingerprint"]
