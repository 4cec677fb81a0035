"""Data sets given as a path, and what makes tensors of their images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.models import AlexNet_Weights

from deconvnet import DeconvNet, Preprocessing, embed, mine, verify
from deconvnet.data import ImageFolder
from deconvnet.data.resolve import known_preprocessing
from deconvnet.mining.exemplars import project_exemplars
from deconvnet.store.picture_reading import stored_exemplars

PREPARE = Preprocessing((8, 8), 8)
OTHER = Preprocessing((8, 8), 9)


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (9, 11, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "photos" / "some.txt").write_text("3.png\n1.png\n")
    return tmp_path / "photos"


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()


def tables(store):
    return {name: table.activation.tolist() for name, table in store.items()}


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_is_mined_as_its_images(photos, tmp_path, kind):
    expected = mine(model(), ImageFolder(photos, PREPARE), tmp_path / "a.h5", k=2)
    store = mine(model(), kind(photos), tmp_path / "b.h5", k=2, preprocessing=PREPARE)
    assert tables(store) == tables(expected)
    assert store.images == expected.images
    same = ("dataset_fingerprint", "transform", "model_fingerprint")
    assert [store.attributes[n] for n in same] == [expected.attributes[n] for n in same]
    assert store.attributes["dataset"] == str(photos), "a store says where its data lies"


def test_a_list_of_files_and_the_models_own_preprocessing(photos, tmp_path):
    net = model()
    net.preprocessing = PREPARE
    store = mine(net, photos / "some.txt", tmp_path / "a.h5", k=2)
    assert store.images == {0: "3.png", 1: "1.png"}
    assert store.attributes["transform"] == PREPARE.to_json()
    stated = mine(net, photos / "some.txt", tmp_path / "b.h5", k=2, preprocessing=OTHER)
    assert stated.attributes["transform"] == OTHER.to_json()


def test_a_path_without_preprocessing_is_refused_and_nothing_written(photos, tmp_path):
    with pytest.raises(ValueError, match="as .*photos', without a pre.* give preprocessing=deconv"):
        mine(model(), photos, tmp_path / "new" / "a.h5")
    with pytest.raises(FileNotFoundError, match="there is no folder 'nowhere'"):
        mine(model(), "nowhere", tmp_path / "new" / "a.h5", preprocessing=PREPARE)
    with pytest.raises(TypeError, match="preprocessing='imagenet' was given, expected a deconvnet"):
        mine(model(), photos, tmp_path / "new" / "a.h5", preprocessing="imagenet")
    assert not (tmp_path / "new").exists()


def test_later_calls_take_what_the_store_says(photos, tmp_path):
    net = model()
    store = mine(net, str(photos), tmp_path / "a.h5", k=2, preprocessing=PREPARE)
    assert verify(store, net, photos).passed
    assert verify(store, DeconvNet(net), str(photos), preprocessing=PREPARE).passed
    assert not verify(store, net, photos, preprocessing=OTHER).passed
    made = embed(store, net, str(photos), rectifiers="guided", path=tmp_path / "b.h5")
    found = project_exemplars(made, "1", 2, net=DeconvNet(net, "guided"), dataset=str(photos))
    kept = stored_exemplars(made, "1", 2, rectifier="guided")
    assert [e.activation for e in kept[2]] == [e.activation for e in found[2]]


def test_pictures_of_tensors_need_to_be_known(tmp_path):
    data = list(torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    store = mine(model(), data, tmp_path / "a.h5", k=2)
    with pytest.raises(ValueError, match="no preprocessing is known .* into pictures; give pre"):
        embed(store, model(), data)
    told = mine(model(), data, tmp_path / "b.h5", k=2, preprocessing=PREPARE)
    assert told.attributes["transform"] == PREPARE.to_json()
    assert embed(told, model(), data).pictures


def test_the_order_of_who_says_it():
    class Holder:
        def __init__(self, preprocessing):
            self.preprocessing = preprocessing

    third = Preprocessing((8, 8), 10)
    facts = {"transform": third.to_json()}
    everyone = {"data": Holder(PREPARE), "model": Holder(OTHER), "attributes": facts}
    weights = AlexNet_Weights.DEFAULT
    assert known_preprocessing(weights, **everyone) == Preprocessing.from_weights(weights)
    assert known_preprocessing(weights.transforms()) == Preprocessing.from_weights(weights)
    assert known_preprocessing(**everyone) == PREPARE
    assert known_preprocessing(model=Holder(OTHER), attributes=facts) == OTHER
    assert known_preprocessing(model=Holder("none"), attributes=facts) == third
    assert known_preprocessing(attributes={"transform": ""}) is None
