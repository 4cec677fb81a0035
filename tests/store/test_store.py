"""The store: what is written is read again, by us and by plain h5py, to the same bytes."""

import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

import deconvnet.atomic
from deconvnet.store.format import escape, unescape
from deconvnet.store.store import Failed, LayerTable, open_store, write_store

ROOT = Path(__file__).parents[2]
IMAGES = {index: f"n01/{index}.jpg" for index in range(0, 60, 5)}


def table(channels=4, k=3, *, seed=0, size=(7, 9), fill=None):
    """A random table; the last channel is half empty."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(channels, k)) if fill is None else np.full((channels, k), fill)
    activation = -np.sort(-values.astype("f4"), axis=1)
    image = np.stack([rng.permutation(list(IMAGES))[:k] for _ in range(channels)])
    image = np.sort(image, axis=1)
    row, col = rng.integers(0, 7, (2, channels, k), dtype="i4")
    box = rng.integers(0, 200, (channels, k, 4), dtype="i4")
    for array, empty in ((activation, np.nan), (image, -1), (row, -1), (col, -1), (box, -1)):
        array[-1, k // 2 :] = empty
    mean, nonzero = rng.random((2, channels))
    nan = rng.integers(0, 9, channels)
    return LayerTable(
        activation=activation, image=image, row=row, col=col, box=box, mean=mean, nonzero=nonzero,
        nan=nan, channels=channels, size=size, field=(11, 11), stride=(4, 4),
    )  # fmt: skip


ATTRIBUTES = {
    "model": "torchvision:vgg16",
    "input_size": (3, 224, 224),
    "images_seen": 60,
    "share": 0.5,
    "versions": {"torch": "2.15", "deconvnet": "0.1.0"},
}
LAYERS = {
    "features.28": table(),
    "a/b%2F": table(5, seed=1),
    ".": table(2, seed=2, size=()),
    "classifier": table(1, seed=3),
}
FAILED = [Failed(7, "n01/bad.jpg", "it is empty"), Failed(8, "n01/wörse.jpg", "truncated")]


def write(path, **changes):
    parts = {"attributes": ATTRIBUTES, "layers": LAYERS, "images": IMAGES, "failed": FAILED}
    return write_store(path, **(parts | changes))


def differences(one, other):
    """What differs between two stores, by name."""
    found = [n for n in ("attributes", "images", "failed") if getattr(one, n) != getattr(other, n)]
    if list(one) != list(other):
        return [*found, "layers"]
    for name in one:
        for key, value in vars(one[name]).items():
            if not same(value, vars(other[name])[key]):
                found.append(f"{name}:{key}")
    return found


def same(one, other):
    if not isinstance(one, np.ndarray):
        return one == other and type(one) is type(other)
    return (
        one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    )


def test_round_trip(tmp_path):
    written = write(tmp_path / "new" / "top.h5")
    read = open_store(tmp_path / "new" / "top.h5")
    assert differences(written, read) == []
    assert list(read) == list(LAYERS)
    assert {key: read.attributes[key] for key in ATTRIBUTES} == ATTRIBUTES
    assert read.attributes["k"] == 3
    assert read.attributes["images_failed"] == 2
    assert (read.images, read.failed) == (IMAGES, FAILED)
    for name, made in LAYERS.items():
        assert all(same(value, vars(read[name])[key]) for key, value in vars(made).items())
    (tmp_path / "new" / "top.h5").unlink()  # nothing is read later


def test_the_comparison_catches(tmp_path):
    whole = write(tmp_path / "a.h5")
    less = dict(LAYERS, classifier=replace(LAYERS["classifier"], mean=np.array([0.25])))
    zero = dict(LAYERS, classifier=replace(LAYERS["classifier"], field=(11, 12)))
    assert differences(whole, write(tmp_path / "b.h5", layers=less)) == ["classifier:mean"]
    assert differences(whole, write(tmp_path / "b.h5", layers=zero)) == ["classifier:field"]
    assert differences(whole, write(tmp_path / "b.h5", failed=[])) == ["attributes", "failed"]


def test_the_same_content_gives_the_same_bytes(tmp_path):
    write(tmp_path / "a.h5")
    time.sleep(1.1)  # HDF5's clock ticks in seconds
    write(tmp_path / "b.h5", attributes=dict(reversed(ATTRIBUTES.items())))
    write(tmp_path / "c.h5", attributes=ATTRIBUTES | {"model": "torchvision:vgg19"})
    a, b, c = ((tmp_path / f"{name}.h5").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_plain_h5py_reads_it(tmp_path):
    write(tmp_path / "top.h5")
    with h5py.File(tmp_path / "top.h5", "r") as file:
        assert file.attrs["format"] == "deconvnet"
        assert (file.attrs["format_version"], file.attrs["complete"]) == (2, 1)
        assert file["images/path"].asstr()[1] == "n01/5.jpg"
        assert list(file["layers"])[:2] == ["features.28", "a%2Fb%252F"]
        layer = file["layers/features.28"]
        assert layer.attrs["channels"] == 4
        assert layer.attrs["size"].tolist() == [7, 9]
        assert set(layer) == {"activation", "image", "row", "col", "box", "mean", "nonzero", "nan"}
        np.testing.assert_array_equal(layer["image"][2], LAYERS["features.28"].image[2])


@pytest.mark.parametrize("name", ["a/b", "%", "%2F", "a%2Fb", ".", "..", "%2E", "é ", "x" * 300])
def test_layer_names(tmp_path, name):
    assert unescape(escape(name)) == name
    assert list(write(tmp_path / "top.h5", layers={name: table()})) == [name]


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_names_that_no_layer_has(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be stored under the name"):
        write(tmp_path / "top.h5", layers={name: table()})


def test_paths_keep_their_bytes(tmp_path):
    odd = ["bad\udcff.jpg", "a\nb", "n" * 250, "%d-{0}", "日本.jpg", "", " ", "é", "e\u0301"]
    images = IMAGES | dict(enumerate(odd, start=100))
    write(tmp_path / "top.h5", images=images, failed=[Failed(1, odd[0], "")])
    store = open_store(tmp_path / "top.h5")
    assert store.images == images
    assert store.failed == [Failed(1, odd[0], "")]
    write(tmp_path / "none.h5", layers={"x": table(1, 1)}, failed=[])  # one, empty, slot
    assert open_store(tmp_path / "none.h5").failed == []


def test_a_wrong_name_lists_the_nearest(tmp_path):
    store = write(tmp_path / "top.h5")
    with pytest.raises(KeyError, match=r"there is no layer 'feature.28' .* did you mean 'features"):
        store["feature.28"]
    assert "nothing" not in store
    assert len(store) == 4
    assert "4 layers, 12 channels, k=3, 12 images" in repr(store)


# --- writing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"layers": {}}, ValueError, "no layer was given"),
        (
            {"layers": {"a": table(k=2), "b": table(k=3)}},
            ValueError,
            "'b' holds .'k': 3.* before it .'k': 2",
        ),
        ({"images": {0: "x"}}, ValueError, "holds image .* no path"),
        ({"attributes": {"x": None}}, TypeError, "attribute 'x' is None"),
        ({"attributes": {"x": "y" * 70_000}}, ValueError, "70000 bytes.*shorten"),
        ({"attributes": {"x": "\0"}}, ValueError, "no NUL"),
        ({"attributes": {"k": 4}}, ValueError, r"\(4, 4\)"),
    ],
)
def test_what_cannot_be_written(tmp_path, changes, kind, message):
    write(tmp_path / "top.h5")
    before = (tmp_path / "top.h5").read_bytes()
    with pytest.raises(kind, match=message):
        write(tmp_path / "top.h5", **changes)
    assert (tmp_path / "top.h5").read_bytes() == before
    assert os.listdir(tmp_path) == ["top.h5"]


def test_a_folder_and_a_full_disk(tmp_path, monkeypatch):
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        write(tmp_path)
    write(tmp_path / "top.h5")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(deconvnet.atomic.os, "fsync", full)
    with pytest.raises(OSError, match=r"top.h5' could not be written \(No space left"):
        write(tmp_path / "top.h5", failed=[])
    assert os.listdir(tmp_path) == ["top.h5"]
    assert open_store(tmp_path / "top.h5").failed == FAILED


# One warm process that forks a writer, kills it at an odd moment and keeps what it left.
KILLED = """
import importlib.util, os, shutil, signal, sys, time
spec = importlib.util.spec_from_file_location("t", "tests/store/test_store.py")
t = importlib.util.module_from_spec(spec)
spec.loader.exec_module(t)
layers = [{f"layer{i}": t.table(250, 3, fill=turn) for i in range(20)} for turn in (0, 1)]
def write(turn):
    WRITE
write(0)
for kill in range(int(sys.argv[2])):
    child = os.fork()
    if not child:
        for turn in range(1_000_000):
            write(turn)
    time.sleep(0.02 + 0.003 * kill)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    shutil.copy(sys.argv[1], f"{sys.argv[1]}.{kill}")
"""
WRITERS = {
    "write_store": "t.write(sys.argv[1], layers=layers[turn % 2])",
    "h5py in place": """
    with t.h5py.File(sys.argv[1], "w") as file:
        file.attrs.update(format="deconvnet", format_version=1, complete=1, k=3)
        for name, table in layers[turn % 2].items():
            for key in ("activation", "image"):
                file[f"layers/{name}/{key}"] = getattr(table, key)
    """,
}


def torn_after_kills(path, how, *, kills):
    """How many of so many SIGKILLs left a file that does not open, or mixes two writes."""
    program = KILLED.replace("WRITE", WRITERS[how])
    subprocess.run([sys.executable, "-c", program, str(path), str(kills)], cwd=ROOT, check=True)
    return sum(is_torn(f"{path}.{kill}") for kill in range(kills))


def is_torn(path):
    try:
        with h5py.File(path, "r") as file:
            first = {float(layer["activation"][0, 0]) for layer in file["layers"].values()}
            return len(first) != 1 or len(file["layers"]) != 20
    except (OSError, KeyError, RuntimeError):
        return True


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_kills_never_leave_a_torn_store(tmp_path):
    assert torn_after_kills(tmp_path / "top.h5", "write_store", kills=20) == 0
    open_store(tmp_path / "top.h5")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_the_kills_catch_h5py_in_place(tmp_path):
    assert torn_after_kills(tmp_path / "top.h5", "h5py in place", kills=20) > 0
