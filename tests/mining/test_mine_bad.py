"""Mining of bad data sets and by bad calls: what is left out, what stops, what stays as it was."""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.overrides import TorchFunctionMode

import deconvnet
from deconvnet.mining.mine import Source, mine
from deconvnet.store.store import Failed, open_store
from tests.support.mined import SIZE, K, Pictures, Ties, pictures, rows, slow


def tiny():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(inplace=True)).eval()


def images(count=6):
    return torch.rand(count, 3, 5, 6, generator=torch.Generator().manual_seed(1))


class Items:
    """A data set of whatever it is given; exceptions are raised."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        if isinstance(self.items[index], BaseException):
            raise self.items[index]
        return self.items[index]


# --- images that cannot be read ---------------------------------------------------------------


def test_unreadable_images_are_written_down_and_left_out(tmp_path):
    model, every = Ties().eval(), pictures(nan=False)
    store = mine(model, Pictures(every, broken=[0]), tmp_path / "a.h5", k=20, batch_size=4)
    assert store.failed == [Failed(0, "0.jpg", "'0.jpg' cannot be used: it is broken")]
    assert (store.attributes["images_seen"], store.attributes["images_failed"]) == (10, 1)
    assert store.images == {i: f"{i}.jpg" for i in range(1, 11)}
    values = model.values(every[1:])
    for name, table in store.items():
        assert rows(table) == slow(values[name], 20, images=range(1, 11)), name
        # the place of a bad image is a zero image: it must not count
        assert table.nonzero.tolist() == pytest.approx(
            ((values[name].flatten(2) if values[name].ndim > 2 else values[name][..., None]) > 0)
            .any(2).double().mean(0).tolist()
        )  # fmt: skip


@pytest.mark.parametrize(("broken", "stops"), [([7], False), ([7, 150], False), ([7, 9, 11], True)])
def test_one_in_a_hundred_may_be_unreadable(tmp_path, broken, stops):
    data = Pictures(images(1).expand(200, -1, -1, -1), broken=broken)
    if not stops:
        assert len(mine(tiny(), data, tmp_path / "a.h5").failed) == len(broken)
        return
    with pytest.raises(ValueError, match=r"3 of 200 images cannot be read.*image 7: '7.jpg'"):
        mine(tiny(), data, tmp_path / "a.h5")
    assert os.listdir(tmp_path) == []


def test_one_of_a_few_may_be_unreadable(tmp_path):
    assert len(mine(tiny(), Pictures(images(), broken=[4]), tmp_path / "a.h5").failed) == 1
    with pytest.raises(ValueError, match="2 of 6 images cannot be read"):
        mine(tiny(), Pictures(images(), broken=[4, 5]), tmp_path / "b.h5")


def test_strict_stops_at_the_first(tmp_path):
    data = Pictures(images(200), broken=[3])
    with pytest.raises(ValueError, match="1 of 200 images cannot be read, the first is image 3"):
        mine(tiny(), data, tmp_path / "a.h5", strict=True)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_other_data_sets_raise(tmp_path, workers):
    """torchvision's folders let Pillow's OSError through; anything else is a fault."""
    items = [*images(2), OSError("image file is truncated"), *images(2)]
    store = mine(tiny(), Items(items), tmp_path / "a.h5", workers=workers)
    assert store.failed == [Failed(2, "2", "image file is truncated")]
    items[2] = KeyError("label")
    with pytest.raises(ValueError, match=r"^item 2 of the data set cannot be made, KeyError: .*el"):
        mine(tiny(), Items(items), tmp_path / "a.h5", workers=workers)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Items([]), "data set of 0 images gives none: it is empty"),
        (Pictures(images(2), broken=[0, 1]), "data set of 2 images gives none: '1.jpg' cannot"),
    ],
)
def test_no_image_at_all(tmp_path, data, message):
    with pytest.raises(ValueError, match=message):
        mine(tiny(), data, tmp_path / "a.h5")


# --- items that are no images -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "kind", "message"),
    [
        (Image.new("RGB", (6, 5)), TypeError, "is Image; expected a float tensor"),
        ({"image": images(1)[0]}, TypeError, "is dict; expected"),
        (None, TypeError, "is NoneType"),
        (np.zeros((3, 5, 6), "f4"), TypeError, "is ndarray"),
        ((), TypeError, "is tuple"),
        (torch.zeros(3, 5, 6, dtype=torch.uint8), TypeError, "torch.uint8.*expected floats"),
        (torch.zeros(7), TypeError, r"shape \(7,\); expected"),
        (torch.zeros(3, 6, 5), ValueError, r"shape \(3, 6, 5\), the first one has \(3, 5, 6\)"),
        (images(1), ValueError, r"shape \(1, 3, 5, 6\)"),
    ],
)
def test_wrong_items_are_named(tmp_path, item, kind, message):
    with pytest.raises(kind, match=rf"item 2 of the data set .*{message}"):
        mine(tiny(), Items([*images(2), item]), tmp_path / "a.h5")
    if kind is TypeError:
        with pytest.raises(kind, match="item 0 of the data set"):
            mine(tiny(), Items([item]), tmp_path / "a.h5")


def test_tuples_and_other_precisions_are_taken(tmp_path):
    plain = mine(tiny(), Items(list(images())), tmp_path / "a.h5")
    labelled = mine(tiny(), Items([(i.double(), 7, "x") for i in images()]), tmp_path / "b.h5")
    assert [rows(t) for t in plain.values()] == [rows(t) for t in labelled.values()]
    assert mine(tiny().double(), Items(list(images())), tmp_path / "c.h5").attributes["dtype"] == (
        "float64"
    )


# --- wrong calls ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"k": 0}, ValueError, "k=0"),
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"nan": "ignore"}, ValueError, "nan was 'ignore'; use 'skip' or 'error'"),
        ({"layers": ["relu1", "conv4"]}, KeyError, "no layer is called 'conv4'.*conv1"),
        ({"layers": ["flatten"]}, None, None),  # (batch, features) are units as well
        ({"layers": ["x"]}, ValueError, "x cannot be mined"),
    ],
)
def test_wrong_calls(tmp_path, arguments, kind, message):
    def call():
        return mine(Ties(), Pictures(pictures(nan=False)), tmp_path / "a.h5", **arguments)

    if kind is None:
        assert call()["flatten"].channels == 30
        return
    with pytest.raises(kind, match=message):
        call()
    assert os.listdir(tmp_path) == []


def test_images_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match=r"\(1, 3, 9, 9\).* do not fit the model: it stopped at"):
        mine(Ties(), Pictures(torch.rand(2, 3, 9, 9)), tmp_path / "a.h5")
    with pytest.raises(ValueError, match=r"no convolution, linear layer or activation"):
        mine(nn.MaxPool2d(2), Pictures(images()), tmp_path / "a.h5")


def test_nan_is_told_or_stops(tmp_path):
    data = Pictures(pictures())
    with pytest.warns(UserWarning, match=r"\d+ activations were NaN .* in conv1, images \[3\]"):
        mine(Ties(), data, tmp_path / "a.h5")
    with pytest.raises(ValueError, match=r"activations of conv1 are NaN for images \[3\]"):
        mine(Ties(), data, tmp_path / "b.h5", nan="error")


# --- the work ---------------------------------------------------------------------------------


class Shapes(TorchFunctionMode):
    """The batch sizes that convolutions are run with."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.conv2d and isinstance(args[0], torch.Tensor):
            self.seen.append(args[0].shape[0])
        return function(*args, **(kwargs or {}))


BLANK = [1, 1]  # the sizes of the layers, the layout
TWICE = [1, 1]  # for the fingerprint: what a forward leaves behind, and what differs by call
NOISE = [1, 1]  # the graph beside the model, before anything else is done
BESIDE = [4, 4]  # the same on the first microbatch, and at the end on one of strong images
REST = [4, 4]  # the second and third microbatch


@pytest.mark.parametrize("check", [False, True])
def test_every_image_is_run_once_in_batches_of_one_shape(tmp_path, check):
    done = []
    with Shapes() as shapes:
        mine(tiny(), Pictures(images(10), broken=[4]), tmp_path / "a.h5", batch_size=4, check=check,
             report=lambda *numbers: done.append(numbers))  # fmt: skip
    if check:
        assert shapes.seen == [*NOISE, *BLANK, *TWICE, *BESIDE, *REST, *BESIDE]
    else:
        assert shapes.seen == [*BLANK, *TWICE, 4, *REST]
    assert done == [(4, 10), (8, 10), (10, 10)]


def test_two_runs_give_the_same_bytes(tmp_path):
    model, data = Ties(quantised=False), Pictures(pictures(nan=False))
    for name, workers, size in [("a", 0, 4), ("b", 0, 4), ("c", 2, 4), ("d", 0, 5)]:
        mine(model, data, tmp_path / name, workers=workers, batch_size=size, k=K)
    a, b, c, d = ((tmp_path / name).read_bytes() for name in "abcd")
    assert a == b == c
    assert a != d  # the batch shape is written down


def test_an_interrupted_run_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.h5"
    mine(tiny(), Pictures(images()), path)
    before = path.read_bytes()

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mine(tiny(), Pictures(images()), path, k=3, report=interrupt)
    assert (path.read_bytes(), os.listdir(tmp_path)) == (before, ["a.h5"])


def test_provenance(tmp_path):
    source = Source("torchvision:vgg16", "w.pth", "photos", '{"size": [5, 6]}')
    data = Pictures(pictures(nan=False))
    store = mine(Ties(), data, tmp_path / "a.h5", k=2, batch_size=3, source=source)
    found = open_store(tmp_path / "a.h5").attributes
    assert found == store.attributes
    expected = {"model": source.model, "weights": source.weights, "dataset": source.dataset}
    expected |= {"transform": source.transform, "k": 2, "input_size": (3, *SIZE), "device": "cpu"}
    expected |= {"batch_shape": (3, 3, *SIZE), "dtype": "float32", "images_seen": 11}
    assert {key: found[key] for key in expected} == expected
    assert set(found["versions"]) == {"deconvnet", "h5py", "python", "torch"}


def test_mine_stays_callable(tmp_path):
    """A module deconvnet.mine would take the function's place as soon as it is imported."""
    for _ in range(2):
        store = deconvnet.mine(tiny(), Pictures(images()), tmp_path / "a.h5")
    assert list(store) == ["0", "1"]
