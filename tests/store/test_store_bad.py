"""Files that are no store, or lie: each is refused in one line that says what is wrong."""

import os
import re
import struct

import h5py
import numpy as np
import pytest

from deconvnet.store.store import open_store, write_store
from tests.support.small_tables import IMAGES, MAXIMA, table

LAYER = "layers/conv"


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "top.h5"
    write_store(path, attributes={}, layers={"conv": table()}, images={0: "a.jpg", 1: "b.jpg"})
    return path


def replace_data(file, name, **how):
    del file[name]
    return file.create_dataset(name, **how)


def set_attribute(name, value, where="/"):
    def edit(file, _):
        file[where].attrs[name] = value

    return edit


def remove(name):
    def edit(file, _):
        del file[name]

    return edit


def external_storage(file, secret):
    replace_data(
        file, f"{LAYER}/mean", shape=2, dtype="<f8", external=[(str(secret), 0, h5py.h5f.UNLIMITED)]
    )


def external_link(file, secret):
    del file[LAYER]
    file[LAYER] = h5py.ExternalLink(str(secret), "/layers/conv")


def external_link_above(file, secret):
    del file["layers"]
    file["layers"] = h5py.ExternalLink(str(secret), "/layers")


def soft_link(file, _):
    file.move(f"{LAYER}/mean", "elsewhere")
    file[f"{LAYER}/mean"] = h5py.SoftLink("/elsewhere")


def virtual_dataset(file, secret):
    layout = h5py.VirtualLayout(shape=(2,), dtype="<f8")
    layout[:] = h5py.VirtualSource(str(secret), "layers/conv/mean", shape=(2,))
    del file[f"{LAYER}/mean"]
    file.create_virtual_dataset(f"{LAYER}/mean", layout)


def shape_bomb(file, _):
    replace_data(file, "images/index", shape=2**40, dtype="<i8")


def shape_bomb_that_agrees(file, _):
    file[LAYER].attrs["channels"] = 2**40
    replace_data(file, f"{LAYER}/activation", shape=(2**40, 2), dtype="<f4")


def zip_bomb(file, _):
    replace_data(file, "images/index", data=np.zeros(10**6, "<i8"), compression="gzip")


def replaced(name, value):
    def edit(file, _):
        replace_data(file, f"{LAYER}/{name}", data=value)

    return edit


def many_names(file, _):
    """One table under four hundred names: each is whole, together they are not there."""
    for number in range(400):
        file[f"layers/conv{number}"] = file[LAYER]


def one_text_many_times(file, _):
    file.attrs.create("model", ["x" * 50_000] * 400, dtype=h5py.string_dtype())


EDITS = {
    "another format": (set_attribute("format", "other"), "format is 'other', expected 'deconvnet'"),
    "newer": (set_attribute("format_version", 3), "format_version is 3, .*reads 1 and 2; update"),
    "version of text": (set_attribute("format_version", "1"), "format_version is '1'"),
    "incomplete": (set_attribute("complete", 0), "not marked complete=1; mine it again"),
    "k of text": (set_attribute("k", "2"), "k is '2', expected an integer"),
    "another k": (set_attribute("k", 3), r"activation is float32 \(2, 2\), expected <f4 \(2, 3\)"),
    "huge k": (set_attribute("k", 2**62), "expected <f4"),
    "channels": (set_attribute("channels", 3, LAYER), r"expected <f4 \(3, 2\)"),
    "negative": (set_attribute("channels", -2, LAYER), r"expected <f4 \(-2, 2\)"),
    "size": (set_attribute("size", "7x7", LAYER), "lacks channels or one of size"),
    "empty attribute": (
        set_attribute("dtype", h5py.Empty("f4")),
        "'dtype' is neither text nor numbers",
    ),
    "broken JSON": (set_attribute("versions", "{"), "cannot be opened"),
    "no layers": (remove("layers"), "/layers is missing"),
    "no images": (remove("images"), "/images is missing"),
    "no failed": (remove("failed"), "/failed is missing"),
    "no boxes": (remove(f"{LAYER}/box"), "/layers/conv/box is missing"),
    "no column": (remove("images/path"), "/images/path is missing"),
    "group": (
        lambda file, _: (file.pop(f"{LAYER}/mean"), file.create_group(f"{LAYER}/mean")),
        "mean is not a dataset",
    ),
    "dataset": (
        lambda file, _: (file.pop("images"), file.create_dataset("images", data=1)),
        "/images is not a group",
    ),
    "wrong type": (replaced("activation", MAXIMA.astype("f8")), "float64.*expected <f4"),
    "big-endian": (replaced("mean", np.zeros(2, ">f8")), "expected <f8"),
    "wrong shape": (
        replaced("box", np.zeros((2, 2, 3), "i4")),
        r"expected two columns for each axis",
    ),
    "scalar": (replaced("mean", 1.0), r"float64 \(\), expected <f8 \(2,\)"),
    "no shape": (replaced("mean", h5py.Empty("<f8")), "float64 None"),
    "no such image": (replaced("image", IMAGES + [[0, 8], [0, 0]]), "image 9, which has no path"),
    "not sorted": (replaced("activation", MAXIMA * np.array([[-1], [1]], "f4")), "is not sorted"),
    "external storage": (external_storage, "mean is stored in another file, which is not read"),
    "external link": (external_link, "conv is a link to somewhere else, which is not followed"),
    "external link above": (external_link_above, "/layers is a link to somewhere else"),
    "soft link": (soft_link, "mean is a link to somewhere else"),
    "virtual dataset": (virtual_dataset, "mean is stored in another file"),
    "shape bomb": (shape_bomb, "declares 8796093022208 bytes that are not in the file"),
    "shape bomb that agrees": (shape_bomb_that_agrees, "declares 8796093022208 bytes"),
    "many names": (many_names, "are more than the .* bytes of the file: its parts overlap"),
    "texts": (one_text_many_times, "attribute 'model' is neither text nor numbers"),
    "two axes": (set_attribute("dtype", np.zeros((2, 2))), "'dtype' is neither text nor numbers"),
    "shape of text": (
        set_attribute("batch_shape", "4"),
        "batch_shape is '4', expected positive in",
    ),
    "input of 3": (set_attribute("input_size", 3), "input_size is 3, expected positive integers"),
    "no size": (set_attribute("input_size", [0, 5]), r"input_size is \(0, 5\), expected positive"),
    "half a size": (set_attribute("input_size", [1.5, 5]), "expected positive integers"),
    "model of 3": (set_attribute("model", 3), "its model is 3, expected text"),
    "seen by text": (set_attribute("images_seen", "9"), "images_seen is '9', expected an integer"),
    "no k": (lambda file, _: file.attrs.pop("k"), "it does not say its k"),
    "zip bomb": (zip_bomb, "declares 8000000 bytes that are not in the file"),
}


def refusal(path):
    """The message of a refusal: one line that starts with the file."""
    with pytest.raises(ValueError, match="cannot be opened as a store: ") as caught:
        open_store(path)
    message = str(caught.value)
    assert message.startswith(repr(str(path)))
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("edit", "message"), EDITS.values(), ids=EDITS.keys())
def test_a_file_that_was_tampered_with(good, tmp_path, edit, message):
    secret = tmp_path / "secret.h5"
    secret.write_bytes(good.read_bytes())
    with h5py.File(good, "r+") as file:
        edit(file, secret)
    found = refusal(good)
    assert re.search(message, found), found


def test_many_attributes_that_are_one_text(good):
    """Their references are patched: each is whole, together they are twenty times the file."""
    with h5py.File(good, "r+") as file:
        file.attrs["text"] = "Q" * 50_000
        for number in range(40):
            file.attrs[f"a{number}"] = f"R{number:06}"
    data = bytearray(good.read_bytes())
    where = data.index(struct.pack("<I", 50_000))  # length, heap, number: 16 bytes
    heaps = {found.start() for found in re.finditer(b"GCOL", data)}
    patched = 0
    for at in [found.start() for found in re.finditer(re.escape(struct.pack("<I", 7)), data)]:
        if int.from_bytes(data[at + 4 : at + 12], "little") in heaps:
            data[at : at + 16] = data[where : where + 16]
            patched += 1
    assert patched >= 40
    good.write_bytes(data)
    assert "are more than the" in refusal(good)


def test_an_edit_that_changes_nothing_is_accepted(good):
    """The refusals above are of what was edited, not of the editing."""
    with h5py.File(good, "r+") as file:
        replaced("mean", np.ones(2))(file, None)
        file.create_dataset(f"{LAYER}/sketch", data=np.zeros((2, 2, 3)), compression="gzip")
        file.attrs["note"] = "by hand"
    assert open_store(good)["conv"].mean.tolist() == [1, 1]


def test_the_secret_could_have_been_read(good, tmp_path):
    """What the guard is for: h5py itself reads any file that a dataset names."""
    (tmp_path / "secret").write_bytes(np.array([1.0, 2.0]).tobytes())
    with h5py.File(good, "r+") as file:
        external_storage(file, tmp_path / "secret")
    with h5py.File(good, "r") as file:
        assert file[f"{LAYER}/mean"][()].tolist() == [1, 2]
    refusal(good)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"<html>404</html>", "not an HDF5 file.*<html>"),
        (b"\x89HDF\r\n\x1a\n", "cut short or damaged"),
        (b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 8, "cut short or damaged"),
    ],
)
def test_no_hdf5(tmp_path, content, message):
    (tmp_path / "top.h5").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        open_store(tmp_path / "top.h5")
    refusal(tmp_path / "top.h5")


def test_another_hdf5(tmp_path):
    with h5py.File(tmp_path / "top.h5", "w") as file:
        file["x"] = 1
    assert "its format is None" in refusal(tmp_path / "top.h5")


def test_cut_anywhere(good):
    content = good.read_bytes()
    for end in range(0, len(content), len(content) // 40):
        good.write_bytes(content[:end])
        refusal(good)


def test_damage_is_an_error_or_a_table(good):
    """No exception but the one promised, wherever 16 bytes are overwritten.

    Left out is the heap of texts: the HDF5 library itself never returns from some damage there.
    """
    content = good.read_bytes()
    heap = content.index(b"GCOL")
    places = [*range(0, heap - 16, 53), *range(heap + 4096, len(content), 53)]
    refused = 0
    for start in places:
        good.write_bytes(content[:start] + bytes(16) + content[start + 16 :])
        try:
            open_store(good)
        except ValueError:
            refused += 1
    assert 5 < refused < len(places)


def test_what_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file .*x.h5'; mine a data set"):
        open_store(tmp_path / "x.h5")
    with pytest.raises(OSError, match="folder|directory"):
        open_store(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all files")
def test_what_may_not_be_read(good):
    good.chmod(0)
    with pytest.raises(PermissionError):
        open_store(good)
