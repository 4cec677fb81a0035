"""Callers and data sets have habits: other modes, other integers, one tensor filled again."""

import errno
import os

import numpy as np
import pytest
import torch

import deconvnet.mining.run.microbatches
from deconvnet import DeconvNet
from deconvnet.atomic import write_whole
from deconvnet.mining.embed import embed
from deconvnet.mining.estimate import estimate
from deconvnet.mining.exemplars import project_exemplars
from deconvnet.mining.mine import Unfinished, mine
from deconvnet.mining.run.job import Settings
from deconvnet.mining.run.microbatches import microbatches
from deconvnet.mining.verify.verify import verify
from tests.support.mined import PREPARED, SIZE, Pictures, Ties
from tests.support.mining_runs import tables


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    model = Ties(quantised=False).eval()
    images = torch.rand(11, 3, *SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return model, images, mine(model, Pictures(images), tmp_path_factory.mktemp("a") / "a.h5", k=3)


class Refilled(Pictures):
    """Every item is the same tensor, with other values."""

    def __init__(self, images):
        super().__init__(images)
        self.item = torch.empty(images.shape[1:])

    def __getitem__(self, index):
        return (self.item.copy_(self.images[index]), "a label")


def test_one_tensor_that_is_filled_again(work, tmp_path):
    model, images, store = work
    found = mine(model, Refilled(images), tmp_path / "a.h5", k=3)
    assert tables(found.path) == tables(store.path)
    net = DeconvNet(model, "guided")
    options = {"net": net, "preprocessing": PREPARED}
    several = project_exemplars(found, "relu1", [2, 3], dataset=Refilled(images), **options)
    for channel, those in project_exemplars(
        store, "relu1", [2, 3], dataset=images, **options
    ).items():
        for one, other in zip(those, several[channel], strict=True):
            assert (one.patch == other.patch).all()
            assert (one.projection == other.projection).all()


MODES = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference": torch.inference_mode,
    "no_grad": torch.no_grad,
}


@pytest.mark.parametrize("mode", MODES.values(), ids=list(MODES))
def test_the_mode_of_the_caller_changes_nothing(work, tmp_path, mode):
    model, images, store = work
    data = Pictures(images)
    with mode():
        estimate(model, data, ["relu1"], settings=Settings(3, 8))
        found = mine(model, data, tmp_path / "a.h5", k=3)
        assert tables(found.path) == tables(store.path)
        assert verify(found, model, data).passed
        embed(found, model, data, preprocessing=PREPARED, rectifiers=["guided"])


def test_autocast_would_be_seen(work):
    model, images, _ = work
    with torch.no_grad():
        plain = model(images)
        with torch.autocast("cpu", torch.bfloat16):
            assert not torch.equal(model(images).float(), plain)


def test_the_integers_of_numpy(work, tmp_path):
    model, images, store = work
    options = {"k": np.int64(3), "batch_size": np.int32(64), "threads": np.int8(1)}
    path = tmp_path / "a.h5"
    with pytest.raises(Unfinished):
        mine(model, Pictures(images), path, **{**options, "batch_size": np.int16(4)},
             stop=iter([False, False, True]).__next__)  # fmt: skip
    mine(model, Pictures(images), path, resume=False, **options)
    assert tables(path) == tables(store.path)


@pytest.mark.parametrize("name", ["k", "batch_size", "threads"])
def test_what_is_no_integer(work, tmp_path, name):
    with pytest.raises(TypeError, match=rf"{name}=2\.0 was given, expected an integer"):
        mine(work[0], Pictures(work[1]), tmp_path / "a.h5", **{name: 2.0})
    with pytest.raises(TypeError, match="shard='0' was given"):
        mine(work[0], Pictures(work[1]), tmp_path / "a.h5", resume=True, shard=("0", 2))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("found", [None, 7, "a\0b", b"\xff.jpg", ...])
def test_a_method_that_is_no_path(work, tmp_path, found):
    class Odd(Pictures):
        def path(self, *arguments):
            if found is ...:
                raise TypeError("path() takes 1 positional argument but 2 were given")
            return found

    store = mine(work[0], Odd(work[1]), tmp_path / "a.h5", k=3)
    expected = ["\udcff.jpg"] * 11 if isinstance(found, bytes) else list(map(str, store.images))
    assert list(store.images.values()) == expected[: len(store.images)]


@pytest.mark.parametrize("error", [ConnectionRefusedError(111, "refused"), EOFError()])
def test_a_reader_that_died_while_it_was_spoken_to(monkeypatch, error):
    class Loader:
        def __init__(self, *_, **__):
            pass

        def __iter__(self):
            return self

        def __next__(self):
            raise error

    monkeypatch.setattr(deconvnet.mining.run.readers, "DataLoader", Loader)
    options = {"size": (3, 4, 4), "dtype": torch.float32}
    with pytest.raises(
        deconvnet.mining.run.readers.ReaderDied, match="a process that reads images has died"
    ):
        next(microbatches([0], 1, workers=1, **options))
    with pytest.raises(type(error)):
        next(microbatches([0], 1, **options))


def test_a_folder_that_may_be_written_but_not_read(tmp_path, monkeypatch):
    opened = os.open

    def refuse(path, *arguments, **options):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    write_whole(tmp_path / "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"
