"""Files of every version of the format, kept as they were written, are read for ever."""

from pathlib import Path

import numpy as np
import pytest

from deconvnet.mining.exemplars import stored_exemplars
from deconvnet.store.store import Failed, open_store

DATA = Path(__file__).parents[1] / "data"  # written once; no test writes there


@pytest.mark.parametrize("name", ["version1.h5", "version1_pictures.h5"])
def test_a_file_of_version_1(name):
    store = open_store(DATA / name)
    assert list(store) == ["block/conv%1", "classifier"]
    assert store.attributes["format_version"] == 1
    assert store.attributes["batch_shape"] == (2, 3, 8, 8)
    assert store.attributes["versions"] == {"deconvnet": "0.1.0", "torch": "2.15.0"}
    assert store.images == {0: "n01/a.jpg", 1: "n01/ä.jpg", 2: "bad\udcff.jpg", 4: "e.jpg"}
    assert store.failed == [Failed(3, "torn.jpg", "it is cut short")]
    maps = store["block/conv%1"]
    np.testing.assert_array_equal(maps.activation, np.array([[2.5, 2.5, -0.25], [0, 0, 0]], "f4"))
    assert maps.image.tolist() == [[0, 4, 2], [0, 1, 2]]
    assert maps.row.tolist() == [[1, 0, 3], [0, 0, 0]]
    assert maps.col.tolist() == [[2, 0, 3], [0, 0, 0]]
    assert maps.box[0].tolist() == [[1, 3, 4, 6], [0, 0, 2, 2], [5, 5, 8, 8]]
    assert (maps.mean.tolist(), maps.nonzero.tolist()) == ([0.125, 0.0], [0.4, 0.0])
    assert maps.nan.tolist() == [0, 3]
    assert (maps.size, maps.field, maps.stride) == ((4, 4), (3.0, 3.0), (2.0, 2.0))
    flat = store["classifier"]
    assert flat.image.tolist() == [[4, 1, -1]]
    assert flat.row.tolist() == flat.col.tolist() == [[-1, -1, -1]]
    assert flat.box[0, 2].tolist() == [-1, -1, -1, -1]
    assert np.isnan(flat.activation[0, 2])
    assert flat.size == ()


def test_pictures_of_version_1():
    store = open_store(DATA / "version1_pictures.h5")
    policy = "rectgrad(98)"
    assert {n: list(p.projections) for n, p in store.pictures.items()} == {
        "block/conv%1": [policy],
        "classifier": [policy],
    }
    assert store.pictures["classifier"].projections[policy].elsewhere == "rectify"
    dead = stored_exemplars(store, "block/conv%1", [1], rectifier=policy)
    assert dead == {1: []}
    first, second = stored_exemplars(store, "block/conv%1", [0], rectifier=policy)[0]
    assert (first.unit.position, first.unit.image, first.activation) == ((1, 2), 0, 2.5)
    assert (first.box.start, first.box.stop, first.overhang) == ((1, 3), (4, 6), (0, 0))
    assert (second.box.size, second.overhang) == ((2, 2), (1, 1))
    (*_, last) = stored_exemplars(store, "classifier", [0], rectifier=policy)[0]
    assert (last.unit.position, last.unit.image, last.box.size) == (None, 1, (8, 8))
    for each in (first, second, last):
        size = (*each.box.size, 3)
        np.testing.assert_allclose(each.patch, np.full(size, [0.25, 0.5, 0.75]), atol=0.02)
        exact = (np.arange(np.prod(size)).reshape(size) - 4) * 2.0**-20
        np.testing.assert_array_equal(each.projection, exact.astype("f4"))


def test_every_kept_file_is_known():
    assert {path.name for path in DATA.glob("*.h5")} == {"version1.h5", "version1_pictures.h5"}


def test_a_file_of_a_later_version_is_refused(tmp_path):
    """What this reader does not know it must not guess."""
    import h5py

    later = tmp_path / "later.h5"
    later.write_bytes((DATA / "version1.h5").read_bytes())
    with h5py.File(later, "r+") as file:
        file.attrs["format_version"] = 2
    with pytest.raises(ValueError, match="format_version is 2, this program reads 1; update"):
        open_store(later)
