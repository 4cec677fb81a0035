"""The name of an image's file through subsets, concatenations and torchvision's folders."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import ConcatDataset, Dataset, Subset, random_split
from torchvision.datasets import DatasetFolder
from torchvision.datasets import ImageFolder as TorchvisionFolder
from torchvision.transforms.functional import to_tensor

from deconvnet import Preprocessing, mine, verify
from deconvnet.data import ImageFolder
from deconvnet.data.file_names import file_name
from deconvnet.data.samples import read_item


@pytest.fixture
def folder(tmp_path):
    for number in range(6):
        file = tmp_path / "photos" / f"class{number % 2}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
    return str(tmp_path / "photos")


class Never(Dataset):
    """Stands for a data set whose images must not be read for their names."""

    def __init__(self, **lists):
        vars(self).update(lists)

    def __len__(self):
        return 3

    def __getitem__(self, index):
        raise AssertionError("an image was read")


def names(dataset):
    return [file_name(dataset, index) for index in range(len(dataset))]


def files(dataset):
    return [path for path, _ in dataset.samples]


def test_torchvision_folders(folder):
    data = TorchvisionFolder(folder, transform=to_tensor)
    other = DatasetFolder(folder, loader=Image.open, extensions=(".png",))
    assert names(data) == files(data)
    assert names(other) == files(other)
    assert names(data)[0] == f"{folder}/class0/0.png"


def test_through_subsets_and_concatenations(folder):
    data = TorchvisionFolder(folder)
    own = ImageFolder(folder, Preprocessing((8, 8), 8))
    every = files(data)
    assert names(Subset(data, [4, 1, -1])) == [every[4], every[1], every[5]]
    assert names(Subset(data, torch.tensor([2]))) == [every[2]]
    both = ConcatDataset([Subset(data, [5, 0]), own, data])
    expected = [every[5], every[0], *(own.path(i) for i in range(6)), *every]
    assert names(both) == expected
    assert names(Subset(both, [9, 1, 3])) == [expected[9], expected[1], expected[3]]
    one, two = random_split(data, [4, 2], generator=torch.Generator().manual_seed(0))
    assert sorted(names(one) + names(two)) == sorted(every)


@pytest.mark.parametrize("name", ["samples", "imgs", "_samples", "_image_files", "_images"])
def test_the_lists_of_torchvision_data_sets(name, tmp_path):
    paths = [tmp_path / f"{number}.jpg" for number in range(3)]
    assert names(Never(**{name: paths})) == list(map(str, paths))
    pairs = [(path, 0) for path in paths]
    assert names(Subset(Never(**{name: pairs}), [2, 0])) == [str(paths[2]), str(paths[0])]


@pytest.mark.parametrize(
    "lists",
    [{}, {"samples": [1, 2, 3]}, {"samples": ["a.png"]}, {"imgs": torch.zeros(3, 4)},
     {"samples": [(), (), ()]}, {"path": lambda: "x"}, {"path": lambda index: 7}],
)  # fmt: skip
def test_what_names_no_file(lists):
    assert names(Never(**lists)) == ["0", "1", "2"]
    assert names(Subset(Never(**lists), [2])) == ["0"]


def test_store_and_messages_name_the_file(folder, tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    data = TorchvisionFolder(folder, transform=to_tensor)
    some = Subset(data, [5, 3, 1])
    with open(data.samples[3][0], "wb") as broken:
        broken.write(b"no image")
    store = mine(model, some, tmp_path / "top.h5", k=2)
    assert store.images == {0: data.samples[5][0], 2: data.samples[1][0]}
    assert [failed.path for failed in store.failed] == [data.samples[3][0]]
    assert verify(store, model, some).passed


def test_an_item_that_cannot_be_made_is_named_by_its_file(folder):
    data = TorchvisionFolder(folder, transform=lambda image: 1 / 0)
    message = str(read_item(Subset(data, [3]), 0))
    assert f"item 0 of the data set ({data.samples[3][0]}) cannot be made, ZeroDiv" in message
