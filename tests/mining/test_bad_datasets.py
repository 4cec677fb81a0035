"""Bad data sets that are mined, row by row of the matrix: 29 to 31, and faults of their own."""

import errno
import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import IterableDataset

import deconvnet
from deconvnet import Preprocessing, zoo
from deconvnet.data import ImageError, ImageFolder
from deconvnet.data.samples import check_repeatable, read_item, sampled, unreadable
from tests.support.spoiled import BAD

PREPARE = Preprocessing((8, 8), 8)


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()


def mined(data, path, **options):
    return deconvnet.mine(model(), data, path, **{"k": 2, "batch_size": 4, **options})


def images(count=5):
    return list(torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1)))


# --- rows 29 to 31: what a data set gives --------------------------------------------------------


def test_row_29_fewer_images_than_k(tmp_path):
    store = mined(images(3), tmp_path / "a.h5", k=9)
    table = store["1"]
    assert (table.image[:, 3:] == -1).all()
    assert np.isnan(table.activation[:, 3:]).all()
    assert (table.box[:, 3:] == -1).all()
    assert (np.sort(table.image[:, :3]) == [0, 1, 2]).all()
    with pytest.raises(ValueError, match="the data set of 0 images gives none: it is empty"):
        mined([], tmp_path / "b.h5")


def test_row_30_nan_pixels_are_told_from_nan_weights(tmp_path):
    data = images()
    data[3][0, 2, 2] = torch.nan
    with pytest.raises(ValueError, match=r"NaN for images \[3\]; the pixels of \[3\] are NaN"):
        mined(data, tmp_path / "a.h5", nan="error")
    broken = model()
    with torch.no_grad():
        broken[0].weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"images \[0, 1, 2, 3\], whose pixels are not"):
        deconvnet.mine(broken, images(), tmp_path / "a.h5", batch_size=4, nan="error")


class Streamed(IterableDataset):
    def __iter__(self):
        return iter(images())

    def __len__(self):
        return 5


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Streamed(), "type Streamed was given, which has no len.*iterable-style.*map-style one"),
        (iter(images()), "type list_iterator was given"),
        ({"train": images(), "test": []}, "a dict of 'train', 'test' was given.*choose one"),
    ],
)
def test_row_30_iterable_style_is_refused(tmp_path, data, message):
    with pytest.raises(TypeError, match=message):
        mined(data, tmp_path / "a.h5")


class Redrawn:
    """A data set that draws anew what it gives."""

    def __init__(self, draw):
        self.draw = draw

    def __len__(self):
        return 40

    def __getitem__(self, index):
        return self.draw(index)


AUGMENTED = {
    "noise": lambda i: torch.full((3, 8, 8), float(i)) + 1e-3 * torch.rand(3, 8, 8),
    "shuffled": lambda i: torch.full((3, 8, 8), float(torch.randint(40, ()))),
    "cropped": lambda i: torch.zeros(3, 8, 4 + int(torch.randint(99, ()))),
}


@pytest.mark.parametrize("draw", AUGMENTED.values(), ids=AUGMENTED.keys())
def test_row_31_what_is_drawn_anew_is_refused(tmp_path, draw):
    torch.manual_seed(0)
    with pytest.raises(ValueError, match="item 0 of the data set is another one each time"):
        mined(Redrawn(draw), tmp_path / "a.h5")
    assert os.listdir(tmp_path) == []


def test_row_31_what_is_the_same_is_taken():
    check_repeatable(Redrawn(lambda i: torch.full((3, 8, 8), float(i))))
    check_repeatable(Redrawn(lambda i: torch.full((3, 8, 8), torch.nan)))
    check_repeatable([*images(), OSError()][:5])
    assert list(sampled(range(3))) == [0, 1, 2]
    assert list(sampled(range(1000))) == [0, 125, 250, 375, 500, 625, 750, 875]


def test_only_one_of_the_eight_need_differ():
    data = images(40)
    different = Redrawn(lambda i: torch.rand(3, 8, 8) if i == 20 else data[i])
    with pytest.raises(ValueError, match="item 20 of the data set is another one"):
        check_repeatable(different)


# --- what Pillow raises inside somebody else's data set ------------------------------------------


class Opened:
    """Like torchvision's folders: opens and converts, and takes what comes."""

    def __init__(self, folder):
        self.files = sorted(folder.iterdir())

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        with Image.open(self.files[index]) as image:
            return PREPARE(image.convert("RGB").resize((8, 8)))


@pytest.mark.parametrize("row", [1, 2, 3, 4, 6, 8, 9, 21, 22])
@pytest.mark.filterwarnings("ignore:Image size")
def test_bad_images_of_other_data_sets_are_left_out(tmp_path, row):
    (tmp_path / "data").mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "data" / f"{number}.png")
    for key, (content, _) in BAD.items():
        if key[0] == row:
            (tmp_path / "data" / key[1]).write_bytes(content)
    store = mined(Opened(tmp_path / "data"), tmp_path / "a.h5")
    assert len(store.failed) == 1
    assert store.attributes["images_seen"] == 3


def test_a_fault_of_the_program_is_no_bad_image():
    def raised(error):
        try:
            raise error
        except Exception as caught:
            return unreadable(caught)

    assert raised(OSError("gone"))
    assert raised(ImageError("torn"))
    assert not raised(ValueError("in the transform"))
    assert not raised(SyntaxError("in an import"))
    # the machine has run out of something, and not the data set of images
    assert not raised(OSError(errno.EMFILE, "too many open files"))
    exhausted = ImageError("'a.jpg' cannot be used")
    exhausted.__cause__ = OSError(errno.EMFILE, "too many open files")
    assert not raised(exhausted)
    many = Redrawn(lambda i: (_ for _ in ()).throw(OSError(errno.ENFILE, "too many")))
    assert isinstance(read_item(many, 3), ValueError)


def test_the_folder_of_torchvision_is_taken(tmp_path):
    torchvision = pytest.importorskip("torchvision")
    for name in ("cat/1.png", "dog/2.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        zoo.photograph("chelsea").save(tmp_path / "data" / name)
    (tmp_path / "data" / "dog" / "3.jpg").write_bytes(b"<html>")
    data = torchvision.datasets.ImageFolder(tmp_path / "data", PREPARE)
    ours = ImageFolder(tmp_path / "data", PREPARE)
    one, two = mined(data, tmp_path / "a.h5"), mined(ours, tmp_path / "b.h5")
    assert np.array_equal(one["1"].activation, two["1"].activation)
    assert [f.index for f in one.failed] == [f.index for f in two.failed] == [2]
