"""Files of every version of the format, kept as they were written, are read for ever."""

from pathlib import Path

import numpy as np
import pytest

from deconvnet.store.picture_reading import stored_exemplars
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


def test_names_of_version_2_had_no_meaning_in_version_1(tmp_path):
    import h5py

    path = tmp_path / "a.h5"
    path.write_bytes((DATA / "version1.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["sample"], file.attrs["rank"] = "of the museum", 3
        file["layers/classifier/lowest"] = 1
    store = open_store(path)
    assert store.attributes["sample"] == "of the museum"
    assert store["classifier"].tables.keys() == {"strongest"}


def test_pictures_of_version_1():
    store = open_store(DATA / "version1_pictures.h5")
    policy = "rectgrad(98)"
    assert {n: list(p.projections) for n, p in store.pictures.items()} == {
        "block/conv%1": [policy],
        "classifier": [policy],
    }
    assert store.pictures["classifier"].projections[policy].fallback == "rectify"
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


def test_a_file_of_version_2():
    store = open_store(DATA / "version2.h5")
    assert list(store) == ["block/relu%1", "classifier"]
    said = {name: store.attributes[name] for name in ("format_version", "k", "lowest", "sample")}
    assert said == {"format_version": 2, "k": 2, "lowest": 2, "sample": 4}
    assert (store.attributes["random_state"], store.attributes["rank"]) == (11, "max")
    assert store.failed == [Failed(9, "torn.jpg", "it is cut short")]
    relu = store["block/relu%1"]
    assert relu.image.tolist() == [[0, 4], [1, 8], [6, -1]]
    assert relu.activation[0].tolist() == [2.5, 2.5]
    assert relu.ties.tolist() == [0, 1, 2]
    assert (relu.row[0].tolist(), relu.col[0].tolist()) == ([3, 2], [0, 0])
    assert relu.box[0, 0].tolist() == [4, 5, 6, 7]
    assert (relu.lowest.of, relu.lowest.activation[1].tolist()) == ("conv", [-3, -1])
    assert relu.sample.image.tolist() == [7, 2, 5, -1]
    np.testing.assert_allclose(relu.sample.activation[2], [-0.7, -1.27, -0.62, np.nan], atol=0.01)
    assert relu.directions["concepts/1"].vector.shape == (3, 3)


def test_a_video_of_version_2_ranked_by_the_mean():
    store = open_store(DATA / "version2_video.h5")
    relu = store["relu"]
    assert store.attributes["rank"] == "mean"
    assert relu.positions[0, 0].tolist() == [3, 0, 2]
    assert (relu.depth[0, 0], relu.row[0, 0], relu.col[0, 0]) == (3, 0, 2)
    assert relu.box_of(0, 0).size == (2, 2, 2)
    np.testing.assert_allclose(relu.peak[0], [0.41, 1.04], atol=0.01)
    assert relu.unit("relu", 0, 0).position == (3, 0, 2)


def test_every_kept_file_is_known():
    names = {"version1.h5", "version1_pictures.h5", "version2.h5", "version2_video.h5"}
    assert {path.name for path in DATA.glob("*.h5")} == names


def test_a_file_of_a_later_version_is_refused(tmp_path):
    """What this reader does not know it must not guess."""
    import h5py

    later = tmp_path / "later.h5"
    later.write_bytes((DATA / "version1.h5").read_bytes())
    with h5py.File(later, "r+") as file:
        file.attrs["format_version"] = 3
    with pytest.raises(ValueError, match="format_version is 3, this program reads 1 and 2; upd"):
        open_store(later)
