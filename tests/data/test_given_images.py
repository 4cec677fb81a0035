"""Images in every form a user has them: the same pixels give the same tensor."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deconvnet import DeconvNet, Preprocessing, Unit
from deconvnet.data import ImageError
from deconvnet.data.given_images import GivenImages, given_images

PREPARED = Preprocessing((12, 10), None, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
ARRAYS = np.random.default_rng(0).integers(0, 256, (2, 12, 10, 3), dtype=np.uint8)
MEAN, STD = (torch.tensor(values)[:, None, None] for values in (PREPARED.mean, PREPARED.std))
EXPECTED = (torch.from_numpy(ARRAYS).permute(0, 3, 1, 2) / 255 - MEAN) / STD


def read(images, **how):
    return given_images(images, axes=2, **{"preprocessing": PREPARED, **how})


def forms(folder):
    """The same two images, in every form."""
    paths = [folder / f"{number}.png" for number in range(2)]
    for path, array in zip(paths, ARRAYS, strict=True):
        Image.fromarray(array).save(path)
    yield paths, ["0.png", "1.png"]
    yield tuple(map(str, paths)), ["0.png", "1.png"]
    yield [Image.open(path) for path in paths], ["0.png", "1.png"]
    numbered = ["image 0", "image 1"]
    yield [Image.fromarray(array) for array in ARRAYS], numbered
    yield list(ARRAYS), numbered
    yield ARRAYS, numbered
    yield torch.from_numpy(ARRAYS).permute(0, 3, 1, 2), numbered
    yield list(torch.from_numpy(ARRAYS).permute(0, 3, 1, 2)), numbered
    yield [paths[0], ARRAYS[1]], ["0.png", "image 1"]


def test_the_same_pixels_in_every_form(tmp_path):
    for images, names in forms(tmp_path):
        given = read(images)
        torch.testing.assert_close(given.tensor, EXPECTED)
        assert given.names == names
        for picture, array in zip(given.pictures, ARRAYS, strict=True):
            np.testing.assert_allclose(picture, array / 255, atol=1e-6)


def test_one_image_is_a_batch_of_one(tmp_path):
    path = tmp_path / "cat.png"
    Image.fromarray(ARRAYS[0]).save(path)
    for one in (path, str(path), Image.open(path), ARRAYS[0], EXPECTED[0], EXPECTED[:1]):
        torch.testing.assert_close(read(one).tensor, EXPECTED[:1])


def test_float_tensors_are_never_preprocessed():
    noise = torch.rand(2, 3, 7, 7)
    assert read(noise).tensor is noise  # of another size than the preprocessing makes, too
    assert torch.equal(read(list(noise)).tensor, noise)
    assert given_images(noise, axes=2).preprocessing is None


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (nn.Conv1d(4, 2, 3), (4, 50)),
        (nn.Conv2d(4, 2, 3), (4, 8, 8)),
        (nn.Conv3d(3, 2, 3), (3, 4, 8, 8)),
    ],
)
def test_the_first_layer_decides_what_is_a_batch(layer, size):
    net = DeconvNet(nn.Sequential(layer))
    for images in (torch.rand(size), torch.rand(1, *size), [torch.rand(size)]):
        assert net.record(images, "0").sizes[net.record(images, "0").input] == (1, *size)
    assert len(net.record(torch.rand(5, *size), "0")["0"]) == 5


def test_grey_and_transparent_arrays_are_read_as_files_are():
    grey = ARRAYS[0, ..., 0]
    both = read([grey, grey[..., None]]).tensor
    torch.testing.assert_close(both, read(np.stack([grey] * 3, 2)).tensor.expand(2, -1, -1, -1))
    clear = np.concatenate([ARRAYS[0], np.zeros((12, 10, 1), "u1")], 2)
    white = read(np.full((12, 10, 3), 255, "u1")).tensor
    torch.testing.assert_close(read(clear).tensor, white)


def test_names_and_preprocessing_as_stated(tmp_path):
    assert read(ARRAYS, names=["a", "b"]).names == ["a", "b"]
    model = nn.Conv2d(3, 2, 3)
    model.preprocessing = PREPARED
    given = given_images(ARRAYS, axes=2, model=model)
    torch.testing.assert_close(given.tensor, EXPECTED)
    assert given_images(given, axes=2) is given
    assert isinstance(given, GivenImages)


@pytest.mark.parametrize("size", [(20,), (4, 6, 5)])
def test_files_of_signals_and_videos_hold_tensors(tmp_path, size):
    values = torch.rand(2, *size)
    np.save(tmp_path / "a.npy", values.numpy())
    given = given_images(tmp_path / "a.npy", axes=len(size))
    assert torch.equal(given.tensor, values[None])
    assert given.names == ["a.npy"]
    for wrong in (values[0], (values * 255).byte()):
        np.save(tmp_path / "b.npy", wrong.numpy())
        with pytest.raises(ImageError, match=r"'.*b.npy' cannot be used: it holds .* expected flo"):
            given_images(tmp_path / "b.npy", axes=len(size))
    with pytest.raises(ImageError, match=r"'none.npy' cannot be used"):
        given_images("none.npy", axes=len(size))


def test_a_net_takes_what_is_given_here():
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    model.preprocessing = PREPARED
    net = DeconvNet(model)
    for images in (ARRAYS, [Image.fromarray(a) for a in ARRAYS]):
        torch.testing.assert_close(net.record(images, "1")["1"], net.record(EXPECTED, "1")["1"])
        maps = net.project(images, layer="1", channel=1)
        torch.testing.assert_close(maps, net.project(EXPECTED, layer="1", channel=1))
    assert net.plan(ARRAYS, Unit("1", 0)).strategy


WRONG = {
    "no preprocessing": (
        lambda: given_images("cat.png", axes=2),
        ValueError,
        "images were given as a path, 'cat.png', without a preprocessing; give preprocessing=",
    ),
    "no file": (lambda: read("nowhere.png"), ImageError, "'nowhere.png' cannot be used"),
    "none": (lambda: read([]), ValueError, "no images were given; give a float tensor"),
    "a dictionary": (lambda: read({"image": 1}), TypeError, "images were dict; give a float ten"),
    "floats of NumPy": (
        lambda: read(np.zeros((12, 10, 3))),
        TypeError,
        r"image 0 was ndarray of float64 and shape \(12, 10, 3\); give a float tensor",
    ),
    "several sizes": (
        lambda: read([torch.zeros(3, 4, 4), torch.zeros(3, 5, 4)]),
        ValueError,
        r"images of \(3, 4, 4\) and \(3, 5, 4\) were given; expected images of one size",
    ),
    "too small": (
        lambda: read(np.zeros((5, 10, 3), "u1")),
        ImageError,
        "'image 0' cannot be used: .* too small",
    ),
    "names": (
        lambda: read(ARRAYS, names=["a"]),
        ValueError,
        "names of images: 1 given, expected 2, one for each",
    ),
    "integers": (lambda: read(torch.zeros(3, 4, 4).long()), None, ""),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_image(case):
    call, error, message = WRONG[case]
    if error is None:  # DeconvNet refuses it, with the dtype
        assert call().tensor.dtype == torch.int64
        return
    with pytest.raises(error, match=message):
        call()
