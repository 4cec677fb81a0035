"""Strongest, lowest, sample and directions of a layer: written, read, and refused when damaged."""

from dataclasses import fields, is_dataclass, replace

import h5py
import numpy as np
import pytest

from deconvnet.store.store import open_store, write_store
from deconvnet.store.user_content import additions
from tests.support.full_tables import IMAGES, SAMPLE, layer
from tests.support.small_tables import table as small


def write(path, tables=None, **attributes):
    tables = tables or {"relu": layer(), "relu2": layer(seed=7)}
    return write_store(path, attributes=attributes, layers=tables, images=IMAGES)


def different(one, other, name=""):
    """Where two tables differ, to the bit."""
    if is_dataclass(one):
        names = [each.name for each in fields(one)]
        return [
            d for n in names for d in different(getattr(one, n), getattr(other, n), f"{name}.{n}")
        ]
    if isinstance(one, dict):
        return [d for n in {*one, *other} for d in different(one.get(n), other.get(n), name + n)]
    if isinstance(one, np.ndarray):
        same = (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
        return [] if same else [name]
    return [] if one == other else [name]


@pytest.mark.parametrize("rank", ["max", "mean"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_round_trip(tmp_path, axes, rank):
    made = layer(axes=axes, rank=rank)
    write(tmp_path / "a.h5", {"relu": made}, random_state=5)
    store = open_store(tmp_path / "a.h5")
    assert different(made, store["relu"]) == []
    kept = {name: store.attributes[name] for name in ("k", "lowest", "sample", "rank")}
    assert kept == {"k": 2, "lowest": 2, "sample": 4, "rank": rank}
    assert store.attributes["random_state"] == 5
    assert different(replace(made, nan=made.nan + 1), store["relu"]) == [".nan"]
    other = replace(made.sample, activation=made.sample.activation + 1)
    assert different(replace(made, sample=other), store["relu"]) == [".sample.activation"]


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_positions_and_boxes_of_any_axes(axes):
    made = layer(axes=axes)
    names = ("depth", "row", "col")[-axes:]
    for each in (made, made.lowest, made.sample):
        assert each.positions.shape == (3, each.k, axes)
        place = tuple(int(getattr(each, name)[0, 1]) for name in names)
        assert each.unit("relu", 0, 1).position == place
        box = each.box_of(0, 1)
        assert (*box.start, *box.stop) == tuple(each.box[0, 1].tolist())
        assert len(box.size) == axes
    assert made.sample.unit("relu", 0, 0).image == SAMPLE[0]
    assert made.sample.images[0].tolist() == SAMPLE.tolist()


def test_plain_h5py_reads_it(tmp_path):
    write(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["sample/image"][:].tolist() == SAMPLE.tolist()
        group = file["layers/relu"]
        assert group["lowest"].attrs["of"] == "conv"
        assert group["sample/activation"].shape == (3, 4)
        assert "image" not in group["sample"]
        assert group["directions/concepts%2F1/vector"].shape == (3, 3)


def test_pictures_of_the_lowest_are_of_negative_activations():
    made = layer()
    assert made.lowest.has_picture.tolist() == [[True, True], [True, True], [True, False]]
    assert made.has_picture.tolist() == [[True, True], [True, True], [True, False]]


def flipped(name):
    """An edit: a dataset back to front."""

    def edit(file):
        values = file[name][...][..., ::-1].copy()
        del file[name]
        file[name] = values

    return edit


def removed(name):
    return lambda file: file.pop(name)


def set_to(name, value, where="/"):
    return lambda file: file[where].attrs.__setitem__(name, value)


EDITS = {
    "a table gone": (removed("layers/relu/lowest"), "relu/lowest is missing"),
    "the sample gone": (removed("sample"), "/sample is missing"),
    "a part of it gone": (removed("layers/relu/sample/col"), "sample/col is missing"),
    "descending": (flipped("layers/relu/lowest/activation"), "not sorted|half empty"),
    "more than there are": (set_to("lowest", 3), "expected <f4"),
    "a sample of a gigabyte": (set_to("sample", 2**27), "expected <i8"),
    "less than none": (set_to("sample", -1), "may hold"),
    "another rank": (set_to("rank", "median"), "may hold"),
    "a mean without a peak": (set_to("rank", "mean"), "peak is missing"),
    "nobody's": (removed("layers/relu/lowest/col"), "col is missing"),
    "of nothing": (lambda f: f["layers/relu/lowest"].attrs.pop("of"), "lacks its attributes `of`"),
    "an image without a path": (
        lambda file: file["sample/image"].__setitem__(0, 60),
        "no path in images",
    ),
    "an image twice": (lambda file: file["sample/image"].__setitem__(0, 2), "twice"),
    "the wrong vectors": (
        lambda file: file.move("layers/relu/mean", "layers/relu/directions/concepts%2F1/x"),
        "mean is missing",
    ),
}


@pytest.mark.parametrize(("edit", "message"), EDITS.values(), ids=EDITS)
def test_what_is_damaged_is_refused(tmp_path, edit, message):
    write(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        edit(file)
    with pytest.raises(ValueError, match=message):
        open_store(tmp_path / "a.h5")


def test_layers_of_one_store_hold_the_same(tmp_path):
    one, other = layer(), layer(seed=7)
    moved = replace(other.sample, image=SAMPLE[[1, 0, 2, 3]])
    with pytest.raises(ValueError, match="of other images"):
        write(tmp_path / "a.h5", {"a": one, "b": replace(other, sample=moved)})
    with pytest.raises(ValueError, match="'lowest': 0.* before it"):
        write(tmp_path / "a.h5", {"a": one, "b": replace(other, lowest=None)})


def test_tables_of_a_store_are_no_additions_of_its_user(tmp_path):
    """But groups of these names in a store that has no such tables are the user's own."""
    write(tmp_path / "a.h5", {"lowest": layer(), "sample": layer(seed=3)})
    assert additions(tmp_path / "a.h5") == []
    write_store(tmp_path / "b.h5", attributes={}, layers={"sample": small()}, images=IMAGES)
    with h5py.File(tmp_path / "b.h5", "r+") as file:
        file["sample/mine"] = 1
        file["layers/sample/lowest"] = 2
    assert additions(tmp_path / "b.h5") == ["/layers/sample/lowest", "/sample"]
    open_store(tmp_path / "b.h5")
