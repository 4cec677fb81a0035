"""A disk that refuses: an error of the system, the old store as it was, and no crash."""

import errno
import io
import os
import shutil

import h5py
import numpy as np
import pytest

from deconvnet import open_store
from deconvnet.store.shielded_file import Shielded
from deconvnet.store.store import write_store
from tests.store.test_store_versions import DATA


@pytest.fixture
def good(tmp_path):
    return shutil.copy(DATA / "version1.h5", tmp_path / "top.h5")


class Full(io.BytesIO):
    """A disk with so much room."""

    def __init__(self, room):
        super().__init__()
        self.room = room

    def write(self, data):
        if self.tell() + len(memoryview(data).cast("B")) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def written(file):
    """A file of HDF5 through the shield."""
    shielded = Shielded(file)
    try:
        with h5py.File(shielded, "w") as root:
            root["a"] = np.arange(100_000)
            root.create_dataset("b", shape=10_000, dtype="<f4")[5000:] = 1
            root.attrs["c"] = "d"
        with h5py.File(shielded, "r") as root:
            assert root["a"][99_999] == 99_999
    finally:
        shielded.check()
    return file.getvalue()


def test_through_the_shield_it_is_the_same_file():
    plain = io.BytesIO()
    with h5py.File(plain, "w") as root:
        root["a"] = np.arange(100_000)
        root.create_dataset("b", shape=10_000, dtype="<f4")[5000:] = 1
        root.attrs["c"] = "d"
    assert written(Full(10**9)) == plain.getvalue()


@pytest.mark.parametrize("room", [0, 1, 96, 800, 2048, 5000, 500_000, 800_000, 840_000, 842_000])
def test_a_full_disk_is_an_error_of_the_system_and_nothing_worse(room):
    with pytest.raises(OSError, match="No space left on device") as caught:
        written(Full(room))
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("room", [0, 100, 3000, 8000])
def test_a_full_disk_leaves_the_old_store(good, monkeypatch, room):
    store, before = open_store(good), good.read_bytes()
    monkeypatch.setattr("deconvnet.store.store.Shielded", lambda file: Shielded(Full(room)))
    parts = {name: getattr(store, name) for name in ("attributes", "layers", "images")}
    with pytest.raises(OSError, match="could not be written .No space left on device") as caught:
        write_store(good, **parts, draw=lambda name, group: group.create_group("note"))
    assert caught.value.errno == errno.ENOSPC
    assert good.read_bytes() == before
    assert os.listdir(good.parent) == ["top.h5"]


@pytest.mark.skipif(os.name != "posix", reason="this system has no limit of file sizes")
@pytest.mark.parametrize("room", [30_000, 60_000])
def test_the_systems_own_refusal(good, room):
    import resource

    store, before = open_store(good), good.read_bytes()
    parts = {name: getattr(store, name) for name in ("attributes", "layers", "images")}
    own, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(OSError, match="could not be written") as caught:
            write_store(good, **parts, draw=fat)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (own, hard))
    assert caught.value.errno == errno.EFBIG
    assert good.read_bytes() == before
    assert os.listdir(good.parent) == ["top.h5"]


def fat(name, group):
    group["note"] = np.arange(100_000)
