"""Stores whose pictures lie: refused when opened, or when a picture is asked for, in one line."""

import re
import shutil

import h5py
import numpy as np
import pytest
import torch

from deconvnet import open_store
from deconvnet.mining.embed import embed
from deconvnet.mining.mine import mine
from deconvnet.store import picture_reading
from deconvnet.store.picture_reading import stored_exemplars
from tests.store.test_picture_codec import coded, with_size
from tests.support.mined import PREPARED, SIZE, Pictures, Ties

LAYER, PATCH, PROJECTION = "layers/relu", "layers/relu/patch", "layers/relu/projection/deconvnet"
HUGE = 2**63 - 1


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    model, images = Ties(quantised=False).eval(), torch.rand(11, 3, *SIZE) * 2 - 1
    path = tmp_path_factory.mktemp("bad") / "top.h5"
    store = mine(model, Pictures(images), path, ["relu"], 3, 4)
    data = Pictures(images)
    embed(store, model, data, preprocessing=PREPARED, rectifiers=["deconvnet"])
    return path


@pytest.fixture
def good(made, tmp_path):
    return shutil.copy(made, tmp_path / "top.h5")


def drawn(path):
    return stored_exemplars(open_store(path), "relu", range(5), rectifier="deconvnet")


def first(file, name):
    """The channel and slot of the first picture."""
    return tuple(np.argwhere(file[name][()] >= 0)[0])


def put(name, value, where=None):
    def edit(file, _):
        place = first(file, f"{PATCH}/offset") if where is None else where
        file[name][place] = value

    return edit


def replaced(name, **how):
    def edit(file, _):
        del file[name]
        file.create_dataset(name, **how)

    return edit


def recoded(name, change, **how):
    """The same name with its content changed by a function."""

    def edit(file, _):
        data = change(file[name][()])
        del file[name]
        file.create_dataset(name, data=data, **how)

    return edit


def external(name, kind):
    def edit(file, secret):
        count = len(file[name])
        del file[name]
        where = [(str(secret), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset(name, shape=count, dtype=kind, external=where)

    return edit


def linked(name):
    def edit(file, secret):
        del file[name]
        file[name] = h5py.ExternalLink(str(secret), name)

    return edit


def nowhere(name):
    def edit(file, _):
        del file[name]
        file[name] = h5py.ExternalLink("none.h5", name)

    return edit


def removed(name):
    def edit(file, _):
        del file[name]

    return edit


def attribute(name, value):
    def edit(file, _):
        file[PROJECTION].attrs[name] = value

    return edit


def all_of(name, value):
    def edit(file, _):
        file[name][...] = value

    return edit


def dead(name, value):
    """What no picture is said of gets one."""

    def edit(file, _):
        file[name][tuple(np.argwhere(file[f"{PATCH}/offset"][()] < 0)[0])] = value

    return edit


def shared(file, _):
    offset = file[f"{PROJECTION}/offset"]
    one, two = map(tuple, np.argwhere(offset[()] >= 0)[:2])
    offset[one] = offset[two]


OPENED = {
    "offset past the end": (put(f"{PATCH}/offset", 10**9), "patch points out of the"),
    "the greatest offset": (put(f"{PATCH}/offset", HUGE), "patch points out of the"),
    "offset below -1": (put(f"{PATCH}/offset", -2), "patch points out of the"),
    "a length of nothing": (put(f"{PATCH}/length", 0), "patch points out of the"),
    "a negative length": (put(f"{PATCH}/length", -5), "patch points out of the"),
    "the greatest length": (put(f"{PATCH}/length", 2**31 - 1), "patch points out of the"),
    "projection past the end": (put(f"{PROJECTION}/offset", HUGE), "deconvnet points out of"),
    "a box that asks for more": (put(f"{LAYER}/box", [0, 0, 60000, 60000]), "deconvnet points out"),
    "a box of all numbers": (
        put(f"{LAYER}/box", [-(2**31), -(2**31), 2**31 - 1, 2**31 - 1]),
        "deconvnet points out of",
    ),
    "a box turned over": (put(f"{LAYER}/box", [9, 9, 2, 2]), "patch is not of the entries"),
    "scale 0": (put(f"{PROJECTION}/scale", 0), "a scale that is not a positive number"),
    "scale NaN": (put(f"{PROJECTION}/scale", np.nan), "a scale that is not a positive"),
    "scale inf": (put(f"{PROJECTION}/scale", np.inf), "a scale that is not a positive"),
    "negative scale": (put(f"{PROJECTION}/scale", -1), "a scale that is not a positive"),
    "no channels": (attribute("channels", 0), "lacks its attributes `channels`"),
    "many channels": (attribute("channels", 2**62), "lacks its attributes `channels`"),
    "channels of text": (attribute("channels", "3"), "lacks its attributes `channels`"),
    "elsewhere": (attribute("elsewhere", 3), "lacks its attributes `channels` or `elsewhere`"),
    "no overhang": (removed(f"{LAYER}/overhang"), "overhang is missing"),
    "no offset": (removed(f"{PATCH}/offset"), "patch/offset is missing"),
    "no bytes": (removed(f"{PATCH}/bytes"), "patch/bytes is missing"),
    "no values": (removed(f"{PROJECTION}/values"), "values is missing"),
    "fewer bytes": (recoded(f"{PATCH}/bytes", lambda b: b[:100]), "patch points out of the 100"),
    "fewer values": (recoded(f"{PROJECTION}/values", lambda v: v[:9]), "points out of the 9"),
    "zipped bytes": (recoded(f"{PATCH}/bytes", np.copy, compression="gzip"), "not in the file as"),
    "a zip bomb": (
        replaced(f"{PATCH}/bytes", data=np.zeros(10**7, "u1"), compression="gzip"),
        "declares 10000000 bytes that are not in the file",
    ),
    "a shape bomb": (
        replaced(f"{PROJECTION}/values", shape=2**40, dtype="<f2"),
        "declares 2199023255552 bytes that are not in the file",
    ),
    "bytes elsewhere": (external(f"{PATCH}/bytes", "u1"), "bytes is stored in another file"),
    "values elsewhere": (external(f"{PROJECTION}/values", "<f2"), "values is stored in another"),
    "patch elsewhere": (linked(PATCH), "patch is a link to somewhere else"),
    "projection elsewhere": (linked("layers/relu/projection"), "projection is a link to some"),
    "policy elsewhere": (linked(PROJECTION), "deconvnet is a link to somewhere else"),
    "patch nowhere": (nowhere(PATCH), "patch is a link to somewhere else"),
    "projection nowhere": (nowhere("layers/relu/projection"), "projection is a link to somewhere"),
    "wide bytes": (recoded(f"{PATCH}/bytes", lambda b: b.astype("<u2")), r"expected \|u1"),
    "wide values": (recoded(f"{PROJECTION}/values", lambda v: v.astype("<f4")), "expected <f2"),
    "offsets of another shape": (
        recoded(f"{PATCH}/offset", lambda o: o[:, :2]),
        r"offset is int64 \(5, 2\), expected <i8 \(5, 3\)",
    ),
    "bytes of two axes": (
        recoded(f"{PATCH}/bytes", lambda b: b[None]),
        r"expected \|u1 \('any',\)",
    ),
    "patch is no group": (replaced(PATCH, data=1), "patch is not a group"),
    "a patch that is not there": (put(f"{PATCH}/offset", -1), "patch is not of the entries"),
    "no patches at all": (all_of(f"{PATCH}/offset", -1), "patch is not of the entries that have"),
    "no projections at all": (all_of(f"{PROJECTION}/offset", -1), "deconvnet is not of the entri"),
    "a patch of a dead unit": (dead(f"{PATCH}/offset", 0), "points out|not of the entries"),
    "one projection for all": (all_of(f"{PROJECTION}/offset", 0), "overlap|not of the entries"),
    "a shared projection": (shared, "deconvnet has projections that overlap"),
    "no overhang of a unit": (put(f"{LAYER}/overhang", -1), "overhang is not of the entries"),
    "an overhang below -1": (dead(f"{LAYER}/overhang", -7), "overhang is not of the entries"),
}


@pytest.mark.parametrize(("edit", "message"), OPENED.values(), ids=OPENED)
def test_refused_when_opened(good, made, edit, message):
    with h5py.File(good, "r+") as file:
        edit(file, made)
    with pytest.raises(ValueError, match="cannot be opened as a store: ") as caught:
        open_store(good)
    assert re.search(message, str(caught.value)), caught.value
    assert "\n" not in str(caught.value)


def first_picture(content):
    """Put a JPEG in the place of the first picture; its box stays."""

    def edit(file, _):
        place = first(file, f"{PATCH}/offset")
        data = np.concatenate([file[f"{PATCH}/bytes"][()], np.frombuffer(content, "u1")])
        start = len(data) - len(content)
        del file[f"{PATCH}/bytes"]
        file[f"{PATCH}/bytes"] = data
        file[f"{PATCH}/offset"][place], file[f"{PATCH}/length"][place] = start, len(content)

    return edit


def spoil(name, value):
    def edit(file, _):
        file[f"{PROJECTION}/{name}"][:] = value

    return edit


JPEG = coded("JPEG", "RGB")
READ = {
    "another size": (first_picture(JPEG), r"it is RGB of \(5, 6\) pixels, its box \("),
    "a picture bomb": (first_picture(with_size(JPEG, 60000, 60000)), "60000|limit|bomb"),
    "no JPEG": (first_picture(b"<html>404</html>"), "cannot identify"),
    "a PNG": (first_picture(coded("PNG", "RGB")), "cannot identify"),
    "values of NaN": (spoil("values", np.nan), "values that are not finite"),
    "a box moved": (put(f"{LAYER}/box", [0, 0, 1, 1]), r"its box \(1, 1\)"),
}


@pytest.mark.parametrize(("edit", "message"), READ.values(), ids=READ)
def test_refused_when_it_is_looked_at(good, made, edit, message):
    with h5py.File(good, "r+") as file:
        edit(file, made)
    open_store(good)  # the tables are right
    with pytest.raises(ValueError, match="has damaged pictures: 'relu', channel ") as caught:
        drawn(good)
    assert re.search(message, str(caught.value)), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("overhang", [5_000, 2**31 - 1])
def test_a_canvas_as_large_as_a_file_says(good, overhang):
    """It would take gigabytes, on which the pictures are a few pixels."""
    with h5py.File(good, "r+") as file:
        put(f"{LAYER}/overhang", overhang)(file, None)
    with pytest.raises(ValueError, match=f"damaged pictures: 'relu' has overhangs .* {overhang}"):
        drawn(good)


def test_what_was_not_edited_is_drawn(good, made):
    with h5py.File(good, "r+") as file:
        recoded(f"{PATCH}/bytes", np.copy)(file, made)
        file[PROJECTION].attrs["note"] = "by hand"
    assert sum(map(len, drawn(good).values())) > 3


def test_datasets_are_opened_once_whatever_number_of_pictures_is_read(made, monkeypatch):
    opened, opening = [], picture_reading.lazy_dataset_in

    def counted(group, name, **how):
        opened.append(f"{group.name}/{name}")
        return opening(group, name, **how)

    monkeypatch.setattr(picture_reading, "lazy_dataset_in", counted)
    assert sum(map(len, drawn(made).values())) > 3
    assert sorted(opened) == [f"/{PATCH}/bytes", f"/{PROJECTION}/values"]


def test_damage_anywhere_is_an_error_or_a_picture(good):
    content = good.read_bytes()
    heap = content.index(b"GCOL")  # HDF5 itself may never return from damage there
    refused = 0
    places = [*range(0, heap - 16, 997), *range(heap + 4096, len(content), 997)]
    for start in places:
        good.write_bytes(content[:start] + bytes(16) + content[start + 16 :])
        try:
            drawn(good)
        except (ValueError, KeyError):
            refused += 1
    assert 0 < refused < len(places)
